"""Snapshots for tests of what is rendered from them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from depthgauge.snapshot import (
    Cycle,
    KeptJobs,
    LiveJobs,
    Process,
    ProcessState,
    Queue,
    QueueWorkers,
    RedisQueues,
    Resources,
    Snapshot,
    SourceStatus,
    Supervisor,
    WorkerProcesses,
)
from tests.plugins import health

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def snapshot_of(**changes: Any) -> Snapshot:
    """Return a snapshot taken now, empty but for what is given."""
    values: dict[str, Any] = {
        "host": "web-1",
        "run_id": "r1",
        "seq": 7,
        "slot": ago(1),
        "taken_at": NOW,
        "interval": 15.0,
        "cycle": Cycle(seconds=0.125, skipped=2),
    }
    return Snapshot(**{**values, **changes})


def status(kind: str, target: str, **changes: Any) -> SourceStatus:
    values: dict[str, Any] = {"ok": True, "seconds": 0.01, "last_success_at": NOW, "observed_at": NOW}
    return SourceStatus(kind=kind, target=target, **{**values, **changes})


def processes() -> tuple[Process, ...]:
    """Return one process in each state that matters, with all that is known of it."""
    used = Resources(cpu_seconds=12.5, resident_memory_bytes=123456789, threads=4, open_fds=17, children=2)
    return (
        Process(
            group="mail",
            name="mail_00",
            state=ProcessState.RUNNING,
            start=ago(3600),
            pid=10,
            restarts=3,
            resources=used,
        ),
        Process(group="mail", name="mail_01", state=ProcessState.BACKOFF, start=ago(5), exit_status=-1),
        Process(group="a", name="same", state=ProcessState.EXITED, start=ago(50), stop=ago(40), exit_status=200),
        Process(group="b", name="same", state=ProcessState.FATAL, spawn_error="can't find command"),
        Process(group="never", name="never", state=ProcessState.STOPPED),
        Process(group="odd", name='quote " back \\ line \n', state=4711, start=ago(9)),
        Process(group="ended", name="ended", state=ProcessState.STOPPED, start=ago(90), stop=ago(80), exit_status=0),
    )


def full(**changes: Any) -> Snapshot:
    """Return a snapshot in which every family has samples."""
    main = Supervisor(
        observed_at=ago(0.5),
        name="main",
        now=NOW,
        state=1,
        pid=1,
        version="4.3.0",
        api_version="3.0",
        identification="supervisor",
        processes=processes(),
        workers=(
            QueueWorkers(redis="default", system="rq", queue="high", processes=2),
            QueueWorkers(redis="default", system="rq", queue="low", processes=0),
        ),
        worker_processes=(WorkerProcesses(redis="default", system="rq", processes=2),),
    )
    second = Supervisor(
        observed_at=ago(0.5),
        name="second",
        now=NOW,
        state=1,
        workers=(QueueWorkers(redis="default", system="rq", queue="high", processes=1),),
        worker_processes=(WorkerProcesses(redis="default", system="rq", processes=1),),
    )
    high = Queue(
        system="rq",
        name="high",
        live=LiveJobs(waiting=12, active=2, delayed=0, retry=1, blocked=3),
        kept=KeptJobs(failed=1, dead=0, finished=100, canceled=4),
        head_eligible_at=ago(33.25),
        completed_total=1234567,
        failed_total=89,
        processing_seconds=0.75,
        throughput=3.5,
        registry_workers=5,
        registry_workers_busy=4,
        paused=False,
    )
    plain = Queue(system="list", name="jobs", live=LiveJobs(waiting=0), head_first_seen_at=ago(7), error="too_large")
    values: dict[str, Any] = {
        "supervisors": (main, second),
        "queues": (RedisQueues(observed_at=ago(0.4), redis="default", queues=(high, plain)),),
        "sources": (
            status("supervisor", "main"),
            status("supervisor", "second"),
            status("redis", "default", errors={"timeout": 2, "refused": 1}),
            status("redis", "other", ok=False, error="refused", last_success_at=None, errors={"refused": 9}),
            status("processes", "proc"),
            status("redis_server", "default"),
            status("database", "app"),
            status("host", "machine"),
            status("probe", "site"),
        ),
        "redis_servers": (health.server(ago(0.4)),),
        "databases": (health.database(ago(0.4)),),
        "failed_jobs_in": ("app",),
        "machine": health.machine(ago(0.4)),
        "probes": (health.probe(ago(0.4)),),
        "drops": {"bus_away": 3, "bus_full": 0},
    }
    return snapshot_of(**{**values, **changes})
