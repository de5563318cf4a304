"""Laravel's table of failed jobs, in the application's own database: counts by queue, and when the newest one failed.

Only the columns ``connection``, ``queue`` and ``failed_at`` are read (laravel/framework,
Illuminate/Queue/Console/stubs/failed_jobs.stub): what is in a job stays where it is.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from psycopg import sql

from depthgauge.errors import ErrorKind, SourceError
from depthgauge.health import FailedJobs
from depthgauge.names import clean
from exporter.settings import FailedJobsSettings
from exporter.sources import postgres_queries as queries
from exporter.sources.postgres_link import PostgresLink

SYSTEM: Final = "laravel"
MAX_QUEUES: Final = 1000
"""Told one by one, those with the most failed jobs; the others are summed up under the name ``""``."""
REST: Final = ""
LIMIT: Final = 2.0
"""Seconds that counting may take."""


class FailedJobsReader:
    """Counts the failed jobs of one application, which reads the whole table. Not for several threads at once."""

    def __init__(self, settings: FailedJobsSettings, link: PostgresLink) -> None:
        self._settings = settings
        self._link = link
        self._statement = statement(settings)

    def read(self, seconds: float) -> tuple[FailedJobs, ...]:
        """Return the failed jobs by queue; raise SourceError if they could not be counted so fast, or within :data:`LIMIT`."""
        try:
            answer = self._link.ask(self._statement, seconds=min(LIMIT, seconds))
        except SourceError as exc:
            raise _about(self._settings.table, exc) from exc
        return gathered(answer.rows, self._settings.redis)


def statement(settings: FailedJobsSettings, most: int = MAX_QUEUES) -> sql.Composed:
    """Return the statement that counts."""
    connection = settings.connection
    where = sql.SQL("") if connection is None else queries.OF_CONNECTION.format(connection=sql.Literal(connection))
    return queries.FAILED_JOBS.format(table=table(settings), where=where, most=sql.Literal(most))


def table(settings: FailedJobsSettings) -> sql.Identifier:
    """Return the table's name, quoted; a dot parts it from its schema."""
    return sql.Identifier(*settings.table.split("."))


def gathered(rows: list[tuple[Any, ...]], redis: str) -> tuple[FailedJobs, ...]:
    """Return what the rows (queue, count, newest as unix time or None) tell, ordered by queue."""
    found: dict[str, tuple[int, float | None]] = {}
    for queue, count, newest in rows:
        name = clean(queue) if queue else REST
        # Names that differ only in what is cut off the longest ones meet here.
        known, latest = found.get(name, (0, None))
        found[name] = (known + count, max((at for at in (latest, newest) if at is not None), default=None))
    return tuple(_one(name, *numbers, redis) for name, numbers in sorted(found.items()))


def _one(name: str, count: int, newest: float | None, redis: str) -> FailedJobs:
    at = None if newest is None else datetime.fromtimestamp(newest, UTC)
    return FailedJobs(redis=redis, system=SYSTEM, queue=name, count=count, newest_at=at)


_ADVICE: Final[Mapping[ErrorKind, str]] = {
    ErrorKind.PERMISSION_DENIED: "GRANT SELECT (connection, queue, failed_at) ON {table} TO the role in database.dsn",
    ErrorKind.NOT_FOUND: "check database.failed_jobs.table, with its schema before it",
    ErrorKind.TIMEOUT: "the table is large or the server is slow: run `php artisan queue:prune-failed`, or make the index in docs/postgres.md",
}


def _about(table_name: str, exc: SourceError) -> SourceError:
    advice = _ADVICE.get(exc.kind)
    hint = f"; {advice.format(table=table_name)}" if advice else ""
    return SourceError(exc.kind, f"failed jobs in {table_name} cannot be counted: {exc}{hint}")
