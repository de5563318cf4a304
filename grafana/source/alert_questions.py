"""What Grafana's own alert rules ask the database: a table with a number for each thing that may be in trouble.

Everything that can be told about has a row, also while all is well: then an alert resolves because its number fell, and not
because its row has gone. ``$__timeTo()`` is the moment of the evaluation.
"""

from typing import Final

_FRESH: Final = "$__timeTo()::timestamptz - interval '2 minutes'"
"""What is older than this is not known any more: for an interval of a minute at the most."""


def wait() -> str:
    """Return for how many seconds the next job of each queue has been waiting."""
    return f"""\
WITH newest AS (
  SELECT DISTINCT ON (host, redis, system, queue) redis, system, queue, pending, oldest_job_age
  FROM depthgauge.worker_snapshots
  WHERE $__timeFilter(recorded_at) AND recorded_at >= {_FRESH} AND pending IS NOT NULL
  ORDER BY host, redis, system, queue, recorded_at DESC
)
SELECT redis, system, queue, coalesce(max(oldest_job_age) FILTER (WHERE pending > 0), 0)::float8 AS value
FROM newest
GROUP BY redis, system, queue"""


def unserved() -> str:
    """Return how many jobs wait in each queue that no worker serves; 0 where somebody does, or nobody knows.

    A host's workers are the last ones known within the hour: where there were some, and their supervisor cannot be read now, they
    are not taken to be gone. A registry is the same whoever reads it: what is told of it now counts, or what was told last.
    """
    return f"""\
WITH hosts AS (
  SELECT host, redis, system, queue, max(pending) FILTER (WHERE recorded_at >= {_FRESH}) AS waiting,
         (array_agg(workers ORDER BY recorded_at DESC) FILTER (WHERE workers IS NOT NULL))[1] AS workers,
         (array_agg(registry_workers ORDER BY recorded_at DESC) FILTER (WHERE registry_workers IS NOT NULL))[1] AS registered,
         max(recorded_at) FILTER (WHERE registry_workers IS NOT NULL) AS registered_at
  FROM depthgauge.worker_snapshots
  WHERE $__timeFilter(recorded_at)
  GROUP BY host, redis, system, queue
), queues AS (
  SELECT redis, system, queue, max(waiting) AS waiting, bool_or(num_nonnulls(workers, registered) > 0) AS known,
         coalesce(sum(workers), 0) + coalesce(
           max(registered) FILTER (WHERE registered_at >= {_FRESH}),
           (array_agg(registered ORDER BY registered_at DESC NULLS LAST))[1],
           0
         ) AS workers
  FROM hosts
  GROUP BY redis, system, queue
)
SELECT redis, system, queue, (CASE WHEN known AND workers = 0 THEN coalesce(waiting, 0) ELSE 0 END)::float8 AS value
FROM queues"""


def failures() -> str:
    """Return how many more failed jobs each queue keeps than at its fewest within the range."""
    return f"""\
WITH slots AS (
  SELECT redis, system, queue, recorded_at, max(coalesce(failed, 0) + coalesce(dead, 0)) AS kept
  FROM depthgauge.worker_snapshots
  WHERE $__timeFilter(recorded_at) AND num_nonnulls(failed, dead) > 0
  GROUP BY redis, system, queue, recorded_at
)
SELECT redis, system, queue, (CASE WHEN max(recorded_at) >= {_FRESH}
         THEN (array_agg(kept ORDER BY recorded_at DESC))[1] - min(kept) ELSE 0 END)::float8 AS value
FROM slots
GROUP BY redis, system, queue"""


def fatal() -> str:
    """Return 1 for each process that is FATAL, 0 for the others."""
    return f"""\
WITH newest AS (
  SELECT DISTINCT ON (host, supervisor, process_group, process) host, supervisor, process_group, process, state
  FROM depthgauge.process_snapshots
  WHERE $__timeFilter(recorded_at) AND recorded_at >= {_FRESH}
  ORDER BY host, supervisor, process_group, process, recorded_at DESC
)
SELECT host, supervisor, process_group, process, (state = 200)::integer::float8 AS value
FROM newest"""


def crashes() -> str:
    """Return how often each process was started within the range; those that had no event have no row.

    A listener tells STARTING of every attempt, also of those that end in BACKOFF, and RUNNING of those that succeed. Readings
    alone rarely see STARTING. Whichever are more, so that nothing counts twice.
    """
    return """\
SELECT host, supervisor, process_group, process,
       greatest(count(*) FILTER (WHERE to_state = 10), count(*) FILTER (WHERE to_state = 20))::float8 AS value
FROM depthgauge.process_events
WHERE $__timeFilter(occurred_at)
GROUP BY host, supervisor, process_group, process"""


def silence() -> str:
    """Return for how many seconds nothing has come from each host that sent something within the range."""
    return """\
SELECT host, date_part('epoch', $__timeTo()::timestamptz - max(recorded_at)) AS value
FROM depthgauge.queue_metrics
WHERE $__timeFilter(recorded_at)
GROUP BY host"""


def unread() -> str:
    """Return for how many seconds each server and URL has not been read, as of the newest snapshot there is."""
    return """\
SELECT kind, target, date_part('epoch', (
         SELECT max(recorded_at) FROM depthgauge.queue_metrics WHERE $__timeFilter(recorded_at)
       ) - max(recorded_at)) AS value
FROM depthgauge.system_health_metrics
WHERE $__timeFilter(recorded_at) AND kind IN ('database', 'redis', 'probe')
GROUP BY kind, target"""


def unanswered() -> str:
    """Return the part of the newest attempts of each host that got no answer from each URL."""
    return f"""\
SELECT DISTINCT ON (host, target) host, target, 1 - uptime_ratio AS value
FROM depthgauge.system_health_metrics
WHERE $__timeFilter(recorded_at) AND recorded_at >= {_FRESH} AND kind = 'probe' AND uptime_ratio IS NOT NULL
ORDER BY host, target, recorded_at DESC"""


def connections() -> str:
    """Return the part of the connections of each database that is taken now, as that host tells who sees most."""
    return f"""\
WITH newest AS (
  SELECT DISTINCT ON (host, target) host, target, connections::float8 / max_connections AS taken
  FROM depthgauge.system_health_metrics
  WHERE $__timeFilter(recorded_at) AND recorded_at >= {_FRESH} AND kind = 'database'
    AND connections IS NOT NULL AND max_connections > 0
  ORDER BY host, target, recorded_at DESC
)
SELECT target, max(taken) AS value
FROM newest
GROUP BY target"""


def full_disks() -> str:
    """Return how full each disk is."""
    return """\
SELECT DISTINCT ON (host, target) host, target, disk_used_ratio AS value
FROM depthgauge.system_health_metrics
WHERE $__timeFilter(recorded_at) AND kind = 'disk' AND disk_used_ratio IS NOT NULL
ORDER BY host, target, recorded_at DESC"""


def lost() -> str:
    """Return how many snapshots of each host are missing from the ledger for good, and nobody has told why."""
    return """\
SELECT host, sum(snapshots - dropped)::float8 AS value
FROM depthgauge.find_gaps($__timeFrom()::timestamptz)
WHERE state = 'lost'
GROUP BY host"""


def dropped() -> str:
    """Return how many snapshots each host's exporter had to drop, as was told within the last hour."""
    return """\
SELECT host, sum(dropped)::float8 AS value
FROM depthgauge.find_gaps($__timeFrom()::timestamptz)
WHERE dropped > 0 AND after_at >= $__timeTo()::timestamptz - interval '1 hour'
GROUP BY host"""


def upkeep() -> str:
    """Return for how many seconds upkeep has not come to its end."""
    return """\
SELECT date_part('epoch', $__timeTo()::timestamptz - max(finished_at)) AS value
FROM depthgauge.maintenance
WHERE step = 'all'
HAVING count(*) > 0"""
