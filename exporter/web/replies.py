"""What the live API answers about queues and workers: the types from which the replies and their schema are made."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

Moment: TypeAlias = Annotated[datetime, Meta(tz=True)]


class Reply(Struct, frozen=True, kw_only=True, rename="camel"):
    """What every live reply has."""

    recorded_at: Moment
    """The slot of the newest snapshot."""
    age_seconds: float
    """Since the newest snapshot was taken."""
    hosts: Sequence[str]
    """Whose numbers these are."""
    missing_hosts: Sequence[str]
    """Hosts of the fleet whose snapshot is gone, unreadable or too old."""
    source: Literal["cache", "direct"]
    """``cache``: the fleet; ``direct``: the exporter that was asked."""


class QueueStats(Reply, frozen=True, kw_only=True, rename="camel"):
    """Totals over all queues and hosts."""

    pending: int | None
    processing: int | None
    delayed: int | None
    failed: int | None
    completed: int | None
    workers: int | None
    workers_by_queue: Mapping[str, int]
    pending_by_queue: Mapping[str, int]
    failed_by_queue: Mapping[str, int]


class RecentPoints(Struct, frozen=True, kw_only=True, rename="camel"):
    """The last lengths of a queue that the exporter remembers, oldest first."""

    times: Sequence[Moment]
    waiting: Sequence[int | None]


class QueueReply(Struct, frozen=True, kw_only=True, rename="camel"):
    """One queue."""

    redis: str
    system: str
    queue: str
    waiting: int | None
    active: int | None
    delayed: int | None
    retry: int | None
    blocked: int | None
    failed: int | None
    dead: int | None
    newest_failure_at: Moment | None
    """Of the failed jobs that an application keeps in its database."""
    finished: int | None
    canceled: int | None
    oldest_job_at: Moment | None
    """When the next job to run became eligible, or was first seen where the system stores no time."""
    oldest_job_age_seconds: float | None
    age_is_lower_bound: bool
    completed_total: int | None
    failed_total: int | None
    processing_seconds: float | None
    throughput: float | None
    """Jobs completed a second, where the queue has a true counter."""
    workers: int | None
    registry_workers: int | None
    registry_workers_busy: int | None
    paused: bool | None
    error: str | None
    trend: Literal["growing", "steady", "draining"] | None
    drain_seconds: float | None
    """Until it is empty at the present rate; null unless it is draining."""
    recent: RecentPoints


class Queues(Reply, frozen=True, kw_only=True, rename="camel"):
    """Every queue of the fleet."""

    data: Sequence[QueueReply]


class ServedReply(Struct, frozen=True, kw_only=True, rename="camel"):
    """A queue that a process takes jobs from."""

    redis: str
    system: str
    queue: str


class ProcessReply(Struct, frozen=True, kw_only=True, rename="camel"):
    """One process of one supervisor."""

    host: str
    supervisor: str
    group: str
    process: str
    state: str
    """supervisord's word; UNKNOWN for a code that is not known."""
    state_code: int
    pid: int | None
    started_at: Moment | None
    uptime_seconds: float | None
    """By supervisord's clock, only while it is RUNNING."""
    restarts: int
    exit_status: int | None
    spawn_error: str | None
    cpu_seconds: float | None
    cpu_ratio: float | None
    """Of one CPU, between the last two readings that the exporter knows."""
    resident_memory_bytes: int | None
    threads: int | None
    open_fds: int | None
    children: int | None
    queues: Sequence[ServedReply]


class SupervisorReply(Struct, frozen=True, kw_only=True, rename="camel"):
    """One supervisord."""

    host: str
    supervisor: str
    up: bool
    state: str | None
    """supervisord's word for itself: RUNNING, RESTARTING, SHUTDOWN, FATAL."""
    version: str | None
    processes: int | None
    running: int | None


class Workers(Reply, frozen=True, kw_only=True, rename="camel"):
    """Every process of the fleet."""

    data: Sequence[ProcessReply]
    supervisors: Sequence[SupervisorReply]


class ErrorDetail(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What was wrong."""

    code: str
    message: str
    parameter: str | None = None
    """The query parameter at fault, if one is."""


class ErrorReply(Struct, frozen=True, kw_only=True, rename="camel"):
    """An answer that is no success."""

    error: ErrorDetail
