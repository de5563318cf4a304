"""``depthgauge listen``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.commands.options import LOG, config_options, load, start_log
from depthgauge.errors import ConfigError, DepthgaugeError

if TYPE_CHECKING:
    from cli.inputs import Configuration


@click.command()
@click.option(
    "--supervisor", metavar="NAME", help="Name of this supervisord in [[supervisor]]. [default: the only one]"
)
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Where to write. [default: state_dir of [exporter]]",
)
@config_options(*LOG)
@click.pass_context
def listen(
    context: click.Context,
    /,
    supervisor: str | None,
    state_dir: Path | None,
    config_file: Path | None,
    **given: Any,
) -> None:
    """Write down every change of state that supervisord tells, for the exporter: an [eventlistener] of supervisord.

    With both options a configuration that is missing or wrong does not keep it from starting.
    """
    configuration: Configuration | None = None
    problems: tuple[str, ...] = ()
    try:
        configuration = load(config_file, given, ())
    except ConfigError as exc:
        if supervisor is None or state_dir is None:
            raise
        problems = tuple(exc.problems)
    if configuration is not None:
        start_log(configuration)
        known = names(configuration)
        supervisor = supervisor or only(known)
        state_dir = state_dir or folder(configuration)
        problems = (
            () if supervisor in known else (f"no [[supervisor]] has the name {supervisor!r}: nobody reads its events",)
        )
    else:
        from depthgauge import logs  # noqa: PLC0415  help need not load it

        logs.configure("info", "logfmt")
    import logging  # noqa: PLC0415  the same

    for problem in problems:
        logging.getLogger("depthgauge.config").warning(problem)
    assert supervisor is not None
    assert state_dir is not None
    from cli.listen import run  # noqa: PLC0415  the same
    from exporter.event_log import LogFolder  # noqa: PLC0415  the same

    context.exit(run(LogFolder(state_dir, supervisor)))


def names(configuration: "Configuration") -> tuple[str, ...]:
    """Return the names of all supervisords; without a table it is the one that the exporter finds by itself."""
    from cli.table import section_of  # noqa: PLC0415  help need not load it

    default = section_of("supervisor").key("name").default
    nodes = configuration.tables.get("supervisor")
    if nodes is None:
        return (default,)
    return tuple(node.values["name"].value if "name" in node.values else default for node in nodes)


def only(known: tuple[str, ...]) -> str:
    """Return the one name; raise DepthgaugeError where it takes choosing."""
    if len(known) != 1:
        raise DepthgaugeError(
            f"listen needs to know which supervisord it belongs to: --supervisor {' or '.join(known) or 'NAME'}"
        )
    return known[0]


def folder(configuration: "Configuration") -> Path:
    """Return the exporter's state folder; raise DepthgaugeError where it has none."""
    for node in configuration.tables.get("exporter", ()):
        if "state_dir" in node.values:
            return Path(node.values["state_dir"].value)
    raise DepthgaugeError("listen has no folder to write to: set state_dir in [exporter], or --state-dir")
