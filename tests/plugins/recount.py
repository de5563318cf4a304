"""Rollups counted again from raw rows, in Python, by what the names of their columns promise."""

import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
ADDITIVE: Final = frozenset({"response_count", "response_sum"})
ROLLUPS: Final[Mapping[str, tuple[str, timedelta]]] = {
    "worker_snapshots_5m": ("worker_snapshots", timedelta(minutes=5)),
    "worker_snapshots_1h": ("worker_snapshots", timedelta(hours=1)),
    "queue_metrics_5m": ("queue_metrics", timedelta(minutes=5)),
    "queue_metrics_1h": ("queue_metrics", timedelta(hours=1)),
    "system_health_metrics_1h": ("system_health_metrics", timedelta(hours=1)),
    "performance_metrics_1h": ("performance_metrics", timedelta(hours=1)),
}
"""Each rollup with the raw table and the width: the ones by hour too are counted from raw rows here."""

KEYS: Final = ("host", "redis", "system", "queue", "kind", "target")

Row = dict[str, Any]


def rows_of_table(dsn: str, table: str, moment: str) -> list[Row]:
    """Return all rows of a table in the order of time."""
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        query = sql.SQL("SELECT * FROM depthgauge.{} ORDER BY {}").format(sql.Identifier(table), sql.Identifier(moment))
        return connection.execute(query).fetchall()


def key_of(row: Mapping[str, Any], start: datetime) -> tuple[Any, ...]:
    return (*(row[key] for key in KEYS if key in row), start)


def recount(dsn: str, rollup: str, columns: Sequence[str]) -> dict[tuple[Any, ...], Row]:
    """Return what the rollup's rows have to be, by key."""
    source, width = ROLLUPS[rollup]
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows_of_table(dsn, source, "recorded_at"):
        moment = row["recorded_at"]
        groups.setdefault(key_of(row, moment - (moment - EPOCH) % width), []).append(row)
    return {key: {name: _value(name, rows) for name in columns} for key, rows in groups.items()}


def stored(dsn: str, rollup: str) -> dict[tuple[Any, ...], Row]:
    """Return the rollup's rows, by key."""
    return {
        key_of(row, row["bucket"]): {name: value for name, value in row.items() if name not in {*KEYS, "bucket"}}
        for row in rows_of_table(dsn, rollup, "bucket")
    }


def assert_rollups_are_recounts(dsn: str) -> dict[str, int]:
    """Compare every bucket of every rollup; return how many rows each has."""
    counts = {}
    for rollup in ROLLUPS:
        found = stored(dsn, rollup)
        columns = list(next(iter(found.values()), {}))
        wanted = recount(dsn, rollup, columns)
        assert found.keys() == wanted.keys(), rollup
        for key, row in wanted.items():
            assert found[key] == row, (rollup, key)
        counts[rollup] = len(found)
    return counts


def _value(name: str, rows: Sequence[Row]) -> Any:
    if name == "samples":
        return len(rows)
    if name in rows[0]:
        known = [row[name] for row in rows if row[name] is not None]
        if name in ADDITIVE:
            return sum(known) if known else None
        if name == "response_max":
            return max(known, default=None)
        if name.endswith("_histogram"):
            return [sum(numbers) for numbers in zip(*known, strict=True)] if known else None
        return known[-1] if known else None
    stem, _, how = name.rpartition("_")
    known = [row[stem] for row in rows if row[stem] is not None]
    if how == "count":
        return len(known)
    if not known:
        return None
    if how == "increase":
        return sum(b - a if b >= a else b for a, b in itertools.pairwise(known))
    return {"min": min(known), "max": max(known), "sum": sum(known), "first": known[0]}[how]
