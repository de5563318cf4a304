"""From a view of the fleet to what the API says about queues and workers. Pure, but for what is remembered of the last readings."""

from datetime import UTC, datetime
from heapq import nlargest
from typing import Any, Final

from depthgauge.backlogs import QueueKey
from depthgauge.snapshot import Process, ProcessState, Queue, Supervisor
from exporter.recent import Recent
from exporter.view import View
from exporter.web.replies import (
    ProcessReply,
    QueueReply,
    Queues,
    QueueStats,
    RecentPoints,
    ServedReply,
    SupervisorReply,
    Workers,
)

MOST_DRAWN: Final = 500
"""Queues, those with the most waiting jobs, whose recent points are told; of more of them nobody draws lines."""
_STATES: Final = {2: "FATAL", 1: "RUNNING", 0: "RESTARTING", -1: "SHUTDOWN"}
_NO_POINTS: Final = RecentPoints(times=(), waiting=())


def envelope(view: View) -> dict[str, Any]:
    """Return the fields that every live reply has."""
    return {
        "recorded_at": view.recorded_at.astimezone(UTC),
        "age_seconds": max(0.0, round((view.now - view.taken_at).total_seconds(), 3)),
        "hosts": [snapshot.host for snapshot in view.snapshots],
        "missing_hosts": view.missing,
        "source": view.source,
    }


def queue_stats(view: View) -> QueueStats:
    """Return the totals."""
    totals = view.totals
    return QueueStats(
        **envelope(view),
        pending=totals.pending,
        processing=totals.processing,
        delayed=totals.delayed,
        failed=totals.failed,
        completed=totals.completed,
        workers=view.worker_processes,
        workers_by_queue=view.workers_by_queue,
        pending_by_queue=totals.pending_by_queue,
        failed_by_queue=totals.failed_by_queue,
    )


def queues(view: View, recent: Recent) -> Queues:
    """Return every queue that has a backlog or workers."""
    keys = sorted(view.queues.keys() | view.workers.keys())
    drawn = frozenset(keys)
    if len(keys) > MOST_DRAWN:
        drawn = frozenset(nlargest(MOST_DRAWN, view.queues, key=lambda key: view.queues[key].live.waiting or 0))
    unread = Queue(system="", name="")
    return Queues(
        **envelope(view),
        data=[
            _queue(key, view.queues.get(key, unread), view, recent, points=_points(recent, key, drawn=key in drawn))
            for key in keys
        ],
    )


def _points(recent: Recent, key: QueueKey, *, drawn: bool) -> RecentPoints:
    if not drawn:
        return _NO_POINTS
    points = recent.points(key)
    return RecentPoints(times=points.times, waiting=points.waiting)


def _queue(key: QueueKey, queue: Queue, view: View, recent: Recent, *, points: RecentPoints) -> QueueReply:
    live, kept = queue.live, queue.kept
    oldest = queue.head_eligible_at if queue.head_eligible_at is not None else queue.head_first_seen_at
    trend = recent.trend(key)
    draining = trend is not None and trend.name == "draining" and live.waiting is not None
    return QueueReply(
        redis=key[0],
        system=key[1],
        queue=key[2],
        waiting=live.waiting,
        active=live.active,
        delayed=live.delayed,
        retry=live.retry,
        blocked=live.blocked,
        failed=kept.failed,
        dead=kept.dead,
        newest_failure_at=view.newest_failures.get(key),
        finished=kept.finished,
        canceled=kept.canceled,
        oldest_job_at=oldest,
        oldest_job_age_seconds=None if oldest is None else max(0.0, round((view.now - oldest).total_seconds(), 3)),
        age_is_lower_bound=queue.head_eligible_at is None and oldest is not None,
        completed_total=queue.completed_total,
        failed_total=queue.failed_total,
        processing_seconds=queue.processing_seconds,
        throughput=None if queue.throughput is None else round(queue.throughput, 3),
        workers=view.workers.get(key),
        registry_workers=queue.registry_workers,
        registry_workers_busy=queue.registry_workers_busy,
        paused=queue.paused,
        error=queue.error,
        trend=None if trend is None else trend.name,  # type: ignore[arg-type]  # one of the three
        drain_seconds=round((live.waiting or 0) / -trend.per_second, 1) if draining and trend is not None else None,
        recent=points,
    )


def workers(view: View, recent: Recent) -> Workers:
    """Return every process and every supervisord."""
    return Workers(
        **envelope(view),
        data=[
            _process(snapshot.host, supervisor, process, recent)
            for snapshot in view.snapshots
            for supervisor in snapshot.supervisors
            for process in supervisor.processes
        ],
        supervisors=_supervisors(view),
    )


def _supervisors(view: View) -> list[SupervisorReply]:
    found: list[SupervisorReply] = []
    for snapshot in view.snapshots:
        for supervisor in snapshot.supervisors:
            running = sum(process.state == ProcessState.RUNNING for process in supervisor.processes)
            found.append(
                SupervisorReply(
                    host=snapshot.host,
                    supervisor=supervisor.name,
                    up=True,
                    state=_STATES.get(supervisor.state),
                    version=supervisor.version,
                    processes=len(supervisor.processes),
                    running=running,
                )
            )
        shown = {supervisor.name for supervisor in snapshot.supervisors}
        found += [
            SupervisorReply(
                host=snapshot.host,
                supervisor=status.target,
                up=False,
                state=None,
                version=None,
                processes=None,
                running=None,
            )
            for status in snapshot.sources
            if status.kind == "supervisor" and status.target not in shown
        ]
    return found


def _process(host: str, supervisor: Supervisor, process: Process, recent: Recent) -> ProcessReply:
    used = process.resources
    known = cpu_ratio = None
    if used is not None and used.cpu_seconds is not None:
        known = used.cpu_seconds
        cpu_ratio = recent.cpu_ratio((host, supervisor.name, process.group, process.name))
    return ProcessReply(
        host=host,
        supervisor=supervisor.name,
        group=process.group,
        process=process.name,
        state=_state(process.state),
        state_code=process.state,
        pid=process.pid,
        started_at=process.start,
        uptime_seconds=_uptime(process, supervisor.now),
        restarts=process.restarts,
        exit_status=process.exit_status,
        spawn_error=process.spawn_error,
        cpu_seconds=known,
        cpu_ratio=None if cpu_ratio is None else round(cpu_ratio, 4),
        resident_memory_bytes=used.resident_memory_bytes if used is not None else None,
        threads=used.threads if used is not None else None,
        open_fds=used.open_fds if used is not None else None,
        children=used.children if used is not None else None,
        queues=[ServedReply(redis=each.redis, system=each.system, queue=each.queue) for each in process.serves],
    )


def _state(code: int) -> str:
    try:
        return ProcessState(code).name
    except ValueError:
        return ProcessState.UNKNOWN.name


def _uptime(process: Process, now: datetime) -> float | None:
    if process.state != ProcessState.RUNNING or process.start is None:
        return None
    return max(0.0, (now - process.start).total_seconds())
