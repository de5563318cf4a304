"""The latest snapshot, handed from the loop to whoever shows it."""

from depthgauge.snapshot import Snapshot


class SnapshotStore:
    """Holds one frozen snapshot; putting and taking are single assignments, so no lock is needed."""

    def __init__(self) -> None:
        self.latest: Snapshot | None = None
        """None until the first collection has ended."""

    def put(self, snapshot: Snapshot) -> None:
        """Make this the latest snapshot."""
        self.latest = snapshot
