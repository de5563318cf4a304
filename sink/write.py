"""Batches of rows into the database: the ledger and the rows in one transaction."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from psycopg.types.json import Jsonb

from depthgauge.secrets import Secret
from sink import queries
from sink.connect import Lifeline, configure, connect
from sink.queries import Table
from sink.retention import Horizon
from sink.rows import LedgerRow, Rows
from sink.schema import Connection, Installation, Layout, check_schema

AHEAD: Final = 2
"""Days after today that partitions are made for in advance, so that midnight finds them there."""
FUTURE: Final = timedelta(hours=1)
"""Rows further ahead than this are not written."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Where buckets are counted from."""

_Slot = tuple[str, datetime]


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
                configure(connection)
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
        with self._lifeline.deadline(self._deadline):
            self._ensure_partitions(connection, batch)
            with connection.transaction():
                return _write(connection, batch)

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
            connection.execute(queries.ENSURE_PARTITIONS, (sorted(needed),))
            self._days |= needed


def _write(connection: Connection, batch: Sequence[Rows]) -> Outcome:
    by_key: dict[tuple[Any, ...], Rows] = {}
    for rows in batch:
        by_key.setdefault(rows.ledger[: queries.LEDGER.key], rows)
    added = _insert(connection, queries.LEDGER, [rows.ledger for rows in by_key.values()])
    new = [by_key[row] for row in added]
    new.sort(key=lambda rows: rows.ledger[: queries.LEDGER.key])
    counts = {queries.LEDGER.name: len(new)}
    short: set[_Slot] = set()
    marks: set[tuple[str, datetime]] = set()
    for table, offered in (
        (queries.WORKERS, [row for rows in new for row in rows.workers]),
        (queries.QUEUES, [row for rows in new for row in rows.queues]),
        (queries.PROCESSES, [row for rows in new for row in rows.processes]),
    ):
        stored = _insert(connection, table, offered)
        counts[table.name] = sum(count for _, _, count in stored)
        short |= _short(offered, stored)
        marks |= buckets(table, (slot for _, slot, _ in stored))
    if marks:
        names, starts = zip(*sorted(marks), strict=True)
        connection.execute(queries.MARK_BUCKETS, (list(names), list(starts)))
    events = _insert(connection, queries.EVENTS, [event for rows in new for event in rows.events])
    counts[queries.EVENTS.name] = sum(count for _, _, count in events)
    return Outcome(
        committed=len(new),
        duplicate=len(batch) - len(new),
        collided=_collided(connection, new, short),
        rows=counts,
        newest=max((rows.ledger.recorded_at for rows in new), default=None),
    )


def buckets(table: Table, slots: Iterable[datetime]) -> set[tuple[str, datetime]]:
    """Return the buckets of a table's rollup that rows at these times fall into: name and start."""
    if table.rollup is None:
        return set()
    return {(table.rollup, slot - (slot - EPOCH) % table.bucket) for slot in slots}


def _insert(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    if not rows:
        return []
    ordered = sorted(rows, key=lambda row: row[: table.key])
    columns = [list(column) for column in zip(*ordered, strict=True)]
    for place in table.documents:
        columns[place] = [None if document is None else Jsonb(document) for document in columns[place]]
    return connection.execute(table.insert, columns).fetchall()


def _short(offered: Iterable[tuple[Any, ...]], stored: Iterable[tuple[Any, ...]]) -> set[_Slot]:
    """Return the hosts and slots of which not every row was stored."""
    wanted = Counter((row.host, row.recorded_at) for row in offered)  # type: ignore[attr-defined]  # all rows have them
    had = Counter({(host, slot): count for host, slot, count in stored})
    return {key for key, count in wanted.items() if had[key] < count}


def _collided(connection: Connection, new: Sequence[Rows], short: set[_Slot]) -> tuple[LedgerRow, ...]:
    """Return the new snapshots that are not the first of their host and slot.

    The ledger tells of all that are committed; rows that were refused tell of one that another sink is just committing.
    """
    by_slot: dict[_Slot, list[LedgerRow]] = {}
    for rows in new:
        by_slot.setdefault((rows.ledger.host, rows.ledger.recorded_at), []).append(rows.ledger)
    if not by_slot:
        return ()
    hosts, slots = [host for host, _ in by_slot], [slot for _, slot in by_slot]
    in_ledger = {
        (host, slot): count for host, slot, count in connection.execute(queries.SLOT_MATES, (hosts, slots)).fetchall()
    }
    collided: list[LedgerRow] = []
    for key, ledgers in by_slot.items():
        others_first = in_ledger[key] > len(ledgers) or (key in short and len(ledgers) == 1)
        collided.extend(ledgers if others_first else ledgers[1:])
    return tuple(collided)
