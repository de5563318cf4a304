"""One snapshot tells the same numbers whoever shows it: ``/metrics``, the database's rows, the live API."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import psycopg
import pytest
from prometheus_client import CollectorRegistry
from psycopg.rows import dict_row

from depthgauge import stream
from depthgauge.httpd import Request
from depthgauge.snapshot import Snapshot
from exporter.live import Live
from exporter.recent import Recent
from exporter.render import Renderer
from exporter.store import SnapshotStore
from exporter.web.api import LiveApi
from exporter.web.page import MetricsPage
from tests.plugins import snapshots
from tests.plugins.redis_server import RedisServer
from tests.plugins.shown import Row, Scrape, of_metrics, of_row, of_stats
from tests.plugins.sinks import MakeSink, publish
from tests.plugins.waiting import wait_for

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


API_FIELDS: Final[Mapping[str, Mapping[str, Mapping[str, str]]]] = {
    "system_health_metrics": {
        "redis": {
            "response_time": "pingSeconds",
            "hit_rate": "hitRatio",
            "memory_used_bytes": "usedMemoryBytes",
            "memory_max_bytes": "maxMemoryBytes",
            "clients": "clients",
            "uptime_seconds": "uptimeSeconds",
        },
        "database": {
            "connections": "connections",
            "max_connections": "maxConnections",
            "response_time": "responseTimeSeconds",
            "slow_queries": "slowQueries",
        },
        "uptime": {"uptime_ratio": "uptimeRatio", "uptime_seconds": "uptimeSeconds"},
        "probe": {"uptime_ratio": "up"},
        "disk": {
            "disk_total_bytes": "totalBytes",
            "disk_available_bytes": "availableBytes",
            "disk_used_ratio": "usedRatio",
        },
    },
    "performance_metrics": {
        "database": {
            "tps_current": "tps.current",
            "tps_avg": "tps.avg",
            "tps_max": "tps.max",
            "tps_min": "tps.min",
            "response_time_avg": "responseTime.avg",
            "response_time_p95": "responseTime.p95",
            "response_time_p99": "responseTime.p99",
            "active_connections": "activeConnections",
            "active_queries": "activeQueries",
        },
        "probe": {
            "response_time_avg": "responseTime.avg",
            "response_time_p95": "responseTime.p95",
            "response_time_p99": "responseTime.p99",
        },
        "host": {
            "cpu_ratio": "cpuRatio",
            "memory_used_bytes": "memoryUsedBytes",
            "memory_total_bytes": "memoryTotalBytes",
        },
    },
}


def at(answer: Row, path: str) -> Any:
    """Return a field of an answer, given with dots."""
    value: Any = answer
    for name in path.split("."):
        value = value[name]
    return value


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


@pytest.fixture
def reply(snapshot: Snapshot) -> Callable[[str], Any]:
    """Give a function that asks the live API about it."""
    store, recent = SnapshotStore(), Recent()
    store.put(snapshot)
    live = Live(
        store,
        visible=lambda one: one,
        cache=None,
        ask=lambda: None,
        recent=recent,
        clock=lambda: snapshot.taken_at,
        monotonic=lambda: 0.0,
    )
    routes = LiveApi(live, recent).routes

    def ask(path: str) -> Any:
        answer = routes[f"/api/system/{path}"](Request("GET", f"/api/system/{path}", "", {}))
        assert answer.status == 200
        return msgspec.json.decode(answer.body)

    return ask


@pytest.mark.needs("redis-server")
def test_the_numbers_are_the_same_everywhere(
    snapshot: Snapshot, page: Scrape, reply: Callable[[str], Any], written: str
) -> None:
    [totals] = rows_of_table(written, "queue_metrics")
    assert totals["recorded_at"] == snapshot.slot
    told = of_row(totals)
    assert told == of_metrics(page)
    stats = reply("queue/stats")
    assert told == of_stats(stats)
    assert datetime.fromisoformat(stats["recordedAt"]) == totals["recorded_at"]
    # So that it is not nothing that is compared.
    assert (told.pending, told.failed, told.workers) == (12, 8, 3)

    queues = rows_of_table(written, "worker_snapshots")
    assert len(queues) == 4
    answers = reply("queues")["data"]
    assert [each["queue"] for each in answers if each["newestFailureAt"] is not None] == ["mail"]
    for row in queues:
        labels = {"redis": row["redis"], "system": row["system"], "queue": row["queue"]}
        shown = {column: page.value(name, **labels, **more) for column, (name, more) in QUEUE_COLUMNS.items()}
        assert shown == {column: row[column] for column in QUEUE_COLUMNS}, labels
        [asked] = [each for each in answers if all(each[name] == value for name, value in labels.items())]
        failure = page.value("jobqueue_newest_failure_timestamp_seconds", **labels)
        told_at = asked["newestFailureAt"]
        assert failure == (None if told_at is None else datetime.fromisoformat(told_at).timestamp())
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
def test_health_and_performance_are_the_same_everywhere(
    page: Scrape, reply: Callable[[str], Any], written: str
) -> None:
    answers = {
        "system_health_metrics": {(each["kind"], each["target"]): each for each in reply("health")["data"]},
        "performance_metrics": {(each["kind"], each["target"]): each for each in reply("performance")["data"]},
    }
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
            answer = answers[table][row["kind"], row["target"]]
            for column, path in API_FIELDS[table][row["kind"]].items():
                assert at(answer, path) == row[column], (row["kind"], column)

    [app] = [row for row in rows_of_table(written, "system_health_metrics") if row["kind"] == "database"]
    assert app["connections"] == page.sum("depthgauge_postgres_connections", target="app")
    [app] = [row for row in rows_of_table(written, "performance_metrics") if row["kind"] == "database"]
    assert app["active_connections"] == page.value("depthgauge_postgres_connections", target="app", state="active")
