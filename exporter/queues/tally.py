"""Counters that never fall, made of counters that end with a worker's life; and means of what went by lately.

Both remember by key and are bounded: beyond ``MOST`` keys the longest unused are forgotten.
"""

from collections.abc import Container, Mapping
from typing import Final, NamedTuple

from exporter.queues.payload import MOST_COUNTED

MOST: Final = 50_000
"""Keys remembered."""
MOST_LIVES: Final = 10_000
"""Lives remembered of one key, those included that are gone: one may only have been unreadable for a while."""
REMEMBERED: Final = 500
"""Updates of a key for which a life is remembered that is gone: two hours at one every 15 s."""
WINDOW: Final = 300.0
"""Seconds that a mean looks back, and a share of it more."""
SAMPLES: Final = 6
"""Samples within that time, at most."""


class _Lives:
    """The counters of one key's lives as they stood last, the one that was seen longest ago first."""

    __slots__ = ("_counts", "_update")

    def __init__(self) -> None:
        self._counts: dict[bytes, tuple[float, int]] = {}
        self._update = 0

    def take(self, lives: Mapping[bytes, float], older: Container[bytes]) -> float:
        """Take the counters as they stand now, return what they have grown by."""
        grown = 0.0
        self._update += 1
        for life, count in lives.items():
            before, _ = self._counts.pop(life, (count if life in older else 0.0, 0))
            grown += count - before if count >= before else count
            self._counts[life] = (count, self._update)
        while len(self._counts) > len(lives):
            life, (_, seen) = next(iter(self._counts.items()))
            if len(self._counts) <= MOST_LIVES and seen >= self._update - REMEMBERED:
                break
            del self._counts[life]
        return grown


class Tally:
    """Adds up what counters of lives have grown by, from 0 at the first reading (DESIGN: derived counters)."""

    def __init__(self) -> None:
        self._totals: dict[bytes, float] = {}
        self._lives: dict[bytes, _Lives] = {}

    def update(self, key: bytes, lives: Mapping[bytes, float], older: Container[bytes] = ()) -> float:
        """Return the total of a key, given the counters of all its lives as they stand now.

        What stands at the first reading counts as 0. A life that appears later counts whole, unless it is one of those
        known to be ``older`` than the first reading, which did not show it; one whose counter is lower than before has
        begun anew and counts whole too; one that is gone keeps what it has brought.
        """
        known = self._lives.pop(key, None)
        total = self._totals.pop(key, 0.0)
        if known is None:
            known = _Lives()
            known.take(lives, older)
        else:
            total = min(total + known.take(lives, older), MOST_COUNTED)
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
        # Apart by a share of the window at least, but for the last one: a few samples do for thousands of queues.
        self._apart = window / SAMPLES
        self._samples: dict[bytes, list[_Sample]] = {}

    def update(self, key: bytes, *, now: float, count: float, seconds: float) -> float | None:
        """Return the mean of what was added within the window; None if nothing was. ``now`` is unix time in seconds."""
        samples = self._samples.pop(key, None) or []
        last = samples[-1] if samples else None
        if last is not None and (count < last.jobs or seconds < last.seconds or now < last.at):
            samples.clear()
        if len(samples) > 1 and now - samples[-2].at < self._apart:
            samples.pop()
        samples.append(_Sample(now, count, seconds))
        while len(samples) > 2 and samples[1].at <= now - self._window:
            del samples[0]
        if len(self._samples) >= MOST:
            del self._samples[next(iter(self._samples))]
        self._samples[key] = samples
        first = samples[0]
        jobs = count - first.jobs
        return (seconds - first.seconds) / jobs if jobs > 0 else None
