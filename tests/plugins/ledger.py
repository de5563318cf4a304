"""The proof that nothing is lost and nothing is doubled: what was taken, held against the ledger, the counts and the rows.

For each host and run: taken = in the ledger + counted by name. Gaps in the ledger count only where a test says that the bus
itself lost what it held; anywhere else a gap is an unexplained loss. And the tables hold exactly the rows that the snapshots in
the ledger make, value by value, each once.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, cast

import psycopg
import redis
from psycopg import sql

from depthgauge import stream
from sink.rows import rows_of
from tests.plugins.taken import Run, Taken, by_key

TABLES: Final = {
    "WorkerRow": "worker_snapshots",
    "QueueRow": "queue_metrics",
    "ProcessRow": "process_snapshots",
    "EventRow": "process_events",
    "HealthRow": "system_health_metrics",
    "PerformanceRow": "performance_metrics",
}
"""The table of each kind of row, but for the ledger's."""
TIMES: Final = frozenset({"recorded_at", "occurred_at"})
"""Last of a key's columns, or nearly so: see :func:`_key_of`."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """What has become of the snapshots of a test."""

    taken: int
    stored: int
    counted: Mapping[str, int]
    """Those that are not in the ledger, by the name under which they were counted."""
    unexplained: int
    """Neither in the ledger nor counted, or counted and yet in the ledger, or in the ledger and never taken."""
    shared_slots: int
    """Snapshots in the ledger beside another one of the same host and slot."""
    doubled: int
    """Rows in the tables that no snapshot in the ledger makes, or that stand there twice."""
    torn: int
    """Rows that a snapshot in the ledger makes and that are not there, or not with these values."""
    details: tuple[str, ...] = ()

    def check(self) -> "Account":
        """Fail unless everything is explained and nothing is doubled or torn."""
        assert (self.unexplained, self.doubled, self.torn) == (0, 0, 0), "\n".join((repr(self), *self.details))
        return self


class _Entry(NamedTuple):
    host: str
    run_id: str
    seq: int
    recorded_at: Any
    drops: Mapping[str, int]
    earlier_drops: Mapping[str, Mapping[str, int]] | None


def account(
    dsn: str,
    taken: Taken,
    bus: redis.Redis,
    *,
    gaps: bool = False,
    elsewhere: Mapping[Run, Mapping[str, int]] | None = None,
) -> Account:
    """Hold what was taken against what is there; ``bus`` tells of the quarantine and of what is left on the stream.

    ``gaps``: whether what the database finds missing in the ledger is explained by that: the bus was made to lose what it held.
    ``elsewhere``: what the sinks' own counters say of each run, by name: too late, vanished.
    """
    with psycopg.connect(dsn) as connection:
        connection.execute("SET timezone = 'UTC'")
        ledger = [
            _Entry(*row)
            for row in connection.execute(
                "SELECT host, run_id, seq, recorded_at, drops, earlier_drops FROM depthgauge.snapshots"
            ).fetchall()
        ]
        found = _gaps(connection) if gaps else {}
        details, doubled, torn = _compare_rows(connection, taken, ledger)
    keys = Counter((entry.host, entry.run_id, entry.seq) for entry in ledger)
    numbers = {*by_key(taken)}
    unexplained = 0
    counted: Counter[str] = Counter()
    lost = numbers - {*keys}
    held = _held(bus)
    for run in {(host, run_id) for host, run_id, _ in numbers}:
        missing = {key for key in lost if key[:2] == run}
        names = Counter(held[key] for key in missing if key in held)
        names.update(_drops(ledger, run))
        names.update((elsewhere or {}).get(run, {}))
        if gaps:
            names["gap"] = max(0, found.get(run, 0) - names.total())
        difference = len(missing) - names.total()
        if difference:
            unexplained += abs(difference)
            details.append(f"run {run}: not in the ledger {sorted(key[2] for key in missing)}, counted {dict(names)}")
        counted.update({name: number for name, number in names.items() if number})
    invented = {*keys} - numbers
    details += [f"in the ledger, never taken: {sorted(invented)}"] if invented else []
    twice = [key for key, number in keys.items() if number > 1]
    details += [f"in the ledger twice: {sorted(twice)}"] if twice else []
    slots = Counter((entry.host, entry.recorded_at) for entry in ledger)
    return Account(
        taken=len(numbers),
        stored=len(keys),
        counted=dict(counted),
        unexplained=unexplained + len(invented),
        shared_slots=sum(number - 1 for number in slots.values()),
        doubled=doubled + len(twice),
        torn=torn,
        details=tuple(details),
    )


def _held(bus: redis.Redis) -> Mapping[tuple[str, str, int], str]:
    """Return what the bus itself still has, by host, run and number, and how that is called."""
    held: dict[tuple[str, str, int], str] = {}
    for name, key in (("left on the stream", stream.STREAM), ("quarantined", stream.QUARANTINE)):
        for _, fields in cast("list[tuple[bytes, dict[bytes, bytes]]]", bus.xrange(key)):
            if {b"host", b"run", b"seq"} <= fields.keys() and fields[b"seq"].isdigit():
                held[fields[b"host"].decode(), fields[b"run"].decode(), int(fields[b"seq"])] = name
    return held


def _drops(ledger: Sequence[_Entry], run: Run) -> Mapping[str, int]:
    """Return what exporters say they dropped of a run, by reason: the run itself, or a later one of the same host."""
    told: dict[str, int] = defaultdict(int)
    for entry in ledger:
        if entry.host != run[0]:
            continue
        own = entry.drops if entry.run_id == run[1] else (entry.earlier_drops or {}).get(run[1], {})
        for reason, number in own.items():
            told[reason] = max(told[reason], number)
    return {reason: number for reason, number in told.items() if number}


def _gaps(connection: psycopg.Connection[tuple[Any, ...]]) -> Mapping[Run, int]:
    """Return how many snapshots of each run the database itself finds missing."""
    return {
        (host, run): int(number)
        for host, run, number in connection.execute(
            "SELECT host, run_id, sum(snapshots) FROM depthgauge.find_gaps() GROUP BY host, run_id"
        ).fetchall()
    }


def _compare_rows(
    connection: psycopg.Connection[tuple[Any, ...]], taken: Taken, ledger: Sequence[_Entry]
) -> tuple[list[str], int, int]:
    """Make the rows of every snapshot in the ledger anew and hold them against the tables: details, doubled, torn.

    Where two snapshots share a slot, a row may be either's: the first one's, and which that was is not ours to know.
    """
    known = by_key(taken)
    wanted: dict[str, dict[tuple[Any, ...], list[tuple[Any, ...]]]] = {}
    columns: dict[str, tuple[str, ...]] = {}
    details: list[str] = []
    doubled = torn = 0
    for entry in ledger:
        snapshot = known.get(entry[:3])
        if snapshot is None:
            torn += 1
            details.append(f"nobody has seen what is in snapshot {entry[:3]}, which is in the ledger")
            continue
        for part in rows_of(snapshot)[1:]:
            for row in cast("tuple[Any, ...]", part):
                table = TABLES[type(row).__name__]
                columns[table] = row._fields
                wanted.setdefault(table, {}).setdefault(_key_of(row, row._fields), []).append(tuple(row))
    for table, names in columns.items():
        query = sql.SQL("SELECT {} FROM {}").format(
            sql.SQL(", ").join(map(sql.Identifier, names)), sql.Identifier("depthgauge", table)
        )
        have: dict[tuple[Any, ...], list[tuple[Any, ...]]] = defaultdict(list)
        for row in connection.execute(query).fetchall():
            have[_key_of(row, names)].append(row)
        extra = {key: rows for key, rows in have.items() if key not in wanted[table]}
        doubled += len(extra) + sum(len(rows) - 1 for rows in have.values())
        wrong = [key for key, rows in wanted[table].items() if not any(row in rows for row in have.get(key, []))]
        torn += len(wrong)
        details += [f"{table}: nobody made {list(extra.values())[:3]}"] if extra else []
        details += [f"{table}: {wanted[table][key]}, there is {have.get(key)}" for key in wrong[:3]]
    return details, doubled, torn


def _key_of(row: tuple[Any, ...], names: Sequence[str]) -> tuple[Any, ...]:
    """Return the leading columns up to the time, which make the key of every table; events have a number behind it."""
    end = next(place for place, name in enumerate(names) if name in TIMES) + 1
    if end < len(names) and names[end] == "event_no":
        end += 1
    return row[:end]
