"""Reads history for the API and ``depthgauge history``: as a role that only reads, in bounded time, from few connections."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout, TooManyRequests

from depthgauge.errors import SchemaError
from depthgauge.history import (
    EPOCH,
    Cursor,
    HistoryPage,
    HistoryQuery,
    HistoryUnavailable,
    Resolution,
    ceiling,
    digest,
)
from depthgauge.lifeline import Lifeline
from depthgauge.secrets import Secret, masked
from sink import history_queries as queries
from sink.connect import parameters
from sink.history_records import Series, Slots, array_of, chosen, records
from sink.schema import Connection, check_schema

log = logging.getLogger(__name__)

CONNECTIONS: Final = 4
WAITING: Final = 16
"""Callers that may wait for a connection; more are turned away."""
CONNECT_SECONDS: Final = 3.0
"""To get a connection."""
AWAY_SECONDS: Final = 2.0
"""How long nobody tries again once the database was found away."""
DEADLINE: Final = 15.0
"""Seconds for one page; then the connection is cut, whatever the server does."""
CELLS: Final = 400_000
"""Records times queues (of each host) that one page may be made of."""
RAW_UP_TO: Final = timedelta(days=2)
"""Ranges up to this are answered from raw rows also where a rollup would do."""

_CLOSED: Final = "history is being closed"
_TABLES: Final = {
    "worker_snapshots": Resolution.RAW,
    "worker_snapshots_5m": Resolution.FIVE_MINUTES,
    "worker_snapshots_1h": Resolution.HOURS,
}


def resolution_for(
    start: datetime, end: datetime, step: timedelta, dropped: Mapping[Resolution, datetime | None]
) -> Resolution:
    """Return what to answer from: the coarsest rows that fit the step, raw ones for a short range; what is gone is passed over.

    ``dropped`` holds the moment before which rows of each resolution have been dropped, None where none have.
    """
    there = [each for each in Resolution if (gone := dropped.get(each)) is None or gone <= start] or [Resolution.HOURS]
    fitting = [each for each in there if each.fitting(step) == step]
    if not fitting or (end - start <= RAW_UP_TO and fitting[0] is Resolution.RAW):
        return there[0] if not fitting else fitting[0]
    return fitting[-1]


class HistoryReader:
    """Answers questions from the sink's database; safe for several threads. It connects when it is first asked."""

    def __init__(
        self, dsn: Secret, *, monotonic: Callable[[], float] = time.monotonic, deadline: float = DEADLINE
    ) -> None:
        given = parameters(dsn, application="depthgauge-history", writes=False)
        self._monotonic = monotonic
        self._deadline = deadline
        self._lock = threading.Lock()
        self._opened = False
        self._sound = False
        self._failures = 0
        self._away: tuple[float, str] | None = None
        """Until when nobody tries, and why."""
        # What the pool would say at every attempt, this says once.
        logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
        self._pool: ConnectionPool[Any] = ConnectionPool(
            "",
            connection_class=_telling(self._note_failure),
            kwargs={**given, "autocommit": True, "prepare_threshold": None},
            configure=_only_read,
            min_size=1,
            max_size=CONNECTIONS,
            max_waiting=WAITING,
            # No attempts of its own: each caller that finds none makes one.
            reconnect_timeout=0.0,
            num_workers=2,
            name="history",
            open=False,
        )

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            self._opened = True
            self._away = (float("inf"), _CLOSED)
        self._pool.close(timeout=1.0)

    def read(self, query: HistoryQuery) -> HistoryPage:
        """Return one page of the answer; raise HistoryUnavailable."""
        for _ in range(CONNECTIONS + 1):
            connection = self._connection()
            try:
                return self._read(connection, query)
            except SchemaError as exc:
                raise HistoryUnavailable(str(exc)) from exc
            except psycopg.Error as exc:
                if not connection.closed:
                    self._sound = self._sound and (exc.sqlstate or "")[:2] != "42"
                    raise HistoryUnavailable(_told(exc, connection)) from exc
                # It was lost while nobody used it, most likely: the server was restarted.
                log.debug("a connection was lost: %s", masked(str(exc)).strip())
            finally:
                self._pool.putconn(connection)
        raise HistoryUnavailable("the connections to the database break off")

    def _connection(self) -> Connection:
        """Return a connection, soon; raise HistoryUnavailable, at once where the database was away a moment ago."""
        with self._lock:
            if not self._opened:
                self._opened = True
                self._pool.open(wait=False)
            failures = self._failures
        began = self._monotonic()
        while True:
            away = self._away
            if away is not None and (self._failures > failures or began < away[0]):
                raise HistoryUnavailable(away[1])
            try:
                connection: Connection = self._pool.getconn(timeout=0.25)
            except TooManyRequests:
                raise HistoryUnavailable(f"{WAITING} others wait for the database already; ask again later") from None
            except PoolTimeout:
                if self._monotonic() - began > CONNECT_SECONDS:
                    raise HistoryUnavailable(
                        f"the database gave no connection within {CONNECT_SECONDS:g} s: it is away, or busy with other questions"
                    ) from None
                continue
            except psycopg.OperationalError as exc:
                # The pool is closed.
                raise HistoryUnavailable(masked(str(exc)).strip()) from None
            self._note_success()
            return connection

    def _note_success(self) -> None:
        with self._lock:
            if self._away is not None and self._away[1] != _CLOSED:
                log.info("history: the database answers again")
                self._away = None

    def _note_failure(self, error: psycopg.Error) -> None:
        text = f"cannot connect to the database: {' '.join(masked(str(error)).split())}"
        with self._lock:
            if self._away is None:
                log.warning("history: %s", text)
            self._failures += 1
            if self._away is None or self._away[1] != _CLOSED:
                self._away = (self._monotonic() + AWAY_SECONDS, text)

    def _read(self, connection: Connection, query: HistoryQuery) -> HistoryPage:
        lifeline = Lifeline(connection)
        try:
            with lifeline.deadline(self._deadline):
                if not self._sound:
                    check_schema(connection)
                    self._sound = True
                with connection.transaction():
                    connection.execute(queries.LIMITS)
                    return _page(connection, query)
        except psycopg.Error as exc:
            if lifeline.expired:
                raise HistoryUnavailable(f"the database did not answer within {self._deadline:g} s") from exc
            raise
        finally:
            lifeline.close()


def _page(connection: Connection, query: HistoryQuery) -> HistoryPage:
    cursor = query.cursor
    if cursor is None:
        dropped = {_TABLES[name]: before for name, before in connection.execute(queries.DROPPED).fetchall()}
        resolution = resolution_for(query.start, query.end, query.step, dropped)
    else:
        resolution = cursor.resolution
    step = resolution.fitting(query.step)
    questions = queries.QUESTIONS[resolution]
    first = ceiling(cursor.position if cursor is not None else query.start, step)
    stop = ceiling(query.end, step)
    near = EPOCH + (first - EPOCH) // questions.partition * questions.partition
    given: dict[str, Any] = {"near": near, "start": first, "end": stop, "host": query.host, "queue": query.queue}
    told = connection.execute(questions.series, given).fetchall() if first < stop else []
    hosts = connection.execute(questions.hosts, given).fetchall() if first < stop and query.queue is None else []
    found = [*told, *hosts]
    if not found:
        return _answer((), step, resolution, None)
    # Empty times between pages are jumped over.
    first = EPOCH + (min(row[1] for row in found) - EPOCH) // step * step
    most = min(query.limit, max(1, CELLS // max(1, len(told))))
    end = min(stop, first + most * step)
    given |= {"start": first, "end": end}
    slots = [Slots(*row) for row in _fetch(connection, questions.slots, given)]
    counted = {each.host: chosen(each, step) for each in slots}
    rows = _fetch(connection, questions.rows, {**given, "moments": array_of(counted.values())})
    series = list(map(Series.of, rows))
    data = records(series, slots, counted, step=step, one_queue=query.queue is not None)
    more = any(row[2] >= end for row in found)
    following = Cursor(
        start=query.start,
        end=query.end,
        position=end,
        step=query.step,
        resolution=resolution,
        filters=digest(query.queue, query.host),
    )
    return _answer(data, step, resolution, following.encode() if more else None)


def _answer(data: tuple[Any, ...], step: timedelta, resolution: Resolution, following: str | None) -> HistoryPage:
    return HistoryPage(
        data=data,
        count=len(data),
        step=int(step.total_seconds()),
        resolution=resolution,
        truncated=following is not None,
        next_cursor=following,
    )


def _fetch(connection: Connection, question: str, given: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    # Arrays of numbers arrive in binary form in a quarter of the time.
    return connection.execute(question, given, binary=True).fetchall()


def _only_read(connection: Connection) -> None:
    """Have every transaction begin as one that reads, and sees one moment. Nothing is sent: a pooler may stand between."""
    connection.read_only = True
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ


def _telling(tell: Callable[[psycopg.Error], None]) -> type[psycopg.Connection[Any]]:
    """Return a class of connections that tells why one could not be made: the pool keeps it to itself."""

    class Telling(psycopg.Connection[Any]):
        @classmethod
        def connect(cls, conninfo: str = "", **given: Any) -> "Telling":
            try:
                return super().connect(conninfo, **given)
            except psycopg.Error as exc:
                tell(exc)
                raise

    return Telling


def _told(error: psycopg.Error, connection: Connection) -> str:
    """Return what went wrong, and what to do about it."""
    text = " ".join(masked(str(error)).split())
    if isinstance(error, psycopg.errors.QueryCanceled):
        return f"the database took too long; ask for a shorter range or a longer step ({text})"
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        role = connection.info.user
        return f"{text}; as the owner of the schema: SELECT depthgauge.grant_reader('{role}')"
    return f"the database says: {text}"


@contextlib.contextmanager
def history_reader(dsn: Secret) -> Iterator[HistoryReader]:
    """Give a reader for the block."""
    reader = HistoryReader(dsn)
    try:
        yield reader
    finally:
        reader.close()
