"""Completed jobs a second, from one reading of a queue's true counter to the next."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec import structs

from depthgauge.snapshot import Queue

MOST: Final = 50_000
"""Queues remembered; beyond it the longest unread are forgotten."""


class _Reading(NamedTuple):
    at: float
    completed: int


class Throughput:
    """Remembers the last reading of each queue. Not for several threads at once."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], _Reading] = {}

    def fill(self, queues: Sequence[Queue], now: float) -> list[Queue]:
        """Return the queues with what they completed a second since the reading before; ``now`` is monotonic, in seconds.

        None without a counter, at the first reading, and where the counter has fallen: it began anew at a moment that
        nobody knows.
        """
        return [
            queue
            if queue.completed_total is None
            else structs.replace(queue, throughput=self._rate(queue, queue.completed_total, now))
            for queue in queues
        ]

    def rebase(self) -> None:
        """Begin anew: another exporter has told what went by meanwhile."""
        self._last.clear()

    def _rate(self, queue: Queue, completed: int, now: float) -> float | None:
        key = (queue.system, queue.name)
        last = self._last.pop(key, None)
        if len(self._last) >= MOST:
            del self._last[next(iter(self._last))]
        self._last[key] = _Reading(now, completed)
        if last is None or completed < last.completed or now <= last.at:
            return None
        return (completed - last.completed) / (now - last.at)
