"""Dramatiq."""

from collections.abc import Sequence
from typing import Final

from depthgauge.snapshot import Queue
from exporter.queues.reader import Conversation, Reader
from exporter.settings import PrefixSettings

SYSTEM: Final = "dramatiq"
COMMANDS: Final = frozenset[str]()
"""The commands that reading sends."""


class DramatiqReader(Reader):
    """Reads Dramatiq's queues."""

    system: Final = SYSTEM

    def __init__(self, settings: PrefixSettings, names: Sequence[str]) -> None:
        self._settings = settings
        self._names = tuple(names)

    def read(self, found: Sequence[bytes], now: float) -> Conversation[Sequence[Queue]]:  # noqa: ARG002
        """Read all queues."""
        yield from ()
        return ()
