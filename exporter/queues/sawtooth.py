"""Horizon's measurements of a queue as a counter that never falls, and as a mean (laravel/horizon, RedisMetricsRepository.php).

A hash counts the jobs that ended well since the last snapshot. A snapshot takes the hash away and puts its numbers into a
sorted set a moment later; the hash begins again at 1.
"""

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from depthgauge.resp import Reply
from exporter.queues.payload import MOST_COUNTED, fields, items, number

MOST: Final = 50_000
"""Queues remembered."""
SNAPSHOTS_KEPT: Final = 24
"""Snapshots that Horizon keeps of a queue unless told otherwise; no more are asked for."""
SHORTEST: Final = 60.0
"""Seconds between two snapshots at the least: how many may have come since the last reading."""
LATE: Final = 60.0
"""Seconds that a snapshot may come after its hash was taken away."""
RECENT: Final = 600.0
"""Seconds for which the newest snapshot counts in the mean: two of Horizon's usual five minutes."""


class Measured(NamedTuple):
    """Jobs that ended well in one stretch of time, and their mean in milliseconds."""

    jobs: int
    runtime: float
    at: float = math.inf
    """Unix time of the snapshot; infinity for the hash that is still filling."""


class _Snapshot(msgspec.Struct):
    throughput: Any = None
    runtime: Any = None


class _State(NamedTuple):
    counted: int
    """What of the present hash is in the total."""
    newest: float
    """Unix time of the newest snapshot that is in the total."""
    at: float
    owed: int = 0
    """What of the next snapshot is in the total already: its hash is gone, the snapshot was not there yet."""
    owed_at: float = -math.inf


class Sawtooth:
    """Totals by key, each from 0 at its first reading on."""

    def __init__(self) -> None:
        self._totals: dict[bytes, int] = {}
        self._states: dict[bytes, _State] = {}

    def depth(self, key: bytes, now: float) -> int:
        """Return how many of the newest snapshots to ask for, so that none is missed."""
        state = self._states.get(key)
        if state is None:
            return 1
        return min(SNAPSHOTS_KEPT, 2 + max(0, int((now - state.at) / SHORTEST)))

    def update(self, key: bytes, hash_jobs: int, snapshots: Sequence[Measured], now: float) -> int:
        """Return the total of a key. The snapshots have to be read before the hash: what is between the two is then late, never twice."""
        state = self._states.pop(key, None)
        total = self._totals.pop(key, 0)
        newest = max((each.at for each in snapshots), default=-math.inf)
        if state is None:
            state = _State(hash_jobs, newest, now)
        else:
            fresh = sorted((each for each in snapshots if each.at > state.newest), key=lambda each: each.at)
            counted = [state.owed] if state.owed and 0 <= now - state.owed_at <= LATE else []
            owed, owed_at = (state.owed, state.owed_at) if counted else (0, -math.inf)
            counted.append(state.counted)
            for each in fresh:
                total += max(0, each.jobs - (counted.pop(0) if counted else 0))
                owed, owed_at = 0, -math.inf
            before = counted[-1] if counted else 0
            if hash_jobs < before:
                owed, owed_at, before = before, now, 0
            total = min(total + hash_jobs - before, MOST_COUNTED)
            state = _State(hash_jobs, max(newest, state.newest), now, owed, owed_at)
        if len(self._totals) >= MOST:
            oldest = next(iter(self._totals))
            del self._totals[oldest]
            self._states.pop(oldest, None)
        self._states[key], self._totals[key] = state, total
        return total

    def rebase(self) -> None:
        """Let the next reading of each key count as 0 more: others have counted what went by meanwhile."""
        self._states.clear()


def mean_seconds(measured: Sequence[Measured], now: float) -> float | None:
    """Return the mean of the hashes and of the newest snapshots that are recent; None if they measured nothing."""
    recent = [each for each in measured if each.jobs > 0 and each.at >= now - RECENT]
    jobs = sum(each.jobs for each in recent)
    return sum(each.jobs * each.runtime for each in recent) / jobs / 1000 if jobs else None


def hash_of(reply: Reply) -> Measured | None:
    """Return throughput and runtime of a hash, zeros where it is not there; None if they are no numbers."""
    values = items(reply)
    if len(values) != 2:
        return None
    if values[0] is None:
        return Measured(0, 0.0)
    jobs = _number(values[0])
    return None if jobs is None else Measured(int(jobs), _number(values[1]) or 0.0)


def snapshots_of(reply: Reply) -> Sequence[Measured]:
    """Return the snapshots of a range with scores; one without numbers is of a queue that had no job."""
    flat = items(reply)
    found = []
    for member, score in zip(flat[::2], flat[1::2], strict=False):
        at = _number(score)
        body = fields(member, _Snapshot) if isinstance(member, bytes) else None
        if at is not None and body is not None:
            found.append(Measured(int(_number(body.throughput) or 0), _number(body.runtime) or 0.0, at))
    return found


def _number(value: object) -> float | None:
    """Return a number of jobs or of milliseconds; Redis gives it as text, and Horizon's JSON has it so too."""
    made = number(value)
    return made if made is not None and 0 <= made <= MOST_COUNTED else None
