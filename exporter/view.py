"""What several hosts say, put together into one picture. Pure.

A backlog is a fact about a Redis: of several hosts that tell of one queue the largest number counts. Workers are a fact
about a host: they are added up. Registry workers stand in the Redis, so they are a backlog in this sense.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from msgspec import structs

from depthgauge.backlogs import QueueKey, backlogs, knows_failed, newest_failures
from depthgauge.snapshot import KeptJobs, LiveJobs, Queue, Snapshot
from depthgauge.totals import Totals, by_name, totals_of
from exporter.expiry import is_alive, without_expired

N = TypeVar("N", int, float)


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """The fleet at a moment, or what is known of it."""

    now: datetime
    recorded_at: datetime
    """The slot of the newest snapshot."""
    taken_at: datetime
    """When the newest snapshot was taken."""
    source: str
    """``cache``: the whole fleet; ``direct``: this exporter alone."""
    snapshots: Sequence[Snapshot]
    """One of each host, without the parts that are too old, by host."""
    missing: Sequence[str]
    """Hosts that belong to the fleet and whose snapshot is gone, unreadable or too old, in their order."""
    queues: Mapping[QueueKey, Queue]
    """Every queue once, in the order of the keys."""
    newest_failures: Mapping[QueueKey, datetime]
    """When the newest of the failed jobs that applications keep in databases failed."""
    workers: Mapping[QueueKey, int]
    """Local worker processes by the queues they serve."""
    worker_processes: int | None
    """Each once; None where nobody told of any."""
    totals: Totals

    @property
    def workers_by_queue(self) -> Mapping[str, int]:
        """Local worker processes by the queue's bare name."""
        return by_name((queue, processes) for (_, _, queue), processes in self.workers.items())


def view_of(snapshots: Sequence[Snapshot], *, listed: Iterable[str] = (), source: str, now: datetime) -> View:
    """Return what snapshots of different hosts, one at least, come to at ``now``; ``listed`` are the hosts of the fleet."""
    newest = max(snapshots, key=lambda snapshot: (snapshot.slot, snapshot.taken_at))
    alive = [without_expired(each, now) for each in snapshots if is_alive(each, now)]
    alive.sort(key=lambda snapshot: snapshot.host)
    hosts = {snapshot.host for snapshot in alive}
    missing = {*listed, *(snapshot.host for snapshot in snapshots)} - hosts
    found = _queues(alive)
    read = any(snapshot.queues for snapshot in alive)
    processes = [
        each.processes
        for snapshot in alive
        for supervisor in snapshot.supervisors
        for each in supervisor.worker_processes
    ]
    tables = any(snapshot.failed_jobs_in for snapshot in alive)
    totals = totals_of(found.values() if found or read else None, tables=tables)
    if not all(knows_failed(snapshot, lambda _: True) for snapshot in alive):
        # What is left would look like all there is.
        totals = structs.replace(totals, failed=None, failed_by_queue={})
    return View(
        now=now,
        recorded_at=newest.slot,
        taken_at=newest.taken_at,
        source=source,
        snapshots=alive,
        missing=sorted(missing),
        queues=found,
        newest_failures=_newest_failures(alive),
        workers=_workers(alive),
        worker_processes=sum(processes) if processes else None,
        totals=totals,
    )


def _queues(snapshots: Sequence[Snapshot]) -> Mapping[QueueKey, Queue]:
    found: dict[QueueKey, Queue] = {}
    # The newest comes last: what is not a number is taken from it.
    for snapshot in sorted(snapshots, key=lambda each: each.taken_at):
        for key, queue in backlogs(snapshot, lambda _: True).items():
            before = found.get(key)
            found[key] = queue if before is None else _largest(before, queue)
    return dict(sorted(found.items()))


def _newest_failures(snapshots: Sequence[Snapshot]) -> Mapping[QueueKey, datetime]:
    newest: dict[QueueKey, datetime] = {}
    for snapshot in snapshots:
        for key, at in newest_failures(snapshot, lambda _: True).items():
            newest[key] = max(at, newest.get(key, at))
    return newest


def _workers(snapshots: Sequence[Snapshot]) -> Mapping[QueueKey, int]:
    workers: dict[QueueKey, int] = {}
    for snapshot in snapshots:
        for supervisor in snapshot.supervisors:
            for served in supervisor.workers:
                key = (served.redis, served.system, served.queue)
                workers[key] = workers.get(key, 0) + served.processes
    return workers


def _largest(old: Queue, new: Queue) -> Queue:
    """Join two readings of one queue."""
    live, kept = (old.live, new.live), (old.kept, new.kept)
    return structs.replace(
        new,
        live=LiveJobs(**{name: _max(*(getattr(each, name) for each in live)) for name in LiveJobs.__struct_fields__}),
        kept=KeptJobs(**{name: _max(*(getattr(each, name) for each in kept)) for name in KeptJobs.__struct_fields__}),
        head_eligible_at=_first(old.head_eligible_at, new.head_eligible_at),
        head_first_seen_at=_first(old.head_first_seen_at, new.head_first_seen_at),
        completed_total=_max(old.completed_total, new.completed_total),
        failed_total=_max(old.failed_total, new.failed_total),
        processing_seconds=_max(old.processing_seconds, new.processing_seconds),
        throughput=_max(old.throughput, new.throughput),
        registry_workers=_max(old.registry_workers, new.registry_workers),
        registry_workers_busy=_max(old.registry_workers_busy, new.registry_workers_busy),
        paused=new.paused if new.paused is not None else old.paused,
    )


def _max(one: N | None, other: N | None) -> N | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


def _first(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
