"""What is remembered of queue heads from one reading to the next: which are too large to read, and since when each stands."""

import hashlib
from datetime import UTC, datetime
from typing import Final, TypeVar

V = TypeVar("V")

PAUSE: Final = 600.0
"""Seconds that a queue's head is left alone after one that was too large."""
MOST: Final = 50_000
"""Queues remembered; beyond it the longest remembered are forgotten."""
UNSTEADY: Final = 1.0
"""Seconds that our estimate of Redis's clock may go back without its having been set back."""


class HeadMemory:
    """Bounded memory of heads, by queue. Times are unix seconds of Redis's clock."""

    def __init__(self) -> None:
        self._paused_until: dict[bytes, float] = {}
        self._seen: dict[bytes, tuple[bytes, float]] = {}

    def readable(self, queue: bytes, now: float) -> bool:
        """Say whether the queue's head may be read."""
        until = self._paused_until.get(queue)
        if until is None:
            return True
        if now < until <= now + PAUSE:
            return False
        del self._paused_until[queue]
        return True

    def pause(self, queue: bytes, now: float) -> None:
        """Leave the queue's head alone for a while: it was too large."""
        remember(self._paused_until, queue, now + PAUSE)

    def first_seen(self, queue: bytes, head: bytes, now: float) -> datetime:
        """Return when this head was first seen at this queue: now, if another one stood there before."""
        mark = hashlib.blake2b(head, digest_size=16).digest()
        known = self._seen.get(queue)
        if known is None or known[0] != mark or known[1] > now + UNSTEADY:
            known = (mark, now)
            remember(self._seen, queue, known)
        return datetime.fromtimestamp(known[1], UTC)


def remember(memory: dict[bytes, V], queue: bytes, value: V) -> None:
    """Put a value into a memory by queue; beyond :data:`MOST` queues the longest untouched one is forgotten."""
    memory.pop(queue, None)
    if len(memory) >= MOST:
        del memory[next(iter(memory))]
    memory[queue] = value
