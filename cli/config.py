"""The configuration: flags over environment over file over defaults, as frozen settings for each daemon."""

from pathlib import Path

from cli.build import LISTEN
from cli.build_exporter import ExporterBuilder
from cli.inputs import Configuration, Inputs
from cli.kinds import Wrong
from cli.reading import (
    Layer,
    Node,
    Origin,
    Problems,
    apply_environment,
    apply_flags,
    misspelt_variables,
    read_document,
    read_text,
)
from cli.schema import PREFIX, Role
from depthgauge.errors import ConfigError
from exporter.settings import ExporterSettings
from sink.settings import SinkSettings


def load_exporter(inputs: Inputs) -> ExporterSettings:
    """Return the exporter's settings; raise ConfigError with everything that is wrong."""
    settings = load(inputs, frozenset({Role.EXPORTER})).exporter
    assert settings is not None
    return settings


def load_sink(inputs: Inputs) -> SinkSettings:
    """Return the sink's settings; raise ConfigError with everything that is wrong."""
    settings = load(inputs, frozenset({Role.SINK})).sink
    assert settings is not None
    return settings


def mentions(inputs: Inputs, section: str) -> bool:
    """Say whether the file, or the environment has something to say in a section, right or wrong."""
    unheard = Problems()
    _, tables = _read_file(inputs, unheard)
    apply_environment(tables, inputs.environ, unheard)
    return section in tables


def load(inputs: Inputs, roles: frozenset[Role]) -> Configuration:
    """Return the configuration as far as these roles need it; raise ConfigError with everything that is wrong.

    The whole file is checked whatever the roles, but secrets are read from files for these roles only: another daemon's
    may be closed to this one.
    """
    problems = Problems()
    file, tables = _read_file(inputs, problems)
    unreadable = bool(problems.found) and not tables
    apply_environment(tables, inputs.environ, problems)
    apply_flags(tables, inputs.flags, problems)
    if unreadable:
        # What it leaves out cannot be told from what it says.
        raise ConfigError(problems.sorted())
    notes: list[str] = []
    warnings = list(misspelt_variables(inputs.environ))
    build = ExporterBuilder(inputs, tables, problems, roles=roles, file=file)
    if Role.EXPORTER in roles:
        build.find(notes, warnings)
    build.check_required()
    retention = build.retention()
    made = Configuration(
        file=file,
        tables=tables,
        log=build.log(),
        web={role: build.web(role) for role in LISTEN},
        notes=tuple(notes),
        warnings=tuple(warnings),
        exporter=build.exporter(),
        sink=build.sink(retention),
        dsn=build.dsn(),
        retention=retention,
        bus=build.bus(),
        history=build.history(),
    )
    if problems.found:
        raise ConfigError(problems.sorted())
    return made


def _read_file(inputs: Inputs, problems: Problems) -> tuple[Path | None, dict[str, list[Node]]]:
    """Return the file that is used and its tables; a file that nobody named may be absent."""
    variable = f"{PREFIX}CONFIG_FILE"
    path, place = inputs.default_file, str(inputs.default_file)
    if inputs.file is not None:
        path, place = inputs.file, "--config.file"
    elif inputs.environ.get(variable):
        path, place = Path(inputs.environ[variable]), f"variable {variable}"
    elif _is_absent(inputs.default_file):
        return None, {}
    try:
        return path, read_document(read_text(path), str(path), problems)
    except Wrong as exc:
        problems.add(Origin(Layer.FLAG, place), "", str(exc))
        return path, {}


def _is_absent(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        # It may be there: reading it tells what is wrong.
        return False
    return False
