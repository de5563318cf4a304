"""Batches on their way from the thread that reads and decodes to the one that writes: few, and known by their entries."""

import queue
import threading
from collections.abc import Collection, Iterable
from typing import Final

from sink.batch import Sorted
from sink.inbox import Entry
from sink.patience import Stopped

DEPTH: Final = 2
"""Batches that may wait: one is decoded while another is written, and one more evens out which takes longer."""
_LOOK: Final = 0.2
"""Seconds after which a thread that waits looks whether it is to stop."""


class Handover:
    """A short queue of batches, and the ids of all entries that this sink has in hand."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._batches: queue.Queue[Sorted] = queue.Queue(DEPTH)
        self._lock = threading.Lock()
        self._held: set[bytes] = set()
        self._failure: BaseException | None = None

    def hold(self, entries: Iterable[Entry]) -> None:
        """Note that these entries were read: they are pending, and being seen to."""
        with self._lock:
            self._held.update(entry.id for entry in entries)

    def release(self, entries: Iterable[Entry]) -> None:
        """Note that these entries were seen to."""
        with self._lock:
            self._held.difference_update(entry.id for entry in entries)

    def not_held(self, entries: Iterable[Entry]) -> list[Entry]:
        """Return those of the entries that this sink has not in hand already."""
        with self._lock:
            return [entry for entry in entries if entry.id not in self._held]

    def put(self, batch: Sorted) -> None:
        """Hand a batch over, as soon as there is room; raise Stopped."""
        while not self._stop.is_set():
            try:
                self._batches.put(batch, timeout=_LOOK)
            except queue.Full:
                continue
            return
        raise Stopped

    def take(self) -> Sorted | None:
        """Return the next batch, None where none comes for a moment; raise Stopped, and whatever ended the other thread."""
        try:
            return self._batches.get(timeout=_LOOK)
        except queue.Empty:
            if self._failure is not None:
                raise self._failure from None
            if self._stop.is_set():
                raise Stopped from None
            return None

    def fail(self, failure: BaseException) -> None:
        """Note that there will be no more batches, and why."""
        self._failure = failure

    @property
    def held(self) -> Collection[bytes]:
        """The ids of the entries in hand."""
        with self._lock:
            return frozenset(self._held)
