"""Parts of snapshots that tell of health, with every number known, for tests of what is made from them."""

from datetime import datetime, timedelta
from typing import Any

from depthgauge.health import (
    Database,
    Disk,
    FailedJobs,
    Machine,
    Probe,
    Rate,
    RedisServer,
    ResponseTime,
    Statements,
)
from depthgauge.histogram import histogram_of

SLOT_SAMPLES = (0.0005, 0.001, 0.25, 0.25, 100.0)
"""Sums of these are exact in every order."""


def response(**changes: Any) -> ResponseTime:
    values: dict[str, Any] = {
        "current": 0.25,
        "avg": 0.5,
        "max": 100.0,
        "min": 0.0005,
        "p95": 0.75,
        "p99": 1.5,
        "slot": histogram_of(SLOT_SAMPLES),
        "total": histogram_of(SLOT_SAMPLES * 3),
        "failures": 4,
    }
    return ResponseTime(**{**values, **changes})


def server(seen: datetime, **changes: Any) -> RedisServer:
    values: dict[str, Any] = {
        "redis": "default",
        "run_id": "f00",
        "version": "7.0.15",
        "role": "master",
        "ping_seconds": 0.0005,
        "uptime_seconds": 3600,
        "clients": 12,
        "blocked_clients": 3,
        "max_clients": 10_000,
        "used_memory_bytes": 1_500_000,
        "max_memory_bytes": 0,
        "hits_total": 900,
        "misses_total": 100,
        "hit_ratio": 0.75,
        "evicted_total": 5,
        "expired_total": 6,
        "rejected_total": 7,
        "commands_total": 1234,
        "keys": 42,
    }
    return RedisServer(observed_at=seen, **{**values, **changes})


def database(seen: datetime, **changes: Any) -> Database:
    values: dict[str, Any] = {
        "name": "app",
        "version": "17.5",
        "started_at": seen - timedelta(hours=2),
        "in_recovery": False,
        "connections": {"active": 2, "idle": 5, "idle in transaction": 1},
        "max_connections": 100,
        "active_queries": 3,
        "slow_queries": 1,
        "longest_query_seconds": 12.5,
        "commits_total": 1000,
        "rollbacks_total": 10,
        "deadlocks_total": 1,
        "size_bytes": 7_654_321,
        "tps": Rate(current=20.5, avg=18.25, max=40.0, min=0.5),
        "response": response(),
        "statements": Statements(calls_total=5000, seconds_total=12.25, slow=2),
        "failed_jobs": (FailedJobs(redis="default", system="laravel", queue="mail", count=7, newest_at=seen),),
    }
    return Database(observed_at=seen, **{**values, **changes})


def machine(seen: datetime, **changes: Any) -> Machine:
    values: dict[str, Any] = {
        "cpus": 4,
        "cpu_ratio": 0.375,
        "load1": 1.5,
        "load5": 1.25,
        "load15": 1.0,
        "memory_total_bytes": 8 << 30,
        "memory_available_bytes": 6 << 30,
        "memory_used_bytes": 2 << 30,
        "swap_total_bytes": 1 << 30,
        "swap_used_bytes": 0,
        "boot_at": seen - timedelta(days=2),
        "uptime_seconds": 172_800.0,
        "uptime_ratio": 0.9375,
        "disks": (
            Disk(mountpoint="/", total_bytes=100 << 30, available_bytes=25 << 30, used_ratio=0.75),
            Disk(mountpoint="/var/lib", total_bytes=50 << 30, available_bytes=50 << 30, used_ratio=0.0),
        ),
    }
    return Machine(observed_at=seen, **{**values, **changes})


def probe(seen: datetime, **changes: Any) -> Probe:
    values: dict[str, Any] = {
        "name": "site",
        "up": True,
        "status": 200,
        "certificate_expires_at": seen + timedelta(days=30),
        "response": response(),
    }
    return Probe(observed_at=seen, **{**values, **changes})
