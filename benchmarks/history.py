"""``make bench``, history's part: what the API's and the dashboards' questions take over 30 days at 15 s and 20 queues.

Fills a freshly migrated database of each kind that can be had here, has upkeep make its rollups, and prints medians of the
same reader that the API uses, and of the queries of sql/queries.sql. The servers are those of the tests.
"""

from datetime import datetime, timedelta
from typing import Final

import psycopg

QUEUES: Final = 20
INTERVAL: Final = 15

_QUEUES: Final = """
INSERT INTO depthgauge.worker_snapshots (host, redis, system, queue, recorded_at, workers, registry_workers, busy_workers,
    pending, processing, delayed, retry, blocked, failed, dead, completed, oldest_job_age, avg_processing_time)
SELECT 'web-' || h, 'default', 'rq', 'queue-' || lpad(q::text, 2, '0'), at, q %% 4, 3, 1,
    (hashint4(q * 7919 + n) & 1023), n %% 5, n %% 7, 0, 0, n %% 40, 0, n::bigint * 3, (n %% 100) * 0.5, 0.25
FROM generate_series(0, %(slots)s - 1) n, generate_series(1, %(hosts)s) h, generate_series(1, %(queues)s) q,
    LATERAL (SELECT %(start)s + n * %(interval)s AS at) t
ORDER BY at, h, q
"""
_HOSTS: Final = """
INSERT INTO depthgauge.queue_metrics
SELECT 'web-' || h, at, 30, m.workers, 9000, 40, 60, 300, n::bigint * 60, m.pending, m.failed
FROM generate_series(0, %(slots)s - 1) n, generate_series(1, %(hosts)s) h,
    LATERAL (SELECT %(start)s + n * %(interval)s AS at) t,
    LATERAL (SELECT jsonb_object_agg('queue-' || lpad(q::text, 2, '0'), q %% 4) AS workers,
                    jsonb_object_agg('queue-' || lpad(q::text, 2, '0'), hashint4(q * 7919 + n) & 1023) AS pending,
                    jsonb_object_agg('queue-' || lpad(q::text, 2, '0'), n %% 40) AS failed
             FROM generate_series(1, %(queues)s) q) m
"""
_LEDGER: Final = """
INSERT INTO depthgauge.snapshots
SELECT 'web-' || h, 'bench', n, at, at, '{}'
FROM generate_series(0, %(slots)s - 1) n, generate_series(1, %(hosts)s) h,
    LATERAL (SELECT %(start)s + n * %(interval)s AS at) t
"""
_MARKS: Final = """
INSERT INTO depthgauge.dirty_buckets (rollup, bucket)
SELECT r, b FROM unnest(ARRAY['worker_snapshots_5m', 'queue_metrics_5m']) r,
    generate_series(%(start)s, %(start)s + %(slots)s * %(interval)s - interval '1 second', interval '5 minutes') b
"""


def fill(dsn: str, start: datetime, days: int, hosts: int) -> int:
    """Write days of history, roll them up; return the number of queues' rows."""
    slots = 86_400 // INTERVAL
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as connection:
        partitions = connection.execute("SELECT to_regprocedure('depthgauge.ensure_partitions(date[])') IS NOT NULL")
        if partitions.fetchone() == (True,):
            connection.execute(
                "SELECT depthgauge.ensure_partitions(%s)", ([(start + timedelta(days=n)).date() for n in range(days)],)
            )
        for day in range(days):
            given = {
                "slots": slots,
                "hosts": hosts,
                "queues": QUEUES,
                "start": start + timedelta(days=day),
                "interval": timedelta(seconds=INTERVAL),
            }
            connection.execute(_QUEUES, given)
            connection.execute(_HOSTS, given)
            connection.execute(_LEDGER, given)
            connection.execute(_MARKS, given)
        connection.execute("CALL depthgauge.maintain()")
        connection.execute("ANALYZE")
    return slots * hosts * QUEUES * days
