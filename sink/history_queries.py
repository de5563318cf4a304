"""The SQL of history's reader: four questions, the same for raw rows and for rollups, whose columns have the same names.

A minute of a host is answered by its last slot, so three of four rows are passed over by their time alone
(sink/history_records.py says which slots count). To group all rows and keep the newest of each queue takes three times as long.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, LiteralString

from depthgauge.history import Resolution

LIMITS: Final = """
SELECT
    CASE WHEN current_setting('statement_timeout') = '0' THEN set_config('statement_timeout', '10s', true) END,
    CASE WHEN current_setting('lock_timeout') = '0' THEN set_config('lock_timeout', '3s', true) END,
    CASE WHEN current_setting('idle_in_transaction_session_timeout') = '0'
        THEN set_config('idle_in_transaction_session_timeout', '30s', true) END,
    set_config('work_mem', '32MB', true),
    set_config('max_parallel_workers_per_gather', '0', true),
    set_config('jit', 'off', true),
    set_config('timezone', 'UTC', true)
"""
"""What a reading transaction gets: one core, because the database has other work, and nothing compiled, because that takes
longer than the query."""

DROPPED: Final = """
SELECT name, dropped_before FROM depthgauge.series
WHERE name IN ('worker_snapshots', 'worker_snapshots_5m', 'worker_snapshots_1h')
"""

# There is no index over names alone: each is found by looking for the next one after the last. From the start of a partition
# on, or everything in it before the range would be passed by again for each of them. The LIMIT is for the worst of all days.
_SERIES: Final = """
WITH RECURSIVE found AS (
    (
        SELECT host, redis, system, queue FROM depthgauge.<workers>
        WHERE <moment> >= %(near)s AND <moment> < %(end)s AND (%(host)s::text IS NULL OR host = %(host)s)
        ORDER BY host, redis, system, queue LIMIT 1
    )
    UNION ALL
    SELECT following.* FROM found, LATERAL (
        SELECT w.host, w.redis, w.system, w.queue FROM depthgauge.<workers> w
        WHERE (w.host, w.redis, w.system, w.queue) > (found.host, found.redis, found.system, found.queue)
          AND w.<moment> >= %(near)s AND w.<moment> < %(end)s AND (%(host)s::text IS NULL OR w.host = %(host)s)
        ORDER BY w.host, w.redis, w.system, w.queue LIMIT 1
    ) AS following
), chosen AS (
    SELECT * FROM found WHERE %(queue)s::text IS NULL OR queue = %(queue)s LIMIT 50000
), ends AS (
    SELECT c.host,
           (SELECT min(<moment>) FROM depthgauge.<workers> w
            WHERE w.host = c.host AND w.redis = c.redis AND w.system = c.system AND w.queue = c.queue
              AND <moment> >= %(start)s AND <moment> < %(end)s) AS first,
           (SELECT max(<moment>) FROM depthgauge.<workers> w
            WHERE w.host = c.host AND w.redis = c.redis AND w.system = c.system AND w.queue = c.queue
              AND <moment> >= %(start)s AND <moment> < %(end)s) AS last
    FROM chosen c
)
SELECT host, first, last FROM ends WHERE first IS NOT NULL
"""

# Hosts are few, and each has a row in every slot: also where there is no queue.
_HOSTS: Final = """
WITH RECURSIVE found AS (
    (
        SELECT host FROM depthgauge.<queues>
        WHERE <moment> >= %(near)s AND <moment> < %(end)s AND (%(host)s::text IS NULL OR host = %(host)s)
        ORDER BY host LIMIT 1
    )
    UNION ALL
    SELECT following.host FROM found, LATERAL (
        SELECT q.host FROM depthgauge.<queues> q
        WHERE q.host > found.host AND q.<moment> >= %(near)s AND q.<moment> < %(end)s
          AND (%(host)s::text IS NULL OR q.host = %(host)s)
        ORDER BY q.host LIMIT 1
    ) AS following
), ends AS (
    SELECT f.host,
           (SELECT min(<moment>) FROM depthgauge.<queues> q
            WHERE q.host = f.host AND <moment> >= %(start)s AND <moment> < %(end)s) AS first,
           (SELECT max(<moment>) FROM depthgauge.<queues> q
            WHERE q.host = f.host AND <moment> >= %(start)s AND <moment> < %(end)s) AS last
    FROM found f
)
SELECT host, first, last FROM ends WHERE first IS NOT NULL
"""

# extract() would compute with numeric, which takes five times as long; date_part() is exact to the microsecond until 2242.
_SLOTS: Final = """
SELECT host, array_agg(at), array_agg(read), array_agg(manned), array_agg(failed), array_agg(bare),
       array_agg(active_workers) FROM (
    SELECT host, (date_part('epoch', <moment>) * 1000000)::bigint AS at, pending_by_queue IS NOT NULL AS read,
           workers_by_queue IS NOT NULL AS manned, failed_by_queue IS NOT NULL AS failed,
           coalesce(pending_jobs = 0 AND pending_by_queue = '{}', false) AS bare, active_workers
    FROM depthgauge.<queues>
    WHERE <moment> >= %(start)s AND <moment> < %(end)s AND (%(host)s::text IS NULL OR host = %(host)s)
    ORDER BY host, <moment>
) AS in_order GROUP BY host ORDER BY host
"""

_ROWS: Final = """
SELECT host, redis, system, queue, array_agg((date_part('epoch', <moment>) * 1000000)::bigint),
       array_agg(workers), array_agg(pending), array_agg(processing),
       array_agg(CASE WHEN num_nonnulls(delayed, retry, blocked) > 0
                 THEN coalesce(delayed, 0) + coalesce(retry, 0) + coalesce(blocked, 0) END),
       array_agg(CASE WHEN num_nonnulls(failed, dead) > 0 THEN coalesce(failed, 0) + coalesce(dead, 0) END),
       array_agg(completed)
FROM depthgauge.<workers>
WHERE <moment> = ANY(%(moments)s::timestamptz[]) AND <moment> >= %(start)s AND <moment> < %(end)s
  AND (%(host)s::text IS NULL OR host = %(host)s) AND (%(queue)s::text IS NULL OR queue = %(queue)s)
GROUP BY host, redis, system, queue
"""


@dataclass(frozen=True, slots=True)
class Questions:
    """The statements for one resolution; all take ``start``, ``end`` (exclusive), ``host`` and ``queue`` (None for all)."""

    partition: timedelta
    """How long a time one partition or chunk holds."""
    series: LiteralString
    """Every queue of every host that has a row in the range: host, the first and the last moment. ``near`` is the start of the
    partition that holds ``start``."""
    hosts: LiteralString
    """The same of every host."""
    slots: LiteralString
    """For each host: its moments, in order, whether all backlogs, all workers and all failed jobs were read then, whether
    there was no queue at all, and active workers."""
    rows: LiteralString
    """The rows at ``moments``: host, redis, system, queue, and arrays of moments and numbers, in no order but the same."""


def _questions(workers: LiteralString, queues: LiteralString, moment: LiteralString, days: int) -> Questions:
    def of(template: LiteralString) -> LiteralString:
        return template.replace("<workers>", workers).replace("<queues>", queues).replace("<moment>", moment)

    return Questions(timedelta(days=days), of(_SERIES), of(_HOSTS), of(_SLOTS), of(_ROWS))


QUESTIONS: Final = {
    Resolution.RAW: _questions("worker_snapshots", "queue_metrics", "recorded_at", 1),
    Resolution.FIVE_MINUTES: _questions("worker_snapshots_5m", "queue_metrics_5m", "bucket", 7),
    Resolution.HOURS: _questions("worker_snapshots_1h", "queue_metrics_1h", "bucket", 28),
}
