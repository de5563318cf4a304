"""One connection to a watched PostgreSQL: read only, with deadlines that hold, good behind a pooler too."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from depthgauge.errors import ErrorKind, SourceError
from depthgauge.lifeline import Lifeline
from depthgauge.secrets import Secret, masked
from exporter.sources.postgres_errors import explain, kind_of
from exporter.sources.postgres_refusal import kind_of_refusal

APPLICATION: Final = "depthgauge"
"""In pg_stat_activity; sessions of this name and role are taken for our own."""

STATEMENT_SHARE: Final = 0.9
"""Of the seconds that an answer may take, what the server itself is given; then the socket is cut."""
LOCK_TIMEOUT: Final = 0.5
"""Seconds to wait for somebody's lock: who waits makes others wait behind them."""
LOOK_TIMEOUT: Final = 2.0
"""Seconds to find out why no connection can be made."""

_DEFAULTS: Final = {
    "application_name": APPLICATION,
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}

_LOST: Final = frozenset({ErrorKind.CLOSED, ErrorKind.SHUTTING_DOWN})
"""Kinds of a connection that the server has closed."""

# One message, so one round trip and one transaction, which nothing of this outlives: a pooler may give the session to anybody.
# set_config() rather than SET: pg_stat_statements would keep each number of a SET as a statement of its own.
_LIMITS: Final = sql.SQL(
    "SELECT set_config('transaction_read_only', 'on', true), set_config('statement_timeout', {milliseconds}, true),"
    " set_config('lock_timeout', {lock}, true), set_config('max_parallel_workers_per_gather', '0', true); "
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement gave, and the seconds from sending it to having read it."""

    rows: list[tuple[Any, ...]]
    seconds: float


def parameters(dsn: Secret) -> dict[str, str]:
    """Return libpq's parameters: the connection string's own, and our defaults where it and libpq's environment are silent."""
    given = {name: str(value) for name, value in conninfo_to_dict(dsn.reveal()).items() if value is not None}
    defaults = {k: v for k, v in _DEFAULTS.items() if k != "application_name" or "PGAPPNAME" not in os.environ}
    return {**defaults, **given, "client_encoding": "UTF8"}


class PostgresLink:
    """Opened when needed, closed when it fails; not for several threads at once, but for :meth:`end`.

    ``explains`` says whether a failure to connect is looked into (that is one more attempt); its kind is UNREACHABLE otherwise.
    """

    def __init__(self, dsn: Secret, *, explains: bool = True, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._dsn = dsn
        self._explains = explains
        self._monotonic = monotonic
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._lifeline: Lifeline | None = None
        self._busy = threading.Lock()
        self._ended = False
        self.transactions = 0
        """That the server has had from us, as far as we know; connecting is one."""
        self.connects = 0
        """Connections made so far."""

    def ask(self, statement: sql.Composable, *, seconds: float, bare: bool = False) -> Answer:
        """Run one statement in a transaction of its own; raise SourceError.

        It takes at most so many seconds, connecting included (libpq counts whole seconds there, two at least). ``bare`` sends
        the statement alone, without limits. A connection that the server has closed meanwhile is made again, once.
        """
        deadline = self._monotonic() + seconds
        with self._held():
            kept = self._connection is not None
            try:
                return self._ask(statement, deadline, bare=bare)
            except SourceError as exc:
                lost = exc.kind in _LOST and self._connection is None
                if not (kept and lost) or self._monotonic() >= deadline:
                    raise
            return self._ask(statement, deadline, bare=bare)

    def open(self, *, seconds: float) -> None:
        """Connect if there is no connection; raise SourceError."""
        with self._held():
            self._open(self._monotonic() + seconds)

    def end(self) -> None:
        """Close for ever, from any thread; a statement in flight is cut off."""
        self._ended = True
        if self._busy.acquire(blocking=False):
            try:
                self.close()
            finally:
                self._busy.release()
        elif (lifeline := self._lifeline) is not None:
            lifeline.cut()

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """Be the one who uses the connection; whoever ends it meanwhile leaves closing it to us."""
        with self._busy:
            if self._ended:
                raise SourceError(ErrorKind.CLOSED, "the connection was closed because nobody reads any more")
            try:
                yield
            finally:
                if self._ended:
                    self.close()

    def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        lifeline, self._lifeline = self._lifeline, None
        if connection is not None:
            connection.close()
        if lifeline is not None:
            lifeline.close()

    def _ask(self, statement: sql.Composable, deadline: float, *, bare: bool) -> Answer:
        connection, lifeline = self._open(deadline)
        left = max(0.01, deadline - self._monotonic())
        milliseconds = max(1, round(left * STATEMENT_SHARE * 1000))
        lock = min(milliseconds, round(LOCK_TIMEOUT * 1000))
        limits = _LIMITS.format(milliseconds=sql.Literal(str(milliseconds)), lock=sql.Literal(str(lock)))
        text = (statement if bare else limits + statement).as_string(connection)
        self.transactions += 1
        try:
            with lifeline.deadline(left), connection.cursor() as cursor:
                started = self._monotonic()
                cursor.execute(text.encode())
                while cursor.nextset():
                    continue
                rows = cursor.fetchall()
                return Answer(rows, self._monotonic() - started)
        except psycopg.Error as exc:
            kind = ErrorKind.TIMEOUT if lifeline.expired else kind_of(exc)
            if connection.closed or lifeline.expired:
                self.close()
            raise explain(self._dsn, kind, exc) from exc
        except UnicodeDecodeError as exc:
            raise explain(self._dsn, ErrorKind.GARBAGE, exc) from exc

    def _open(self, deadline: float) -> tuple[psycopg.Connection[tuple[Any, ...]], Lifeline]:
        if self._connection is not None and self._lifeline is not None:
            return self._connection, self._lifeline
        self.close()
        wanted = self._parameters(deadline)
        try:
            # psycopg prepares nothing: behind a pooler the next transaction may have another session.
            made = psycopg.connect(autocommit=True, prepare_threshold=None, **wanted)  # type: ignore[arg-type]  # libpq takes texts for all
        except psycopg.Error as exc:
            raise explain(self._dsn, self._why(wanted, exc, deadline), exc) from exc
        self._connection = made
        self._lifeline = Lifeline(made, what=f"PostgreSQL at {masked(self._dsn.reveal())}")
        self.connects += 1
        self.transactions += 1
        return made, self._lifeline

    def _parameters(self, deadline: float) -> dict[str, str]:
        try:
            wanted = parameters(self._dsn)
        except psycopg.ProgrammingError as exc:
            raise SourceError(
                ErrorKind.FAULT,
                f"database.dsn cannot be read: {masked(str(exc)).strip()}; docs/postgres.md has examples",
            ) from None
        told = wanted.get("connect_timeout", "")
        left = max(1, ceil(deadline - self._monotonic()))
        return {**wanted, "connect_timeout": str(min(left, int(told)) if told.isdigit() and int(told) else left)}

    def _why(self, wanted: dict[str, str], error: psycopg.Error, deadline: float) -> ErrorKind:
        if not self._explains:
            return ErrorKind.UNREACHABLE
        return kind_of_refusal(wanted, error, seconds=min(LOOK_TIMEOUT, max(0.2, deadline - self._monotonic())))
