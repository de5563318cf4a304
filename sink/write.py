"""Batches of rows into the database: the ledger and the rows in one transaction."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import psycopg

from depthgauge.lifeline import Lifeline
from depthgauge.secrets import Secret
from sink import arrays, queries, schema, tables
from sink.connect import connect, is_pooled, transaction
from sink.retention import Horizon
from sink.rows import LedgerRow, Rows
from sink.schema import Connection, Installation, Layout, check_schema
from sink.tables import Table

log = logging.getLogger(__name__)

AHEAD: Final = 2
"""Days after today that partitions are made for in advance, so that midnight finds them there."""
FUTURE: Final = timedelta(hours=1)
"""Rows further ahead than this are not written."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Where buckets are counted from."""

_LEDGER_KEY: Final = 4
"""Leading fields of a ledger row that make its key."""
_UNPREPARED: Final = (
    psycopg.errors.InvalidSqlStatementName,
    psycopg.errors.DuplicatePreparedStatement,
    psycopg.errors.ProtocolViolation,
)
"""What prepared statements meet when sessions are swapped under them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a commit did."""

    committed: int
    """Snapshots that were new."""
    duplicate: int
    collided: tuple[LedgerRow, ...]
    """New snapshots whose host and slot had another snapshot's rows; part of ``committed``."""
    rows: Mapping[str, int]
    """Rows added, by table."""
    newest: datetime | None
    """The newest slot among the new snapshots."""


class Writer:
    """One connection, opened when needed; not for several threads at once, but for :meth:`cut`."""

    def __init__(self, dsn: Secret, horizon: Horizon, *, deadline: float) -> None:
        self._dsn = dsn
        self._horizon = horizon
        self._deadline = deadline
        self._connection: Connection | None = None
        self._lifeline: Lifeline | None = None
        self._days: set[date] = set()
        self._prepares = True
        self.installation: Installation | None = None
        """What the database is, once it has been asked."""

    @property
    def is_open(self) -> bool:
        """Whether there is a connection that is not known to be broken."""
        return self._connection is not None and not self._connection.closed

    def open(self) -> Connection:
        """Connect if need be, and check the schema; raise psycopg.Error, SchemaError."""
        if self._connection is not None and not self._connection.closed:
            return self._connection
        self.close()
        connection = connect(self._dsn)
        self._connection, self._lifeline = connection, Lifeline(connection)
        try:
            with self._lifeline.deadline(self._deadline):
                if self._prepares and is_pooled(connection):
                    self._prepare_no_more()
                if not self._prepares:
                    connection.prepare_threshold = None
                arrays.register(connection)
                with transaction(connection):
                    self.installation = check_schema(connection)
                    self._horizon.ask(connection)
        except BaseException:
            self.close()
            raise
        return connection

    def commit(self, batch: Sequence[Rows]) -> Outcome:
        """Write the snapshots that the ledger does not have yet, all or none; raise psycopg.Error, SchemaError.

        A connection that breaks while committing leaves open whether it was done: repeat, the ledger tells.
        """
        connection = self.open()
        assert self._lifeline is not None, "an open connection has its lifeline"
        try:
            with self._lifeline.deadline(self._deadline):
                self._ensure_partitions(connection, batch)
                try:
                    return self._transact(connection, batch, careful=False)
                except psycopg.errors.UniqueViolation:
                    # Rows without the one in queue_metrics that every snapshot has: somebody has deleted that.
                    return self._transact(connection, batch, careful=True)
        except _UNPREPARED:
            self._prepare_no_more()
            raise

    def _transact(self, connection: Connection, batch: Sequence[Rows], *, careful: bool) -> Outcome:
        with transaction(connection):
            self._check_again(connection)
            return _write(connection, batch, careful=careful)

    def _prepare_no_more(self) -> None:
        if self._prepares:
            self._prepares = False
            log.info("the database is reached through a pooler: statements are not prepared")

    def _check_again(self, connection: Connection) -> None:
        """Look whether somebody has run another version's migrate; raise SchemaError if it was a newer one."""
        if schema.recorded(connection) != self.installation:
            self.installation = check_schema(connection)
            self._days.clear()

    def forget_partitions(self) -> None:
        """Ask for every day's partitions again: somebody has dropped some."""
        self._days.clear()

    def cut(self) -> None:
        """End whatever is in flight, from another thread."""
        lifeline = self._lifeline
        if lifeline is not None:
            lifeline.cut()

    def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        lifeline, self._lifeline = self._lifeline, None
        self._days.clear()
        if connection is not None:
            connection.close()
        if lifeline is not None:
            lifeline.close()

    def _ensure_partitions(self, connection: Connection, batch: Sequence[Rows]) -> None:
        if self.installation is None or self.installation.layout is not Layout.PARTITIONS:
            return
        needed = {rows.ledger.recorded_at.date() for rows in batch}
        needed |= {event.occurred_at.date() for rows in batch for event in rows.events}
        needed -= self._days
        if needed:
            ahead = max(rows.ledger.recorded_at.date() for rows in batch)
            today = min(ahead, datetime.now(UTC).date())
            needed |= {today + timedelta(days=days) for days in range(AHEAD + 1)}
            # In a transaction of its own: a partition without rows is harmless, a lock held during the batch is not.
            with transaction(connection):
                connection.execute(queries.ENSURE_PARTITIONS, (sorted(needed),))
            self._days |= needed


def _write(connection: Connection, batch: Sequence[Rows], *, careful: bool) -> Outcome:
    by_key: dict[tuple[Any, ...], Rows] = {}
    # In this order two sinks that write the same slots meet them in the same order, and cannot deadlock.
    for rows in sorted(batch, key=_order):
        by_key.setdefault(rows.ledger[:_LEDGER_KEY], rows)
    _, added = _insert(connection, tables.LEDGER, [rows.ledger for rows in by_key.values()])
    fresh = set(added)
    new = [rows for key, rows in by_key.items() if key in fresh]
    counts = {tables.LEDGER.name: len(new)}
    counts[tables.QUEUES.name], slots = _insert(connection, tables.QUEUES, [row for rows in new for row in rows.queues])
    # Every snapshot has one row there. Where all of them were new, so is everything else of these hosts and slots.
    fast = not careful and len(slots) == len(new)
    for table, offered in (
        (tables.WORKERS, [row for rows in new for row in rows.workers]),
        (tables.PROCESSES, [row for rows in new for row in rows.processes]),
        (tables.HEALTH, [row for rows in new for row in rows.health]),
        (tables.PERFORMANCE, [row for rows in new for row in rows.performance]),
    ):
        counts[table.name], _ = _insert(connection, table, offered, fast=fast)
    # An event may have come with an earlier snapshot already, whose exporter was killed: never the fast way.
    counts[tables.EVENTS.name], _ = _insert(
        connection, tables.EVENTS, sorted((event for rows in new for event in rows.events), key=_event_order)
    )
    marks = {mark for rows in new for mark in _marks(rows)}
    if marks:
        names, starts = zip(*sorted(marks), strict=True)
        connection.execute(tables.MARK_BUCKETS, (list(names), list(starts)))
    return Outcome(
        committed=len(new),
        duplicate=len(batch) - len(new),
        collided=_collided(new, slots),
        rows=counts,
        newest=max((rows.ledger.recorded_at for rows in new), default=None),
    )


def _marks(rows: Rows) -> Iterable[tuple[str, datetime]]:
    """Give the buckets of rollups that a snapshot's rows fall into: name and start."""
    slot = rows.ledger.recorded_at
    for table, written in (
        (tables.WORKERS, rows.workers),
        (tables.QUEUES, rows.queues),
        (tables.HEALTH, rows.health),
        (tables.PERFORMANCE, rows.performance),
    ):
        if written and table.rollup is not None:
            yield table.rollup, slot - (slot - EPOCH) % table.bucket


def _event_order(event: tuple[Any, ...]) -> tuple[Any, ...]:
    """Give an event's key: one that comes twice, by two sinks, meets the others in the same order."""
    return event[:6]


def _order(rows: Rows) -> tuple[Any, ...]:
    ledger = rows.ledger
    return ledger.host, ledger.recorded_at, ledger.run_id, ledger.seq


def _insert(
    connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]], *, fast: bool = False
) -> tuple[int, list[tuple[Any, ...]]]:
    """Insert rows; return how many were new, and what the statement returns of those."""
    if not rows:
        return 0, []
    columns = zip(*rows, strict=True)
    packed = [arrays.pack(kind, column) for kind, column in zip(table.types, columns, strict=True)]
    cursor = connection.execute(table.insert_new if fast else table.insert, packed)
    return cursor.rowcount, cursor.fetchall() if cursor.description else []


def _collided(new: Sequence[Rows], stored: Collection[tuple[Any, ...]]) -> tuple[LedgerRow, ...]:
    """Return the new snapshots that are not the first of their host and slot: those whose row in queue_metrics was there.

    Every snapshot makes just one row there. Where another sink is just committing the same slot, the row waits for it.
    """
    left = set(stored)
    collided: list[LedgerRow] = []
    for rows in new:
        slot = (rows.ledger.host, rows.ledger.recorded_at)
        if slot in left:
            left.remove(slot)
        else:
            collided.append(rows.ledger)
    return tuple(collided)
