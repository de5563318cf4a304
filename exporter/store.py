"""The latest snapshot, handed from the loop to whoever shows it."""

import threading

from depthgauge.snapshot import Snapshot


class SnapshotStore:
    """Holds one frozen snapshot; taking it is a single read of an attribute and never waits."""

    def __init__(self) -> None:
        self.latest: Snapshot | None = None
        """None until the first collection has ended."""
        self._changed = threading.Condition()

    def put(self, snapshot: Snapshot) -> None:
        """Make this the latest snapshot."""
        with self._changed:
            self.latest = snapshot
            self._changed.notify_all()

    def other_than(self, known: Snapshot | None, seconds: float) -> Snapshot | None:
        """Wait for so many seconds until the latest snapshot is another one; return the latest in any case."""
        with self._changed:
            self._changed.wait_for(lambda: self.latest is not known, seconds)
            return self.latest
