"""Samples that are taken more often than snapshots: response times and rates, over a rolling five minutes."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from depthgauge.errors import SourceError
from depthgauge.health import Rate, ResponseTime
from depthgauge.histogram import Histogram, histogram_of, merged, quantile

log = logging.getLogger(__name__)

WINDOW: Final = 300.0
"""Seconds that averages and percentiles look back."""
MAX_SAMPLES: Final = 3000
"""Kept in a window at most: ten a second."""


class Window:
    """The samples of the last five minutes. Not for several threads at once."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float]] = deque(maxlen=MAX_SAMPLES)

    def add(self, at: float, value: float) -> None:
        """Add a sample taken at a monotonic time."""
        self._samples.append((at, value))

    def values(self, now: float) -> list[float]:
        """Return the values that are young enough at a monotonic time, oldest first."""
        while self._samples and self._samples[0][0] < now - WINDOW:
            self._samples.popleft()
        return [value for _, value in self._samples]


class ResponseTimes:
    """Gathers response times; safe for the thread that samples and the one that reads."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._window = Window()
        self._slot: list[float] = []
        self._total = Histogram()
        self._failures = 0

    def add(self, seconds: float) -> None:
        """Add a sample."""
        with self._lock:
            self._window.add(self._monotonic(), seconds)
            self._slot.append(seconds)
            del self._slot[:-MAX_SAMPLES]

    def fail(self) -> None:
        """Count an attempt that got no answer."""
        with self._lock:
            self._failures += 1

    def take(self) -> ResponseTime:
        """Return what was gathered; the samples of this slot are then over."""
        with self._lock:
            values = self._window.values(self._monotonic())
            slot, self._slot = histogram_of(self._slot), []
            self._total = merged((self._total, slot))
            recent = histogram_of(values)
            return ResponseTime(
                current=values[-1] if values else None,
                avg=recent.sum / recent.count if values else None,
                max=recent.max,
                min=min(values, default=None),
                p95=_within(recent, 0.95),
                p99=_within(recent, 0.99),
                slot=slot,
                total=self._total,
                failures=self._failures,
            )


def _within(histogram: Histogram, part: float) -> float | None:
    """Return a quantile, not above the largest sample: interpolation within its bucket may go beyond it."""
    seconds = quantile(histogram.buckets, part)
    return None if seconds is None or histogram.max is None else min(seconds, histogram.max)


class Rates:
    """Gathers a rate; safe for the thread that samples and the one that reads."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._window = Window()

    def add(self, per_second: float) -> None:
        """Add a sample."""
        with self._lock:
            self._window.add(self._monotonic(), per_second)

    def view(self) -> Rate:
        """Return the rate as it is and was."""
        with self._lock:
            values = self._window.values(self._monotonic())
        if not values:
            return Rate()
        return Rate(current=values[-1], avg=sum(values) / len(values), max=max(values), min=min(values))


class Sampler:
    """Calls ``sample`` every so many seconds in a thread of its own, until it is closed.

    A call that takes longer than that delays the next one; none is made up for. ``sample`` has its own deadline and raises
    SourceError for what may happen to a target; a defect is logged once and sampling goes on.
    """

    def __init__(
        self, name: str, sample: Callable[[], None], *, every: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._sample = sample
        self._every = every
        self._monotonic = monotonic
        self._stop = threading.Event()
        self._told = False
        self._thread = threading.Thread(target=self._run, name=f"sample:{name}", daemon=True)

    def start(self) -> None:
        """Begin; the first sample is taken at once."""
        if not self._thread.is_alive() and not self._stop.is_set():
            self._thread.start()

    def close(self) -> None:
        """End after the call in flight; does not wait for it."""
        self._stop.set()

    def _run(self) -> None:
        due = self._monotonic()
        while not self._stop.wait(max(0.0, due - self._monotonic())):
            self._guarded()
            due = max(due + self._every, self._monotonic())

    def _guarded(self) -> None:
        try:
            self._sample()
        except SourceError as exc:
            log.debug("sampling %s: %s", self._name, exc)
        except Exception:
            # A defect must not end the thread: the target would look frozen for ever.
            if not self._told:
                self._told = True
                log.exception("sampling %s failed unexpectedly", self._name)
