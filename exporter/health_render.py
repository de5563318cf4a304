"""Servers, this host and probed URLs to lines: pure but for the prefixes kept and whom the budgets admitted."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Final, Generic, TypeAlias, TypeVar

from depthgauge.backlogs import QueueKey, newest_failures
from depthgauge.exposition import Metric, line_end, number, prefix
from depthgauge.health import Database, Disk, Machine, Probe, RedisServer, ResponseTime
from depthgauge.histogram import BOUNDS
from depthgauge.parts import Part
from depthgauge.snapshot import Snapshot
from exporter import health_metrics as metrics
from exporter.budget import Budget, Needs
from exporter.lines import Lines, add_entities, needs
from exporter.metrics import NEWEST_FAILURE
from exporter.series import Prefixes, Series, moment_of, value_of

K = TypeVar("K")
T = TypeVar("T")

EVERY: Final = 4
"""Every fourth bound of a histogram is shown: a doubling between two of them, 1 ms to 65.5 s."""
_BOUNDS: Final = tuple(number(bound) for bound in BOUNDS[::EVERY])
_STATES: Final = 10
"""States that connections may be in (pg_stat_activity), and one to spare."""
_PER_HISTOGRAM: Final = len(_BOUNDS) + 3
"""Lines of one: the last bucket, the count and the sum too."""

Sample: TypeAlias = tuple[Metric, str, float]
"""The family, the line up to its value, the value."""


def _redis_start(part: RedisServer) -> float | None:
    if part.uptime_seconds is None:
        return None
    return (part.observed_at - timedelta(seconds=part.uptime_seconds)).timestamp()


def _statements(name: str) -> Callable[[Database], float | None]:
    return lambda part: None if part.statements is None else getattr(part.statements, name)


REDIS_SERIES: Final[tuple[Series[RedisServer], ...]] = (
    Series(metrics.REDIS_PING, {}, value_of("ping_seconds")),
    Series(metrics.REDIS_START, {}, _redis_start),
    Series(metrics.REDIS_CLIENTS, {}, value_of("clients")),
    Series(metrics.REDIS_BLOCKED, {}, value_of("blocked_clients")),
    Series(metrics.REDIS_MAX_CLIENTS, {}, value_of("max_clients")),
    Series(metrics.REDIS_MEMORY, {}, value_of("used_memory_bytes")),
    Series(metrics.REDIS_MAX_MEMORY, {}, value_of("max_memory_bytes")),
    Series(metrics.REDIS_HITS, {}, value_of("hits_total")),
    Series(metrics.REDIS_MISSES, {}, value_of("misses_total")),
    Series(metrics.REDIS_HIT_RATIO, {}, value_of("hit_ratio")),
    Series(metrics.REDIS_EVICTED, {}, value_of("evicted_total")),
    Series(metrics.REDIS_EXPIRED, {}, value_of("expired_total")),
    Series(metrics.REDIS_REJECTED, {}, value_of("rejected_total")),
    Series(metrics.REDIS_COMMANDS, {}, value_of("commands_total")),
    Series(metrics.REDIS_KEYS, {}, value_of("keys")),
)
DATABASE_SERIES: Final[tuple[Series[Database], ...]] = (
    Series(metrics.POSTGRES_START, {}, lambda part: moment_of(part.started_at)),
    Series(metrics.POSTGRES_RECOVERY, {}, value_of("in_recovery")),
    Series(metrics.POSTGRES_MAX_CONNECTIONS, {}, value_of("max_connections")),
    Series(metrics.POSTGRES_ACTIVE, {}, value_of("active_queries")),
    Series(metrics.POSTGRES_SLOW, {}, value_of("slow_queries")),
    Series(metrics.POSTGRES_LONGEST, {}, value_of("longest_query_seconds")),
    Series(metrics.POSTGRES_TRANSACTIONS, {"outcome": "commit"}, value_of("commits_total")),
    Series(metrics.POSTGRES_TRANSACTIONS, {"outcome": "rollback"}, value_of("rollbacks_total")),
    Series(metrics.POSTGRES_DEADLOCKS, {}, value_of("deadlocks_total")),
    Series(metrics.POSTGRES_SIZE, {}, value_of("size_bytes")),
    Series(metrics.POSTGRES_FAILURES, {}, value_of("response.failures")),
    Series(metrics.POSTGRES_CALLS, {}, _statements("calls_total")),
    Series(metrics.POSTGRES_SECONDS, {}, _statements("seconds_total")),
    Series(metrics.POSTGRES_SLOW_STATEMENTS, {}, _statements("slow")),
)
FAILURE_SERIES: Final[tuple[Series[datetime], ...]] = (Series(NEWEST_FAILURE, {}, moment_of),)
MACHINE_SERIES: Final[tuple[Series[Machine], ...]] = (
    Series(metrics.HOST_CPUS, {}, value_of("cpus")),
    Series(metrics.HOST_CPU, {}, value_of("cpu_ratio")),
    Series(metrics.HOST_LOAD1, {}, value_of("load1")),
    Series(metrics.HOST_LOAD5, {}, value_of("load5")),
    Series(metrics.HOST_LOAD15, {}, value_of("load15")),
    Series(metrics.HOST_MEMORY_TOTAL, {}, value_of("memory_total_bytes")),
    Series(metrics.HOST_MEMORY_AVAILABLE, {}, value_of("memory_available_bytes")),
    Series(metrics.HOST_MEMORY_USED, {}, value_of("memory_used_bytes")),
    Series(metrics.HOST_SWAP_TOTAL, {}, value_of("swap_total_bytes")),
    Series(metrics.HOST_SWAP_USED, {}, value_of("swap_used_bytes")),
    Series(metrics.HOST_BOOT, {}, lambda part: moment_of(part.boot_at)),
    Series(metrics.HOST_UPTIME_RATIO, {}, value_of("uptime_ratio")),
)
DISK_SERIES: Final[tuple[Series[Disk], ...]] = (
    Series(metrics.DISK_TOTAL, {}, value_of("total_bytes")),
    Series(metrics.DISK_AVAILABLE, {}, value_of("available_bytes")),
    Series(metrics.DISK_USED, {}, value_of("used_ratio")),
)
PROBE_SERIES: Final[tuple[Series[Probe], ...]] = (
    Series(metrics.PROBE_STATUS, {}, value_of("status")),
    Series(metrics.PROBE_FAILURES, {}, value_of("response.failures")),
    Series(metrics.PROBE_CERTIFICATE, {}, lambda part: moment_of(part.certificate_expires_at)),
)


class _Entities(Generic[K, T]):
    """All entities of one kind: their series, and the samples of those whose labels are not known beforehand."""

    def __init__(
        self,
        series: tuple[Series[T], ...],
        labels: Callable[[K], Mapping[str, str]],
        more: Callable[[K, T], Sequence[Sample]] = lambda _key, _entity: (),
        *,
        budget: int,
        most: int = 2,
    ) -> None:
        self._series = series
        self._more = more
        self._prefixes = Prefixes[K, T](series, labels)
        self._budget = Budget[K](budget, configured=lambda _: False, most=most)

    def add(self, lines: Lines, entities: Mapping[K, T]) -> Counter[str]:
        """Add what the budget admits; return how many series are left out, by family."""
        shown, over = self._budget.admit(tuple(entities), lambda key: self._needs(key, entities[key]))
        add_entities(lines, self._series, self._prefixes, ((key, entities[key]) for key in shown))
        for key in shown:
            for metric, line, value in self._more(key, entities[key]):
                lines[metric.name].append(line + line_end(value))
        return over

    def _needs(self, key: K, entity: T) -> Needs:
        return Counter(needs(self._series, entity)) + Counter(metric.name for metric, _, _ in self._more(key, entity))


class HealthRenderer:
    """Renders the parts of one exporter's snapshots that tell of health. Not for several threads at once."""

    def __init__(self, budget: int) -> None:
        self._servers = _Entities[str, RedisServer](REDIS_SERIES, _target, _more_of_redis, budget=budget)
        self._databases = _Entities[str, Database](
            DATABASE_SERIES, _target, _more_of_database, budget=budget, most=max(_PER_HISTOGRAM, _STATES)
        )
        self._failures = _Entities[QueueKey, datetime](
            FAILURE_SERIES, lambda key: dict(zip(("redis", "system", "queue"), key, strict=True)), budget=budget
        )
        self._machines = _Entities[str, Machine](MACHINE_SERIES, _target, budget=budget)
        self._disks = _Entities[tuple[str, str], Disk](
            DISK_SERIES, lambda key: {"target": key[0], "mountpoint": key[1]}, budget=budget
        )
        self._probes = _Entities[str, Probe](PROBE_SERIES, _target, _more_of_probe, budget=budget, most=_PER_HISTOGRAM)

    def add(self, lines: Lines, snapshot: Snapshot, is_shown: Callable[[Part], bool]) -> Counter[str]:
        """Add the samples of the parts that are shown; return how many series are left out, by family."""
        machine = snapshot.machine if snapshot.machine is not None and is_shown(snapshot.machine) else None
        over = self._servers.add(lines, {part.redis: part for part in snapshot.redis_servers if is_shown(part)})
        over += self._databases.add(lines, {part.name: part for part in snapshot.databases if is_shown(part)})
        over += self._failures.add(lines, newest_failures(snapshot, is_shown))
        over += self._machines.add(lines, {} if machine is None else {snapshot.host: machine})
        disks = () if machine is None else machine.disks
        over += self._disks.add(lines, {(snapshot.host, disk.mountpoint): disk for disk in disks})
        over += self._probes.add(lines, {part.name: part for part in snapshot.probes if is_shown(part)})
        return over


def _target(name: str) -> Mapping[str, str]:
    return {"target": name}


def _more_of_redis(name: str, part: RedisServer) -> Sequence[Sample]:
    labels = {"target": name, "version": part.version or "", "role": part.role or ""}
    return ((metrics.REDIS_INFO, metrics.REDIS_INFO.prefix(labels), 1),)


def _more_of_database(name: str, part: Database) -> Sequence[Sample]:
    info, connections = metrics.POSTGRES_INFO, metrics.POSTGRES_CONNECTIONS
    return (
        (info, info.prefix({"target": name, "version": part.version or ""}), 1),
        *(
            (connections, connections.prefix({"target": name, "state": state}), count)
            for state, count in sorted(part.connections.items())
        ),
        *_histogram(metrics.POSTGRES_RESPONSE, name, part.response),
    )


def _more_of_probe(name: str, part: Probe) -> Sequence[Sample]:
    return tuple(_histogram(metrics.PROBE_RESPONSE, name, part.response))


def _histogram(metric: Metric, target: str, response: ResponseTime) -> Iterator[Sample]:
    """Give all samples since the exporter started, in the order in which the library writes them."""
    total, labels = response.total, {"target": target}
    upto = tuple(accumulate(total.buckets))
    for bound, count in zip(_BOUNDS, upto[::EVERY], strict=True):
        yield metric, prefix(f"{metric.name}_bucket", {**labels, "le": bound}), count
    yield metric, prefix(f"{metric.name}_bucket", {**labels, "le": "+Inf"}), total.count
    yield metric, prefix(f"{metric.name}_count", labels), total.count
    yield metric, prefix(f"{metric.name}_sum", labels), total.sum
