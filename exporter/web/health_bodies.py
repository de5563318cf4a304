"""From a view of the fleet to what the API says about health and performance. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from depthgauge.health import Database, Disk, Machine, Probe, Rate, RedisServer, ResponseTime
from depthgauge.parts import Part
from depthgauge.snapshot import Snapshot
from exporter.slots import EPOCH
from exporter.view import View
from exporter.web.bodies import envelope
from exporter.web.health_replies import (
    DatabaseHealth,
    DatabasePerformance,
    DiskHealth,
    Health,
    HostPerformance,
    Performance,
    ProbeHealth,
    ProbePerformance,
    RateReply,
    RedisHealth,
    ResponseTimeReply,
    SourceReply,
    UptimeHealth,
)

P = TypeVar("P", bound=Part)

_REDIS: Final = "redis_server"
_DATABASE: Final = "database"
_PROBE: Final = "probe"
_NO_REDIS: Final = RedisServer(observed_at=EPOCH, redis="")
_NO_DATABASE: Final = Database(observed_at=EPOCH, name="")


def health(view: View) -> Health:
    """Return how everything is that is no queue and no process."""
    redis = _newest(view, lambda snapshot: {part.redis: part for part in snapshot.redis_servers})
    databases = _newest(view, lambda snapshot: {part.name: part for part in snapshot.databases})
    return Health(
        **envelope(view),
        data=[
            *(_redis(host, name, part) for name, host, part in _with_lost(view, _REDIS, redis)),
            *(_database(host, name, part) for name, host, part in _with_lost(view, _DATABASE, databases)),
            *(_disk(host, disk) for host, machine in _machines(view) for disk in machine.disks),
            *(_uptime(host, machine) for host, machine in _machines(view)),
            *_probes(view),
        ],
        sources=[
            SourceReply(
                host=snapshot.host,
                kind=status.kind,
                target=status.target,
                up=status.ok,
                error=status.error,
                last_success_at=status.last_success_at,
                seconds=status.seconds,
            )
            for snapshot in view.snapshots
            for status in snapshot.sources
        ],
    )


def performance(view: View) -> Performance:
    """Return how fast and how busy everything is."""
    databases = _newest(view, lambda snapshot: {part.name: part for part in snapshot.databases})
    return Performance(
        **envelope(view),
        data=[
            *(
                DatabasePerformance(
                    host=host,
                    target=name,
                    tps=_rate(part.tps),
                    response_time=_response(part.response),
                    active_connections=part.active_connections,
                    active_queries=part.active_queries,
                )
                for name, (host, part) in sorted(databases.items())
            ),
            *(
                ProbePerformance(host=snapshot.host, target=probe.name, response_time=_response(probe.response))
                for snapshot in view.snapshots
                for probe in snapshot.probes
            ),
            *(_busy(host, machine) for host, machine in _machines(view)),
        ],
    )


def _newest(view: View, parts: Callable[[Snapshot], Mapping[str, P]]) -> Mapping[str, tuple[str, P]]:
    """Return a server that several hosts read once, by its name: the newest reading, with the host that made it."""
    found: dict[str, tuple[str, P]] = {}
    for snapshot in view.snapshots:
        for name, part in parts(snapshot).items():
            before = found.get(name)
            if before is None or part.observed_at > before[1].observed_at:
                found[name] = (snapshot.host, part)
    return found


def _with_lost(view: View, kind: str, found: Mapping[str, tuple[str, P]]) -> Sequence[tuple[str, str, P | None]]:
    """Add what somebody tried to read and nobody could."""
    each: dict[str, tuple[str, P | None]] = {**found}
    for snapshot in view.snapshots:
        for status in snapshot.sources:
            if status.kind == kind:
                each.setdefault(status.target, (snapshot.host, None))
    return [(name, host, part) for name, (host, part) in sorted(each.items())]


def _machines(view: View) -> Iterable[tuple[str, Machine]]:
    return [(snapshot.host, snapshot.machine) for snapshot in view.snapshots if snapshot.machine is not None]


def _redis(host: str, name: str, part: RedisServer | None) -> RedisHealth:
    up = part is not None
    part = part or _NO_REDIS
    return RedisHealth(
        host=host,
        target=name,
        up=up,
        version=part.version,
        role=part.role,
        ping_seconds=part.ping_seconds,
        hit_ratio=part.hit_ratio,
        clients=part.clients,
        max_clients=part.max_clients,
        blocked_clients=part.blocked_clients,
        used_memory_bytes=part.used_memory_bytes,
        max_memory_bytes=part.max_memory_bytes,
        evicted_total=part.evicted_total,
        rejected_total=part.rejected_total,
        keys=part.keys,
        uptime_seconds=part.uptime_seconds,
    )


def _database(host: str, name: str, part: Database | None) -> DatabaseHealth:
    up = part is not None
    part = part or _NO_DATABASE
    return DatabaseHealth(
        host=host,
        target=name,
        up=up,
        version=part.version,
        connections=sum(part.connections.values()) if part.connections else None,
        connections_by_state=part.connections,
        max_connections=part.max_connections,
        response_time_seconds=part.response.current,
        slow_queries=part.slow_queries,
        longest_query_seconds=part.longest_query_seconds,
        deadlocks_total=part.deadlocks_total,
        size_bytes=part.size_bytes,
        started_at=part.started_at,
        failed_jobs_error=part.failed_jobs_error,
    )


def _disk(host: str, disk: Disk) -> DiskHealth:
    return DiskHealth(
        host=host,
        target=disk.mountpoint,
        total_bytes=disk.total_bytes,
        available_bytes=disk.available_bytes,
        used_ratio=disk.used_ratio,
    )


def _uptime(host: str, machine: Machine) -> UptimeHealth:
    return UptimeHealth(
        host=host,
        target=host,
        uptime_ratio=machine.uptime_ratio,
        uptime_seconds=machine.uptime_seconds,
        last_restart_at=machine.boot_at,
    )


def _probes(view: View) -> Iterable[ProbeHealth]:
    for snapshot in view.snapshots:
        shown = {probe.name: probe for probe in snapshot.probes}
        for probe in shown.values():
            yield _probe(snapshot.host, probe)
        for status in snapshot.sources:
            if status.kind == _PROBE and status.target not in shown:
                yield ProbeHealth(
                    host=snapshot.host,
                    target=status.target,
                    up=False,
                    status=None,
                    error=status.error,
                    certificate_expires_at=None,
                )


def _probe(host: str, probe: Probe) -> ProbeHealth:
    return ProbeHealth(
        host=host,
        target=probe.name,
        up=probe.up,
        status=probe.status,
        error=probe.error,
        certificate_expires_at=probe.certificate_expires_at,
    )


def _busy(host: str, machine: Machine) -> HostPerformance:
    return HostPerformance(
        host=host,
        target=host,
        cpu_ratio=machine.cpu_ratio,
        cpus=machine.cpus,
        load1=machine.load1,
        load5=machine.load5,
        load15=machine.load15,
        memory_used_bytes=machine.memory_used_bytes,
        memory_total_bytes=machine.memory_total_bytes,
        memory_available_bytes=machine.memory_available_bytes,
        swap_used_bytes=machine.swap_used_bytes,
    )


def _rate(rate: Rate) -> RateReply:
    return RateReply(current=rate.current, avg=rate.avg, max=rate.max, min=rate.min)


def _response(response: ResponseTime) -> ResponseTimeReply:
    return ResponseTimeReply(
        current=response.current,
        avg=response.avg,
        max=response.max,
        min=response.min,
        p95=response.p95,
        p99=response.p99,
        samples=response.total.count,
        failures=response.failures,
    )
