"""``depthgauge exporter`` and ``depthgauge sink``."""

from pathlib import Path
from typing import Any

import click

from cli.commands.options import daemon_options, load_for_daemon
from cli.schema import Role


@click.command()
@daemon_options
@click.pass_context
def exporter(
    context: click.Context, /, config_file: Path | None, config_check: bool, print_config: bool, **given: Any
) -> None:
    """Read supervisord and Redis, serve metrics and publish snapshots."""
    configuration = load_for_daemon(config_file, given, Role.EXPORTER, only_check=config_check, only_print=print_config)
    if configuration is not None:
        assert configuration.exporter is not None
        from cli.exporter import run  # noqa: PLC0415  help need not load it

        context.exit(run(configuration.exporter, configuration.history))


@click.command()
@daemon_options
@click.pass_context
def sink(
    context: click.Context, /, config_file: Path | None, config_check: bool, print_config: bool, **given: Any
) -> None:
    """Write published snapshots into the database."""
    configuration = load_for_daemon(config_file, given, Role.SINK, only_check=config_check, only_print=print_config)
    if configuration is not None:
        assert configuration.sink is not None
        from cli.sink import run  # noqa: PLC0415  help need not load it

        context.exit(run(configuration.sink))
