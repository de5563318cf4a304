"""The rows of the table of metrics for servers, this host and probed URLs.

``target`` is the name in the configuration (``[[redis]] name``, ``[[database]] name``, ``[[probe]] name``); for this host it is
the exporter's own host name.
"""

from typing import Final

from depthgauge.exposition import Metric


def _gauge(name: str, text: str, *labels: str) -> Metric:
    return Metric(name=f"depthgauge_{name}", type="gauge", help=text, labels=("target", *labels))


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(name=f"depthgauge_{name}_total", type="counter", help=text, labels=("target", *labels))


def _histogram(name: str, text: str) -> Metric:
    return Metric(name=f"depthgauge_{name}", type="histogram", help=text, labels=("target",))


REDIS_UP: Final = _gauge(
    "redis_up", "Whether this Redis was read within the last three intervals; absent where another exporter reads it."
)
REDIS_INFO: Final = _gauge("redis_info", "Version and role of this Redis, always 1.", "version", "role")
REDIS_PING: Final = _gauge("redis_ping_seconds", "How long this Redis took to answer the last PING.")
REDIS_START: Final = _gauge("redis_start_time_seconds", "When this Redis was started, right to a second or two.")
REDIS_CLIENTS: Final = _gauge("redis_clients", "Clients connected to this Redis.")
REDIS_BLOCKED: Final = _gauge("redis_blocked_clients", "Clients that wait in a blocking command.")
REDIS_MAX_CLIENTS: Final = _gauge("redis_max_clients", "Clients that this Redis lets in at the most.")
REDIS_MEMORY: Final = _gauge("redis_memory_used_bytes", "Memory that this Redis uses.")
REDIS_MAX_MEMORY: Final = _gauge("redis_memory_max_bytes", "Memory that this Redis may use, 0 for no limit.")
REDIS_HITS: Final = _counter("redis_keyspace_hits", "Lookups that found their key, Depthgauge's own included.")
REDIS_MISSES: Final = _counter("redis_keyspace_misses", "Lookups that did not find their key.")
REDIS_HIT_RATIO: Final = _gauge(
    "redis_hit_ratio", "Hits among the lookups since the reading before; absent when there were none."
)
REDIS_EVICTED: Final = _counter("redis_evicted_keys", "Keys thrown out because memory had reached its limit.")
REDIS_EXPIRED: Final = _counter("redis_expired_keys", "Keys whose time to live ended.")
REDIS_REJECTED: Final = _counter("redis_rejected_connections", "Connections refused because of maxclients.")
REDIS_COMMANDS: Final = _counter("redis_commands", "Commands that this Redis has processed.")
REDIS_KEYS: Final = _gauge("redis_keys", "Keys in all databases of this Redis.")

POSTGRES_UP: Final = _gauge(
    "postgres_up",
    "Whether this database was read within the last three intervals; absent where another exporter reads it.",
)
POSTGRES_INFO: Final = _gauge("postgres_info", "Version of this PostgreSQL, always 1.", "version")
POSTGRES_START: Final = _gauge("postgres_start_time_seconds", "When this PostgreSQL was started.")
POSTGRES_RECOVERY: Final = _gauge("postgres_in_recovery", "Whether this PostgreSQL is a standby.")
POSTGRES_CONNECTIONS: Final = _gauge(
    "postgres_connections",
    "Client connections of the whole server by state, in the words of pg_stat_activity; unknown where it may not be seen.",
    "state",
)
POSTGRES_MAX_CONNECTIONS: Final = _gauge("postgres_max_connections", "Connections that this server allows.")
POSTGRES_ACTIVE: Final = _gauge("postgres_active_queries", "Statements in progress, of the whole server.")
POSTGRES_SLOW: Final = _gauge("postgres_slow_queries", "Statements in progress for longer than the slow_query setting.")
POSTGRES_LONGEST: Final = _gauge(
    "postgres_longest_query_seconds", "How long the statement that is in progress longest has taken so far."
)
POSTGRES_TRANSACTIONS: Final = _counter(
    "postgres_transactions", "Transactions of this database by their outcome: commit or rollback.", "outcome"
)
POSTGRES_DEADLOCKS: Final = _counter("postgres_deadlocks", "Deadlocks found in this database.")
POSTGRES_SIZE: Final = _gauge("postgres_size_bytes", "Size of this database on disk.")
POSTGRES_RESPONSE: Final = _histogram(
    "postgres_response_time_seconds", "Response times of a small statement, sampled once a second."
)
POSTGRES_FAILURES: Final = _counter(
    "postgres_sampling_failures", "Samples of the response time that got no answer; they are not in the histogram."
)
POSTGRES_CALLS: Final = _counter(
    "postgres_statement_calls", "Statements run in this database, as pg_stat_statements counts them."
)
POSTGRES_SECONDS: Final = _counter(
    "postgres_statement_seconds", "Time spent in statements of this database, as pg_stat_statements counts it."
)
POSTGRES_SLOW_STATEMENTS: Final = _gauge(
    "postgres_slow_statements", "Statements of pg_stat_statements whose mean time is beyond the slow_query setting."
)

HOST_UP: Final = _gauge("host_up", "Whether this host was read within the last three intervals.")
HOST_CPUS: Final = _gauge("host_cpus", "Logical CPUs of this host.")
HOST_CPU: Final = _gauge("host_cpu_ratio", "Busy time among all CPU time since the reading before, 0 to 1.")
HOST_LOAD1: Final = _gauge("host_load1", "Load average over 1 minute.")
HOST_LOAD5: Final = _gauge("host_load5", "Load average over 5 minutes.")
HOST_LOAD15: Final = _gauge("host_load15", "Load average over 15 minutes.")
HOST_MEMORY_TOTAL: Final = _gauge("host_memory_total_bytes", "Memory of this host.")
HOST_MEMORY_AVAILABLE: Final = _gauge("host_memory_available_bytes", "Memory that programs can have without swapping.")
HOST_MEMORY_USED: Final = _gauge("host_memory_used_bytes", "Memory that is not available.")
HOST_SWAP_TOTAL: Final = _gauge("host_swap_total_bytes", "Swap space of this host.")
HOST_SWAP_USED: Final = _gauge("host_swap_used_bytes", "Swap space in use.")
HOST_BOOT: Final = _gauge("host_boot_time_seconds", "When this host was booted.")
HOST_UPTIME_RATIO: Final = _gauge(
    "host_uptime_ratio", "Part of the last 24 hours, as far as they are known, in which this host was up, 0 to 1."
)
DISK_TOTAL: Final = _gauge("host_disk_total_bytes", "Size of a mounted file system.", "mountpoint")
DISK_AVAILABLE: Final = _gauge("host_disk_available_bytes", "Room on it for ordinary users.", "mountpoint")
DISK_USED: Final = _gauge(
    "host_disk_used_ratio", "Used room among used and available room, as df counts, 0 to 1.", "mountpoint"
)

PROBE_UP: Final = _gauge(
    "probe_up", "Whether the newest attempt, within the last three intervals, got an answer that is no error."
)
PROBE_STATUS: Final = _gauge("probe_status_code", "HTTP status of the newest answer; absent where there was none.")
PROBE_RESPONSE: Final = _histogram("probe_response_time_seconds", "Response times of this URL, whatever the status.")
PROBE_FAILURES: Final = _counter("probe_failures", "Attempts that got no answer; they are not in the histogram.")
PROBE_CERTIFICATE: Final = _gauge(
    "probe_certificate_expiry_timestamp_seconds", "When the server's certificate expires; absent without TLS."
)

REDIS_FAMILIES: Final = (
    REDIS_INFO,
    REDIS_PING,
    REDIS_START,
    REDIS_CLIENTS,
    REDIS_BLOCKED,
    REDIS_MAX_CLIENTS,
    REDIS_MEMORY,
    REDIS_MAX_MEMORY,
    REDIS_HITS,
    REDIS_MISSES,
    REDIS_HIT_RATIO,
    REDIS_EVICTED,
    REDIS_EXPIRED,
    REDIS_REJECTED,
    REDIS_COMMANDS,
    REDIS_KEYS,
)
POSTGRES_FAMILIES: Final = (
    POSTGRES_INFO,
    POSTGRES_START,
    POSTGRES_RECOVERY,
    POSTGRES_CONNECTIONS,
    POSTGRES_MAX_CONNECTIONS,
    POSTGRES_ACTIVE,
    POSTGRES_SLOW,
    POSTGRES_LONGEST,
    POSTGRES_TRANSACTIONS,
    POSTGRES_DEADLOCKS,
    POSTGRES_SIZE,
    POSTGRES_RESPONSE,
    POSTGRES_FAILURES,
    POSTGRES_CALLS,
    POSTGRES_SECONDS,
    POSTGRES_SLOW_STATEMENTS,
)
HOST_FAMILIES: Final = (
    HOST_CPUS,
    HOST_CPU,
    HOST_LOAD1,
    HOST_LOAD5,
    HOST_LOAD15,
    HOST_MEMORY_TOTAL,
    HOST_MEMORY_AVAILABLE,
    HOST_MEMORY_USED,
    HOST_SWAP_TOTAL,
    HOST_SWAP_USED,
    HOST_BOOT,
    HOST_UPTIME_RATIO,
    DISK_TOTAL,
    DISK_AVAILABLE,
    DISK_USED,
)
PROBE_FAMILIES: Final = (PROBE_STATUS, PROBE_RESPONSE, PROBE_FAILURES, PROBE_CERTIFICATE)
TABLE: Final = (
    REDIS_UP,
    *REDIS_FAMILIES,
    POSTGRES_UP,
    *POSTGRES_FAMILIES,
    HOST_UP,
    *HOST_FAMILIES,
    PROBE_UP,
    *PROBE_FAMILIES,
)
