"""The choices at the top of the boards over the database, out of what the range holds.

Names come from rollups by hour, which are small; a bucket that began before the range belongs to it, too. What is found at the
end of the range is looked up in raw rows besides, so that a new installation has choices before its first hour is rolled up.
"""

from typing import Final

from grafana.source.variables import Variable, sql_values

_QUEUE: Final = "coalesce(nullif(queue, ''), '(all queues)') AS __text, queue AS __value"
"""A queue system that keeps one number for all of its queues has no name for it."""
_HOURS: Final = "bucket >= $__timeFrom()::timestamptz - interval '1 hour' AND bucket <= $__timeTo()"
_END: Final = "recorded_at BETWEEN $__timeTo()::timestamptz - interval '{span}' AND $__timeTo()"


def _of(column: str, hours: str, raw: str, *, kind: str | None = None) -> str:
    of_kind = f" AND kind = '{kind}'" if kind is not None else ""
    end = _END.format(span="10 minutes")
    return (
        f"SELECT {column} FROM depthgauge.{hours} WHERE {_HOURS}{of_kind}"
        f" UNION SELECT {column} FROM depthgauge.{raw} WHERE {end}{of_kind} ORDER BY 1"
    )


def _of_processes(column: str) -> str:
    return (
        f"SELECT {column} FROM depthgauge.process_events WHERE $__timeFilter(occurred_at)"
        f" UNION SELECT {column} FROM depthgauge.process_snapshots WHERE {_END.format(span='10 minutes')} ORDER BY 1"
    )


def hosts() -> Variable:
    """Return the hosts that recorded something."""
    return sql_values("host", "Host", _of("host", "queue_metrics_1h", "queue_metrics"))


def queues() -> tuple[Variable, ...]:
    """Return Redis servers, queue systems and queues."""
    return tuple(
        sql_values(name, label, _of(column, "worker_snapshots_1h", "worker_snapshots"))
        for name, label, column in (
            ("redis", "Redis", "redis"),
            ("system", "System", "system"),
            ("queue", "Queue", _QUEUE),
        )
    )


def processes() -> tuple[Variable, ...]:
    """Return supervisors and processes."""
    return tuple(
        sql_values(name, label, _of_processes(name))
        for name, label in (("supervisor", "Supervisor"), ("process", "Process"))
    )


def targets() -> tuple[Variable, ...]:
    """Return databases, Redis servers and URLs."""
    return tuple(
        sql_values(kind, label, _of("target", "system_health_metrics_1h", "system_health_metrics", kind=kind))
        for kind, label in (("database", "Database"), ("redis", "Redis"), ("probe", "URL"))
    )
