"""Calls on the bus, repeated until they work: by two threads, of which either may be cut off while the other is not."""

import logging
import random
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from depthgauge.backoff import Backoff
from depthgauge.errors import SourceError
from sink.telemetry import Telemetry

log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_DELAY: Final = 0.2
LONGEST_DELAY: Final = 30.0


class Stopped(Exception):  # noqa: N818  it is no error: the sink was told to stop
    """The sink is to stop; what is not committed stays pending on the stream."""


class BusHealth:
    """Whether the bus answers everybody who asks it; says once that it does not, and once that it does again."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._lock = threading.Lock()
        self._failing: dict[str, str] = {}

    def failed(self, who: str, error: SourceError) -> None:
        """Note that a call of this thread failed."""
        kind = error.kind.value
        with self._lock:
            told = kind in self._failing.values()
            self._failing[who] = kind
            self._telemetry.bus_up.set(0)
            self._telemetry.bus_errors.labels(kind).inc()
        if not told:
            log.error("cannot use the bus, will try again: %s", error, extra={"reason": kind})

    def worked(self, who: str) -> None:
        """Note that a call of this thread worked."""
        with self._lock:
            failed = self._failing.pop(who, None)
            well = not self._failing
            if well:
                self._telemetry.bus_up.set(1)
        if failed is not None and well:
            log.info("the bus answers again")


class Patience:
    """What one thread asks of the bus; every call may be repeated safely."""

    def __init__(self, health: BusHealth, who: str, stop: threading.Event) -> None:
        self._health = health
        self._who = who
        self._stop = stop
        self._backoff = Backoff(first=FIRST_DELAY, most=LONGEST_DELAY, random=random.random)

    def __call__(self, call: Callable[[], T]) -> T:
        """Repeat the call until it works, and return what it gives; raise Stopped."""
        while True:
            try:
                result = call()
            except SourceError as exc:
                self._health.failed(self._who, exc)
                if self._stop.wait(self._backoff.next_delay()):
                    raise Stopped from exc
            else:
                self._health.worked(self._who)
                self._backoff.reset()
                return result
