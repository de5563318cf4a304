"""``depthgauge history``."""

from pathlib import Path
from typing import Any, Final

import click

from cli.commands.options import LOG, config_options, load, start_log
from cli.schema import Role

_OPTIONS: Final = {"start_date": "--start", "end_date": "--end"}
"""What parameters of the API are called here, where it is not the same."""


@click.command()
@click.option(
    "--start", "start_date", metavar="TIME", help="Where the range begins. [default: 24 hours before its end]"
)
@click.option("--end", "end_date", metavar="TIME", help="Where it ends, exclusive. [default: now]")
@click.option(
    "--step", metavar="STEP", help="Time between records: 60, 5m, 1h. [default: a minute; longer over months]"
)
@click.option("--queue", metavar="NAME", help="Only queues of this name.")
@click.option("--host", metavar="NAME", help="Only what this host saw.")
@click.option("--limit", metavar="NUMBER", help="Records at most. [default: all]")
@click.option("--format", "form", type=click.Choice(("table", "json", "csv")), default="table", show_default=True)
@config_options(*LOG)
@click.pass_context
def history(context: click.Context, /, form: str, config_file: Path | None, **given: Any) -> None:
    """Print what was: workers and backlogs of the fleet, a record a minute.

    A TIME is ISO 8601, UTC unless it names a zone; a date alone is that day's start. Read from the database in [history].
    """
    parameters = {name: given.pop(name) for name in ("start_date", "end_date", "step", "queue", "host", "limit")}
    from cli.history import run  # noqa: PLC0415  help need not load it
    from depthgauge.history import BadParameter  # noqa: PLC0415  the same

    configuration = load(config_file, given, {Role.HISTORY})
    start_log(configuration)
    assert configuration.history is not None
    told = [(name, text) for name, text in parameters.items() if text is not None]
    try:
        context.exit(run(configuration.history, told, form))
    except BadParameter as exc:
        option = _OPTIONS.get(exc.parameter, f"--{exc.parameter}")
        raise click.UsageError(f"{option}: {exc.message}") from exc
