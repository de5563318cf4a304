"""The contract: one frozen picture of supervisors, processes and queues, from which everything is rendered.

Rules that hold for every part:

* ``None`` is unknown, ``0`` is zero, a thing that is gone is not in the snapshot.
* Times are aware UTC. ``observed_at`` is when the source answered, by the exporter's clock.
* A part that could not be read in this slot is carried over from an earlier one with its old ``observed_at``;
  :meth:`Snapshot.is_fresh` tells the difference. Database rows are written for fresh parts only.
* Two grains: a backlog is a fact about a Redis and stands in :class:`RedisQueues` only when this exporter collected that
  Redis; workers are a fact about this host and stand in :class:`Supervisor`.

Versioning: a reader ignores unknown fields of a newer minor; it must refuse a newer major.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

from msgspec import Struct, field

from depthgauge.health import Database, Machine, Probe, RedisServer
from depthgauge.parts import Part

VERSION: Final = "1.3"

EXPIRY_INTERVALS: Final = 3
"""A part older than this many intervals is no longer shown (metrics) and its ``…_up`` says 0."""


class ProcessState(IntEnum):
    """supervisord's process states, by its own numeric codes (supervisor/states.py)."""

    STOPPED = 0
    STARTING = 10
    RUNNING = 20
    BACKOFF = 30
    STOPPING = 40
    EXITED = 100
    FATAL = 200
    UNKNOWN = 1000


class SourceStatus(Part, frozen=True, kw_only=True):
    """How reading one target went; ``observed_at`` is when the last attempt ended."""

    kind: str
    target: str
    ok: bool
    seconds: float | None = None
    error: str | None = None
    """A value of :class:`depthgauge.errors.ErrorKind`; text here so that a newer exporter may add one."""
    last_success_at: datetime | None = None
    errors: Mapping[str, int] = field(default_factory=dict)
    """Failures since the exporter started, by error kind."""


class Resources(Struct, frozen=True, kw_only=True):
    """What one supervised process and its descendants use on this host."""

    cpu_seconds: float | None = None
    """User and system time of the live tree plus its waited-for children; never falls for one (pid, start)."""
    resident_memory_bytes: int | None = None
    threads: int | None = None
    open_fds: int | None = None
    """Of the process itself; ``None`` when /proc does not let us look."""
    children: int | None = None
    """Live descendants."""


class ServedQueue(Struct, frozen=True, kw_only=True):
    """A queue that a process takes jobs from."""

    redis: str
    system: str
    queue: str


class Process(Struct, frozen=True, kw_only=True):
    """One program instance as supervisord tells it, joined with what this host knows of its pid."""

    group: str
    name: str
    state: int
    """A supervisord code, see :class:`ProcessState`; unknown codes are passed through."""
    start: datetime | None = None
    """Last start by supervisord's clock; ``None`` if never started."""
    stop: datetime | None = None
    pid: int | None = None
    exit_status: int | None = None
    """Only in EXITED, BACKOFF, FATAL and STOPPED after a run; -1 for death by signal or unknown."""
    spawn_error: str | None = None
    restarts: int = 0
    """Starts seen after the first one, since the exporter started: a lower bound."""
    serves: tuple[ServedQueue, ...] = ()
    resources: Resources | None = None


class QueueWorkers(Struct, frozen=True, kw_only=True):
    """RUNNING processes of one supervisor that serve one queue; 0 once a mapped process is gone."""

    redis: str
    system: str
    queue: str
    processes: int


class WorkerProcesses(Struct, frozen=True, kw_only=True):
    """RUNNING worker processes of one supervisor, each once whatever the number of its queues; also of unknown ones."""

    redis: str
    system: str
    processes: int


class Supervisor(Part, frozen=True, kw_only=True):
    """One supervisord and everything under it."""

    name: str
    now: datetime
    """supervisord's own clock, to be used for uptimes."""
    state: int
    """supervisord's state code: 2 FATAL, 1 RUNNING, 0 RESTARTING, -1 SHUTDOWN."""
    pid: int | None = None
    version: str | None = None
    api_version: str | None = None
    identification: str | None = None
    processes: tuple[Process, ...] = ()
    workers: tuple[QueueWorkers, ...] = ()
    worker_processes: tuple[WorkerProcesses, ...] = ()


class LiveJobs(Struct, frozen=True, kw_only=True):
    """The backlog: disjoint states, so their sum is the number of jobs that still want work."""

    waiting: int | None = None
    """Ready to run, delayed jobs that are overdue included."""
    active: int | None = None
    """Taken by a worker, not yet acknowledged."""
    delayed: int | None = None
    retry: int | None = None
    blocked: int | None = None


class KeptJobs(Struct, frozen=True, kw_only=True):
    """What the system keeps of jobs that are over: retention, not backlog."""

    failed: int | None = None
    dead: int | None = None
    finished: int | None = None
    canceled: int | None = None


class Queue(Struct, frozen=True, kw_only=True):
    """One queue of one system in one Redis. ``name`` is ``""`` where a system keeps a number for all its queues."""

    system: str
    name: str
    live: LiveJobs = LiveJobs()
    kept: KeptJobs = KeptJobs()
    head_eligible_at: datetime | None = None
    """When the next job to run became eligible. The head, not the oldest job: LIFO pushes and priorities differ."""
    head_first_seen_at: datetime | None = None
    """When this exporter first saw the present head, where the system stores no time: a lower bound of its wait."""
    completed_total: int | None = None
    failed_total: int | None = None
    """True counters only; a trimmed set is in :class:`KeptJobs`."""
    processing_seconds: float | None = None
    """Mean processing time of recent jobs."""
    throughput: float | None = None
    """Jobs completed a second since the reading before, by ``completed_total``."""
    registry_workers: int | None = None
    registry_workers_busy: int | None = None
    """From the queue system's own registry."""
    paused: bool | None = None
    error: str | None = None
    """Why a number of this queue is missing: an error kind."""


class RedisQueues(Part, frozen=True, kw_only=True):
    """Every backlog this exporter read out of one Redis."""

    redis: str
    run_id: str | None = None
    """The server's own run id: tells two servers under one name apart."""
    queues: tuple[Queue, ...] = ()


class ProcessEvent(Struct, frozen=True, kw_only=True):
    """One change of a process's state, since the snapshot before."""

    supervisor: str
    group: str
    process: str
    occurred_at: datetime
    number: int
    """Tells events of one process and moment apart: supervisord's serial number, or the exporter's own count."""
    from_state: int | None = None
    to_state: int
    """Supervisord's codes, see :class:`ProcessState`."""
    exit_status: int | None = None
    expected: bool | None = None
    """Whether the program's ``exitcodes`` name the exit status; ``None`` where it did not exit or nobody told."""
    source: str
    """``listener``: exact; ``poll``: found by comparing two readings, so what happened in between is missing."""
    detail: str | None = None


class Cycle(Struct, frozen=True, kw_only=True):
    """The collection loop about itself."""

    seconds: float
    skipped: int = 0
    """Slots that passed without a collection, since the exporter started."""


class Snapshot(Struct, frozen=True, kw_only=True):
    """One collection of one exporter."""

    version: str = VERSION
    host: str
    run_id: str
    """One run of the exporter; ``seq`` is gap-free within it, from 1."""
    seq: int
    slot: datetime
    """The aligned time this collection stands for: what ``recorded_at`` will be."""
    taken_at: datetime
    interval: float
    """Seconds between slots."""
    cycle: Cycle
    drops: Mapping[str, int] = field(default_factory=dict)
    """Snapshots of this run that never reached the stream, by reason, cumulative."""
    earlier_drops: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """The same of earlier runs of this exporter, whose snapshots its spool had to drop: by ``run_id``, by reason."""
    sources: tuple[SourceStatus, ...] = ()
    supervisors: tuple[Supervisor, ...] = ()
    queues: tuple[RedisQueues, ...] = ()
    events: tuple[ProcessEvent, ...] = ()
    """In the order they happened, of all supervisors."""
    redis_servers: tuple[RedisServer, ...] = ()
    databases: tuple[Database, ...] = ()
    failed_jobs_in: tuple[str, ...] = ()
    """The databases that hold an application's failed jobs and are this exporter's to read, whether they could be read or not."""
    machine: Machine | None = None
    """The host that the exporter runs on."""
    probes: tuple[Probe, ...] = ()

    @property
    def parts(self) -> tuple[Part, ...]:
        """Everything that was observed at a moment of its own."""
        machine = () if self.machine is None else (self.machine,)
        return (*self.supervisors, *self.queues, *self.redis_servers, *self.databases, *machine, *self.probes)

    def is_fresh(self, part: Part) -> bool:
        """Say whether the part was observed in this slot."""
        return part.observed_at >= self.slot

    def is_shown(self, part: Part, now: datetime) -> bool:
        """Say whether the part is young enough to be shown at ``now``."""
        return now - part.observed_at <= timedelta(seconds=EXPIRY_INTERVALS * self.interval)


def major(version: str) -> int:
    """Return the major number of a ``major.minor`` text; raise ValueError if it is none."""
    found = re.fullmatch(r"(\d{1,9})\.(\d{1,9})", version)
    if found is None:
        raise ValueError(f"{version!r} is not a snapshot version (major.minor)")
    return int(found[1])
