"""Limits on how often something may be done: buckets of permits that fill up again."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

MAX_CLIENTS: Final = 4096
"""Clients remembered at a time; beyond that the one seen longest ago is forgotten."""


class Bucket:
    """Holds up to ``burst`` permits and gets one every ``interval`` seconds; not safe for several threads."""

    __slots__ = ("_filled", "_seen")

    def __init__(self, burst: int, now: float) -> None:
        self._filled = float(burst)
        self._seen = now

    def take(self, interval: float, burst: int, now: float, *, permits: int = 1) -> float:
        """Take permits; return 0, or the seconds after which there will be as many, and take none."""
        self._filled = min(float(burst), self._filled + max(0.0, now - self._seen) / interval)
        self._seen = now
        if self._filled + 1e-9 < max(1, permits):
            return (max(1, permits) - self._filled) * interval
        self._filled -= permits
        return 0.0


class Clients:
    """A bucket for each client, in a table of bounded size."""

    def __init__(self, monotonic: Callable[[], float], *, most: int = MAX_CLIENTS) -> None:
        self._monotonic = monotonic
        self._most = most
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, client: str, interval: float, burst: int) -> float:
        """Take a permit of this client; return 0, or the seconds after which to come again."""
        return self._take(client, interval, burst, permits=1)

    def look(self, client: str, interval: float, burst: int) -> float:
        """Return what ``take`` would, and take nothing."""
        if client not in self._buckets:
            return 0.0
        return self._take(client, interval, burst, permits=0)

    def _take(self, client: str, interval: float, burst: int, *, permits: int) -> float:
        now = self._monotonic()
        with self._lock:
            bucket = self._buckets.pop(client, None)
            if bucket is None:
                bucket = Bucket(burst, now)
                if len(self._buckets) >= self._most:
                    self._buckets.popitem(last=False)
            self._buckets[client] = bucket
            return bucket.take(interval, burst, now, permits=permits)


class Shared:
    """One bucket for all."""

    def __init__(self, interval: float, burst: int, monotonic: Callable[[], float]) -> None:
        self._interval = interval
        self._burst = burst
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._bucket = Bucket(burst, monotonic())

    def take(self) -> float:
        """Take a permit; return 0, or the seconds after which to come again."""
        with self._lock:
            return self._bucket.take(self._interval, self._burst, self._monotonic())
