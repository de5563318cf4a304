"""Servers, this host and probed URLs to rows: pure, as sink/rows.py. Only parts observed in the snapshot's slot make rows."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from depthgauge.health import ResponseTime
from depthgauge.histogram import BUCKETS
from depthgauge.snapshot import Snapshot

DATABASE: Final = "database"
REDIS: Final = "redis"
DISK: Final = "disk"
UPTIME: Final = "uptime"
PROBE: Final = "probe"
HOST: Final = "host"


class HealthRow(NamedTuple):
    """A row of ``system_health_metrics``; each kind fills its own columns."""

    host: str
    kind: str
    target: str
    recorded_at: datetime
    connections: int | None = None
    max_connections: int | None = None
    response_time: float | None = None
    slow_queries: int | None = None
    hit_rate: float | None = None
    memory_used_bytes: int | None = None
    memory_max_bytes: int | None = None
    clients: int | None = None
    disk_total_bytes: int | None = None
    disk_available_bytes: int | None = None
    disk_used_ratio: float | None = None
    uptime_ratio: float | None = None
    uptime_seconds: float | None = None
    last_restart_at: datetime | None = None


class PerformanceRow(NamedTuple):
    """A row of ``performance_metrics``; each kind fills its own columns. The histogram stands last, out of the table's order."""

    host: str
    kind: str
    target: str
    recorded_at: datetime
    tps_current: float | None = None
    tps_avg: float | None = None
    tps_max: float | None = None
    tps_min: float | None = None
    response_time_avg: float | None = None
    response_time_p95: float | None = None
    response_time_p99: float | None = None
    response_count: int | None = None
    response_sum: float | None = None
    response_max: float | None = None
    active_connections: int | None = None
    active_queries: int | None = None
    cpu_ratio: float | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    response_histogram: Sequence[int] | None = None


def health_rows(snapshot: Snapshot, slot: datetime) -> Iterable[HealthRow]:
    """Give a row for each server, disk and URL, and one for this host."""
    host, fresh = snapshot.host, snapshot.is_fresh
    for database in filter(fresh, snapshot.databases):
        yield HealthRow(
            host,
            DATABASE,
            database.name,
            slot,
            # A server that was asked has a connection at least: no states are unknown ones.
            connections=sum(database.connections.values()) if database.connections else None,
            max_connections=database.max_connections,
            response_time=database.response.current,
            slow_queries=database.slow_queries,
            last_restart_at=_utc(database.started_at),
        )
    for server in filter(fresh, snapshot.redis_servers):
        yield HealthRow(
            host,
            REDIS,
            server.redis,
            slot,
            response_time=server.ping_seconds,
            hit_rate=server.hit_ratio,
            memory_used_bytes=server.used_memory_bytes,
            memory_max_bytes=server.max_memory_bytes,
            clients=server.clients,
            uptime_seconds=server.uptime_seconds,
        )
    for probe in filter(fresh, snapshot.probes):
        # The mean over a range is then the part of it in which the URL answered, as it is for a host.
        ratio = 1.0 if probe.up else 0.0
        yield HealthRow(host, PROBE, probe.name, slot, response_time=probe.response.current, uptime_ratio=ratio)
    machine = snapshot.machine
    if machine is None or not fresh(machine):
        return
    for disk in machine.disks:
        yield HealthRow(
            host,
            DISK,
            disk.mountpoint,
            slot,
            disk_total_bytes=disk.total_bytes,
            disk_available_bytes=disk.available_bytes,
            disk_used_ratio=disk.used_ratio,
        )
    yield HealthRow(
        host,
        UPTIME,
        host,
        slot,
        uptime_ratio=machine.uptime_ratio,
        uptime_seconds=machine.uptime_seconds,
        last_restart_at=_utc(machine.boot_at),
    )


def performance_rows(snapshot: Snapshot, slot: datetime) -> Iterable[PerformanceRow]:
    """Give a row for each database and URL, and one for this host; raise ValueError for a histogram of other bounds."""
    host, fresh = snapshot.host, snapshot.is_fresh
    for database in filter(fresh, snapshot.databases):
        yield _responded(PerformanceRow(host, DATABASE, database.name, slot), database.response)._replace(
            tps_current=database.tps.current,
            tps_avg=database.tps.avg,
            tps_max=database.tps.max,
            tps_min=database.tps.min,
            active_connections=database.active_connections,
            active_queries=database.active_queries,
        )
    for probe in filter(fresh, snapshot.probes):
        yield _responded(PerformanceRow(host, PROBE, probe.name, slot), probe.response)
    machine = snapshot.machine
    if machine is not None and fresh(machine):
        yield PerformanceRow(
            host,
            HOST,
            host,
            slot,
            cpu_ratio=machine.cpu_ratio,
            memory_used_bytes=machine.memory_used_bytes,
            memory_total_bytes=machine.memory_total_bytes,
        )


def _responded(row: PerformanceRow, response: ResponseTime) -> PerformanceRow:
    sampled = response.slot
    if len(sampled.buckets) != BUCKETS:
        raise ValueError(f"a histogram of {row.kind} {row.target!r} has {len(sampled.buckets)} buckets, not {BUCKETS}")
    return row._replace(
        response_time_avg=response.avg,
        response_time_p95=response.p95,
        response_time_p99=response.p99,
        response_count=sampled.count,
        response_sum=sampled.sum,
        response_max=sampled.max,
        # Nothing is added to a range by a row of zeros, which is as wide as all others together.
        response_histogram=list(sampled.buckets) if sampled.count else None,
    )


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)
