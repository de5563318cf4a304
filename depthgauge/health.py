"""The parts of a snapshot that tell how servers, this host and probed URLs are. The rules of the snapshot hold here too."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct, field

from depthgauge.histogram import Histogram
from depthgauge.parts import Part


class ResponseTime(Struct, frozen=True, kw_only=True):
    """Response times of one target in seconds, sampled between snapshots; a failed attempt is no sample."""

    current: float | None = None
    """The newest sample. The five that follow are over the last five minutes; None without samples."""
    avg: float | None = None
    max: float | None = None
    min: float | None = None
    p95: float | None = None
    p99: float | None = None
    slot: Histogram = Histogram()
    """Samples since the snapshot before: what the database stores, so that any range can be added up."""
    total: Histogram = Histogram()
    """Samples since the exporter started, never less than before."""
    failures: int = 0
    """Attempts that got no answer, since the exporter started."""


class Rate(Struct, frozen=True, kw_only=True):
    """Something per second; ``current`` is the newest sample, the others are over the last five minutes."""

    current: float | None = None
    avg: float | None = None
    max: float | None = None
    min: float | None = None


class RedisServer(Part, frozen=True, kw_only=True):
    """One Redis as its INFO tells it (redis/src/server.c, genRedisInfoString)."""

    redis: str
    run_id: str | None = None
    version: str | None = None
    role: str | None = None
    """``master`` or ``slave``, as Redis says it; ``cluster`` where the numbers are those of all masters of one together."""
    ping_seconds: float | None = None
    uptime_seconds: int | None = None
    clients: int | None = None
    blocked_clients: int | None = None
    max_clients: int | None = None
    used_memory_bytes: int | None = None
    max_memory_bytes: int | None = None
    """0 is no limit, as Redis says it."""
    hits_total: int | None = None
    misses_total: int | None = None
    hit_ratio: float | None = None
    """Hits among lookups since the reading before, 0 to 1; None without lookups. Depthgauge's own reads are among them."""
    evicted_total: int | None = None
    expired_total: int | None = None
    rejected_total: int | None = None
    """Connections refused because of ``maxclients``."""
    commands_total: int | None = None
    keys: int | None = None
    """Of all database numbers."""


class FailedJobs(Struct, frozen=True, kw_only=True):
    """Failed jobs of one queue in an application's own database."""

    redis: str
    """The Redis whose queue it is: the identity in the fleet."""
    system: str
    queue: str
    count: int
    newest_at: datetime | None = None


class Statements(Struct, frozen=True, kw_only=True):
    """Totals of ``pg_stat_statements`` over one database."""

    calls_total: int
    seconds_total: float
    slow: int
    """Statements whose mean execution time is beyond the threshold."""


class Database(Part, frozen=True, kw_only=True):
    """One PostgreSQL database of a watched application, from its statistics views."""

    name: str
    version: str | None = None
    started_at: datetime | None = None
    in_recovery: bool | None = None
    connections: Mapping[str, int] = field(default_factory=dict)
    """Client connections of the whole server by state, in pg_stat_activity's words; ``unknown`` where it may not be seen."""
    max_connections: int | None = None
    active_queries: int | None = None
    """Statements in progress, of the whole server."""
    slow_queries: int | None = None
    """Statements in progress for longer than the threshold."""
    longest_query_seconds: float | None = None
    commits_total: int | None = None
    rollbacks_total: int | None = None
    deadlocks_total: int | None = None
    size_bytes: int | None = None
    tps: Rate = Rate()
    """Transactions of this database, committed and rolled back."""
    response: ResponseTime = ResponseTime()
    statements: Statements | None = None
    """None where the extension is not there or not readable."""
    failed_jobs: tuple[FailedJobs, ...] | None = None
    """None where they are not configured or could not be read."""
    failed_jobs_error: str | None = None
    """Why they could not: an error kind."""

    @property
    def active_connections(self) -> int | None:
        """Connections that run a statement; None where none of their states may be seen."""
        return self.connections.get("active", 0) if self.connections.keys() - {"unknown"} else None


class Disk(Struct, frozen=True, kw_only=True):
    """One mounted file system."""

    mountpoint: str
    total_bytes: int
    available_bytes: int
    """To ordinary users."""
    used_ratio: float
    """0 to 1, as df counts: used among used and available."""


class Machine(Part, frozen=True, kw_only=True):
    """The host that the exporter runs on."""

    cpus: int | None = None
    cpu_ratio: float | None = None
    """Busy time among all CPU time since the reading before, 0 to 1."""
    load1: float | None = None
    load5: float | None = None
    load15: float | None = None
    memory_total_bytes: int | None = None
    memory_available_bytes: int | None = None
    memory_used_bytes: int | None = None
    """Total less available."""
    swap_total_bytes: int | None = None
    swap_used_bytes: int | None = None
    boot_at: datetime | None = None
    uptime_seconds: float | None = None
    uptime_ratio: float | None = None
    """Part of the last 24 hours, as far as they are known, in which the host was up."""
    disks: tuple[Disk, ...] = ()


class Probe(Part, frozen=True, kw_only=True):
    """One probed URL."""

    name: str
    up: bool
    """Whether the newest attempt got an answer that is no error."""
    status: int | None = None
    """HTTP status of the newest answer; None where there was none."""
    error: str | None = None
    """Why there was none: an error kind."""
    certificate_expires_at: datetime | None = None
    """The server's own certificate; None without TLS."""
    response: ResponseTime = ResponseTime()
