"""A month of a small fleet in the database, made by the database itself: for the dashboards' queries, and for pictures of them.

Two hosts read two Redis servers in turns, a day each. One queue falls behind for two hours every fifth day, and again in the last
three hours; one process is FATAL for two hours every fifth day; counters start again; nobody works on ``invoices`` in the end.
Rows are five minutes apart, of the last 25 hours a minute, of the last seven hours 15 seconds; of processes, as they are kept,
only the last week is there. Rollups are those of upkeep, computed by the same function.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg
import pytest

from depthgauge.secrets import Secret
from sink.migrate import migrate
from tests.plugins.community import community_server
from tests.plugins.timescale_server import fresh_database

DAYS: Final = 30
READER: Final = "depthgauge_month_reader"
LATE: Final = "reports"
"""The queue that falls behind."""

_SLOTS: Final = """
WITH slots AS (
    SELECT at, date_part('epoch', at)::bigint AS s, date_part('epoch', %(end)s - at)::bigint AS left_over FROM (
        SELECT generate_series(%(from)s, %(to)s - interval '1 second', %(grain)s) AS at
    ) AS g
), hosts (host, h) AS (
    VALUES ('web-1', 0), ('web-2', 1)
)
"""
"""Moments from ``from`` to ``to``, and what holds the lease: hosts in turns, a day (UTC) each."""

_QUEUES: Final = """
, queues (redis, system, queue, q, size, served) AS (
    VALUES ('default', 'bullmq', 'mail', 1, 40, ARRAY[0, 1]), ('default', 'bullmq', 'images', 2, 25, ARRAY[0]),
           ('default', 'rq', 'reports', 3, 12, ARRAY[1]), ('default', 'laravel', 'default', 4, 60, ARRAY[0]),
           ('default', 'laravel', 'invoices', 5, 8, ARRAY[1]), ('second', 'sidekiq', 'mail', 6, 30, ARRAY[0, 1])
)
INSERT INTO depthgauge.worker_snapshots (host, redis, system, queue, recorded_at, workers, registry_workers, busy_workers,
    pending, processing, delayed, retry, blocked, failed, dead, completed, oldest_job_age, avg_processing_time)
SELECT host, redis, system, queue, at,
    CASE WHEN h <> ALL (served) THEN NULL WHEN queue = 'invoices' AND left_over < 1800 THEN 0 ELSE 1 + (q + h + s / 3600) %% 3 END,
    CASE WHEN leads AND system IN ('rq', 'bullmq', 'sidekiq') THEN 3 END, CASE WHEN leads AND system = 'rq' THEN 1 + s / 60 %% 3 END,
    CASE WHEN leads THEN pending END, CASE WHEN leads THEN (s / 15 + q) %% 5 END,
    CASE WHEN leads THEN (s / 60 + q) %% 7 END, CASE WHEN leads THEN (s / 600) %% 3 END, CASE WHEN leads THEN 0 END,
    CASE WHEN leads THEN (s / 3600 + q) %% 40 END, CASE WHEN leads AND system = 'sidekiq' THEN 2 END,
    CASE WHEN leads AND q IN (1, 2, 6) THEN (s %% (500000 * (q + 1))) / (6 + q) END,
    CASE WHEN leads AND pending > 0 THEN CASE WHEN behind IS NULL THEN (s %% 97) * 0.5 ELSE behind + 0.25 END END,
    CASE WHEN leads AND q IN (1, 2, 3) THEN 0.2 * q + (s %% 50) * 0.01 END
FROM slots, hosts, queues,
    LATERAL (SELECT (s / 86400 + q / 6) %% 2 = h AS leads) l,
    LATERAL (SELECT CASE WHEN queue <> 'reports' THEN NULL WHEN left_over < 10800 THEN 10800 - left_over
             WHEN s %% 432000 < 7200 THEN s %% 432000 END AS behind) b,
    LATERAL (SELECT floor(size * (1 + sin(s %% 86400 * 2 * pi() / 86400 + q)))::bigint + (s / 60 * 7919 + q * 104729) %% 7
             + coalesce(behind / 60, 0) AS pending) p
"""

_HOSTS: Final = """
INSERT INTO depthgauge.queue_metrics (host, recorded_at, active_workers, workers_by_queue, pending_jobs, processing_jobs,
    delayed_jobs, failed_jobs, pending_by_queue, failed_by_queue)
SELECT host, at, 5 + (s / 3600 + h) %% 3, '{"mail": 3}', 100 + s / 60 %% 50, 5, 10, 20, '{"mail": 40}', '{"mail": 20}'
FROM slots, hosts
"""

_HEALTH: Final = """
INSERT INTO depthgauge.system_health_metrics (host, kind, target, recorded_at, connections, max_connections, response_time,
    slow_queries, hit_rate, memory_used_bytes, memory_max_bytes, clients, disk_total_bytes, disk_available_bytes,
    disk_used_ratio, uptime_ratio, uptime_seconds, last_restart_at)
SELECT host, kind, target, at,
    CASE kind WHEN 'database' THEN 20 + (s / 60) %% 40 END, CASE kind WHEN 'database' THEN 100 END,
    CASE WHEN kind IN ('database', 'redis', 'probe') THEN 0.001 + (s %% 61) * 0.0005 END,
    CASE kind WHEN 'database' THEN greatest(0, s / 60 %% 29 - 26) END,
    CASE WHEN kind = 'redis' AND s %% 11 <> 0 THEN 0.9 + (s %% 100) * 0.0009 END,
    CASE kind WHEN 'redis' THEN 50000000 + (s %% 86400) * 1000 END,
    CASE WHEN kind = 'redis' THEN CASE target WHEN 'default' THEN 268435456 ELSE 0 END END,
    CASE kind WHEN 'redis' THEN 10 + s / 60 %% 9 END,
    CASE kind WHEN 'disk' THEN 100::bigint << 30 END,
    CASE kind WHEN 'disk' THEN (60::bigint << 30) - (s %% 2592000) * 10000 END,
    CASE kind WHEN 'disk' THEN 0.4 + (s %% 2592000) / 1e7 END,
    CASE kind WHEN 'probe' THEN CASE WHEN s / 60 %% 401 = 7 THEN 0 ELSE 1 END WHEN 'uptime' THEN 1 - (s / 3600 %% 5) * 0.001 END,
    CASE WHEN kind IN ('redis', 'uptime') THEN s %% 2592000 END,
    CASE WHEN kind IN ('database', 'uptime') THEN to_timestamp(s - s %% 2592000) END
FROM slots, hosts CROSS JOIN LATERAL (
    VALUES ('database', 'app', s / 86400 %% 2 = h), ('redis', 'default', s / 86400 %% 2 = h), ('redis', 'second', s / 86400 %% 2 <> h),
           ('probe', 'site', h = 0), ('disk', '/', true), ('disk', '/var/lib', h = 1), ('uptime', host, true)
) AS kinds (kind, target, seen)
WHERE seen
"""

_PERFORMANCE: Final = """
INSERT INTO depthgauge.performance_metrics (host, kind, target, recorded_at, tps_current, response_count, response_sum,
    response_max, response_histogram, active_connections, active_queries, cpu_ratio, memory_used_bytes, memory_total_bytes)
SELECT host, kind, target, at,
    CASE kind WHEN 'database' THEN 50 + s / 60 %% 30 END,
    CASE WHEN kind <> 'host' THEN 10 END, CASE WHEN kind <> 'host' THEN 0.01 * 2 ^ (low / 4.0) END,
    CASE WHEN kind <> 'host' THEN 0.001 * 2 ^ ((low + 2) / 4.0) END,
    CASE WHEN kind <> 'host' THEN array_fill(0::bigint, ARRAY[low]) || ARRAY[6, 3, 1]::bigint[]
         || array_fill(0::bigint, ARRAY[63 - low]) END,
    CASE kind WHEN 'database' THEN 3 END, CASE kind WHEN 'database' THEN 2 END,
    CASE kind WHEN 'host' THEN 0.2 + (s / 60 %% 60) * 0.01 END,
    CASE kind WHEN 'host' THEN (2::bigint << 30) + (s %% 3600) * 100000 END, CASE kind WHEN 'host' THEN 8::bigint << 30 END
FROM slots, hosts CROSS JOIN LATERAL (
    VALUES ('database', 'app', s / 86400 %% 2 = h), ('probe', 'site', h = 0), ('host', host, true)
) AS kinds (kind, target, seen), LATERAL (SELECT (CASE kind WHEN 'probe' THEN 20 ELSE 4 END + s / 600 %% 12)::integer AS low) w
WHERE seen
"""

_PROCESSES: Final = """
, processes (host, process_group, process, p) AS (
    VALUES ('web-1', 'mail', 'mail_00', 1), ('web-1', 'mail', 'mail_01', 2), ('web-1', 'images', 'images_00', 3),
           ('web-1', 'scheduler', 'scheduler', 4), ('web-2', 'reports', 'reports_00', 5), ('web-2', 'reports', 'reports_01', 6),
           ('web-2', 'invoices', 'invoices', 7), ('web-2', 'images', 'images_01', 8)
)
"""
_PROCESS_ROWS: Final = """
INSERT INTO depthgauge.process_snapshots (host, supervisor, process_group, process, recorded_at, state, pid, started_at,
    exit_status, cpu_seconds, rss_bytes)
SELECT host, 'main', process_group, process, at, CASE WHEN fatal THEN 200 ELSE 20 END, CASE WHEN NOT fatal THEN 1000 + p END,
    at - interval '1 hour', CASE WHEN fatal THEN 1 END, CASE WHEN NOT fatal THEN (s %% 86400) * 0.05 * p END,
    CASE WHEN NOT fatal THEN (50::bigint << 20) * p + (s %% 3600) * 10000 END
FROM slots JOIN processes ON s %% 60 = 0, LATERAL (SELECT p = 8 AND s %% 432000 < 7200 AS fatal) f
WHERE at >= %(end)s - interval '7 days'
"""
_EVENTS: Final = """
, changes AS (
    SELECT host, process_group, process, at + interval '17 seconds' + n * interval '1 second' AS occurred_at, s * 10 + n AS number,
        (ARRAY[20, 100, 10])[n + 1] AS before, (ARRAY[100, 10, 20])[n + 1] AS after,
        CASE WHEN n = 0 THEN p %% 2 END AS exit_status, CASE WHEN n = 0 THEN p %% 2 = 0 END AS expected
    FROM slots JOIN processes ON p < 8 AND s %% (7200 * p + 3600) = 0, generate_series(0, 2) n
    UNION ALL
    SELECT host, process_group, process, at + n * interval '1 second', s * 10 + n,
        (ARRAY[20, 100, 30])[n + 1], (ARRAY[100, 30, 200])[n + 1], CASE WHEN n < 2 THEN 1 END, CASE WHEN n = 0 THEN false END
    FROM slots JOIN processes ON p = 8 AND s %% 432000 = 0, generate_series(0, 2) n
    UNION ALL
    SELECT host, process_group, process, at + n * interval '1 second', s * 10 + n, (ARRAY[200, 10])[n + 1], (ARRAY[10, 20])[n + 1],
        NULL, NULL
    FROM slots JOIN processes ON p = 8 AND s %% 432000 = 7200, generate_series(0, 1) n
)
INSERT INTO depthgauge.process_events (host, supervisor, process_group, process, occurred_at, event_no, from_state, to_state,
    exit_status, expected, source, detail)
SELECT host, 'main', process_group, process, occurred_at, number, before, after, exit_status, expected, 'listener', NULL FROM changes
"""

_ROLLUPS: Final = (
    "worker_snapshots_5m",
    "queue_metrics_5m",
    "worker_snapshots_1h",
    "queue_metrics_1h",
    "system_health_metrics_1h",
    "performance_metrics_1h",
)


@dataclass(frozen=True, kw_only=True)
class Month:
    """A filled database, and the moment at which its rows end."""

    edition: str
    dsn: str
    """The owner's."""
    end: datetime

    @property
    def timescaledb(self) -> bool:
        """What the data source's setting of that name has to be."""
        return self.edition != "plain"

    def connect(self) -> psycopg.Connection[Any]:
        """Return a connection that can do no more than Grafana's: a role that reads, in transactions that read."""
        connection = psycopg.connect(self.dsn, autocommit=True, prepare_threshold=None)
        connection.execute(f"SET ROLE {READER}")
        connection.execute("SET default_transaction_read_only = on")
        connection.execute("SET timezone = 'UTC'")
        # What a server has by default; the one session of PGlite keeps what migrate set.
        connection.execute('SET search_path = "$user", public')
        return connection


Steps = tuple[timedelta, timedelta, timedelta]
"""How far apart rows are: first, in the last 25 hours, in the last seven hours."""
SERVED: Final = (timedelta(minutes=5), timedelta(minutes=1), timedelta(seconds=15))
SMALL: Final = (timedelta(minutes=20), timedelta(minutes=5), timedelta(minutes=1))


def fill_month(dsn: str, end: datetime, steps: Steps) -> None:
    """Write a month of rows that ends at ``end``, and their rollups."""
    start = (end - timedelta(days=DAYS)).replace(hour=0, minute=0, second=0)
    turns = (start, (end - timedelta(hours=25)).replace(minute=0), (end - timedelta(hours=7)).replace(minute=0))
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as connection:
        connection.execute("SET timezone = 'UTC'")
        days = [(start + timedelta(days=number)).date() for number in range(DAYS + 2)]
        asked = connection.execute("SELECT to_regprocedure('depthgauge.ensure_partitions(date[])') IS NOT NULL")
        if asked.fetchone() == (True,):
            connection.execute("SELECT depthgauge.ensure_partitions(%s)", (days,))
        for begins, ends, step in zip(turns, (*turns[1:], end + steps[2]), steps, strict=True):
            given = {"from": begins, "to": ends, "grain": step, "end": end}
            for statement in (_QUEUES, _HOSTS, _HEALTH, _PERFORMANCE):
                connection.execute((_SLOTS + statement).encode(), given)
        minutes = {"from": start, "to": end, "grain": timedelta(minutes=1), "end": end}
        for statement in (_PROCESS_ROWS, _EVENTS):
            connection.execute((_SLOTS + _PROCESSES + statement).encode(), minutes)
        for rollup in _ROLLUPS:
            connection.execute("SELECT depthgauge.make_room(%s, %s)", (rollup, days))
            connection.execute(
                "SELECT depthgauge.compute_buckets(%s, %s, %s)", (rollup, start, end + timedelta(hours=1))
            )
        connection.execute("SET default_statistics_target = 10")
        connection.execute("ANALYZE")


def made_month(edition: str, dsn: str, steps: Steps) -> Month:
    """Migrate and fill an empty database, and make its reader."""
    migrate(Secret(dsn))
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    fill_month(dsn, end, steps)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {READER}")
        connection.execute("SELECT depthgauge.grant_reader(%s::name)", (READER,))
    return Month(edition=edition, dsn=dsn, end=end)


def _served_month(edition: str, server_dsn: str) -> Iterator[Month]:
    with fresh_database(server_dsn, "month") as dsn:
        yield made_month(edition, dsn, SERVED)
    with psycopg.connect(server_dsn, autocommit=True) as connection:
        connection.execute(f"DROP ROLE IF EXISTS {READER}")


@pytest.fixture(scope="session")
def plain_month(postgres_server_dsn: str) -> Iterator[Month]:
    """Give the month on plain PostgreSQL."""
    yield from _served_month("plain", postgres_server_dsn)


@pytest.fixture(scope="session")
def apache_month(timescale_server_dsn: str) -> Iterator[Month]:
    """Give the month on TimescaleDB's Apache edition."""
    yield from _served_month("apache", timescale_server_dsn)


@pytest.fixture(scope="session")
def community_month(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Month]:
    """Give the month in TimescaleDB's Community edition, with fewer rows, the oldest of them in the columnstore."""
    with community_server(tmp_path_factory.mktemp("community")) as dsn:
        month = made_month("community", dsn, SMALL)
        with psycopg.connect(dsn, autocommit=True) as connection:
            for _ in range(10):
                connection.execute("SELECT depthgauge.compress_next()")
        yield month


@pytest.fixture(
    params=[
        pytest.param("plain", marks=pytest.mark.needs("postgres")),
        pytest.param("apache", marks=pytest.mark.needs("timescaledb")),
        pytest.param("community", marks=pytest.mark.needs("community")),
    ]
)
def month(request: pytest.FixtureRequest) -> Month:
    """Give a month of history, once in each of the three editions."""
    found: Month = request.getfixturevalue(f"{request.param}_month")
    return found
