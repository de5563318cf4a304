"""Counters that never fall, made of counters that end with a worker's life; and means of what went by lately.

Both remember by key and are bounded: beyond ``MOST`` keys the longest unused are forgotten.
"""

from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

MOST: Final = 50_000
"""Keys remembered."""
LARGEST: Final = 1 << 53
"""What a counter can have come to: a larger number is none. Floats hold every whole number up to here."""
MOST_LIVES: Final = 10_000
"""Lives remembered of one key, those that ended included: one may only have been unreadable for a moment."""
WINDOW: Final = 300.0
"""Seconds that a mean looks back."""


class Tally:
    """Adds up what counters of lives have grown by, from 0 at the first reading (DESIGN: derived counters)."""

    def __init__(self) -> None:
        self._totals: dict[bytes, float] = {}
        self._lives: dict[bytes, dict[bytes, float]] = {}

    def update(self, key: bytes, lives: Mapping[bytes, float]) -> float:
        """Return the total of a key, given the counters of all its lives as they stand now.

        What stands at the first reading counts as 0. A life that appears later counts whole; one whose counter is lower
        than before has begun anew and counts whole too; one that is gone keeps what it has brought.
        """
        known = self._lives.pop(key, None)
        total = self._totals.pop(key, 0.0)
        if known is None:
            known = dict(lives)
        else:
            for life, count in lives.items():
                before = known.pop(life, 0.0)
                total += count - before if count >= before else count
                known[life] = count
        while len(known) > max(MOST_LIVES, len(lives)):
            del known[next(iter(known))]
        if len(self._totals) >= MOST:
            oldest = next(iter(self._totals))
            del self._totals[oldest]
            self._lives.pop(oldest, None)
        self._lives[key], self._totals[key] = known, total
        return total

    def rebase(self) -> None:
        """Let the next reading of each key count as 0 more: others have counted what went by meanwhile."""
        self._lives.clear()


class _Sample(NamedTuple):
    at: float
    jobs: float
    seconds: float


class RecentMean:
    """Mean seconds a job took, of the jobs that two cumulative counters (jobs, seconds) grew by in the last minutes."""

    def __init__(self, window: float = WINDOW) -> None:
        self._window = window
        self._samples: dict[bytes, deque[_Sample]] = {}

    def update(self, key: bytes, *, now: float, count: float, seconds: float) -> float | None:
        """Return the mean of what was added within the window; None if nothing was. ``now`` is unix time in seconds."""
        samples = self._samples.pop(key, None) or deque()
        last = samples[-1] if samples else None
        if last is not None and (count < last.jobs or seconds < last.seconds or now < last.at):
            samples.clear()
        samples.append(_Sample(now, count, seconds))
        while len(samples) > 2 and samples[1].at <= now - self._window:
            samples.popleft()
        if len(self._samples) >= MOST:
            del self._samples[next(iter(self._samples))]
        self._samples[key] = samples
        first = samples[0]
        jobs = count - first.jobs
        return (seconds - first.seconds) / jobs if jobs > 0 else None
