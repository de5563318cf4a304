"""Stream."""

from collections.abc import Sequence
from typing import Final

from depthgauge.snapshot import Queue
from exporter.queues.reader import Conversation, Reader
from exporter.settings import StreamSettings

SYSTEM: Final = "stream"
COMMANDS: Final = frozenset[str]()
"""The commands that reading sends."""


class StreamReader(Reader):
    """Reads Stream's queues."""

    system: Final = SYSTEM

    def __init__(self, settings: Sequence[StreamSettings], names: Sequence[str]) -> None:
        self._settings = settings
        self._names = tuple(names)

    def read(self, found: Sequence[bytes], now: float) -> Conversation[Sequence[Queue]]:  # noqa: ARG002
        """Read all queues."""
        yield from ()
        return ()
