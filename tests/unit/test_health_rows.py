"""Servers, this host and probed URLs to rows; failed jobs of databases in the rows of queues."""

import re
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from depthgauge.health import FailedJobs, Machine, ResponseTime
from depthgauge.histogram import Histogram
from depthgauge.snapshot import KeptJobs, LiveJobs, Queue, RedisQueues
from sink import tables
from sink.event_rows import EventRow
from sink.health_rows import HealthRow, PerformanceRow
from sink.rows import LedgerRow, ProcessRow, QueueRow, Rows, WorkerRow, rows_of
from tests.plugins import health
from tests.plugins.snapshots import NOW, ago, full, snapshot_of

SLOT = snapshot_of().slot


def rows(**changes: Any) -> Rows:
    return rows_of(full(**changes))


def test_every_kind_fills_its_own_columns_of_health() -> None:
    made = {row.kind: row for row in rows().health if row.target != "/var/lib"}

    def of(kind: str, target: str, **values: Any) -> HealthRow:
        return HealthRow("web-1", kind, target, SLOT, **values)

    assert made == {
        "database": of(
            "database",
            "app",
            connections=8,
            max_connections=100,
            response_time=0.25,
            slow_queries=1,
            last_restart_at=ago(0.4) - timedelta(hours=2),
        ),
        "redis": of(
            "redis",
            "default",
            response_time=0.0005,
            hit_rate=0.75,
            memory_used_bytes=1_500_000,
            memory_max_bytes=0,
            clients=12,
            uptime_seconds=3600,
        ),
        "probe": of("probe", "site", response_time=0.25, uptime_ratio=1.0),
        "disk": of("disk", "/", disk_total_bytes=100 << 30, disk_available_bytes=25 << 30, disk_used_ratio=0.75),
        "uptime": of(
            "uptime",
            "web-1",
            uptime_ratio=0.9375,
            uptime_seconds=172_800.0,
            last_restart_at=ago(0.4) - timedelta(days=2),
        ),
    }
    assert [row.target for row in rows().health if row.kind == "disk"] == ["/", "/var/lib"]


def test_performance_is_of_databases_urls_and_the_host() -> None:
    database, probe, host = rows().performance

    assert (database.kind, database.target, database.recorded_at) == ("database", "app", SLOT)
    assert (database.tps_current, database.tps_avg, database.tps_max, database.tps_min) == (20.5, 18.25, 40.0, 0.5)
    assert (database.response_time_avg, database.response_time_p95, database.response_time_p99) == (0.5, 0.75, 1.5)
    # Of this slot alone, unlike those before.
    assert (database.response_count, database.response_sum, database.response_max) == (5, 100.5015, 100.0)
    assert database.response_histogram is not None
    assert (len(database.response_histogram), sum(database.response_histogram)) == (66, 5)
    assert (database.active_connections, database.active_queries) == (2, 3)
    assert (probe.kind, probe.target, probe.response_count, probe.tps_current) == ("probe", "site", 5, None)
    assert host == PerformanceRow(
        "web-1", "host", "web-1", SLOT, cpu_ratio=0.375, memory_used_bytes=2 << 30, memory_total_bytes=8 << 30
    )


def test_a_url_that_is_down_is_told_and_has_no_samples() -> None:
    down = health.probe(NOW, up=False, status=None, response=ResponseTime(failures=3))
    made = rows(probes=(down,))
    [told] = [row for row in made.health if row.kind == "probe"]
    [sampled] = [row for row in made.performance if row.kind == "probe"]

    assert (told.uptime_ratio, told.response_time) == (0.0, None)
    assert (sampled.response_count, sampled.response_sum, sampled.response_max) == (0, 0.0, None)
    assert sampled.response_histogram is None


def test_unknown_is_null() -> None:
    hidden = health.database(NOW, connections={"unknown": 9}, started_at=None)
    made = rows_of(snapshot_of(databases=(hidden,), machine=Machine(observed_at=NOW)))

    assert made.performance[0].active_connections is None
    assert made.health[0].connections == 9
    assert made.health[1] == HealthRow("web-1", "uptime", "web-1", SLOT)
    assert rows_of(snapshot_of(databases=(health.database(NOW, connections={}),))).health[0].connections is None


def test_a_histogram_of_other_bounds_makes_no_rows() -> None:
    odd = health.response(slot=Histogram(count=1, sum=1.0, max=1.0, buckets=(1, 0)))
    with pytest.raises(ValueError, match="has 2 buckets, not 66"):
        rows(probes=(health.probe(NOW, response=odd),))


def test_two_of_one_name_make_one_row() -> None:
    twice = rows(databases=(health.database(NOW),) * 2)

    assert len([row for row in twice.health if row.kind == "database"]) == 1
    assert len([row for row in twice.performance if row.kind == "database"]) == 1


@pytest.mark.parametrize(
    ("table", "row"),
    [
        (tables.LEDGER, LedgerRow),
        (tables.WORKERS, WorkerRow),
        (tables.QUEUES, QueueRow),
        (tables.PROCESSES, ProcessRow),
        (tables.EVENTS, EventRow),
        (tables.HEALTH, HealthRow),
        (tables.PERFORMANCE, PerformanceRow),
    ],
    ids=lambda each: each.name if isinstance(each, tables.Table) else "",
)
def test_fields_stand_in_the_order_of_the_columns(table: tables.Table, row: Any) -> None:
    [columns] = re.findall(r"INSERT INTO depthgauge\.\w+ \(([^)]+)\)", table.insert)

    assert tuple(re.findall(r"\w+", columns)) == row._fields
    assert len(table.types) == len(row._fields)


def failed(*counts: tuple[str, int], seen: Any = NOW) -> Any:
    found = tuple(FailedJobs(redis="default", system="laravel", queue=queue, count=count) for queue, count in counts)
    return health.database(seen, failed_jobs=found)


def test_failed_jobs_of_a_database_are_those_of_their_queues() -> None:
    high = Queue(system="laravel", name="high", live=LiveJobs(waiting=2))
    part = RedisQueues(observed_at=NOW, redis="default", queues=(high,))
    made = rows_of(snapshot_of(queues=(part,), databases=(failed(("high", 3), ("gone", 4)),), failed_jobs_in=("app",)))

    assert [(row.queue, row.pending, row.failed) for row in made.workers] == [("gone", None, 4), ("high", 2, 3)]
    [totals] = made.queues
    assert (totals.pending_jobs, totals.failed_jobs) == (2, 7)
    assert (totals.pending_by_queue, totals.failed_by_queue) == ({"high": 2}, {"gone": 4, "high": 3})


def test_failed_jobs_are_unknown_while_a_database_is_not_read() -> None:
    high = Queue(system="laravel", name="high", live=LiveJobs(waiting=2))
    part = RedisQueues(observed_at=NOW, redis="default", queues=(high,))
    made = rows_of(snapshot_of(queues=(part,), databases=(failed(("high", 3), seen=ago(16)),), failed_jobs_in=("app",)))

    assert [(row.queue, row.pending, row.failed) for row in made.workers] == [("high", 2, None)]
    [totals] = made.queues
    assert (totals.pending_jobs, totals.failed_jobs, totals.failed_by_queue) == (2, None, None)


def test_failed_jobs_that_cannot_be_read_are_unknown() -> None:
    part = RedisQueues(
        observed_at=NOW, redis="default", queues=(Queue(system="rq", name="a", kept=KeptJobs(failed=1)),)
    )
    told = health.database(NOW, failed_jobs=None, failed_jobs_error="permission_denied")
    [totals] = rows_of(snapshot_of(queues=(part,), databases=(told,), failed_jobs_in=("app",))).queues

    assert (totals.failed_jobs, totals.failed_by_queue) == (None, None)
    [gone] = rows_of(snapshot_of(queues=(part,), failed_jobs_in=("app",))).queues
    assert (gone.failed_jobs, gone.failed_by_queue) == (None, None), "it has been away for long, or from the start"
    [never] = rows_of(snapshot_of(queues=(part,))).queues
    assert (never.failed_jobs, never.failed_by_queue) == (1, {"a": 1})


def test_where_another_exporter_reads_redis_only_failed_jobs_are_known() -> None:
    [totals] = rows_of(snapshot_of(databases=(failed(("high", 3)),), failed_jobs_in=("app",))).queues

    assert (totals.failed_jobs, totals.failed_by_queue) == (3, {"high": 3})
    assert (totals.pending_jobs, totals.pending_by_queue, totals.completed_jobs) == (None, None, None)


def test_an_old_redis_leaves_the_failed_jobs_unknown() -> None:
    snapshot = full()
    queues = tuple(structs.replace(part, observed_at=ago(16)) for part in snapshot.queues)
    [totals] = rows_of(structs.replace(snapshot, queues=queues)).queues

    assert (totals.failed_jobs, totals.pending_jobs) == (None, None)
