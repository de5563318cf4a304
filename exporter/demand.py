"""A collection before its time: anybody may ask for one, all who ask meanwhile share it."""

import threading
import time
from collections.abc import Callable
from typing import Final

AT_MOST_EVERY: Final = 1.0
"""Seconds between two collections that were brought forward."""
_LOOK: Final = 0.25
"""Seconds after which the loop looks whether it has to stop."""


class Demand:
    """Wakes the collection loop. ``ask`` is safe for several threads; ``wait`` and ``meet`` are for the loop alone."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._wanted = threading.Event()
        self._last: float | None = None

    def ask(self) -> None:
        """Ask for a collection as soon as may be; does not wait for it."""
        self._wanted.set()

    def meet(self) -> None:
        """Take note that a collection is about to begin."""
        self._wanted.clear()

    def wait(self, seconds: float, stop: threading.Event) -> bool:
        """Wait for so many seconds, or until a collection is wanted and may begin, or ``stop`` is set; say whether it may."""
        until = self._monotonic() + seconds
        while not stop.is_set() and (left := until - self._monotonic()) > 0:
            rest = 0.0 if self._last is None else self._last + AT_MOST_EVERY - self._monotonic()
            if rest > 0:
                stop.wait(min(rest, left, _LOOK))
            elif self._wanted.wait(min(left, _LOOK)):
                self._last = self._monotonic()
                return True
        return False
