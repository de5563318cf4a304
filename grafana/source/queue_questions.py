"""What the board about the queues' history asks the database.

A backlog is a fact about a Redis that several hosts may have read: the highest of them counts. Workers are a fact about a host:
they are added up. Over a stretch of time a backlog is its highest value, workers are their mean.
"""

from typing import Final

from grafana.source.grains import QUEUES, each, nested
from grafana.source.variables import among

CHOSEN: Final = " AND ".join(among(name, name) for name in ("host", "redis", "system", "queue"))
"""Rows of the hosts and queues chosen at the top of the board."""
NAME: Final = "coalesce(nullif(queue, ''), 'all queues') || ' (' || redis || ', ' || system || ')'"
"""A line's name; a queue system that keeps one number for all of its queues has no name for it."""

PENDING: Final = "<max:pending>"
PROCESSING: Final = "<max:processing>"
OLDEST: Final = "<max:oldest_job_age>"
# The highest sum is not the sum of the highest: of these the last value known counts in a rollup, too.
DELAYED: Final = (
    "CASE WHEN num_nonnulls(delayed, retry, blocked) > 0"
    " THEN coalesce(delayed, 0) + coalesce(retry, 0) + coalesce(blocked, 0) END"
)
FAILED: Final = "CASE WHEN num_nonnulls(failed, dead) > 0 THEN coalesce(failed, 0) + coalesce(dead, 0) END"


def backlog(value: str) -> str:
    """Return the highest value over hosts and time, a line for each queue."""
    rows = f"""\
SELECT <moment> AS moment, redis, system, queue, {value} AS value
FROM <table>
WHERE <when> AND $__timeFilter(<moment>) AND {CHOSEN}"""
    return f"""\
SELECT $__timeGroupAlias(moment, $__interval), {NAME} AS metric, max(value) AS value
FROM (
{nested(each(QUEUES, rows))}
) AS history
WHERE value IS NOT NULL
GROUP BY 1, redis, system, queue
ORDER BY 1, 2"""


def totals() -> str:
    """Return jobs of all queues by their state, a column for each."""
    rows = f"""\
SELECT <moment> AS moment, redis, system, queue, {PENDING} AS pending, {PROCESSING} AS processing,
       {DELAYED} AS delayed
FROM <table>
WHERE <when> AND $__timeFilter(<moment>) AND {CHOSEN}"""
    return f"""\
WITH queues AS (
  SELECT $__timeGroup(moment, $__interval) AS bucket, redis, system, queue,
         max(pending) AS pending, max(processing) AS processing, max(delayed) AS delayed
  FROM (
{nested(each(QUEUES, rows), 2)}
  ) AS history
  GROUP BY 1, redis, system, queue
)
SELECT bucket AS "time", sum(pending)::float8 AS waiting, sum(processing)::float8 AS processing,
       sum(delayed)::float8 AS delayed
FROM queues
GROUP BY bucket
ORDER BY bucket"""


def workers(column: str, *, of_the_redis: bool) -> str:
    """Return mean workers, a line for each queue: over hosts the sum, or the highest where a Redis tells of all of them."""
    rows = f"""\
SELECT <moment> AS moment, host, redis, system, queue, <sum:{column}> AS total, <count:{column}> AS number
FROM <table>
WHERE <when> AND $__timeFilter(<moment>) AND {CHOSEN}"""
    return f"""\
WITH hosts AS (
  SELECT $__timeGroup(moment, $__interval) AS bucket, redis, system, queue,
         sum(total)::float8 / nullif(sum(number), 0)::float8 AS mean
  FROM (
{nested(each(QUEUES, rows), 2)}
  ) AS history
  GROUP BY 1, host, redis, system, queue
)
SELECT bucket AS "time", {NAME} AS metric, {"max" if of_the_redis else "sum"}(mean) AS value
FROM hosts
WHERE mean IS NOT NULL
GROUP BY bucket, redis, system, queue
ORDER BY bucket, 2"""


def mean_of(column: str) -> str:
    """Return the mean of a column over hosts and time, a line for each queue."""
    rows = f"""\
SELECT <moment> AS moment, redis, system, queue, <sum:{column}> AS total, <count:{column}> AS number
FROM <table>
WHERE <when> AND $__timeFilter(<moment>) AND {CHOSEN}"""
    return f"""\
SELECT $__timeGroupAlias(moment, $__interval), {NAME} AS metric, sum(total)::float8 / sum(number)::float8 AS value
FROM (
{nested(each(QUEUES, rows))}
) AS history
WHERE number > 0
GROUP BY 1, redis, system, queue
ORDER BY 1, 2"""


def _steps() -> str:
    """Return the beginning of a statement: what true counters gained from the end of one point to the end of the next.

    A counter that fell had started again from 0.
    """
    rows = f"""\
SELECT <moment> AS moment, host, redis, system, queue, completed
FROM <table>
WHERE <when> AND $__timeFilter(<moment>) AND completed IS NOT NULL AND {CHOSEN}"""
    return f"""\
WITH readings AS (
  SELECT $__timeGroup(moment, $__interval) AS bucket, host, redis, system, queue,
         max(completed) AS completed, max(moment) AS moment
  FROM (
{nested(each(QUEUES, rows), 2)}
  ) AS history
  GROUP BY 1, host, redis, system, queue
), steps AS (
  SELECT bucket, redis, system, queue, host, completed, lag(completed) OVER run AS before,
         date_part('epoch', moment - lag(moment) OVER run) AS seconds
  FROM readings
  WINDOW run AS (PARTITION BY host, redis, system, queue ORDER BY moment)
)"""


_GAIN: Final = "CASE WHEN completed >= before THEN completed - before ELSE completed END"


def throughput() -> str:
    """Return jobs completed a second, a line for each queue that has a true counter."""
    return f"""\
{_steps()}
SELECT bucket AS "time", {NAME} AS metric, max(({_GAIN}) / seconds) AS value
FROM steps
WHERE seconds > 0
GROUP BY bucket, redis, system, queue
ORDER BY bucket, 2"""


def completed() -> str:
    """Return jobs completed in the whole range, a point for each queue that has a true counter."""
    return f"""\
{_steps()}, gains AS (
  SELECT redis, system, queue, sum({_GAIN})::float8 AS gain
  FROM steps
  WHERE seconds > 0
  GROUP BY host, redis, system, queue
)
SELECT $__timeTo()::timestamptz AS "time", {NAME} AS metric, max(gain) AS value
FROM gains
GROUP BY redis, system, queue
ORDER BY 3 DESC"""


_NEWEST: Final = f"""\
WITH rows AS (
  SELECT host, redis, system, queue, recorded_at AS moment, pending, processing, oldest_job_age, failed, dead,
         workers, registry_workers
  FROM depthgauge.worker_snapshots
  WHERE recorded_at BETWEEN $__timeTo()::timestamptz - interval '5 minutes' AND $__timeTo() AND {CHOSEN}
  UNION ALL
  SELECT host, redis, system, queue, bucket, pending, processing, oldest_job_age, failed, dead, workers, registry_workers
  FROM depthgauge.worker_snapshots_1h
  WHERE EXISTS (SELECT FROM depthgauge.series WHERE name = 'worker_snapshots' AND dropped_before > $__timeTo())
    AND bucket BETWEEN $__timeTo()::timestamptz - interval '2 hours' AND $__timeTo() AND {CHOSEN}
), newest AS (
  SELECT DISTINCT ON (host, redis, system, queue) *
  FROM rows
  ORDER BY host, redis, system, queue, moment DESC
), queues AS (
  SELECT {NAME} AS name, max(pending) AS waiting, max(processing) AS processing, max(oldest_job_age) AS oldest,
         max({FAILED}) AS failed, sum(workers)::bigint AS workers, max(registry_workers) AS registered
  FROM newest
  GROUP BY redis, system, queue
)"""
"""The newest row of every queue, as of the end of the range: hosts put together."""


def late_queues() -> str:
    """Return a table of the queues as they were at the end of the range, the latest first."""
    return f"""\
{_NEWEST}
SELECT name, oldest, waiting, processing, workers, registered, failed
FROM queues
ORDER BY oldest DESC NULLS LAST, waiting DESC NULLS LAST, name"""


def latest_queue() -> str:
    """Return the age of the oldest job at the end of the range, and whose it is."""
    return f"""\
{_NEWEST}
SELECT $__timeTo()::timestamptz AS "time", name AS metric, oldest AS value
FROM queues
WHERE oldest IS NOT NULL
ORDER BY oldest DESC
LIMIT 1"""


def total(column: str) -> str:
    """Return one number, over all queues, as of the end of the range: a column of the table of late queues."""
    return f"""\
{_NEWEST}
SELECT sum({column})::float8 AS value
FROM queues"""
