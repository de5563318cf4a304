"""``depthgauge check``."""

from pathlib import Path
from typing import Any

import click

from cli.commands.options import LOG, WEB, config_options, gather
from cli.schema import Role


@click.command()
@click.argument("daemon", type=click.Choice(("exporter", "sink")), required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.option("--print-config", is_flag=True, help="Print every setting first, secrets masked.")
@config_options(*WEB, *LOG)
@click.pass_context
def check(
    context: click.Context,
    /,
    daemon: str | None,
    as_json: bool,
    print_config: bool,
    config_file: Path | None,
    **given: Any,
) -> None:
    """Connect to everything; say what is wrong and how to mend it.

    DAEMON is exporter or sink; without it the configuration tells which there are. Status 1 if anything is wrong.
    """
    from cli.check import run  # noqa: PLC0415  help need not load it

    roles = frozenset({Role(daemon)}) if daemon else None
    context.exit(run(gather(config_file, given), roles=roles, as_json=as_json, print_config=print_config))
