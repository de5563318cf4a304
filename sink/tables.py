"""The tables that snapshots are written to, and the statements that do it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, LiteralString

_HOUR: Final = timedelta(hours=1)
_CAST: Final = re.compile(r"%b::(\w+)\[\]")


@dataclass(frozen=True, slots=True)
class Table:
    """A table that snapshots are written to; ``columns`` in the order of the row types in rows.py and health_rows.py."""

    name: str
    insert: LiteralString
    """Takes one array a column, each cast to its type. One with RETURNING gives the keys that were new; without, the number of rows is all there is to know."""
    rollup: str | None = None
    """The rollup whose buckets have to be computed anew when rows are added."""
    bucket: timedelta = timedelta(minutes=5)

    @property
    def insert_new(self) -> LiteralString:
        """The same statement for rows that cannot be there yet: it fails if one is, and takes two thirds of the time."""
        return self.insert.replace("ON CONFLICT DO NOTHING", "")

    @property
    def types(self) -> Sequence[str]:
        """The type of each column, as the statement casts it."""
        return _CAST.findall(self.insert)


LEDGER: Final = Table(
    "snapshots",
    """
INSERT INTO depthgauge.snapshots (host, run_id, seq, recorded_at, taken_at, drops, earlier_drops)
SELECT * FROM unnest(
    %b::text[], %b::text[], %b::bigint[], %b::timestamptz[], %b::timestamptz[], %b::jsonb[], %b::jsonb[]
)
ON CONFLICT DO NOTHING
RETURNING host, run_id, seq, recorded_at
""",
)

WORKERS: Final = Table(
    "worker_snapshots",
    """
INSERT INTO depthgauge.worker_snapshots (
    host, redis, system, queue, recorded_at, workers, registry_workers, busy_workers,
    pending, processing, delayed, retry, blocked, failed, dead, completed,
    oldest_job_age, avg_processing_time, throughput
)
SELECT * FROM unnest(
    %b::text[], %b::text[], %b::text[], %b::text[], %b::timestamptz[], %b::bigint[], %b::bigint[], %b::bigint[],
    %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[],
    %b::float8[], %b::float8[], %b::float8[]
)
ON CONFLICT DO NOTHING
""",
    rollup="worker_snapshots_5m",
)

QUEUES: Final = Table(
    "queue_metrics",
    """
INSERT INTO depthgauge.queue_metrics (
    host, recorded_at, active_workers, workers_by_queue, pending_jobs, processing_jobs,
    delayed_jobs, failed_jobs, completed_jobs, pending_by_queue, failed_by_queue
)
SELECT * FROM unnest(
    %b::text[], %b::timestamptz[], %b::bigint[], %b::jsonb[], %b::bigint[], %b::bigint[],
    %b::bigint[], %b::bigint[], %b::bigint[], %b::jsonb[], %b::jsonb[]
)
ON CONFLICT DO NOTHING
RETURNING host, recorded_at
""",
    rollup="queue_metrics_5m",
)

PROCESSES: Final = Table(
    "process_snapshots",
    """
INSERT INTO depthgauge.process_snapshots (
    host, supervisor, process_group, process, recorded_at, state, pid, started_at, exit_status,
    cpu_seconds, rss_bytes, spawn_error
)
SELECT * FROM unnest(
    %b::text[], %b::text[], %b::text[], %b::text[], %b::timestamptz[], %b::bigint[], %b::bigint[], %b::timestamptz[],
    %b::bigint[], %b::float8[], %b::bigint[], %b::text[]
)
ON CONFLICT DO NOTHING
""",
)

EVENTS: Final = Table(
    "process_events",
    """
INSERT INTO depthgauge.process_events (
    host, supervisor, process_group, process, occurred_at, event_no, from_state, to_state, exit_status,
    expected, source, detail
)
SELECT * FROM unnest(
    %b::text[], %b::text[], %b::text[], %b::text[], %b::timestamptz[], %b::bigint[], %b::bigint[], %b::bigint[],
    %b::bigint[], %b::boolean[], %b::text[], %b::text[]
)
ON CONFLICT DO NOTHING
""",
)
"""An event that is there already came with an earlier snapshot whose exporter was killed: no collision."""

HEALTH: Final = Table(
    "system_health_metrics",
    """
INSERT INTO depthgauge.system_health_metrics (
    host, kind, target, recorded_at, connections, max_connections, response_time, slow_queries,
    hit_rate, memory_used_bytes, memory_max_bytes, clients, disk_total_bytes, disk_available_bytes, disk_used_ratio,
    uptime_ratio, uptime_seconds, last_restart_at
)
SELECT * FROM unnest(
    %b::text[], %b::text[], %b::text[], %b::timestamptz[], %b::bigint[], %b::bigint[], %b::float8[], %b::bigint[],
    %b::float8[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::float8[],
    %b::float8[], %b::float8[], %b::timestamptz[]
)
ON CONFLICT DO NOTHING
""",
    rollup="system_health_metrics_1h",
    bucket=_HOUR,
)

PERFORMANCE: Final = Table(
    "performance_metrics",
    """
INSERT INTO depthgauge.performance_metrics (
    host, kind, target, recorded_at, tps_current, tps_avg, tps_max, tps_min,
    response_time_avg, response_time_p95, response_time_p99, response_count, response_sum, response_max,
    active_connections, active_queries, cpu_ratio, memory_used_bytes, memory_total_bytes, response_histogram
)
SELECT
    host, kind, target, recorded_at, tps_current, tps_avg, tps_max, tps_min,
    response_time_avg, response_time_p95, response_time_p99, response_count, response_sum, response_max,
    active_connections, active_queries, cpu_ratio, memory_used_bytes, memory_total_bytes,
    translate(histogram::text, '[]', '{}')::bigint[]
FROM unnest(
    %b::text[], %b::text[], %b::text[], %b::timestamptz[], %b::float8[], %b::float8[], %b::float8[], %b::float8[],
    %b::float8[], %b::float8[], %b::float8[], %b::bigint[], %b::float8[], %b::float8[],
    %b::bigint[], %b::bigint[], %b::float8[], %b::bigint[], %b::bigint[], %b::jsonb[]
) AS u (
    host, kind, target, recorded_at, tps_current, tps_avg, tps_max, tps_min,
    response_time_avg, response_time_p95, response_time_p99, response_count, response_sum, response_max,
    active_connections, active_queries, cpu_ratio, memory_used_bytes, memory_total_bytes, histogram
)
ON CONFLICT DO NOTHING
""",
    rollup="performance_metrics_1h",
    bucket=_HOUR,
)
"""unnest takes an array of arrays apart to its numbers, so each histogram travels as a JSON array."""

TABLES: Final = (LEDGER, WORKERS, QUEUES, PROCESSES, EVENTS, HEALTH, PERFORMANCE)

MARK_BUCKETS: Final = """
INSERT INTO depthgauge.dirty_buckets (rollup, bucket) SELECT * FROM unnest(%b::text[], %b::timestamptz[])
"""
