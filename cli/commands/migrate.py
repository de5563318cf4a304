"""``depthgauge migrate``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.commands.options import LOG, config_options, load, start_log
from cli.kinds import Wrong, check_dsn
from cli.reading import read_text
from cli.schema import Role
from depthgauge.errors import DepthgaugeError
from depthgauge.secrets import Secret

if TYPE_CHECKING:
    from sink.migrate import Report


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option(
    "--layout",
    type=click.Choice(("hypertables", "partitions")),
    help="How the tables are cut into days; `hypertables` turns a database's partitions into them. "
    "[default of a new database: hypertables where TimescaleDB is there]",
)
@click.option(
    "--copy-from-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Then copy all rows of another Depthgauge database, whose connection string this file holds. Stop its sinks first.",
)
@config_options(*LOG)
def migrate(
    dry_run: bool, layout: str | None, copy_from_file: Path | None, config_file: Path | None, **given: Any
) -> None:
    """Create the tables in the database, or bring them up to date.

    Status 3 if the schema needs a human.
    """
    if dry_run and copy_from_file is not None:
        raise click.UsageError("--dry-run copies nothing: leave out --copy-from-file")
    configuration = load(config_file, given, {Role.MIGRATE})
    other = _connection_string(copy_from_file) if copy_from_file is not None else None
    start_log(configuration)
    import psycopg  # noqa: PLC0415  help need not load it

    from depthgauge.secrets import masked  # noqa: PLC0415  the same
    from sink import migrate as migration  # noqa: PLC0415  the same
    from sink.schema import Layout  # noqa: PLC0415  the same
    from sink.transfer import transfer  # noqa: PLC0415  the same

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
    if other is None:
        return
    try:
        rows = transfer(other, configuration.dsn, click.echo)
    except psycopg.Error as exc:
        raise DepthgaugeError(
            f"copying from {masked(other.reveal())} failed, run the same command again to go on: {masked(str(exc)).strip()}"
        ) from exc
    click.echo(f"copied {rows} rows in all")


def _connection_string(file: Path) -> Secret:
    """Return the other database's connection string; raise DepthgaugeError."""
    try:
        text = read_text(file).strip()
        secret = Secret(text)
        check_dsn(secret)
    except Wrong as exc:
        raise DepthgaugeError(f"--copy-from-file {str(file)!r}: {exc}") from exc
    return secret


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
