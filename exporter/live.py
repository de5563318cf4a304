"""What the live API shows: the fleet out of the cache, else what this exporter knows itself. One reading for all callers."""

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

from depthgauge.snapshot import Snapshot
from exporter.expiry import is_alive
from exporter.fleet import Fleet
from exporter.recent import Recent
from exporter.store import SnapshotStore
from exporter.view import View, view_of

KEPT: Final = 1.0
"""Seconds that a view is given to all who ask."""
PATIENCE: Final = 2.0
"""Seconds to wait for a collection that was brought forward."""


class Cache(Protocol):
    """Where the snapshots of all hosts are found."""

    def read(self) -> Fleet | None:
        """Return what is there; None when it cannot be read."""


class Live:
    """Makes views; safe for several threads.

    ``visible`` takes away what this exporter may not show any more; ``ask`` wants a collection to be brought forward.
    """

    def __init__(
        self,
        store: SnapshotStore,
        *,
        visible: Callable[[Snapshot], Snapshot],
        cache: Cache | None,
        ask: Callable[[], None],
        recent: Recent,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._visible = visible
        self._cache = cache
        self._ask = ask
        self._recent = recent
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._until: float | None = None
        self._view: View | None = None
        self._listed: Sequence[str] = ()

    def view(self) -> View | None:
        """Return what is known now; None when nothing is known yet.

        Of several callers one reads and the others wait for what it finds.
        """
        with self._lock:
            now = self._monotonic()
            if self._until is None or now >= self._until:
                self._view = self._from_cache() or self._direct()
                self._until = self._monotonic() + KEPT
            return self._view

    def _from_cache(self) -> View | None:
        fleet = self._cache.read() if self._cache is not None else None
        if fleet is None:
            return None
        self._listed = fleet.listed
        now = self._clock()
        if not any(is_alive(each, now) for each in fleet.snapshots):
            return None
        self._recent.feed(fleet.snapshots)
        return view_of(fleet.snapshots, listed=fleet.listed, source="cache", now=now)

    def _direct(self) -> View | None:
        latest = self._store.latest
        if latest is None or self._clock() - latest.taken_at > timedelta(seconds=latest.interval):
            self._ask()
            latest = self._store.other_than(latest, PATIENCE)
        if latest is None:
            return None
        return view_of([self._visible(latest)], listed=self._listed, source="direct", now=self._clock())
