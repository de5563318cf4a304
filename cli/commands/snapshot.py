"""``depthgauge snapshot``."""

from pathlib import Path
from typing import Any

import click

from cli.commands.options import LOG, config_options, load, start_log
from cli.schema import Role


@click.command()
@config_options(*LOG)
@click.pass_context
def snapshot(context: click.Context, /, config_file: Path | None, **given: Any) -> None:
    """Collect once and print the snapshot as JSON; status 1 if a source could not be read."""
    configuration = load(config_file, given, {Role.EXPORTER})
    start_log(configuration)
    assert configuration.exporter is not None
    from cli.snapshot import run  # noqa: PLC0415  help need not load it

    context.exit(run(configuration.exporter))
