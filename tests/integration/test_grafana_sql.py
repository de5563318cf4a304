"""Every query of the boards over the database returns what Grafana can draw, in each edition, and in time."""

import statistics
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg
import pytest

from tests.plugins.dashboards import marks
from tests.plugins.gallery import Gallery, Result
from tests.plugins.grafana_macros import expand
from tests.plugins.grafana_sql import all_chosen, asked_for, boards, run, targets
from tests.plugins.medians import Medians
from tests.plugins.month import Month

pytestmark = pytest.mark.needs("source-tree")

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
RANGES: Final = {"1 h": HOUR, "6 h": 6 * HOUR, "24 h": DAY, "7 d": 7 * DAY, "30 d": 30 * DAY}
PICTURED: Final = "24 h"
BAR: Final = 0.1
"""Seconds that the median query of a board may take."""

UIDS: Final = ("depthgauge-queue-history", "depthgauge-worker-history", "depthgauge-health-history")

MAY_BE_EMPTY: Final = {
    ("depthgauge-worker-history", "Starts", "1 h"),
    ("depthgauge-worker-history", "What happened", "1 h"),
    ("depthgauge-worker-history", "Workers by queue and day", "1 h"),
}
"""An hour need not have an event in it, nor the start of one."""


def is_empty(result: Result) -> bool:
    known = [value for line in result.lines.values() for _, value in line if value is not None]
    cells = [cell for row in result.rows for cell in row if cell is not None]
    return not known and not cells


@pytest.mark.parametrize("uid", UIDS)
def test_every_query_returns_what_can_be_drawn(uid: str, month: Month, gallery: Gallery, medians: Medians) -> None:
    board = boards()[uid]
    ranges = RANGES if month.edition != "community" else {name: RANGES[name] for name in ("6 h", "30 d")}
    with month.connect() as connection:
        for name, length in ranges.items():
            asked = asked_for(month.end, length, timescaledb=month.timescaledb)
            chosen = all_chosen(connection, board, asked)
            assert all(chosen.values()), (name, chosen)
            asked = replace(asked, variables=chosen)
            panels: dict[int, list[Result]] = {}
            for target in targets(board):
                result, seconds = run(connection, target, asked)
                assert not is_empty(result) or (uid, target.title, name) in MAY_BE_EMPTY, (target.title, name)
                panels.setdefault(target.panel, []).append(result)
                medians.record(uid, month.edition, name, seconds)
            if month.edition == "apache" and name == PICTURED:
                for panel, results in panels.items():
                    gallery.record(uid, panel, results)
            for annotation in marks(board):
                statement = expand(annotation["target"]["rawSql"], asked)
                rows = _marked(connection.execute(statement.encode()), name)
                assert statement.count("LIMIT 500") == 1
                few = _marked(connection.execute(statement.replace("LIMIT 500", "LIMIT 3").encode()), name)
                assert [row[0] for row in few] == [row[0] for row in rows[-3:]], "the newest are kept"
    # The community edition runs as WebAssembly here: what it takes says nothing about a server.
    if month.edition != "community":
        assert statistics.median(medians.of(uid, month.edition)) < BAR


@pytest.mark.parametrize("uid", UIDS)
def test_a_choice_that_has_nothing_to_offer_breaks_no_query(uid: str, month: Month) -> None:
    """As in an installation without URLs, databases, supervisord or Redis: Grafana puts nothing in, or an empty text."""
    board = boards()[uid]
    asked = asked_for(month.end, 6 * HOUR, timescaledb=month.timescaledb)
    with month.connect() as connection:
        chosen = all_chosen(connection, board, asked)
        for nothing in ((), ("",)):
            for name in chosen:
                without = replace(asked, variables=chosen | {name: nothing})
                found = {
                    (target.title, target.ref_id): run(connection, target, without)[0] for target in targets(board)
                }
                if name == "probe":
                    names = found["Response time of databases and URLs", "A"].lines
                    assert {line.partition(",")[0] for line in names} == {"app"}, "the databases are shown still"
                for annotation in marks(board):
                    connection.execute(expand(annotation["target"]["rawSql"], without).encode())
            alone = replace(asked, variables=dict.fromkeys(chosen, nothing))
            for target in targets(board):
                run(connection, target, alone)


def _marked(cursor: psycopg.Cursor[Any], name: str) -> list[tuple[Any, ...]]:
    assert cursor.description is not None
    assert [column.name for column in cursor.description] == ["time", "text", "tags"]
    rows = cursor.fetchall()
    assert rows or name == "1 h"
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert all("FATAL" in text or "EXITED" in text for _, text, _ in rows)
    return rows


def test_every_board_is_here() -> None:
    assert set(UIDS) == set(boards())


@pytest.mark.needs("timescaledb")
@pytest.mark.parametrize("uid", UIDS)
def test_the_setting_for_plain_postgresql_shows_the_same_on_timescaledb(uid: str, apache_month: Month) -> None:
    asked = asked_for(apache_month.end, DAY, timescaledb=True)
    with apache_month.connect() as connection:
        asked = replace(asked, variables=all_chosen(connection, boards()[uid], asked))
        for target in targets(boards()[uid]):
            with_buckets, _ = run(connection, target, asked)
            with_arithmetic, _ = run(connection, target, replace(asked, timescaledb=False))
            assert with_buckets == with_arithmetic, target.title


@pytest.mark.needs("postgres")
def test_the_setting_for_timescaledb_is_refused_by_plain_postgresql(plain_month: Month) -> None:
    asked = asked_for(plain_month.end, HOUR, timescaledb=True)
    with plain_month.connect() as connection:
        asked = replace(asked, variables=all_chosen(connection, boards()[UIDS[0]], asked))
        (waiting,) = [each for each in targets(boards()[UIDS[0]]) if each.title == "Waiting jobs"]
        with pytest.raises(psycopg.errors.UndefinedFunction, match="time_bucket"):
            run(connection, waiting, asked)


@pytest.mark.needs("postgres")
def test_grafanas_role_can_do_nothing_but_read(plain_month: Month) -> None:
    with plain_month.connect() as connection:
        connection.execute("SET default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM depthgauge.queue_metrics")


@pytest.mark.needs("community")
def test_rows_in_the_columnstore_are_read_as_any_others(community_month: Month) -> None:
    month = community_month
    with psycopg.connect(month.dsn) as owner:
        found = owner.execute(
            "SELECT hypertable_name, max(range_end) FROM timescaledb_information.chunks WHERE is_compressed GROUP BY 1"
        ).fetchall()
    compressed: dict[str, datetime] = dict(found)
    for uid, title, table in (
        (UIDS[0], "Waiting jobs", "worker_snapshots"),
        (UIDS[2], "Memory of Redis", "system_health_metrics"),
        (UIDS[2], "Response time of databases and URLs", "performance_metrics"),
    ):
        asked = asked_for(compressed[table], 6 * HOUR, timescaledb=True)
        with month.connect() as connection:
            asked = replace(asked, variables=all_chosen(connection, boards()[uid], asked))
            (target,) = [each for each in targets(boards()[uid]) if each.title == title and each.ref_id == "A"]
            result, _ = run(connection, target, asked)
        assert not is_empty(result), title
