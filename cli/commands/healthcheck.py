"""``depthgauge healthcheck``."""

from pathlib import Path
from typing import Any

import click

from cli.commands.options import WEB, config_options, load
from cli.schema import Role


@click.command()
@click.argument("daemon", type=click.Choice(("exporter", "sink")), default="exporter")
@config_options(WEB[0], WEB[2])
@click.pass_context
def healthcheck(context: click.Context, /, daemon: str, config_file: Path | None, **given: Any) -> None:
    """Ask the daemon on this host whether it is alive: status 0 or 1, for containers.

    DAEMON is exporter (the default) or sink.
    """
    from cli.healthcheck import run, web_of  # noqa: PLC0415  help need not load it

    context.exit(run(web_of(load(config_file, given, ()), Role(daemon))))
