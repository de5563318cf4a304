"""What commands share: the flags, made from the table of settings, and the way from them to a configuration."""

import os
import re
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from cli.schema import DEFAULT_FILE, PREFIX, Role
from cli.table import flags

if TYPE_CHECKING:
    from cli.inputs import Configuration, Inputs

F = TypeVar("F", bound=Callable[..., Any])

LOG: Final = ("log.level", "log.format")
WEB: Final = ("web.listen-address", "web.telemetry-path", "web.config.file")


def config_options(*names: str) -> Callable[[F], F]:
    """Add ``--config.file`` and the flags of these names to a command; they arrive as config_file and **given."""

    def decorate(function: F) -> F:
        for section, key in reversed(list(flags())):
            if key.flag in names:
                listed = key.kind.name.startswith("list of")
                text = re.sub(r"`", "", key.help)
                default = key.default_text or key.default
                function = click.option(
                    f"--{key.flag}",
                    f"{section.name}_{key.name}",
                    multiple=listed,
                    metavar="ADDRESS" if listed else "PATH" if key.kind.name == "path" else key.name.upper(),
                    help=f"{text} {'May be repeated. ' if listed else ''}[{key.kind.name.removeprefix('list of: ')}; default: {default}]",
                )(function)
        return click.option(
            "--config.file",
            "config_file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help=f"The configuration. [default: {DEFAULT_FILE}, if it is there; variable: {PREFIX}CONFIG_FILE]",
        )(function)

    return decorate


def daemon_options(function: F) -> F:
    """Add what exporter and sink have in common."""
    function = click.option(
        "--print-config", is_flag=True, help="Print every setting, where it comes from, secrets masked; then exit."
    )(function)
    function = click.option("--config.check", "config_check", is_flag=True, help="Check the configuration, then exit.")(
        function
    )
    return config_options(*WEB, *LOG)(function)


def gather(config_file: Path | None, given: dict[str, Any]) -> "Inputs":
    """Return what a configuration is made from: the flags as click gives them, the environment, this host."""
    from cli.discover import Places  # noqa: PLC0415  help need not load it
    from cli.inputs import Inputs  # noqa: PLC0415  the same

    told = {}
    for section, key in flags():
        value = given.get(f"{section.name}_{key.name}")
        if value is not None and value != ():
            told[str(key.flag)] = value if isinstance(value, tuple) else (value,)
    return Inputs(
        hostname=socket.gethostname() or "localhost",
        pid=os.getpid(),
        environ=os.environ,
        flags=told,
        file=config_file,
        places=Places(environ=os.environ),
    )


def load(config_file: Path | None, given: dict[str, Any], roles: Iterable[Role]) -> "Configuration":
    """Return the configuration of these roles; raise ConfigError."""
    from cli import config  # noqa: PLC0415  help need not load it

    return config.load(gather(config_file, given), frozenset(roles))


def load_for_daemon(
    config_file: Path | None, given: dict[str, Any], role: Role, *, only_check: bool, only_print: bool
) -> "Configuration | None":
    """Return the configuration and start the log, or do what was asked for instead and return None."""
    from cli.effective import show  # noqa: PLC0415  help need not load it

    configuration = load(config_file, given, {role})
    if only_print:
        click.echo(show(configuration, {role}), nl=False)
    if only_check:
        click.echo(f"{configuration.file or 'The configuration'} is good.")
    if only_check or only_print:
        return None
    start_log(configuration)
    return configuration


def start_log(configuration: "Configuration") -> None:
    """Configure the log and write into it what was found out about the configuration."""
    import logging  # noqa: PLC0415  help need not load it

    from depthgauge import logs  # noqa: PLC0415  the same

    logs.configure(configuration.log.level, configuration.log.format)
    log = logging.getLogger("depthgauge.config")
    log.info("configuration read from %s", configuration.file or "no file")
    for note in configuration.notes:
        log.info(note)
    for warning in configuration.warnings:
        log.warning(warning)
