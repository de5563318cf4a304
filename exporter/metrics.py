"""The table of metrics: the one truth about names, types, labels and help; docs/reference/metrics.md is made from it.

Families are given out in this order. A family without samples is left out altogether.
"""

from typing import Final

from depthgauge.exposition import Metric
from exporter import fleet_metrics, health_metrics, spool_metrics
from exporter.event_families import EVENT_FAMILIES

_PROCESS: Final = ("supervisor", "group", "process")
_QUEUE: Final = ("redis", "system", "queue")
_SOURCE: Final = ("kind", "target")

SUPERVISOR_UP: Final = Metric(
    name="supervisor_up",
    type="gauge",
    help="Whether this supervisord was read within the last three intervals.",
    labels=("supervisor",),
)
SUPERVISOR_INFO: Final = Metric(
    name="supervisor_info",
    type="gauge",
    help="Versions and identification of this supervisord, always 1.",
    labels=("supervisor", "version", "api_version", "identification"),
)
SUPERVISOR_STATE: Final = Metric(
    name="supervisor_state",
    type="gauge",
    help="State of supervisord itself: 1 RUNNING, 0 RESTARTING, -1 SHUTDOWN, 2 FATAL.",
    labels=("supervisor",),
)
SUPERVISOR_PROCESSES: Final = Metric(
    name="supervisor_processes",
    type="gauge",
    help="Processes of this supervisord by their state, all eight states always present.",
    labels=("supervisor", "state"),
)
PROCESS_UP: Final = Metric(
    name="supervisor_process_up",
    type="gauge",
    help="Whether the process is RUNNING.",
    labels=_PROCESS,
)
PROCESS_STATE: Final = Metric(
    name="supervisor_process_state",
    type="gauge",
    help=(
        "State of the process by supervisord's code: 0 STOPPED, 10 STARTING, 20 RUNNING, 30 BACKOFF, 40 STOPPING, "
        "100 EXITED, 200 FATAL, 1000 UNKNOWN."
    ),
    labels=_PROCESS,
)
PROCESS_START_TIME: Final = Metric(
    name="supervisor_process_start_time_seconds",
    type="gauge",
    help="When the process was started, by supervisord's clock; only while it is RUNNING.",
    labels=_PROCESS,
)
PROCESS_EXIT_STATUS: Final = Metric(
    name="supervisor_process_exit_status",
    type="gauge",
    help="Exit status of the last run, -1 after death by a signal; only in EXITED, BACKOFF, FATAL and STOPPED.",
    labels=_PROCESS,
)
PROCESS_SPAWN_ERROR: Final = Metric(
    name="supervisor_process_spawn_error",
    type="gauge",
    help="Whether supervisord could not start the process.",
    labels=_PROCESS,
)
PROCESS_RESTARTS: Final = Metric(
    name="supervisor_process_restarts_total",
    type="counter",
    help="Restarts seen since the exporter started; several between two readings count once.",
    labels=_PROCESS,
)
PROCESS_CPU: Final = Metric(
    name="supervisor_process_cpu_seconds_total",
    type="counter",
    help="User and system CPU time of the process and its descendants, ended children included.",
    labels=_PROCESS,
)
PROCESS_MEMORY: Final = Metric(
    name="supervisor_process_resident_memory_bytes",
    type="gauge",
    help="Resident memory of the process and its descendants.",
    labels=_PROCESS,
)
PROCESS_THREADS: Final = Metric(
    name="supervisor_process_threads",
    type="gauge",
    help="Threads of the process and its descendants.",
    labels=_PROCESS,
)
PROCESS_FDS: Final = Metric(
    name="supervisor_process_open_fds",
    type="gauge",
    help="Open file descriptors of the process itself.",
    labels=_PROCESS,
)
PROCESS_CHILDREN: Final = Metric(
    name="supervisor_process_children",
    type="gauge",
    help="Live descendants of the process.",
    labels=_PROCESS,
)
JOBQUEUE_UP: Final = Metric(
    name="jobqueue_up",
    type="gauge",
    help="Whether this Redis was read within the last three intervals; absent where another exporter reads it.",
    labels=("redis",),
)
JOBS: Final = Metric(
    name="jobqueue_jobs",
    type="gauge",
    help="Jobs that still want work, by disjoint states; overdue delayed jobs count as waiting.",
    labels=(*_QUEUE, "state"),
)
JOBS_KEPT: Final = Metric(
    name="jobqueue_jobs_kept",
    type="gauge",
    help="Jobs that are over and kept by the queue system for a while: retention, not backlog.",
    labels=(*_QUEUE, "result"),
)
NEWEST_FAILURE: Final = Metric(
    name="jobqueue_newest_failure_timestamp_seconds",
    type="gauge",
    help="When the newest of the failed jobs that an application keeps in its database failed.",
    labels=_QUEUE,
)
OLDEST_JOB: Final = Metric(
    name="jobqueue_oldest_job_timestamp_seconds",
    type="gauge",
    help="When the next job to run became eligible; absent while nothing waits or the system stores no time.",
    labels=_QUEUE,
)
HEAD_FIRST_SEEN: Final = Metric(
    name="jobqueue_head_first_seen_timestamp_seconds",
    type="gauge",
    help="When the next job to run was first seen by this exporter, where no time is stored: its wait is longer.",
    labels=_QUEUE,
)
JOBS_COMPLETED: Final = Metric(
    name="jobqueue_jobs_completed_total",
    type="counter",
    help="Jobs completed, where the queue system keeps a true counter.",
    labels=_QUEUE,
)
JOBS_FAILED: Final = Metric(
    name="jobqueue_jobs_failed_total",
    type="counter",
    help="Jobs failed, where the queue system keeps a true counter.",
    labels=_QUEUE,
)
WORKERS: Final = Metric(
    name="jobqueue_workers",
    type="gauge",
    help="RUNNING processes on this host that serve the queue; absent where none was ever known to.",
    labels=_QUEUE,
)
REGISTRY_WORKERS: Final = Metric(
    name="jobqueue_registry_workers",
    type="gauge",
    help="Workers of the queue in the queue system's own registry, wherever they run.",
    labels=_QUEUE,
)
REGISTRY_WORKERS_BUSY: Final = Metric(
    name="jobqueue_registry_workers_busy",
    type="gauge",
    help="Workers in the queue system's own registry that have a job now.",
    labels=_QUEUE,
)
PAUSED: Final = Metric(name="jobqueue_paused", type="gauge", help="Whether the queue is paused.", labels=_QUEUE)
PROCESSING: Final = Metric(
    name="jobqueue_processing_seconds",
    type="gauge",
    help="Mean processing time of recent jobs, where the queue system tells it.",
    labels=_QUEUE,
)
WORKER_PROCESSES: Final = Metric(
    name="jobqueue_worker_processes",
    type="gauge",
    help=(
        "RUNNING worker processes on this host, each counted once whatever the number of its queues, "
        "also where these are not known."
    ),
    labels=("redis", "system"),
)
QUEUES_UNREADABLE: Final = Metric(
    name="depthgauge_queues_unreadable",
    type="gauge",
    help="Queues of which some number could not be read, by reason: a key of the wrong type, a head that is too large.",
    labels=("redis", "reason"),
)
SOURCE_UP: Final = Metric(
    name="depthgauge_source_up",
    type="gauge",
    help="Whether the last attempt to read this source succeeded.",
    labels=_SOURCE,
)
SOURCE_DURATION: Final = Metric(
    name="depthgauge_source_duration_seconds",
    type="gauge",
    help="How long the last attempt to read this source took; absent while it is still under way.",
    labels=_SOURCE,
)
SOURCE_LAST_SUCCESS: Final = Metric(
    name="depthgauge_source_last_success_timestamp_seconds",
    type="gauge",
    help="When this source was last read successfully.",
    labels=_SOURCE,
)
SOURCE_ERRORS: Final = Metric(
    name="depthgauge_source_errors_total",
    type="counter",
    help="Failed attempts to read this source, by reason.",
    labels=(*_SOURCE, "reason"),
)
BUS_DROPS: Final = Metric(
    name="depthgauge_bus_drops_total",
    type="counter",
    help="Snapshots that never reached the stream, by reason.",
    labels=("reason",),
)
SNAPSHOT_TIMESTAMP: Final = Metric(
    name="depthgauge_snapshot_timestamp_seconds",
    type="gauge",
    help="When the snapshot that this page shows was taken.",
)
CYCLE_DURATION: Final = Metric(
    name="depthgauge_cycle_duration_seconds",
    type="gauge",
    help="How long the last collection took.",
)
CYCLES_SKIPPED: Final = Metric(
    name="depthgauge_cycles_skipped_total",
    type="counter",
    help="Collections that did not take place because an earlier one took too long.",
)
OVER_BUDGET: Final = Metric(
    name="depthgauge_series_over_budget",
    type="gauge",
    help="Series left out because the family has reached its budget.",
    labels=("family",),
)
BUILD_INFO: Final = Metric(
    name="depthgauge_build_info",
    type="gauge",
    help="Versions of this exporter and of its Python, always 1.",
    labels=("version", "python_version"),
)

PROCESS_FAMILIES: Final = (
    PROCESS_UP,
    PROCESS_STATE,
    PROCESS_START_TIME,
    PROCESS_EXIT_STATUS,
    PROCESS_SPAWN_ERROR,
    PROCESS_RESTARTS,
    PROCESS_CPU,
    PROCESS_MEMORY,
    PROCESS_THREADS,
    PROCESS_FDS,
    PROCESS_CHILDREN,
)
QUEUE_FAMILIES: Final = (
    JOBS,
    JOBS_KEPT,
    OLDEST_JOB,
    HEAD_FIRST_SEEN,
    JOBS_COMPLETED,
    JOBS_FAILED,
    REGISTRY_WORKERS,
    REGISTRY_WORKERS_BUSY,
    PAUSED,
    PROCESSING,
)
TABLE: Final[tuple[Metric, ...]] = (
    SUPERVISOR_UP,
    SUPERVISOR_INFO,
    SUPERVISOR_STATE,
    SUPERVISOR_PROCESSES,
    *PROCESS_FAMILIES,
    JOBQUEUE_UP,
    *QUEUE_FAMILIES,
    NEWEST_FAILURE,
    WORKERS,
    WORKER_PROCESSES,
    QUEUES_UNREADABLE,
    *health_metrics.TABLE,
    SOURCE_UP,
    SOURCE_DURATION,
    SOURCE_LAST_SUCCESS,
    SOURCE_ERRORS,
    BUS_DROPS,
    SNAPSHOT_TIMESTAMP,
    CYCLE_DURATION,
    CYCLES_SKIPPED,
    OVER_BUDGET,
    BUILD_INFO,
)

BUS_UP: Final = Metric(
    name="depthgauge_bus_up", type="gauge", help="Whether the bus took the last snapshot offered to it."
)
BUS_PUBLISHED: Final = Metric(
    name="depthgauge_bus_published_total", type="counter", help="Snapshots put on the stream by this exporter."
)
BUS_WAITING: Final = Metric(
    name="depthgauge_bus_waiting_snapshots",
    type="gauge",
    help="Snapshots in memory that neither the stream nor the spool has yet.",
)
BUS_CACHE_ERRORS: Final = Metric(
    name="depthgauge_bus_cache_errors_total",
    type="counter",
    help="Snapshots that the stream took but the cache refused.",
)
LEASE_HELD: Final = Metric(
    name="depthgauge_lease_held", type="gauge", help="Whether this exporter holds the lease.", labels=("lease",)
)
OWN: Final[tuple[Metric, ...]] = (
    BUS_UP,
    BUS_PUBLISHED,
    BUS_WAITING,
    BUS_CACHE_ERRORS,
    *spool_metrics.TABLE,
    LEASE_HELD,
    *fleet_metrics.TABLE,
    *EVENT_FAMILIES,
)
"""Counted as they happen, not taken from a snapshot; those of the bus only with a [bus] section, those of
the spool only with a state_dir beside it."""
