"""Taskiq."""

from collections.abc import Sequence
from typing import Final

from depthgauge.snapshot import Queue
from exporter.queues.reader import Conversation, Reader

SYSTEM: Final = "taskiq"
COMMANDS: Final = frozenset[str]()
"""The commands that reading sends."""


class TaskiqReader(Reader):
    """Reads Taskiq's queues."""

    system: Final = SYSTEM

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)

    def read(self, found: Sequence[bytes], now: float) -> Conversation[Sequence[Queue]]:  # noqa: ARG002
        """Read all queues."""
        yield from ()
        return ()
