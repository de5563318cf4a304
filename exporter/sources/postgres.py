"""A watched application's PostgreSQL, from its statistics views."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

from psycopg import sql

from depthgauge.errors import ErrorKind, SourceError
from depthgauge.health import Database, Statements
from depthgauge.names import clean
from exporter.seldom import Seldom
from exporter.settings import DatabaseSettings
from exporter.sources import postgres_queries as queries
from exporter.sources.failed_jobs import FailedJobsReader
from exporter.sources.postgres_link import PostgresLink
from exporter.sources.postgres_samples import PostgresSamples

log = logging.getLogger(__name__)

KIND: Final = "database"
SIZE_EVERY: Final = 60.0
"""Seconds for which a size is told again: taking it looks at every file of the database."""
IDLE_INTERVALS: Final = 3
"""Intervals without a reading after which nothing is sampled either."""
EXTRA_SHARE: Final = 0.5
"""Of the time that is left, what one of the lesser readings may take."""
NO_TIME: Final = 0.05
"""Seconds; with less than this left a lesser reading is not begun."""

_SIZE: Final = "the size"
_STATEMENTS: Final = "pg_stat_statements"
_FAILED_JOBS: Final = "failed jobs"

T = TypeVar("T")


class PostgresSource:
    """Reads one database. ``timeout`` is what one :meth:`collect` may take in seconds, ``interval`` the time between two.

    The statistics come with one statement; size, pg_stat_statements and failed jobs may fail each for itself, and are None
    then. Response times and transactions a second are sampled beside it: from :meth:`start` on, while it is being read.
    """

    kind: Final = KIND

    def __init__(
        self,
        settings: DatabaseSettings,
        *,
        clock: Callable[[], datetime],
        timeout: float,
        interval: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.target = settings.name
        self._settings = settings
        self._clock = clock
        self._timeout = timeout
        self._monotonic = monotonic
        self._link = PostgresLink(settings.dsn, monotonic=monotonic)
        self.samples = PostgresSamples(
            settings.name,
            settings.dsn,
            own=lambda: self._link.transactions,
            idle_after=IDLE_INTERVALS * interval,
            monotonic=monotonic,
        )
        failed = settings.failed_jobs
        self._size = Seldom(self._read_size, least=SIZE_EVERY, monotonic=monotonic)
        self._statements = Seldom(self._read_statements, monotonic=monotonic)
        self._schema = ""
        self._failed_jobs = (
            Seldom(FailedJobsReader(failed, self._link).read, monotonic=monotonic) if failed is not None else None
        )
        self._told: dict[str, str] = {}

    def collect(self) -> Database:
        """Read the database; raise SourceError."""
        deadline = self._monotonic() + self._timeout
        self.samples.want()
        slow = queries.STATE.format(slow=sql.Literal(self._settings.slow_query))
        (row,) = self._link.ask(slow, seconds=self._timeout).rows
        version, started_at, in_recovery, states, most, active, slow_ones, longest, *rest = row
        commits, rollbacks, deadlocks, schema = rest
        observed_at = self._clock()
        size = self._extra(_SIZE, self._size, deadline)
        statements = failed = None
        if schema is not None:
            self._schema = schema
            statements = self._extra(_STATEMENTS, self._statements, deadline)
        if self._failed_jobs is not None:
            failed = self._extra(_FAILED_JOBS, self._failed_jobs, deadline)
        return Database(
            observed_at=observed_at,
            name=self.target,
            version=clean(version),
            started_at=datetime.fromtimestamp(started_at, UTC),
            in_recovery=in_recovery,
            connections=states or {},
            max_connections=most,
            active_queries=active,
            slow_queries=slow_ones,
            longest_query_seconds=longest,
            commits_total=commits,
            rollbacks_total=rollbacks,
            deadlocks_total=deadlocks,
            size_bytes=size,
            tps=self.samples.rates.view(),
            response=self.samples.responses.take(),
            statements=statements,
            failed_jobs=failed,
            failed_jobs_error=self._told.get(_FAILED_JOBS),
        )

    def start(self) -> None:
        """Begin sampling, which goes on for as long as the database is read."""
        self.samples.start()

    def close(self) -> None:
        """End sampling and the connections; a statement in flight is cut off."""
        self.samples.close()
        self._link.end()

    def _read_size(self, seconds: float) -> int:
        ((size,),) = self._link.ask(queries.SIZE, seconds=seconds).rows
        return int(size)

    def _read_statements(self, seconds: float) -> Statements:
        milliseconds = sql.Literal(self._settings.slow_query * 1000)
        statement = queries.STATEMENTS.format(schema=sql.Identifier(self._schema), milliseconds=milliseconds)
        ((calls, total, slow),) = self._link.ask(statement, seconds=seconds).rows
        return Statements(calls_total=calls, seconds_total=total, slow=slow)

    def _extra(self, what: str, read: Callable[[float], T], deadline: float) -> T | None:
        """Read one of the lesser things; None where that fails, which is told once."""
        seconds = (deadline - self._monotonic()) * EXTRA_SHARE
        try:
            if seconds < NO_TIME:
                raise SourceError(ErrorKind.TIMEOUT, "reading the rest has taken all the time there is")
            found = read(seconds)
        except SourceError as exc:
            if self._told.get(what) != exc.kind:
                log.warning(
                    "cannot read %s of database %s: %s", what, self.target, exc, extra={"reason": exc.kind.value}
                )
            self._told[what] = exc.kind.value
            return None
        if self._told.pop(what, None) is not None:
            log.info("%s of database %s can be read again", what, self.target)
        return found
