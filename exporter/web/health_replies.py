"""What the live API answers about health and performance: the types from which the replies and their schema are made."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from exporter.web.replies import Moment, Reply


class _Of(Struct, frozen=True, kw_only=True, rename="camel", tag_field="kind"):
    host: str
    """The host whose exporter read it."""
    target: str


class RedisHealth(_Of, frozen=True, kw_only=True, rename="camel", tag="redis", tag_field="kind"):
    """One Redis server."""

    up: bool
    """Whether it was read within the last three intervals."""
    version: str | None
    role: str | None
    ping_seconds: float | None
    hit_ratio: float | None
    clients: int | None
    max_clients: int | None
    blocked_clients: int | None
    used_memory_bytes: int | None
    max_memory_bytes: int | None
    evicted_total: int | None
    rejected_total: int | None
    keys: int | None
    uptime_seconds: int | None


class DatabaseHealth(_Of, frozen=True, kw_only=True, rename="camel", tag="database", tag_field="kind"):
    """One PostgreSQL database of a watched application."""

    up: bool
    version: str | None
    connections: int | None
    connections_by_state: Mapping[str, int]
    max_connections: int | None
    response_time_seconds: float | None
    slow_queries: int | None
    longest_query_seconds: float | None
    deadlocks_total: int | None
    size_bytes: int | None
    started_at: Moment | None
    failed_jobs_error: str | None
    """Why the application's failed jobs in it could not be read; the total of failed jobs is null then."""


class DiskHealth(_Of, frozen=True, kw_only=True, rename="camel", tag="disk", tag_field="kind"):
    """One mounted file system; the target is where it is mounted."""

    total_bytes: int
    available_bytes: int
    used_ratio: float


class UptimeHealth(_Of, frozen=True, kw_only=True, rename="camel", tag="uptime", tag_field="kind"):
    """How long a host has been up; the target is the host."""

    uptime_ratio: float | None
    uptime_seconds: float | None
    last_restart_at: Moment | None


class ProbeHealth(_Of, frozen=True, kw_only=True, rename="camel", tag="probe", tag_field="kind"):
    """One probed URL."""

    up: bool
    status: int | None
    error: str | None
    certificate_expires_at: Moment | None


class SourceReply(Struct, frozen=True, kw_only=True, rename="camel"):
    """How reading one target went the last time."""

    host: str
    kind: str
    target: str
    up: bool
    error: str | None
    last_success_at: Moment | None
    seconds: float | None


class Health(Reply, frozen=True, kw_only=True, rename="camel"):
    """How servers, disks, hosts and URLs are, and how reading went."""

    data: Sequence[RedisHealth | DatabaseHealth | DiskHealth | UptimeHealth | ProbeHealth]
    sources: Sequence[SourceReply]


class RateReply(Struct, frozen=True, kw_only=True, rename="camel"):
    """Something per second: the newest sample, and what it was over five minutes."""

    current: float | None
    avg: float | None
    max: float | None
    min: float | None


class ResponseTimeReply(Struct, frozen=True, kw_only=True, rename="camel"):
    """Response times in seconds: the newest sample, and what they were over five minutes."""

    current: float | None
    avg: float | None
    max: float | None
    min: float | None
    p95: float | None
    p99: float | None
    samples: int
    """Since the exporter started, as the failures are."""
    failures: int


class DatabasePerformance(_Of, frozen=True, kw_only=True, rename="camel", tag="database", tag_field="kind"):
    """One PostgreSQL database."""

    tps: RateReply
    response_time: ResponseTimeReply
    active_connections: int | None
    active_queries: int | None


class ProbePerformance(_Of, frozen=True, kw_only=True, rename="camel", tag="probe", tag_field="kind"):
    """One probed URL."""

    response_time: ResponseTimeReply


class HostPerformance(_Of, frozen=True, kw_only=True, rename="camel", tag="host", tag_field="kind"):
    """One host; the target is the host."""

    cpu_ratio: float | None
    cpus: int | None
    load1: float | None
    load5: float | None
    load15: float | None
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    memory_available_bytes: int | None
    swap_used_bytes: int | None


class Performance(Reply, frozen=True, kw_only=True, rename="camel"):
    """How fast databases and URLs answer, and how busy hosts are."""

    data: Sequence[DatabasePerformance | ProbePerformance | HostPerformance]
