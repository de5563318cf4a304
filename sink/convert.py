"""From native partitions to hypertables, in place: rename, create, copy partition by partition.

The first transaction puts empty hypertables under the tables' names and keeps the old ones beside them as
``…_partitions``: sinks go on writing, into the new ones. Then every old partition is copied and dropped in a transaction of
its own, so that whatever ends the copying, the next ``migrate`` goes on with it. Until it is complete readers see the part
that has been copied, and ``maintain()`` does nothing, because it would compute buckets from half of their rows.
"""

from collections.abc import Callable, Sequence
from typing import Final

from psycopg import sql

from sink import queries, tables
from sink.schema import Connection

SUFFIX: Final = "_partitions"


def set_aside(connection: Connection) -> None:
    """Put empty tables under the names of the partitioned ones, with their comments, keys and grants; in a transaction."""
    # A step of upkeep that had begun before would take its marks and then compute from the new, empty tables.
    connection.execute(queries.WAIT_FOR_UPKEEP)
    connection.execute("DROP FUNCTION IF EXISTS depthgauge.ensure_partitions(date[])")
    for name in _partitioned(connection):
        names = {"new": sql.Identifier(name), "old": sql.Identifier(name + SUFFIX)}
        key, old_key = sql.Identifier(f"{name}_pkey"), sql.Identifier(f"{name}{SUFFIX}_pkey")
        connection.execute(sql.SQL("ALTER TABLE depthgauge.{new} RENAME TO {old}").format(**names))
        connection.execute(sql.SQL("ALTER INDEX depthgauge.{} RENAME TO {}").format(key, old_key))
        connection.execute(
            sql.SQL("CREATE TABLE depthgauge.{new} (LIKE depthgauge.{old} INCLUDING ALL)").format(**names)
        )
        for statement in _dressing(connection, name):
            connection.execute(statement)


def left_to_copy(connection: Connection) -> Sequence[str]:
    """Return the tables that are not wholly copied yet, the ledger first: it is what keeps a snapshot from coming twice."""
    rows = connection.execute(queries.SET_ASIDE, (SUFFIX,)).fetchall()
    return sorted((str(name) for (name,) in rows), key=lambda name: (name != tables.LEDGER.name, name))


def copy_all(connection: Connection, locked: Callable[[Callable[[], int]], int], say: Callable[[str], object]) -> None:
    """Copy what is left, newest partitions first; ``locked`` runs one transaction alone among all migrates."""
    for name in left_to_copy(connection):
        rows = 0
        while (copied := locked(lambda: _copy_one(connection, name))) >= 0:  # noqa: B023  called at once
            rows += copied
        say(f"copied {rows} rows of {name}")


def _copy_one(connection: Connection, name: str) -> int:
    """Copy and drop the newest partition; return its rows, -1 when there was none and the old table is gone."""
    old = name + SUFFIX
    found = connection.execute(queries.NEWEST_PARTITION, (f"depthgauge.{old}",)).fetchone()
    if found is None:
        connection.execute(sql.SQL("DROP TABLE IF EXISTS depthgauge.{}").format(sql.Identifier(old)))
        return -1
    partition = sql.Identifier("depthgauge", str(found[0]))
    target = sql.Identifier("depthgauge", name)
    # A row that is there already has come by a sink that was told twice; its key says that it is the same.
    copy = sql.SQL("INSERT INTO {} SELECT * FROM {} ON CONFLICT DO NOTHING").format(target, partition)
    rows = connection.execute(copy).rowcount
    connection.execute(sql.SQL("DROP TABLE {}").format(partition))
    return rows


def _partitioned(connection: Connection) -> Sequence[str]:
    return [str(name) for (name,) in connection.execute(queries.PARTITIONED_SERIES).fetchall()]


def _dressing(connection: Connection, name: str) -> Sequence[sql.Composed]:
    """Return the statements that give a new table the comment and the grants of the one set aside."""
    old, new = f"depthgauge.{name}{SUFFIX}", sql.Identifier("depthgauge", name)
    made = []
    comment = connection.execute(queries.COMMENT, (old,)).fetchone()
    if comment is not None and comment[0] is not None:
        made.append(sql.SQL("COMMENT ON TABLE {} IS {}").format(new, sql.Literal(comment[0])))
    for role, right in connection.execute(queries.GRANTS, (old,)).fetchall():
        made.append(sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(right), new, sql.Identifier(role)))
    return made
