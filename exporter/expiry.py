"""What of a snapshot is still to be shown. Pure."""

from datetime import datetime, timedelta

from msgspec import structs

from depthgauge.parts import Part
from depthgauge.snapshot import EXPIRY_INTERVALS, Snapshot


def without_expired(snapshot: Snapshot, now: datetime) -> Snapshot:
    """Return the snapshot without the parts that are too old at ``now``; the same object if there are none."""

    def shown(part: Part) -> bool:
        return snapshot.is_shown(part, now)

    if all(map(shown, snapshot.parts)):
        return snapshot
    machine = snapshot.machine
    return structs.replace(
        snapshot,
        supervisors=tuple(filter(shown, snapshot.supervisors)),
        queues=tuple(filter(shown, snapshot.queues)),
        redis_servers=tuple(filter(shown, snapshot.redis_servers)),
        databases=tuple(filter(shown, snapshot.databases)),
        machine=machine if machine is not None and shown(machine) else None,
        probes=tuple(filter(shown, snapshot.probes)),
    )


def is_alive(snapshot: Snapshot, now: datetime) -> bool:
    """Say whether the snapshot as a whole is young enough: one that is not comes from a loop that has died."""
    return now - snapshot.taken_at <= timedelta(seconds=EXPIRY_INTERVALS * snapshot.interval)
