"""What a bus must be like before snapshots are trusted to it."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, cast

import redis

from depthgauge.settings import BusSettings
from depthgauge.stream import STREAM

log = logging.getLogger(__name__)

RECHECK: Final = 60.0
"""Seconds between two looks at the server's settings."""


class DropReason(StrEnum):
    """Why a snapshot never reached the stream."""

    BUS_AWAY = "bus_away"
    BUS_FULL = "bus_full"
    BUS_REFUSED = "bus_refused"
    DUPLICATE_HOST = "duplicate_host"
    SPOOL_FULL = "spool_full"
    SPOOL_EXPIRED = "spool_expired"
    SPOOL_CORRUPT = "spool_corrupt"
    SPOOL_FAILED = "spool_failed"
    """The disk refused them, and memory was full."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing is published now."""

    reason: DropReason
    message: str


class BusCheck:
    """Looks at the bus: its size before every batch, its settings once a minute."""

    def __init__(
        self, bus: redis.Redis, settings: BusSettings, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._bus = bus
        self._settings = settings
        self._monotonic = monotonic
        self._looked_at: float | None = None
        self._evicts: Refusal | None = None
        self._warned = False

    def refusal(self) -> Refusal | None:
        """Return why this bus must not be written to now, or None; redis-py's errors come through."""
        now = self._monotonic()
        if self._looked_at is None or now - self._looked_at >= RECHECK:
            self._look()
            self._looked_at = now
        if self._evicts is not None and not self._settings.allow_eviction:
            return self._evicts
        size = self._bus.memory_usage(STREAM) or 0
        if size >= self._settings.max_bytes:
            return Refusal(
                DropReason.BUS_FULL,
                f"the stream {STREAM} takes {size} bytes of at most {self._settings.max_bytes}: "
                "is a sink running and is its database up? (bus.max_bytes)",
            )
        return None

    def _look(self) -> None:
        memory = cast("Mapping[str, object]", self._bus.info("memory"))
        persistence = cast("Mapping[str, object]", self._bus.info("persistence"))
        self._evicts = eviction_refusal(memory)
        if not self._warned and not keeps_data(persistence):
            self._warned = True
            log.warning(
                "the bus keeps nothing on disk (no AOF, never saved): snapshots that no sink has read are lost when it restarts"
            )


def eviction_refusal(memory: Mapping[str, object]) -> Refusal | None:
    """Judge INFO memory: a policy that may evict any key may evict the whole stream, unread."""
    policy = str(memory.get("maxmemory_policy", "noeviction"))
    if not policy.startswith("allkeys") or not memory.get("maxmemory"):
        return None
    return Refusal(
        DropReason.BUS_REFUSED,
        f"the bus has maxmemory-policy {policy}, which may evict unread snapshots: "
        "use a Redis with noeviction or a volatile- policy, or set bus.allow_eviction = true",
    )


def keeps_data(persistence: Mapping[str, object]) -> bool:
    """Judge INFO persistence: say whether the server writes to disk at all."""
    if persistence.get("aof_enabled"):
        return True
    return bool(persistence.get("rdb_saves")) or persistence.get("rdb_last_bgsave_time_sec", -1) != -1
