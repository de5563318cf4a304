"""What the last readings were: waiting jobs by queue and CPU time by process, in memory and bounded.

It is fed with every snapshot of this exporter and with those of other hosts whenever the fleet is read, so that a queue
that another exporter reads has points only for the times at which somebody asked this one.
"""

import threading
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import combinations
from statistics import median
from typing import Final, NamedTuple, TypeAlias

from depthgauge.backlogs import QueueKey
from depthgauge.snapshot import Process, RedisQueues, Snapshot, Supervisor

POINTS: Final = 60
"""Kept of a queue."""
MAX_QUEUES: Final = 10_000
MAX_PROCESSES: Final = 20_000
FORGET: Final = 3600.0
"""Seconds after which a queue or process that was not seen may make room for another."""
WINDOW: Final = 300.0
"""Seconds that a trend looks back."""
FEWEST: Final = 5
"""Points that a trend looks back where the window has fewer."""
MOST: Final = 12
"""Points that a trend is computed from."""
NOTABLE: Final = 0.05
"""Part of the queue's largest length by which it must have changed in the window, and by a job at least."""
_UNKNOWN: Final = -1.0
"""Stands for None in an array of lengths."""
_LONGEST: Final = 1 << 62
"""More than any Redis can hold: what a cache that was tampered with may say."""

ProcessKey: TypeAlias = tuple[str, str, str, str]
"""Host, supervisor, group, process."""


class Trend(NamedTuple):
    """Where a queue is going."""

    name: str
    """``growing``, ``steady`` or ``draining``."""
    per_second: float
    """Jobs by which it grows; below 0 it shrinks."""


class Points(NamedTuple):
    """What a queue's length was, oldest first."""

    times: list[datetime]
    waiting: list[int | None]


class _Ring:
    """The last points of one queue."""

    __slots__ = ("lengths", "times", "trend", "trend_known")

    def __init__(self) -> None:
        self.times = array("d")
        self.lengths = array("d")
        self.trend: Trend | None = None
        self.trend_known = True

    def add(self, at: float, length: int | None, apart: float) -> None:
        times, lengths = self.times, self.lengths
        if len(times) > 1 and times[-1] - times[-2] < apart:
            # The last one came out of turn, for somebody who could not wait: a regular one takes its place.
            times.pop()
            lengths.pop()
        times.append(at)
        lengths.append(_UNKNOWN if length is None else min(length, _LONGEST))
        if len(times) > POINTS:
            del times[0], lengths[0]
        self.trend_known = False


class _Usage(NamedTuple):
    pid: int | None
    start: datetime | None
    at: float
    cpu_seconds: float
    ratio: float | None


class Recent:
    """Remembers the last readings; safe for several threads."""

    def __init__(self, *, max_queues: int = MAX_QUEUES, max_processes: int = MAX_PROCESSES) -> None:
        self._lock = threading.Lock()
        self._max_queues = max_queues
        self._max_processes = max_processes
        self._rings: dict[QueueKey, _Ring] = {}
        self._read: dict[str, float] = {}
        self._usages: dict[ProcessKey, _Usage] = {}

    def feed(self, snapshots: Iterable[Snapshot]) -> None:
        """Add what is newer than what is there."""
        with self._lock:
            for snapshot in snapshots:
                for part in snapshot.queues:
                    self._add_queues(part, snapshot.interval / 2)
                for supervisor in snapshot.supervisors:
                    self._add_processes(snapshot.host, supervisor)

    def points(self, key: QueueKey) -> Points:
        """Return the last points of a queue; none for one that is not known."""
        with self._lock:
            ring = self._rings.get(key)
            times, lengths = ([], []) if ring is None else (ring.times.tolist(), ring.lengths.tolist())
        return Points(
            [datetime.fromtimestamp(at, UTC).replace(microsecond=0) for at in times],
            [None if length == _UNKNOWN else int(length) for length in lengths],
        )

    def trend(self, key: QueueKey) -> Trend | None:
        """Return where a queue is going; None while there are fewer than three points to tell it from."""
        with self._lock:
            ring = self._rings.get(key)
            if ring is None:
                return None
            if not ring.trend_known:
                ring.trend = trend_of(ring.times, ring.lengths)
                ring.trend_known = True
            return ring.trend

    def cpu_ratio(self, key: ProcessKey) -> float | None:
        """Return the CPU time of a process per second between its last two readings; None where there are no two."""
        with self._lock:
            usage = self._usages.get(key)
        return None if usage is None else usage.ratio

    def _add_queues(self, part: RedisQueues, apart: float) -> None:
        at = part.observed_at.timestamp()
        if at <= self._read.get(part.redis, 0.0):
            return
        if part.redis not in self._read and len(self._read) >= self._max_queues:
            self._read.clear()
        self._read[part.redis] = at
        for queue in part.queues:
            key = (part.redis, queue.system, queue.name)
            ring = self._rings.get(key)
            if ring is None:
                if len(self._rings) >= self._max_queues:
                    self._rings = {k: r for k, r in self._rings.items() if r.times[-1] > at - FORGET}
                if len(self._rings) >= self._max_queues:
                    continue
                ring = self._rings[key] = _Ring()
            ring.add(at, queue.live.waiting, apart)

    def _add_processes(self, host: str, supervisor: Supervisor) -> None:
        at = supervisor.observed_at.timestamp()
        for process in supervisor.processes:
            if process.resources is None or process.resources.cpu_seconds is None:
                continue
            key = (host, supervisor.name, process.group, process.name)
            before = self._usages.get(key)
            if before is None and len(self._usages) >= self._max_processes:
                self._usages = {k: u for k, u in self._usages.items() if u.at > at - FORGET}
                if len(self._usages) >= self._max_processes:
                    return
            if before is None or at > before.at:
                self._usages[key] = _usage(process, process.resources.cpu_seconds, at, before)


def trend_of(times: "array[float]", lengths: "array[float]") -> Trend | None:
    """Return the trend of a queue from the median of the slopes between its points, which a burst does not move much.

    It grows or drains when at this rate it changes notably within the window that was looked at.
    """
    first = min(bisect_left(times, times[-1] - WINDOW), max(0, len(times) - FEWEST)) if times else 0
    known = [(at, length) for at, length in zip(times[first:], lengths[first:], strict=True) if length != _UNKNOWN]
    if len(known) < 3:
        return None
    # Evenly chosen, the last one always among them.
    step = max(1, -(-len(known) // MOST))
    chosen = known[::-1][::step]
    slopes = [(b - d) / (a - c) for (a, b), (c, d) in combinations(chosen, 2) if a > c]
    rate = median(slopes) if any(slopes) else 0.0
    change = rate * (known[-1][0] - known[0][0])
    notable = max(1.0, NOTABLE * max(length for _, length in known))
    if abs(change) < notable * 0.999:
        return Trend("steady", rate)
    return Trend("growing" if rate > 0 else "draining", rate)


def _usage(process: Process, cpu_seconds: float, at: float, before: _Usage | None) -> _Usage:
    ratio = None
    if before is not None and (before.pid, before.start) == (process.pid, process.start):
        ratio = max(0.0, cpu_seconds - before.cpu_seconds) / (at - before.at)
    return _Usage(process.pid, process.start, at, cpu_seconds, ratio)
