"""Readings that may be dear: made the less often the longer they take, and told again meanwhile."""

import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from depthgauge.errors import SourceError

T = TypeVar("T")

REST_FACTOR: Final = 20.0
"""After a reading that took a second the next one is made 20 seconds later: it takes 5 % of the time at most."""
MAX_REST: Final = 300.0
"""Seconds."""


class Seldom(Generic[T]):
    """Calls ``read`` with the seconds it may take, ``least`` seconds apart or more. Not for several threads at once.

    Between two calls the result of the last one is told again, whether it was a value or a SourceError.
    """

    def __init__(
        self, read: Callable[[float], T], *, least: float = 0.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._least = least
        self._monotonic = monotonic
        self._due = float("-inf")
        self._again: Callable[[], T] | None = None

    def __call__(self, seconds: float) -> T:
        """Return what was read now or before; raise the SourceError that was met."""
        started = self._monotonic()
        if self._again is None or started >= self._due:
            self._again = self._result(seconds)
            now = self._monotonic()
            self._due = started + max(self._least, min(MAX_REST, REST_FACTOR * (now - started)))
        return self._again()

    def _result(self, seconds: float) -> Callable[[], T]:
        try:
            found = self._read(seconds)
        except SourceError as exc:
            error = exc

            def fail() -> T:
                raise error

            return fail
        return lambda: found
