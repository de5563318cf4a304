"""Snapshots in memory on their way out: bounded, in order, every one of them settled in the end.

A snapshot is *settled* when the stream has it, when it is synced to the spool, or when it was dropped and counted.
"""

import threading
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from depthgauge import stream
from depthgauge.snapshot import EXPIRY_INTERVALS, Snapshot
from exporter.bus_check import DropReason

MAX_WAITING: Final = 2_000
MAX_WAITING_BYTES: Final = 64 * 1024 * 1024
MIN_CACHE_TTL: Final = 120


@dataclass(frozen=True, slots=True)
class Item:
    """One snapshot as it travels."""

    fields: dict[str, bytes]
    size: int
    host: str
    seq: int
    slot: float
    """Unix time."""
    cache_ttl: int
    """Seconds."""


def item_of(snapshot: Snapshot) -> Item:
    """Return the snapshot, encoded."""
    fields = stream.encode(snapshot)
    return Item(
        fields=fields,
        size=sum(map(len, fields.values())),
        host=snapshot.host,
        seq=snapshot.seq,
        slot=snapshot.slot.timestamp(),
        cache_ttl=max(MIN_CACHE_TTL, round(EXPIRY_INTERVALS * snapshot.interval)),
    )


class Outbox:
    """A queue of items, with a few of them taken out and in flight.

    Beyond the bounds the oldest goes, and is counted under :attr:`reason`: what keeps items waiting at the moment. Those
    in flight stay: one that is dropped could not be told from one that has arrived.
    """

    def __init__(self, most: int = MAX_WAITING, most_bytes: int = MAX_WAITING_BYTES) -> None:
        self.reason = DropReason.BUS_AWAY
        self._most = most
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._waiting: deque[Item] = deque()
        self._bytes = 0
        self._flying: Sequence[Item] = ()
        self._newest: Item | None = None
        self._drops: Counter[str] = Counter()

    def put(self, item: Item) -> None:
        """Add the newest item; never waits."""
        with self._lock:
            self._waiting.append(item)
            self._bytes += item.size
            self._newest = item
            self._trim(self._most, self.reason)

    def take(self, count: int, most_bytes: int) -> Sequence[Item]:
        """Take out the oldest items, at most so many, at least one where there is one; :meth:`settle` follows."""
        with self._lock:
            taken: list[Item] = []
            size = 0
            while self._waiting and len(taken) < count:
                size += self._waiting[0].size
                if taken and size > most_bytes:
                    break
                taken.append(self._waiting.popleft())
            self._bytes -= sum(item.size for item in taken)
            self._flying = taken
            return taken

    def settle(self, taken: Sequence[Item], count: int) -> None:
        """Note that so many of those taken are settled, the oldest first; the others wait again.

        Nothing happens if they were recalled meanwhile.
        """
        with self._lock:
            if taken is not self._flying:
                return
            rest = taken[count:]
            self._flying = ()
            self._waiting.extendleft(reversed(rest))
            self._bytes += sum(item.size for item in rest)
            self._trim(self._most, self.reason)

    def shrink(self, most: int, reason: DropReason) -> None:
        """Drop the oldest of those that wait until so many are left."""
        with self._lock:
            self._trim(most, reason)

    def recall(self) -> None:
        """Let those in flight wait again: whoever took them does not come back in time."""
        self.settle(self._flying, 0)

    @property
    def newest(self) -> Item | None:
        """The item that was put in last, whatever has become of it."""
        return self._newest

    @property
    def waiting(self) -> int:
        """Number of items that are not settled."""
        with self._lock:
            return len(self._waiting) + len(self._flying)

    @property
    def settled(self) -> int:
        """The highest number such that this item and all before it are settled; 0 before there is one."""
        with self._lock:
            if self._flying:
                return self._flying[0].seq - 1
            if self._waiting:
                return self._waiting[0].seq - 1
            return self._newest.seq if self._newest is not None else 0

    @property
    def drops(self) -> Mapping[str, int]:
        """What was dropped here, by reason."""
        with self._lock:
            return dict(self._drops)

    def _trim(self, most: int, reason: DropReason) -> None:
        """Drop the oldest beyond the bounds; the caller holds the lock."""
        while len(self._waiting) > most or (self._bytes > self._most_bytes and len(self._waiting) > 1):
            self._bytes -= self._waiting.popleft().size
            self._drops[reason.value] += 1
