"""``depthgauge queues``."""

from pathlib import Path
from typing import Any

import click

from cli.commands.options import config_options, load
from cli.schema import Role


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@config_options()
@click.pass_context
def queues(context: click.Context, /, as_json: bool, config_file: Path | None, **given: Any) -> None:
    """Look for queues in every Redis; say what was found, by what, and the configuration that would pin it.

    Nothing is written. Status 1 if a Redis could not be read.
    """
    configuration = load(config_file, given, {Role.EXPORTER})
    assert configuration.exporter is not None
    from cli.queues import run  # noqa: PLC0415  help need not load it
    from depthgauge import logs  # noqa: PLC0415  the same

    # What the search would log is in what is printed.
    logs.configure("error", "logfmt")

    context.exit(run(configuration.exporter, as_json=as_json))
