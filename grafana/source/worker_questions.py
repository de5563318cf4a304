"""What the board about the workers' history asks the database: processes, their events, and whom they serve.

Rows of processes are kept for a week and written once a minute; events of processes are kept for half a year. So what can be
told by events is told by them, and a long range costs no more than a short one.
"""

from typing import Final

from grafana.source.grains import HOSTS, each, nested
from grafana.source.queue_questions import CHOSEN as OF_QUEUES
from grafana.source.variables import among

OF_HOST: Final = among("host", "host")
CHOSEN: Final = " AND ".join(among(name, name) for name in ("host", "supervisor", "process"))
"""Rows of the processes chosen at the top of the board."""
KEY: Final = "host, supervisor, process_group, process"
PROCESS: Final = "CASE WHEN process_group = process THEN process ELSE process_group || ':' || process END"
"""A process as supervisorctl names it."""
NAME: Final = f"{PROCESS} || ' (' || host || ', ' || supervisor || ')'"
"""A line's name."""
STATE: Final = (
    "CASE {column} WHEN 0 THEN 'STOPPED' WHEN 10 THEN 'STARTING' WHEN 20 THEN 'RUNNING' WHEN 30 THEN 'BACKOFF'"
    " WHEN 40 THEN 'STOPPING' WHEN 100 THEN 'EXITED' WHEN 200 THEN 'FATAL' WHEN 1000 THEN 'UNKNOWN'"
    " ELSE {column}::text END"
)
"""A state's name; put the column in."""
UNEXPECTED: Final = "(expected IS FALSE OR to_state = 200)"
"""Events that nobody wanted: an exit status that is none of the program's exitcodes, or FATAL."""

MARKS: Final = 500
"""More annotations than so many cannot be told apart."""

_SAMPLED: Final = "date_part('epoch', recorded_at)::bigint % greatest($__interval_ms / 1000, 60) < 60"
"""The first minute of every point: a week of all rows would take long, and a row a point is what is drawn."""

_NEWEST: Final = f"""\
newest AS (
  SELECT DISTINCT ON ({KEY}) {KEY}, recorded_at, state, started_at, exit_status, rss_bytes, spawn_error
  FROM depthgauge.process_snapshots
  WHERE recorded_at BETWEEN $__timeTo()::timestamptz - interval '5 minutes' AND $__timeTo() AND {CHOSEN}
  ORDER BY {KEY}, recorded_at DESC
)"""
"""The newest row of every process, as of the end of the range: one is written every minute."""

_EVENTS: Final = f"""\
events AS (
  SELECT {KEY}, occurred_at AS moment, event_no, from_state, to_state
  FROM depthgauge.process_events
  WHERE $__timeFilter(occurred_at) AND {CHOSEN}
)"""


def states() -> str:
    """Return the state of every process over time, by supervisord's codes: the first one known, then every change.

    Where rows of processes are gone already, the first event tells what was before it.
    """
    return f"""\
WITH {_EVENTS}, {_NEWEST}, processes AS (
  SELECT {KEY} FROM newest UNION SELECT {KEY} FROM events
), firsts AS (
  SELECT p.host, p.supervisor, p.process_group, p.process, s.recorded_at AS moment, s.state
  FROM processes p CROSS JOIN LATERAL (
    SELECT r.recorded_at, r.state
    FROM depthgauge.process_snapshots r
    WHERE r.host = p.host AND r.supervisor = p.supervisor AND r.process_group = p.process_group
      AND r.process = p.process AND $__timeFilter(r.recorded_at)
    ORDER BY r.recorded_at LIMIT 1
  ) s
), before AS (
  SELECT DISTINCT ON ({KEY}) {KEY}, moment, from_state
  FROM events
  ORDER BY {KEY}, moment, event_no
), known AS (
  SELECT {KEY}, moment, -1 AS number, state FROM firsts
  UNION ALL
  SELECT {KEY}, $__timeFrom()::timestamptz, -2, from_state
  FROM before b
  WHERE from_state IS NOT NULL AND NOT EXISTS (
    SELECT FROM firsts f
    WHERE (f.host, f.supervisor, f.process_group, f.process) = (b.host, b.supervisor, b.process_group, b.process)
      AND f.moment <= b.moment
  )
  UNION ALL
  SELECT {KEY}, moment, event_no, to_state FROM events
)
SELECT moment AS "time", {NAME} AS metric, (array_agg(state ORDER BY number DESC))[1]::float8 AS value
FROM known
GROUP BY moment, {KEY}
ORDER BY moment, 2"""


def running() -> str:
    """Return how many processes are RUNNING at the end of the range, and how many are BACKOFF, FATAL or UNKNOWN."""
    return f"""\
WITH {_NEWEST}
SELECT count(*) FILTER (WHERE state = 20) AS "running", count(*) FILTER (WHERE state IN (30, 200, 1000)) AS "in trouble",
       count(*) FILTER (WHERE state IN (0, 10, 40, 100)) AS "stopped or on their way"
FROM newest
HAVING count(*) > 0"""


def event_counts() -> str:
    """Return how many starts and unexpected events there were in the range."""
    return f"""\
SELECT count(*) FILTER (WHERE to_state = 20) AS "starts", count(*) FILTER (WHERE {UNEXPECTED}) AS "unexpected exits, FATAL"
FROM depthgauge.process_events
WHERE $__timeFilter(occurred_at) AND {CHOSEN}"""


def starts() -> str:
    """Return how many times each process was started, over time."""
    return f"""\
SELECT $__timeGroupAlias(occurred_at, $__interval), {NAME} AS metric, count(*) AS value
FROM depthgauge.process_events
WHERE $__timeFilter(occurred_at) AND to_state = 20 AND {CHOSEN}
GROUP BY 1, {KEY}
ORDER BY 1, 2"""


def events() -> str:
    """Return a table of what happened, the newest first."""
    return f"""\
SELECT occurred_at, host, {PROCESS} AS name, {STATE.format(column="from_state")} AS before,
       {STATE.format(column="to_state")} AS after, exit_status,
       CASE WHEN expected THEN 'yes' WHEN NOT expected THEN 'no' END AS expected, source, detail
FROM depthgauge.process_events
WHERE $__timeFilter(occurred_at) AND to_state NOT IN (10, 40) AND {CHOSEN}
ORDER BY occurred_at DESC, event_no DESC
LIMIT 200"""


def memory() -> str:
    """Return the resident memory of every process at the beginning of each point."""
    return f"""\
SELECT $__timeGroupAlias(recorded_at, $__interval), {NAME} AS metric, max(rss_bytes) AS value
FROM depthgauge.process_snapshots
WHERE $__timeFilter(recorded_at) AND {_SAMPLED} AND rss_bytes IS NOT NULL AND {CHOSEN}
GROUP BY 1, {KEY}
ORDER BY 1, 2"""


def cpu() -> str:
    """Return CPU seconds a second of every process: from the beginning of one point to that of the next.

    What fell belongs to another run, which started from 0.
    """
    return f"""\
WITH readings AS (
  SELECT $__timeGroup(recorded_at, $__interval) AS bucket, {KEY}, max(recorded_at) AS moment, max(cpu_seconds) AS used
  FROM depthgauge.process_snapshots
  WHERE $__timeFilter(recorded_at) AND {_SAMPLED} AND cpu_seconds IS NOT NULL AND {CHOSEN}
  GROUP BY 1, {KEY}
), steps AS (
  SELECT bucket, {KEY}, used, lag(used) OVER run AS before, date_part('epoch', moment - lag(moment) OVER run) AS seconds
  FROM readings
  WINDOW run AS (PARTITION BY {KEY} ORDER BY moment)
)
SELECT bucket AS "time", {NAME} AS metric, (CASE WHEN used >= before THEN used - before ELSE used END) / seconds AS value
FROM steps
WHERE seconds > 0
ORDER BY bucket, 2"""


def active_workers() -> str:
    """Return worker processes, each once whatever the number of its queues, a line for each host: their mean."""
    rows = f"""\
SELECT <moment> AS moment, host, <sum:active_workers> AS total, <count:active_workers> AS number
FROM <table>
WHERE <when> AND $__timeFilter(<moment>) AND {OF_HOST}"""
    return f"""\
SELECT $__timeGroupAlias(moment, $__interval), host AS metric, sum(total)::float8 / sum(number)::float8 AS value
FROM (
{nested(each(HOSTS, rows))}
) AS history
WHERE number > 0
GROUP BY 1, host
ORDER BY 1, 2"""


def by_day() -> str:
    """Return mean workers of each queue by day (UTC): of every host the mean, and over hosts the sum."""
    return f"""\
WITH hosts AS (
  SELECT $__timeGroup(bucket, '1d') AS day, queue, redis, system,
         sum(workers_sum)::float8 / nullif(sum(workers_count), 0)::float8 AS mean
  FROM depthgauge.worker_snapshots_1h
  WHERE $__timeFilter(bucket) AND {OF_QUEUES}
  GROUP BY 1, host, redis, system, queue
)
SELECT day AS "time", coalesce(nullif(queue, ''), 'all queues') || ' (' || redis || ', ' || system || ')' AS metric,
       sum(mean) AS value
FROM hosts
WHERE mean IS NOT NULL
GROUP BY day, redis, system, queue
ORDER BY day, 2"""


def reports() -> str:
    """Return snapshots a minute of every host: where a line falls, less is known than the other panels show."""
    rows = f"""\
SELECT <moment> AS moment, host, <samples> AS samples, <width> AS width
FROM <table>
WHERE <when> AND $__timeFilter(<moment>) AND {OF_HOST}"""
    return f"""\
SELECT $__timeGroupAlias(moment, $__interval), host AS metric,
       sum(samples)::float8 * 60 / greatest($__interval_ms / 1000.0, max(width))::float8 AS value
FROM (
{nested(each(HOSTS, rows))}
) AS history
GROUP BY 1, host
ORDER BY 1, 2"""


def marks() -> str:
    """Return unexpected exits and FATAL as annotations: of all processes of the hosts chosen, whatever the board shows.

    Of very many the newest.
    """
    return f"""\
WITH newest AS (
  SELECT {KEY}, occurred_at, to_state, exit_status, detail
  FROM depthgauge.process_events
  WHERE $__timeFilter(occurred_at) AND {UNEXPECTED} AND {OF_HOST}
  ORDER BY occurred_at DESC
  LIMIT {MARKS}
)
SELECT occurred_at AS "time", {NAME} || ': ' || {STATE.format(column="to_state")}
         || coalesce(', exit status ' || exit_status, '') || coalesce(', ' || detail, '') AS text,
       'depthgauge,' || host AS tags
FROM newest
ORDER BY occurred_at"""
