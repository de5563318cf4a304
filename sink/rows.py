"""Snapshot to rows: pure, so the same snapshot gives the same rows however often and wherever it is written.

Only parts observed in the snapshot's slot make rows. ``None`` becomes NULL: unknown is never written as 0.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from depthgauge.backlogs import QueueKey, backlogs, knows_failed
from depthgauge.snapshot import Process, ProcessState, Queue, Snapshot, Supervisor
from depthgauge.totals import by_name, totals_of
from sink.event_rows import EventRow, event_rows
from sink.health_rows import HealthRow, PerformanceRow, health_rows, performance_rows

_PASSING: Final = frozenset({ProcessState.STARTING, ProcessState.BACKOFF, ProcessState.STOPPING})
_SLOW: Final = 0.2
"""A supervisord that takes a larger share of the interval than this to answer is read every second slot only."""


class LedgerRow(NamedTuple):
    """A row of ``snapshots``; fields stand in the order of the columns, as in all rows here."""

    host: str
    run_id: str
    seq: int
    recorded_at: datetime
    taken_at: datetime
    drops: Mapping[str, int]
    earlier_drops: Mapping[str, Mapping[str, int]] | None


class WorkerRow(NamedTuple):
    """A row of ``worker_snapshots``."""

    host: str
    redis: str
    system: str
    queue: str
    recorded_at: datetime
    workers: int | None
    registry_workers: int | None
    busy_workers: int | None
    pending: int | None
    processing: int | None
    delayed: int | None
    retry: int | None
    blocked: int | None
    failed: int | None
    dead: int | None
    completed: int | None
    oldest_job_age: float | None
    avg_processing_time: float | None
    throughput: float | None


class QueueRow(NamedTuple):
    """A row of ``queue_metrics``."""

    host: str
    recorded_at: datetime
    active_workers: int | None
    workers_by_queue: Mapping[str, int] | None
    pending_jobs: int | None
    processing_jobs: int | None
    delayed_jobs: int | None
    failed_jobs: int | None
    completed_jobs: int | None
    pending_by_queue: Mapping[str, int] | None
    failed_by_queue: Mapping[str, int] | None


class ProcessRow(NamedTuple):
    """A row of ``process_snapshots``."""

    host: str
    supervisor: str
    process_group: str
    process: str
    recorded_at: datetime
    state: int
    pid: int | None
    started_at: datetime | None
    exit_status: int | None
    cpu_seconds: float | None
    rss_bytes: int | None
    spawn_error: str | None


class Rows(NamedTuple):
    """All rows of one snapshot; keys are unique within each table."""

    ledger: LedgerRow
    workers: tuple[WorkerRow, ...]
    queues: tuple[QueueRow, ...]
    processes: tuple[ProcessRow, ...]
    events: tuple[EventRow, ...]
    health: tuple[HealthRow, ...]
    performance: tuple[PerformanceRow, ...]

    @property
    def total(self) -> int:
        """Number of rows, the ledger's included."""
        return 1 + sum(map(len, self[1:]))


def rows_of(snapshot: Snapshot) -> Rows:
    """Return the rows of a snapshot."""
    slot = snapshot.slot.astimezone(UTC)
    queues = backlogs(snapshot, snapshot.is_fresh)
    return Rows(
        ledger=LedgerRow(
            host=snapshot.host,
            run_id=snapshot.run_id,
            seq=snapshot.seq,
            recorded_at=slot,
            taken_at=snapshot.taken_at,
            drops=dict(snapshot.drops),
            earlier_drops={run: dict(drops) for run, drops in snapshot.earlier_drops.items()} or None,
        ),
        workers=tuple(_worker_rows(snapshot, queues, slot)),
        queues=(_queue_row(snapshot, queues, slot),),
        processes=tuple(_process_rows(snapshot, slot)),
        events=tuple({row[:6]: row for row in event_rows(snapshot, slot)}.values()),
        health=tuple({row[:3]: row for row in health_rows(snapshot, slot)}.values()),
        performance=tuple({row[:3]: row for row in performance_rows(snapshot, slot)}.values()),
    )


def _worker_rows(snapshot: Snapshot, queues: Mapping[QueueKey, Queue], slot: datetime) -> Iterable[WorkerRow]:
    workers = _workers(snapshot)
    observed = {key for key, processes in workers.items() if processes is not None}
    unread = Queue(system="", name="")
    for key in sorted(queues.keys() | observed):
        queue = queues.get(key, unread)
        live, kept = queue.live, queue.kept
        # By position, in the order of the fields: this is where a sink that catches up spends its time.
        yield WorkerRow(
            snapshot.host,
            *key,
            slot,
            workers.get(key),
            queue.registry_workers,
            queue.registry_workers_busy,
            live.waiting,
            live.active,
            live.delayed,
            live.retry,
            live.blocked,
            kept.failed,
            kept.dead,
            queue.completed_total,
            _age(slot, queue.head_eligible_at),
            _float(queue.processing_seconds),
            _float(queue.throughput),
        )


def _workers(snapshot: Snapshot) -> dict[QueueKey, int | None]:
    """Worker processes by queue, over all supervisors; None where one that was not read in this slot has a part in it."""
    workers: dict[QueueKey, int | None] = {}
    for supervisor in snapshot.supervisors:
        fresh = snapshot.is_fresh(supervisor)
        for served in supervisor.workers:
            key = (served.redis, served.system, served.queue)
            before = workers.get(key, 0)
            workers[key] = before + served.processes if fresh and before is not None else None
    return workers


def _queue_row(snapshot: Snapshot, queues: Mapping[QueueKey, Queue], slot: datetime) -> QueueRow:
    totals = totals_of(queues.values(), tables=bool(snapshot.failed_jobs_in))
    complete = bool(snapshot.queues) and all(map(snapshot.is_fresh, snapshot.queues))
    failed = _knows_failed(snapshot)
    manned = bool(snapshot.supervisors) and all(map(snapshot.is_fresh, snapshot.supervisors))
    processes = [each.processes for supervisor in snapshot.supervisors for each in supervisor.worker_processes]
    return QueueRow(
        host=snapshot.host,
        recorded_at=slot,
        active_workers=sum(processes) if manned and processes else None,
        workers_by_queue=_workers_by_queue(snapshot) if manned else None,
        pending_jobs=totals.pending if complete else None,
        processing_jobs=totals.processing if complete else None,
        delayed_jobs=totals.delayed if complete else None,
        failed_jobs=totals.failed if failed else None,
        completed_jobs=totals.completed if complete else None,
        pending_by_queue=totals.pending_by_queue if complete else None,
        failed_by_queue=totals.failed_by_queue if failed else None,
    )


def _knows_failed(snapshot: Snapshot) -> bool:
    """Say whether all that tells of failed jobs was read in this slot: Redis, and databases that hold them."""
    if not knows_failed(snapshot, snapshot.is_fresh):
        return False
    return bool(snapshot.queues or snapshot.failed_jobs_in) and all(map(snapshot.is_fresh, snapshot.queues))


def _workers_by_queue(snapshot: Snapshot) -> Mapping[str, int] | None:
    return by_name((queue, processes) for (_, _, queue), processes in _workers(snapshot).items()) or None


def _process_rows(snapshot: Snapshot, slot: datetime) -> Iterable[ProcessRow]:
    written: set[tuple[str, str, str]] = set()
    for supervisor in snapshot.supervisors:
        if not snapshot.is_fresh(supervisor):
            continue
        minute = _opens_minute(snapshot, supervisor, slot)
        for process in supervisor.processes:
            key = (supervisor.name, process.group, process.name)
            if key not in written and (minute or _has_changed(process, supervisor, snapshot.interval)):
                written.add(key)
                yield _process_row(snapshot.host, supervisor, process, slot)


def _opens_minute(snapshot: Snapshot, supervisor: Supervisor, slot: datetime) -> bool:
    """Say whether this is the first slot of a minute in which the supervisord can have been read."""
    slow = any(
        status.kind == "supervisor"
        and status.target == supervisor.name
        and status.seconds is not None
        and status.seconds > _SLOW * snapshot.interval
        for status in snapshot.sources
    )
    seconds = slot.timestamp()
    return seconds // 60 != (seconds - snapshot.interval * (2 if slow else 1)) // 60


def _has_changed(process: Process, supervisor: Supervisor, interval: float) -> bool:
    """Say whether the process changed since its last reading, by supervisord's clock and whole seconds.

    A snapshot does not know the one before it; two intervals cover a slot that was skipped. A process on its way between
    two states is written in every slot, so that its arrival is at most a minute from the row before it.
    """
    if process.state in _PASSING:
        return True
    since = supervisor.now - timedelta(seconds=min(2 * interval, 86_400.0) + 1)
    return any(moment is not None and moment >= since for moment in (process.start, process.stop))


def _process_row(host: str, supervisor: Supervisor, process: Process, slot: datetime) -> ProcessRow:
    resources = process.resources
    return ProcessRow(
        host=host,
        supervisor=supervisor.name,
        process_group=process.group,
        process=process.name,
        recorded_at=slot,
        state=process.state,
        pid=process.pid,
        started_at=process.start,
        exit_status=process.exit_status,
        cpu_seconds=_float(resources.cpu_seconds) if resources else None,
        rss_bytes=resources.resident_memory_bytes if resources else None,
        spawn_error=process.spawn_error,
    )


def _age(slot: datetime, moment: datetime | None) -> float | None:
    if moment is None:
        return None
    age = (slot - moment).total_seconds()
    return max(0.0, age)


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)
