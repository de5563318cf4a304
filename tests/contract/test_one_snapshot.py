"""One snapshot tells the same numbers whoever shows it: ``/metrics``, the database's rows, ``queue/stats``."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from psycopg.rows import dict_row

from depthgauge import stream
from depthgauge.snapshot import Snapshot
from exporter.render import Renderer
from exporter.web.page import MetricsPage
from tests.plugins import snapshots
from tests.plugins.redis_server import RedisServer
from tests.plugins.sinks import MakeSink, publish
from tests.plugins.waiting import wait_for

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Totals:
    """What one exporter's snapshot comes to."""

    pending: float | None
    processing: float | None
    delayed: float | None
    failed: float | None
    completed: float | None
    workers: float | None
    workers_by_queue: Mapping[str, float]
    pending_by_queue: Mapping[str, float]
    failed_by_queue: Mapping[str, float]


class Scrape:
    """The samples of a page, by name and labels."""

    def __init__(self, text: str) -> None:
        self._samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def series(self, name: str, **labels: str) -> list[tuple[Mapping[str, str], float]]:
        found = [(each.labels, each.value) for each in self._samples if each.name == name]
        return [(have, value) for have, value in found if labels.items() <= have.items()]

    def value(self, name: str, **labels: str) -> float | None:
        """Return the one sample; None where there is none."""
        found = self.series(name, **labels)
        assert len(found) <= 1, found
        return found[0][1] if found else None

    def sum(self, name: str, **labels: str) -> float | None:
        found = self.series(name, **labels)
        return sum(value for _, value in found) if found else None

    def by_queue(self, name: str, **labels: str) -> Counter[str]:
        found: Counter[str] = Counter()
        for have, value in self.series(name, **labels):
            found[have["queue"]] += int(value)
        return found


def of_metrics(page: Scrape) -> Totals:
    """Return the totals as a dashboard adds them up."""

    def together(name: str, **values: tuple[str, ...]) -> float | None:
        [(label, some)] = values.items()
        known = [found for each in some if (found := page.sum(name, **{label: each})) is not None]
        return sum(known) if known else None

    failed = page.by_queue("jobqueue_jobs_kept", result="failed")
    for queue, dead in page.by_queue("jobqueue_jobs_kept", result="dead").items():
        failed[queue] += dead
    return Totals(
        pending=page.sum("jobqueue_jobs", state="waiting"),
        processing=page.sum("jobqueue_jobs", state="active"),
        delayed=together("jobqueue_jobs", state=("delayed", "retry", "blocked")),
        failed=together("jobqueue_jobs_kept", result=("failed", "dead")),
        completed=page.sum("jobqueue_jobs_completed_total"),
        workers=page.sum("jobqueue_worker_processes"),
        workers_by_queue=dict(page.by_queue("jobqueue_workers")),
        pending_by_queue=dict(page.by_queue("jobqueue_jobs", state="waiting")),
        failed_by_queue=dict(failed),
    )


def of_row(row: Row) -> Totals:
    """Return the totals of a row of ``queue_metrics``."""
    return Totals(
        pending=row["pending_jobs"],
        processing=row["processing_jobs"],
        delayed=row["delayed_jobs"],
        failed=row["failed_jobs"],
        completed=row["completed_jobs"],
        workers=row["active_workers"],
        workers_by_queue=row["workers_by_queue"],
        pending_by_queue=row["pending_by_queue"],
        failed_by_queue=row["failed_by_queue"],
    )


def of_stats(reply: Row) -> Totals:
    """Return the totals of an answer of ``GET /api/system/queue/stats``."""
    return Totals(
        pending=reply["pending"],
        processing=reply["processing"],
        delayed=reply["delayed"],
        failed=reply["failed"],
        completed=reply["completed"],
        workers=reply["workers"],
        workers_by_queue=reply["workersByQueue"],
        pending_by_queue=reply["pendingByQueue"],
        failed_by_queue=reply["failedByQueue"],
    )


QUEUE_COLUMNS: Final = {
    "pending": ("jobqueue_jobs", {"state": "waiting"}),
    "processing": ("jobqueue_jobs", {"state": "active"}),
    "delayed": ("jobqueue_jobs", {"state": "delayed"}),
    "retry": ("jobqueue_jobs", {"state": "retry"}),
    "blocked": ("jobqueue_jobs", {"state": "blocked"}),
    "failed": ("jobqueue_jobs_kept", {"result": "failed"}),
    "dead": ("jobqueue_jobs_kept", {"result": "dead"}),
    "completed": ("jobqueue_jobs_completed_total", {}),
    "workers": ("jobqueue_workers", {}),
    "registry_workers": ("jobqueue_registry_workers", {}),
    "busy_workers": ("jobqueue_registry_workers_busy", {}),
    "avg_processing_time": ("jobqueue_processing_seconds", {}),
}
HEALTH_COLUMNS: Final = {
    "redis": {
        "response_time": "redis_ping_seconds",
        "hit_rate": "redis_hit_ratio",
        "memory_used_bytes": "redis_memory_used_bytes",
        "memory_max_bytes": "redis_memory_max_bytes",
        "clients": "redis_clients",
    },
    "database": {
        "max_connections": "postgres_max_connections",
        "slow_queries": "postgres_slow_queries",
        "last_restart_at": "postgres_start_time_seconds",
    },
    "uptime": {"uptime_ratio": "host_uptime_ratio", "last_restart_at": "host_boot_time_seconds"},
    "probe": {"uptime_ratio": "probe_up"},
    "disk": {
        "disk_total_bytes": "host_disk_total_bytes",
        "disk_available_bytes": "host_disk_available_bytes",
        "disk_used_ratio": "host_disk_used_ratio",
    },
}
PERFORMANCE_COLUMNS: Final = {
    "database": {"active_queries": "postgres_active_queries"},
    "probe": {},
    "host": {
        "cpu_ratio": "host_cpu_ratio",
        "memory_used_bytes": "host_memory_used_bytes",
        "memory_total_bytes": "host_memory_total_bytes",
    },
}
PROCESS_COLUMNS: Final = {
    "state": "supervisor_process_state",
    "exit_status": "supervisor_process_exit_status",
    "cpu_seconds": "supervisor_process_cpu_seconds_total",
    "rss_bytes": "supervisor_process_resident_memory_bytes",
}


def rows_of_table(dsn: str, table: str) -> list[Row]:
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        connection.execute("SET timezone = 'UTC'")
        return list(connection.execute(f"SELECT * FROM depthgauge.{table}".encode()))


def plain(value: Any) -> Any:
    """Return a time as metrics have it."""
    return value.timestamp() if isinstance(value, datetime) else value


@pytest.fixture
def snapshot(monkeypatch: pytest.MonkeyPatch) -> Snapshot:
    """Give a snapshot of this minute in which everything is known that can be."""
    now = datetime.now(UTC).replace(second=1, microsecond=0) - timedelta(minutes=2)
    monkeypatch.setattr(snapshots, "NOW", now)
    return snapshots.full()


@pytest.fixture
def page(snapshot: Snapshot) -> Scrape:
    """Give what ``/metrics`` serves of it."""
    served = MetricsPage(
        lambda: snapshot, Renderer(budget=100), registry=CollectorRegistry(), clock=lambda: snapshot.taken_at
    )
    return Scrape(served.response().body.decode())


@pytest.fixture
def written(snapshot: Snapshot, make_sink: MakeSink, redis_server: RedisServer, database: str) -> str:
    """Give the database that a sink has written it to."""
    bus = redis_server.client()
    publish(bus, snapshot)
    make_sink(database, redis_server.url)
    wait_for(lambda: bus.xlen(stream.STREAM) == 0, 20, what="the sink has drained the stream")
    return database


@pytest.mark.needs("redis-server")
def test_the_numbers_are_the_same_everywhere(snapshot: Snapshot, page: Scrape, written: str) -> None:
    [totals] = rows_of_table(written, "queue_metrics")
    assert totals["recorded_at"] == snapshot.slot
    told = of_row(totals)
    assert told == of_metrics(page)
    # So that it is not nothing that is compared.
    assert (told.pending, told.failed, told.workers) == (12, 8, 3)

    queues = rows_of_table(written, "worker_snapshots")
    assert len(queues) == 4
    for row in queues:
        labels = {"redis": row["redis"], "system": row["system"], "queue": row["queue"]}
        shown = {column: page.value(name, **labels, **more) for column, (name, more) in QUEUE_COLUMNS.items()}
        assert shown == {column: row[column] for column in QUEUE_COLUMNS}, labels
        eligible = page.value("jobqueue_oldest_job_timestamp_seconds", **labels)
        age = None if eligible is None else snapshot.slot.timestamp() - eligible
        assert row["oldest_job_age"] == age

    processes = rows_of_table(written, "process_snapshots")
    assert len(processes) == 7
    for row in processes:
        labels = {"supervisor": row["supervisor"], "group": row["process_group"], "process": row["process"]}
        shown = {column: page.value(name, **labels) for column, name in PROCESS_COLUMNS.items()}
        assert shown == {column: row[column] for column in PROCESS_COLUMNS}, labels


@pytest.mark.needs("redis-server")
def test_health_and_performance_are_the_same_everywhere(page: Scrape, written: str) -> None:
    for table, columns, count in (
        ("system_health_metrics", HEALTH_COLUMNS, 6),
        ("performance_metrics", PERFORMANCE_COLUMNS, 3),
    ):
        rows = rows_of_table(written, table)
        assert len(rows) == count
        for row in rows:
            names = columns[row["kind"]]
            labels = {"mountpoint" if row["kind"] == "disk" else "target": row["target"]}
            shown = {column: page.value(f"depthgauge_{name}", **labels) for column, name in names.items()}
            assert shown == {column: plain(row[column]) for column in names}, row["kind"]
            assert None not in shown.values()

    [app] = [row for row in rows_of_table(written, "system_health_metrics") if row["kind"] == "database"]
    assert app["connections"] == page.sum("depthgauge_postgres_connections", target="app")
    [app] = [row for row in rows_of_table(written, "performance_metrics") if row["kind"] == "database"]
    assert app["active_connections"] == page.value("depthgauge_postgres_connections", target="app", state="active")
