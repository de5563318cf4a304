"""Every queue of a snapshot once, whatever sources its numbers come from. Pure."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TypeAlias

from msgspec import structs

from depthgauge.parts import Part
from depthgauge.snapshot import Queue, Snapshot

QueueKey: TypeAlias = tuple[str, str, str]
"""Redis, system, queue: the identity in the fleet."""


def knows_failed(snapshot: Snapshot, counts: Callable[[Part], bool]) -> bool:
    """Say whether every database that holds failed jobs has told them in a part that counts; else their total is unknown."""
    told = {part.name for part in snapshot.databases if counts(part) and part.failed_jobs is not None}
    return told >= set(snapshot.failed_jobs_in)


def backlogs(snapshot: Snapshot, counts: Callable[[Part], bool]) -> Mapping[QueueKey, Queue]:
    """Return the queues of the parts that count, by their identity; of two with one identity the first.

    Failed jobs that stand in an application's database are those of the queue whose jobs they were. Where another exporter
    reads that Redis, the queue has nothing but them.
    """
    found: dict[QueueKey, Queue] = {}
    for part in snapshot.queues:
        if counts(part):
            for queue in part.queues:
                found.setdefault((part.redis, queue.system, queue.name), queue)
    for database in snapshot.databases:
        if counts(database):
            for failed in database.failed_jobs or ():
                key = (failed.redis, failed.system, failed.queue)
                queue = found.get(key) or Queue(system=failed.system, name=failed.queue)
                if queue.kept.failed is None:
                    found[key] = structs.replace(queue, kept=structs.replace(queue.kept, failed=failed.count))
    return found


def newest_failures(snapshot: Snapshot, counts: Callable[[Part], bool]) -> Mapping[QueueKey, datetime]:
    """Return when the newest of the failed jobs that stand in databases failed, by queue, from the parts that count."""
    found: dict[QueueKey, datetime] = {}
    for database in snapshot.databases:
        if counts(database):
            for failed in database.failed_jobs or ():
                if failed.newest_at is not None:
                    key = (failed.redis, failed.system, failed.queue)
                    found[key] = max(failed.newest_at, found.get(key, failed.newest_at))
    return found
