"""``depthgauge migrate``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.commands.options import LOG, config_options, load, start_log
from cli.schema import Role
from depthgauge.errors import DepthgaugeError

if TYPE_CHECKING:
    from sink.migrate import Report


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option(
    "--layout",
    type=click.Choice(("hypertables", "partitions")),
    help="How the tables of a new database are cut into days. [default: hypertables where TimescaleDB is there]",
)
@config_options(*LOG)
def migrate(dry_run: bool, layout: str | None, config_file: Path | None, **given: Any) -> None:
    """Create the tables in the database, or bring them up to date.

    Status 3 if the schema needs a human.
    """
    configuration = load(config_file, given, {Role.MIGRATE})
    start_log(configuration)
    import psycopg  # noqa: PLC0415  help need not load it

    from depthgauge.secrets import masked  # noqa: PLC0415  the same
    from sink import migrate as migration  # noqa: PLC0415  the same
    from sink.schema import Layout  # noqa: PLC0415  the same

    assert configuration.dsn is not None
    try:
        report = migration.migrate(
            configuration.dsn,
            dry_run=dry_run,
            layout=Layout(layout) if layout else None,
            retention=configuration.retention,
        )
    except psycopg.Error as exc:
        database = masked(configuration.dsn.reveal())
        raise DepthgaugeError(f"cannot migrate the database {database}: {masked(str(exc)).strip()}") from exc
    click.echo("\n".join(_lines(report)))


def _lines(report: "Report") -> list[str]:
    version = f" with TimescaleDB {report.timescaledb_version}" if report.timescaledb_version else ""
    lines = [f"database: {report.edition}{version}, tables as {report.layout}", *report.notes]
    verb = "would apply" if report.dry_run else "applied"
    lines += [f"{verb} {name}" for name in (*report.applied, *report.reapplied)]
    change = (
        "is"
        if report.before == report.after
        else f"{report.before} -> {report.after}, " + ("would be" if report.dry_run else "is now")
    )
    return [*lines, f"schema version {change} {report.after}"]
