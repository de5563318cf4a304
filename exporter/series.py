"""Which series an entity has: for each of a process and of a queue, the metric, the extra labels and the value."""

from collections.abc import Callable, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Final, Generic, NamedTuple, TypeVar

from depthgauge.exposition import Metric
from depthgauge.snapshot import Process, ProcessState, Queue
from exporter import metrics

T = TypeVar("T")
K = TypeVar("K")


class Series(NamedTuple, Generic[T]):
    """One series of an entity; a value of None is no sample."""

    metric: Metric
    extra: Mapping[str, str]
    value: Callable[[T], float | None]


def moment_of(moment: datetime | None) -> float | None:
    """Return a time as a sample's value: unix time."""
    return None if moment is None else moment.timestamp()


def value_of(path: str) -> Callable[[object], float | None]:
    """Return what reads an attribute, given with dots, of an entity."""
    return attrgetter(path)


def _resource(name: str) -> Callable[[Process], float | None]:
    get = attrgetter(name)
    return lambda process: None if process.resources is None else get(process.resources)


def _start_time(process: Process) -> float | None:
    # time() minus the start time of a process that does not run would be no uptime.
    return moment_of(process.start) if process.state == ProcessState.RUNNING else None


PROCESS_SERIES: Final[tuple[Series[Process], ...]] = (
    Series(metrics.PROCESS_UP, {}, lambda process: process.state == ProcessState.RUNNING),
    Series(metrics.PROCESS_STATE, {}, value_of("state")),
    Series(metrics.PROCESS_START_TIME, {}, _start_time),
    Series(metrics.PROCESS_EXIT_STATUS, {}, value_of("exit_status")),
    Series(metrics.PROCESS_SPAWN_ERROR, {}, lambda process: process.spawn_error is not None),
    Series(metrics.PROCESS_RESTARTS, {}, value_of("restarts")),
    Series(metrics.PROCESS_CPU, {}, _resource("cpu_seconds")),
    Series(metrics.PROCESS_MEMORY, {}, _resource("resident_memory_bytes")),
    Series(metrics.PROCESS_THREADS, {}, _resource("threads")),
    Series(metrics.PROCESS_FDS, {}, _resource("open_fds")),
    Series(metrics.PROCESS_CHILDREN, {}, _resource("children")),
)

LIVE_STATES: Final = ("waiting", "active", "delayed", "retry", "blocked")
KEPT_RESULTS: Final = ("failed", "dead", "finished", "canceled")

QUEUE_SERIES: Final[tuple[Series[Queue], ...]] = (
    *(Series[Queue](metrics.JOBS, {"state": state}, value_of(f"live.{state}")) for state in LIVE_STATES),
    *(Series[Queue](metrics.JOBS_KEPT, {"result": result}, value_of(f"kept.{result}")) for result in KEPT_RESULTS),
    Series(metrics.OLDEST_JOB, {}, lambda queue: moment_of(queue.head_eligible_at)),
    Series(metrics.HEAD_FIRST_SEEN, {}, lambda queue: moment_of(queue.head_first_seen_at)),
    Series(metrics.JOBS_COMPLETED, {}, value_of("completed_total")),
    Series(metrics.JOBS_FAILED, {}, value_of("failed_total")),
    Series(metrics.REGISTRY_WORKERS, {}, value_of("registry_workers")),
    Series(metrics.REGISTRY_WORKERS_BUSY, {}, value_of("registry_workers_busy")),
    Series(metrics.PAUSED, {}, value_of("paused")),
    Series(metrics.PROCESSING, {}, value_of("processing_seconds")),
)

SERIES_PER_QUEUE: Final = len(LIVE_STATES)
"""The most series that one queue has in one family."""


class Prefixes(Generic[K, T]):
    """Keeps the line prefixes of every entity that was in the last rendering."""

    def __init__(self, series: tuple[Series[T], ...], labels: Callable[[K], Mapping[str, str]]) -> None:
        self._series = series
        self._labels = labels
        self._kept: dict[K, tuple[str, ...]] = {}
        self._used: dict[K, tuple[str, ...]] = {}

    def of(self, key: K) -> tuple[str, ...]:
        """Return the prefixes of an entity, one a series."""
        found = self._kept.get(key)
        if found is None:
            labels = self._labels(key)
            found = tuple(each.metric.prefix({**labels, **each.extra}) for each in self._series)
        self._used[key] = found
        return found

    def forget_unused(self) -> None:
        """Drop what was not asked for since the last call."""
        self._kept, self._used = self._used, {}
