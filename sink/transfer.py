"""All rows of one Depthgauge database into another, whatever editions and versions of TimescaleDB the two have.

Rows travel as JSON, which keeps every type of ours to the last bit, a day of one table at a time, newest first. A row that is
there already is left alone, so a transfer that was cut off is simply begun again. Nothing may write into the source meanwhile.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Final

from psycopg import sql
from psycopg.types.json import Jsonb

from depthgauge.errors import SchemaError
from depthgauge.secrets import Secret
from sink import queries, tables
from sink.connect import connect
from sink.schema import Connection, check_schema

BATCH: Final = 100
"""Rows a statement: less than the 64 KiB of JSON beyond which the Community edition of npm breaks off."""
DAY: Final = timedelta(days=1)


def transfer(source: Secret, target: Secret, say: Callable[[str], object]) -> int:
    """Copy everything; return the number of rows added.

    Both databases have this program's schema. Raise SchemaError where they do not, or if a day does not have in the target
    what it has in the source afterwards; psycopg.Error for a server that cannot be reached.
    """
    added = 0
    with (
        connect(source, application="depthgauge-transfer") as old,
        connect(target, application="depthgauge-transfer") as new,
    ):
        for connection in (old, new):
            # Prepared statements are of no use here, and in the way of a pooler.
            connection.prepare_threshold = None
            connection.execute("SET timezone = 'UTC'")
            check_schema(connection)
        old.read_only = True
        for name, moment in old.execute(queries.SERIES_AND_TIMES).fetchall():
            rows = sum(_copy_day(old, new, str(name), str(moment), day) for day in _days(old, str(name), str(moment)))
            say(f"copied {rows} rows of {name}")
            added += rows
        _copy_books(old, new)
    return added


def _days(old: Connection, name: str, moment: str) -> Iterator[datetime]:
    """Give the starts of the days (UTC) that may have rows, newest first."""
    query = sql.SQL("SELECT min({0}), max({0}) FROM {1}").format(sql.Identifier(moment), _table(name))
    row = old.execute(query).fetchone()
    if row is None or row[0] is None:
        return
    first, last = (datetime.combine(edge.astimezone(UTC).date(), time(), UTC) for edge in row)
    while last >= first:
        yield last
        last -= DAY


def _copy_day(old: Connection, new: Connection, name: str, moment: str, day: datetime) -> int:
    bounds = (day, day + DAY)
    within = sql.SQL("{0} >= %s AND {0} < %s").format(sql.Identifier(moment))
    read = sql.SQL("SELECT to_jsonb(t) FROM {} t WHERE {}").format(_table(name), within)
    write = sql.SQL("INSERT INTO {0} SELECT * FROM jsonb_populate_recordset(NULL::{0}, %s) ON CONFLICT DO NOTHING")
    count = sql.SQL("SELECT count(*) FROM {} WHERE {}").format(_table(name), within)
    added = seen = 0
    with old.transaction(), old.cursor(name="depthgauge_transfer") as cursor:
        cursor.execute(read, bounds)
        while rows := cursor.fetchmany(BATCH):
            if not seen:
                new.execute(queries.MAKE_ROOM, (name, [day.date()]))
            seen += len(rows)
            added += new.execute(write.format(_table(name)), (Jsonb([row for (row,) in rows]),)).rowcount
    there = new.execute(count, bounds).fetchone() if seen else None
    if there is not None and there[0] < seen:
        raise SchemaError(
            f"{name} has {there[0]} rows of {day.date()} after the copy, its source {seen}: does something delete rows there? "
            "Run the same command again"
        )
    return added


def _copy_books(old: Connection, new: Connection) -> None:
    """Copy what is still to be rolled up and how far has been dropped, so that upkeep goes on where it stood."""
    marks = old.execute(queries.MARKS).fetchall()
    for start in range(0, len(marks), BATCH):
        names, buckets = zip(*marks[start : start + BATCH], strict=True)
        new.execute(tables.MARK_BUCKETS, (list(names), list(buckets)))
    for name, dropped_before in old.execute(queries.DROPPED).fetchall():
        new.execute(queries.SET_DROPPED, (dropped_before, name))


def _table(name: str) -> sql.Identifier:
    return sql.Identifier("depthgauge", name)
