"""Defects of readers: that of one system does not take the others down, and is told once."""

import logging
from collections.abc import Callable
from typing import TypeVar

from exporter.queues.reader import Conversation

log = logging.getLogger(__name__)

T = TypeVar("T")


class Defects:
    """The defects met at one Redis. Not for several threads at once."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._told: set[tuple[str, str]] = set()

    def guard(self, doing: str, conversation: Conversation[T], otherwise: Callable[[], T]) -> Conversation[T]:
        """Hold the conversation; return ``otherwise()`` if the reader breaks. What fails outside of it goes by."""
        try:
            return (yield from conversation)
        except Exception as exc:  # noqa: BLE001  whatever it is, the other systems are not to suffer from it
            self.tell(doing, exc)
            return otherwise()

    def tell(self, doing: str, exc: Exception) -> None:
        """Log a defect with its traceback, each kind once."""
        key = (doing, type(exc).__name__)
        if key not in self._told:
            self._told.add(key)
            log.error(
                "redis %s: %s failed unexpectedly, everything else goes on: please report this",
                self._target,
                doing,
                exc_info=exc,
            )
