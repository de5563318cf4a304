"""What the board about health and performance asks the database: servers, URLs, disks and hosts.

Several hosts may have read the same server: their rows are put together. Means come from sums and counts, percentiles from
summed histograms: neither is ever a mean of means.
"""

from typing import Final

from grafana.source.grains import PERFORMANCE, RESPONSES, Family, each, nested
from grafana.source.variables import among

OF_HOST: Final = among("host", "host")
DATABASES: Final = f"kind = 'database' AND {among('target', 'database')}"
REDIS: Final = f"kind = 'redis' AND {among('target', 'redis')}"
PROBES: Final = f"kind = 'probe' AND {among('target', 'probe')}"
DISKS: Final = f"kind = 'disk' AND {OF_HOST}"
UPTIME: Final = f"kind = 'uptime' AND {OF_HOST}"
MACHINES: Final = f"kind = 'host' AND {OF_HOST}"
RESPONDING: Final = f"({DATABASES} OR {PROBES})"

BY_TARGET: Final = "target"
BY_HOST: Final = "host"
BY_DISK: Final = "target || ' (' || host || ')'"


def highest(family: Family, column: str, chosen: str, name: str, *, lowest: bool = False) -> str:
    """Return the highest value (or the lowest) over time, a line for each name."""
    most = "min" if lowest else "max"
    rows = f"""\
SELECT <moment> AS moment, host, target, <{most}:{column}> AS value
FROM <table>
WHERE <when> AND $__timeFilter(<moment>) AND {chosen}"""
    return f"""\
SELECT $__timeGroupAlias(moment, $__interval), {name} AS metric, {most}(value) AS value
FROM (
{nested(each(family, rows))}
) AS history
WHERE value IS NOT NULL
GROUP BY 1, 2
ORDER BY 1, 2"""


def mean(family: Family, column: str, chosen: str, name: str) -> str:
    """Return the mean over time, a line for each name."""
    rows = f"""\
SELECT <moment> AS moment, host, target, <sum:{column}> AS total, <count:{column}> AS number
FROM <table>
WHERE <when> AND $__timeFilter(<moment>) AND {chosen}"""
    return f"""\
SELECT $__timeGroupAlias(moment, $__interval), {name} AS metric, sum(total)::float8 / sum(number)::float8 AS value
FROM (
{nested(each(family, rows))}
) AS history
WHERE number > 0
GROUP BY 1, 2
ORDER BY 1, 2"""


def last(family: Family, column: str, chosen: str, name: str) -> str:
    """Return the highest of the last values known: for what does not change, such as a limit. 0 is no limit."""
    rows = f"""\
SELECT <moment> AS moment, host, target, {column} AS value
FROM <table>
WHERE <when> AND $__timeFilter(<moment>) AND {chosen}"""
    return f"""\
SELECT $__timeGroupAlias(moment, $__interval), {name} || ', limit' AS metric, max(value) AS value
FROM (
{nested(each(family, rows))}
) AS history
WHERE value > 0
GROUP BY 1, 2
ORDER BY 1, 2"""


def percentiles() -> str:
    """Return the median, 95th and 99th percentile of response times, from summed histograms, columns for each target.

    Bucket n counts what is at most 0.001 * 2 ^ ((n - 1) / 4) seconds; within one, samples are taken to lie evenly, as
    ``depthgauge.histogram_quantile()`` does, which takes ten times as long for a screen full of points.
    """
    rows = f"""\
SELECT <moment> AS moment, target, response_histogram AS histogram
FROM <table>
WHERE <when> AND $__timeFilter(<moment>) AND response_histogram IS NOT NULL AND {RESPONDING}"""
    return f"""\
WITH buckets AS (
  SELECT $__timeGroup(moment, $__interval) AS bucket, target, n, cardinality(histogram) AS above, sum(samples)::float8 AS samples
  FROM (
{nested(each(RESPONSES, rows), 2)}
  ) AS history CROSS JOIN LATERAL unnest(histogram) WITH ORDINALITY AS u (samples, n)
  WHERE samples > 0
  GROUP BY 1, target, n, above
), ranks AS (
  SELECT bucket, target, n, above, samples, sum(samples) OVER upwards AS upto,
         sum(samples) OVER (PARTITION BY bucket, target) AS number,
         CASE WHEN n = 1 THEN 0 ELSE 0.001 * 2 ^ ((n - 2) / 4.0::float8) END AS low,
         0.001 * 2 ^ ((least(n, above - 1) - 1) / 4.0::float8) AS high
  FROM buckets
  WINDOW upwards AS (PARTITION BY bucket, target ORDER BY n)
), wanted AS (
  SELECT * FROM (VALUES (0.5::float8, 'median'), (0.95, 'p95'), (0.99, 'p99')) AS w (part, word)
), found AS (
  SELECT DISTINCT ON (bucket, target, part) bucket, target, word,
         low + (high - low) * (part * number - (upto - samples)) / samples AS seconds
  FROM ranks CROSS JOIN wanted
  WHERE upto >= part * number
  ORDER BY bucket, target, part, n
)
SELECT bucket AS "time", target || ', ' || word AS metric, seconds AS value
FROM found
ORDER BY bucket, 2"""


def slowest() -> str:
    """Return the longest response time, a line for each target."""
    rows = f"""\
SELECT <moment> AS moment, target, response_max AS value
FROM <table>
WHERE <when> AND $__timeFilter(<moment>) AND {RESPONDING}"""
    return f"""\
SELECT $__timeGroupAlias(moment, $__interval), target AS metric, max(value) AS value
FROM (
{nested(each(PERFORMANCE, rows))}
) AS history
WHERE value IS NOT NULL
GROUP BY 1, 2
ORDER BY 1, 2"""


def restarts() -> str:
    """Return a table of databases and hosts and when they were started last, as of the end of the range."""
    return f"""\
WITH rows AS (
  SELECT host, kind, target, recorded_at AS moment, last_restart_at, uptime_ratio
  FROM depthgauge.system_health_metrics
  WHERE recorded_at BETWEEN $__timeTo()::timestamptz - interval '5 minutes' AND $__timeTo()
    AND ({DATABASES} OR {UPTIME})
  UNION ALL
  SELECT host, kind, target, bucket, last_restart_at, uptime_ratio
  FROM depthgauge.system_health_metrics_1h
  WHERE EXISTS (SELECT FROM depthgauge.series WHERE name = 'system_health_metrics' AND dropped_before > $__timeTo())
    AND bucket BETWEEN $__timeTo()::timestamptz - interval '2 hours' AND $__timeTo() AND ({DATABASES} OR {UPTIME})
), newest AS (
  SELECT DISTINCT ON (kind, target) kind, target, last_restart_at, uptime_ratio
  FROM rows
  ORDER BY kind, target, moment DESC
)
SELECT CASE kind WHEN 'uptime' THEN 'host' ELSE kind END AS kind, target, last_restart_at, uptime_ratio
FROM newest
ORDER BY last_restart_at DESC NULLS LAST, 1, 2"""
