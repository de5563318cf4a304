"""How long to wait before trying again: exponential, with jitter, pure but for the randomness it is given."""

from collections.abc import Callable


class Backoff:
    """Delays that double from ``first`` to ``most`` seconds, each shortened by up to half at random.

    The jitter keeps a fleet that lost its database together from coming back together.
    """

    def __init__(self, *, first: float, most: float, random: Callable[[], float]) -> None:
        self._first = first
        self._most = most
        self._random = random
        self._failures = 0

    @property
    def failures(self) -> int:
        """Failures since the last success."""
        return self._failures

    def next_delay(self) -> float:
        """Count a failure and return the seconds to wait."""
        delay = min(self._most, self._first * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return delay * (1.0 - self._random() / 2)

    def reset(self) -> None:
        """Note a success."""
        self._failures = 0
