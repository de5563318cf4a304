"""Plausible replies of the JSON API for a fleet of two hosts, as plain objects that tests change at will."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

Json: TypeAlias = dict[str, Any]

MIB: Final = 1024 * 1024
GIB: Final = 1024 * MIB
RECENT: Final = 60


def iso(at: datetime) -> str:
    """Return a time as the API writes it."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def queue(name: str, now: datetime, **fields: Any) -> Json:
    """Return one queue of ``/api/system/queues``: steady with two workers unless told."""
    waiting = fields.get("waiting", 0)
    times = [iso(now - timedelta(seconds=15 * back)) for back in reversed(range(RECENT))]
    level = [max(0, round(waiting + math.sin(index / 4 + len(name)) * waiting / 12)) for index in range(RECENT - 1)]
    return {
        "redis": "default",
        "system": "laravel",
        "queue": name,
        "waiting": 0,
        "active": 0,
        "delayed": 0,
        "retry": None,
        "blocked": None,
        "failed": 0,
        "dead": None,
        "newestFailureAt": None,
        "finished": None,
        "canceled": None,
        "oldestJobAt": None,
        "oldestJobAgeSeconds": None,
        "ageIsLowerBound": False,
        "completedTotal": None,
        "failedTotal": None,
        "processingSeconds": None,
        "throughput": None,
        "workers": 2,
        "registryWorkers": None,
        "registryWorkersBusy": None,
        "paused": None,
        "error": None,
        "trend": "steady",
        "drainSeconds": None,
        "recent": {"times": times, "waiting": [*level, waiting]},
        **fields,
    }


def process(group: str, number: int, now: datetime, **fields: Any) -> Json:
    """Return one process of ``/api/system/workers``: up since yesterday unless told."""
    uptime = 93600.0 - 31 * number
    return {
        "host": "web-1",
        "supervisor": "main",
        "group": group,
        "process": f"{group}_{number:02}",
        "state": "RUNNING",
        "stateCode": 20,
        "pid": 4100 + number,
        "startedAt": iso(now - timedelta(seconds=uptime)),
        "uptimeSeconds": uptime,
        "restarts": 0,
        "exitStatus": None,
        "spawnError": None,
        "cpuSeconds": 310.5,
        "cpuRatio": 0.11 + 0.02 * number,
        "residentMemoryBytes": (58 + 3 * number) * MIB,
        "threads": 1,
        "openFds": 14,
        "children": 0,
        "queues": [{"redis": "default", "system": "laravel", "queue": group}],
        **fields,
    }


def times(average: float, **fields: Any) -> Json:
    """Return response times around an average, in seconds."""
    return {
        "current": average,
        "avg": average,
        "max": average * 6,
        "min": average / 2,
        "p95": average * 2.1,
        "p99": average * 3.4,
        "samples": 300,
        "failures": 0,
        **fields,
    }


def health(now: datetime) -> list[Json]:
    """Return the list of ``/api/system/health``."""
    redis: Json = {
        "host": "web-1",
        "kind": "redis",
        "target": "default",
        "up": True,
        "version": "7.0.15",
        "role": "master",
        "pingSeconds": 0.00021,
        "hitRatio": 0.973,
        "clients": 41,
        "maxClients": 10000,
        "blockedClients": 9,
        "usedMemoryBytes": 310 * MIB,
        "maxMemoryBytes": 1024 * MIB,
        "evictedTotal": 0,
        "rejectedTotal": 0,
        "keys": 18213,
        "uptimeSeconds": 1641600,
    }
    database: Json = {
        "host": "web-1",
        "kind": "database",
        "target": "app",
        "up": True,
        "version": "17.2",
        "connections": 34,
        "connectionsByState": {"active": 3, "idle": 31},
        "maxConnections": 100,
        "responseTimeSeconds": 0.0011,
        "slowQueries": 1,
        "longestQuerySeconds": 4.2,
        "deadlocksTotal": 0,
        "sizeBytes": 12 * GIB,
        "startedAt": iso(now - timedelta(days=19)),
        "failedJobsError": None,
    }
    probe: Json = {
        "host": "web-1",
        "kind": "probe",
        "target": "site",
        "up": True,
        "status": 200,
        "error": None,
        "certificateExpiresAt": iso(now + timedelta(days=61)),
    }
    machines = [
        each
        for host, used in (("web-1", 0.62), ("web-2", 0.48))
        for each in (
            {"host": host, "kind": "disk", "target": "/", "totalBytes": 80 * GIB, "usedRatio": used}
            | {"availableBytes": round(80 * GIB * (1 - used))},
            {"host": host, "kind": "uptime", "target": host, "uptimeRatio": 1.0, "uptimeSeconds": 1641600}
            | {"lastRestartAt": iso(now - timedelta(days=19))},
        )
    ]
    return [redis, database, probe, *machines]


def performance() -> list[Json]:
    """Return the list of ``/api/system/performance``."""
    database: Json = {
        "host": "web-1",
        "kind": "database",
        "target": "app",
        "activeConnections": 3,
        "activeQueries": 2,
        "tps": {"current": 412.0, "avg": 388.5, "max": 640.0, "min": 203.1},
        "responseTime": times(0.0011),
    }
    probe = {"host": "web-1", "kind": "probe", "target": "site", "responseTime": times(0.084)}
    machines: list[Json] = [
        {
            "host": host,
            "kind": "host",
            "target": host,
            "cpuRatio": cpu,
            "cpus": 4,
            "load1": load,
            "load5": load,
            "load15": load * 0.9,
            "memoryUsedBytes": round(7.1 * GIB),
            "memoryTotalBytes": 16 * GIB,
            "memoryAvailableBytes": round(8.9 * GIB),
            "swapUsedBytes": 0,
        }
        for host, cpu, load in (("web-1", 0.37, 1.62), ("web-2", 0.22, 0.91))
    ]
    return [database, probe, *machines]


def sources(now: datetime) -> list[Json]:
    """Return the ``sources`` of ``/api/system/health``, all of them up."""
    wanted = [("web-1", "redis", "default"), ("web-1", "supervisor", "main"), ("web-2", "supervisor", "main")]
    return [
        {"host": host, "kind": kind, "target": target, "up": True, "error": None, "lastSuccessAt": iso(now)}
        | {"seconds": 0.0021}
        for host, kind, target in wanted
    ]


def history(start: datetime, end: datetime, step: int, *, gap: timedelta) -> list[Json]:
    """Return the records of a range: a wave of about six hours, with ``gap`` left out in its middle."""
    records: list[Json] = []
    middle = start + (end - start) / 2
    at = datetime.fromtimestamp(math.ceil(start.timestamp() / step) * step, UTC)
    while at < end:
        if not middle <= at < middle + gap:
            wave = 1 + math.sin(at.timestamp() / 3600) + 0.4 * math.sin(at.timestamp() / 431)
            records.append(
                {
                    "recorded_at": iso(at),
                    "active_workers": 14 if wave > 0.4 else 12,
                    "workers_by_queue": {},
                    "pending_jobs": round(60 * max(0, wave)),
                    "processing_jobs": round(4 + 3 * wave),
                    "delayed_jobs": 24,
                    "failed_jobs": 7 + int((at - start) / (end - start) * 5),
                    "completed_jobs": None,
                    "pending_by_queue": {},
                    "failed_by_queue": {},
                }
            )
        at += timedelta(seconds=step)
    return records
