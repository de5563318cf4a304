"""What the boards over the database show is what the raw rows say, counted again in Python, through raw rows and rollups."""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg
import pytest
from psycopg.rows import dict_row

from depthgauge import histogram
from tests.plugins.grafana_macros import Asked, expand
from tests.plugins.grafana_sql import Target, all_chosen, asked_for, boards, run, targets
from tests.plugins.month import LATE, Month
from tests.plugins.recount import EPOCH

pytestmark = pytest.mark.needs("source-tree")

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
QUEUES: Final = "depthgauge-queue-history"
HEALTH: Final = "depthgauge-health-history"
THREE: Final = ((6 * HOUR, "worker_snapshots"), (DAY, "worker_snapshots_5m"), (30 * DAY, "worker_snapshots_1h"))
TWO: Final = ((6 * HOUR, "performance_metrics"), (7 * DAY, "performance_metrics_1h"))


def width_of(table: str) -> timedelta:
    return {"5m": 5 * HOUR / 60, "1h": HOUR}.get(table.rpartition("_")[2], timedelta(0))


def target_of(uid: str, title: str) -> Target:
    (found,) = [each for each in targets(boards()[uid]) if each.title == title]
    return found


def asked(month: Month, connection: psycopg.Connection[Any], uid: str, length: timedelta, **chosen: str) -> Asked:
    """Return a question with everything chosen, or just what is told."""
    question = asked_for(month.end, length, timescaledb=month.timescaledb)
    of_all = all_chosen(connection, boards()[uid], question)
    return replace(question, variables=of_all | {name: (value,) for name, value in chosen.items()})


def grouped(
    rows: Iterable[dict[str, Any]], question: Asked, width: timedelta, name: Callable[[dict[str, Any]], str]
) -> Iterator[tuple[tuple[str, datetime], dict[str, Any]]]:
    """Give rows by their line and its point in time: through the bucket of a rollup that begins within the range."""
    for row in rows:
        moment = row["recorded_at"] - ((row["recorded_at"] - EPOCH) % width if width else timedelta(0))
        if question.start <= moment <= question.end:
            yield (name(row), moment - (moment - EPOCH) % question.step), row


def raw_rows(month: Month, table: str, since: datetime, condition: str = "true") -> list[dict[str, Any]]:
    with psycopg.connect(month.dsn, row_factory=dict_row) as connection:
        query = f"SELECT * FROM depthgauge.{table} WHERE recorded_at >= %s AND {condition} ORDER BY recorded_at"
        return connection.execute(query.encode(), (since,)).fetchall()


def scanned(plan: dict[str, Any]) -> set[str]:
    """Return the tables that were read: partitions, chunks, tables."""
    found = set()
    if plan.get("Actual Loops", 0) > 0 and "Relation Name" in plan:
        found.add(plan["Relation Name"])
    for each in plan.get("Plans", ()):
        found |= scanned(each)
    return found


def table_of(connection: psycopg.Connection[Any], name: str) -> str:
    """Return the table that a partition or a chunk belongs to."""
    found = connection.execute(
        "SELECT p.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent"
        " WHERE c.relname = %s",
        (name,),
    ).fetchone()
    return str(found[0]) if found is not None else name


def test_backlog_and_oldest_job(month: Month) -> None:
    lengths = THREE if month.edition != "community" else THREE[1:]
    rows = raw_rows(month, "worker_snapshots", month.end - 31 * DAY, f"queue = '{LATE}' AND pending IS NOT NULL")
    with month.connect() as connection:
        for length, table in lengths:
            question = asked(month, connection, QUEUES, length, queue=LATE)
            for title, column in (("Waiting jobs", "pending"), ("Oldest job", "oldest_job_age")):
                wanted: dict[tuple[str, datetime], float] = {}
                target = target_of(QUEUES, title)
                for key, row in grouped(
                    rows, target.drawn(question), width_of(table), lambda row: f"{row['queue']} (default, rq)"
                ):
                    if row[column] is not None:
                        wanted[key] = max(wanted.get(key, 0), row[column])
                result, _ = run(connection, target, question)
                points = {(name, at): value for name, line in result.lines.items() for at, value in line}
                assert points == wanted, (title, table)
                assert len(points) > 20
                # What is behind is seen: three hours at the end.
                assert (
                    title != "Oldest job"
                    or max(value or 0 for value in points.values()) >= (3 * HOUR - HOUR / 60).total_seconds()
                )


@pytest.mark.needs("postgres")
def test_workers_and_throughput(plain_month: Month) -> None:
    month = plain_month
    images = raw_rows(month, "worker_snapshots", month.end - 6 * HOUR, "queue = 'images'")
    with month.connect() as connection:
        question = asked(month, connection, QUEUES, 6 * HOUR, queue="images")
        question = target_of(QUEUES, "Workers by queue").drawn(question)
        counted: dict[tuple[str, datetime], dict[str, list[int]]] = {}
        for key, row in grouped(images, question, timedelta(0), lambda row: "images (default, bullmq)"):
            if row["workers"] is not None:
                counted.setdefault(key, {}).setdefault(row["host"], []).append(row["workers"])
        result, _ = run(connection, target_of(QUEUES, "Workers by queue"), question)
        assert dict(result.lines["images (default, bullmq)"]) == pytest.approx(
            {at: sum(sum(each) / len(each) for each in hosts.values()) for (_, at), hosts in counted.items()}
        )

        question = target_of(QUEUES, "Throughput").drawn(question)
        highest: dict[str, dict[datetime, dict[str, Any]]] = {}
        for (_, at), row in grouped(images, question, timedelta(0), lambda row: ""):
            if row["completed"] is not None:
                known = highest.setdefault(row["host"], {}).setdefault(at, {"completed": 0})
                known |= {"completed": max(known["completed"], row["completed"]), "moment": row["recorded_at"]}
        rates: dict[datetime, float] = {}
        for points in highest.values():
            for (_, sooner), (at, later) in itertools.pairwise(sorted(points.items())):
                gain = later["completed"] - sooner["completed"]
                gain = gain if gain >= 0 else later["completed"]
                rates[at] = max(rates.get(at, 0), gain / (later["moment"] - sooner["moment"]).total_seconds())
        result, _ = run(connection, target_of(QUEUES, "Throughput"), question)
        assert dict(result.lines["images (default, bullmq)"]) == pytest.approx(rates)
        assert len(rates) > 300


def test_percentiles_come_from_summed_histograms(month: Month) -> None:
    lengths = TWO if month.edition != "community" else TWO[1:]
    rows = raw_rows(month, "performance_metrics", month.end - 8 * DAY, "response_histogram IS NOT NULL")
    with month.connect() as connection:
        for length, table in lengths:
            question = target_of(HEALTH, "Response time of databases and URLs").drawn(
                asked(month, connection, HEALTH, length)
            )
            summed: dict[tuple[str, datetime], list[int]] = {}
            for key, row in grouped(rows, question, width_of(table), lambda row: row["target"]):
                known = summed.get(key)
                new = row["response_histogram"]
                summed[key] = new if known is None else [a + b for a, b in zip(known, new, strict=True)]
            result, _ = run(connection, target_of(HEALTH, "Response time of databases and URLs"), question)
            points = {(name, at): value for name, line in result.lines.items() for at, value in line}
            wanted = {
                (f"{name}, {word}", at): histogram.quantile(buckets, part)
                for (name, at), buckets in summed.items()
                for part, word in ((0.5, "median"), (0.95, "p95"), (0.99, "p99"))
            }
            assert points == pytest.approx(wanted), table
            assert {name for name, _ in points} >= {"app, p95", "site, median"}


def test_only_the_resolution_that_fits_is_read(month: Month) -> None:
    waiting = target_of(QUEUES, "Waiting jobs")
    with month.connect() as connection:
        for length, table in (*THREE, (3 * DAY, "worker_snapshots_5m")):
            assert _read(connection, waiting, asked(month, connection, QUEUES, length)) == {table}


def test_what_has_been_dropped_is_answered_by_rollups(month: Month) -> None:
    waiting = target_of(QUEUES, "Waiting jobs")
    question = asked_for(month.end, HOUR, timescaledb=month.timescaledb, ago=2 * DAY)

    def told(table: str) -> set[str]:
        with psycopg.connect(month.dsn, autocommit=True) as owner:
            owner.execute("UPDATE depthgauge.series SET dropped_before = %s WHERE name = %s", (month.end - DAY, table))
        with month.connect() as connection:
            of_all = all_chosen(connection, boards()[QUEUES], question)
            return _read(connection, waiting, replace(question, variables=of_all))

    try:
        assert told("queue_metrics") == {"worker_snapshots"}, "that is another table"
        assert told("worker_snapshots") == {"worker_snapshots_5m"}
        assert told("worker_snapshots_5m") == {"worker_snapshots_1h"}
    finally:
        with psycopg.connect(month.dsn, autocommit=True) as owner:
            owner.execute("UPDATE depthgauge.series SET dropped_before = NULL")


def _read(connection: psycopg.Connection[Any], target: Target, question: Asked) -> set[str]:
    """Return the tables that an answer was made of."""
    statement = f"EXPLAIN (ANALYZE, FORMAT JSON) {expand(target.text, target.drawn(question))}"
    row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    plan = row[0] if isinstance(row[0], list) else json.loads(row[0])
    names = {table_of(connection, name) for name in scanned(plan[0]["Plan"])}
    return names - {"series"}
