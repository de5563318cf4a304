"""``depthgauge check``."""

from pathlib import Path
from typing import Any

import click

from cli.commands.options import LOG, WEB, config_options, gather


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.option("--print-config", is_flag=True, help="Print every setting first, secrets masked.")
@config_options(*WEB, *LOG)
@click.pass_context
def check(context: click.Context, /, as_json: bool, print_config: bool, config_file: Path | None, **given: Any) -> None:
    """Connect to everything; say what is wrong and how to mend it. Status 1 if anything is."""
    from cli.check import run  # noqa: PLC0415  help need not load it

    context.exit(run(gather(config_file, given), as_json=as_json, print_config=print_config))
