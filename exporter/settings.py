"""What the exporter is told: frozen values, already validated. The command line makes them (cli/config.py)."""

import re
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from depthgauge.secrets import Secret
from depthgauge.settings import BusSettings, HistorySettings, WebSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueRule:
    """Maps programs of a supervisord to the queues they serve; the first rule that matches decides."""

    program: re.Pattern[str]
    """Tried with fullmatch on the program's name (without the number that numprocs adds), on the process's name and on
    ``group:name``, in this order; a named group ``queue`` gives the queue, or several with commas between."""
    queues: tuple[str, ...] = ()
    """Queues served when the pattern has no group ``queue``; empty without one means: no worker."""
    system: str | None = None
    """Needed when more than one system is read from the Redis."""
    redis: str | None = None
    """Needed when more than one Redis is configured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SupervisorSettings:
    """One supervisord."""

    name: str
    url: str
    """``unix:///path`` or ``http://host:port/RPC2``, without credentials."""
    username: str | None = None
    password: Secret | None = None
    rules: tuple[QueueRule, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class PrefixSettings:
    """What a system needs told whose keys begin with a prefix."""

    prefix: str | None = None
    """As the system's own option has it; None finds it by the keys."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CelerySettings:
    """What Celery's broker transport (kombu) needs told."""

    prefix: str | None = None
    """``global_keyprefix``; None finds it by the keys."""
    separator: str = "\x06\x16"
    """``sep``: between a queue's name and the priority step in the key of a list."""
    priority_steps: tuple[int, ...] = (0, 3, 6, 9)
    time_header: str | None = None
    """A header of messages that holds the time they were sent, where the application sets one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamSettings:
    """A Redis Stream that a consumer group works on."""

    key: str
    name: str
    """The ``queue`` label."""
    group: str | None = None
    """The consumer group; None takes every group."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ListSettings:
    """A plain list used as a queue."""

    key: str
    name: str
    """The ``queue`` label; the key unless told otherwise."""
    take: str = "left"
    """The end jobs are taken from: ``left`` (LPOP) or ``right`` (RPOP)."""
    processing: str | None = None
    """Key of the list that holds jobs taken but not finished (LMOVE, BRPOPLPUSH)."""
    time_field: str | None = None
    """Dotted path of the enqueue time in a job that is a JSON object; its unit is told from its magnitude."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SortedSetSettings:
    """A sorted set used as a queue."""

    key: str
    name: str
    score: str = "due"
    """``due``: scores are unix times (s, ms or µs); ``priority``: they are not times."""
    take: str = "min"
    """The end that jobs are taken from where scores are priorities: ``min`` (ZPOPMIN) or ``max`` (ZPOPMAX)."""
    time_field: str | None = None
    """Dotted path of the enqueue time in a member that is a JSON object, where scores are priorities."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RedisSettings:
    """One Redis and what to read from it."""

    name: str
    url: Secret
    systems: tuple[str, ...] = ("auto",)
    queues: tuple[str, ...] = ()
    """Always exported, also when empty. ``system:queue`` pins the system, a bare name goes to every system in use."""
    include: tuple[re.Pattern[str], ...] = ()
    """Where there are any, a found queue is read only if its bare name matches one wholly."""
    exclude: tuple[re.Pattern[str], ...] = ()
    """A found queue whose bare name matches one wholly is not read."""
    laravel: PrefixSettings = PrefixSettings()
    horizon: PrefixSettings = PrefixSettings()
    celery: CelerySettings = CelerySettings()
    rq: PrefixSettings = PrefixSettings()
    sidekiq: PrefixSettings = PrefixSettings()
    resque: PrefixSettings = PrefixSettings()
    bullmq: PrefixSettings = PrefixSettings()
    bull: PrefixSettings = PrefixSettings()
    dramatiq: PrefixSettings = PrefixSettings()
    streams: tuple[StreamSettings, ...] = ()
    lists: tuple[ListSettings, ...] = ()
    sorted_sets: tuple[SortedSetSettings, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class FailedJobsSettings:
    """Where an application keeps its failed jobs: Laravel's table, in the application's own database."""

    redis: str
    """The name of the Redis whose queues' jobs they were."""
    table: str = "failed_jobs"
    """May have a schema before it: ``app.failed_jobs``."""
    connection: str | None = None
    """Only those of this queue connection (the table's column ``connection``); None takes all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseSettings:
    """A watched application's PostgreSQL database."""

    name: str
    dsn: Secret
    slow_query: float = 1.0
    """Seconds from which a statement is slow."""
    failed_jobs: FailedJobsSettings | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeSettings:
    """A URL to ask."""

    name: str
    url: Secret
    """May hold user name and password."""
    every: float = 5.0
    """Seconds between two attempts."""
    timeout: float = 5.0
    """Seconds that one attempt may take."""
    ca_file: Path | None = None
    """Certificates to trust instead of the system's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Collectors:
    """What is read beside supervisord and queues."""

    redis: bool = True
    postgres: bool = True
    host: bool = True
    probe: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class ExporterSettings:
    """Everything the exporter daemon is told."""

    host: str
    interval: float = 15.0
    state_dir: Path | None = None
    """What has to outlive a restart: the spool, in ``spool`` below it. None keeps nothing on disk."""
    token_dir: Path | None = None
    """Where a token of the exporter's own making is kept, where there is no state folder: this user's own."""
    spool_max_bytes: int = 256 << 20
    spool_max_age: timedelta = timedelta(hours=24)
    series_budget: int = 10_000
    """Series a metric family may have."""
    supervisors: tuple[SupervisorSettings, ...] = ()
    redis: tuple[RedisSettings, ...] = ()
    databases: tuple[DatabaseSettings, ...] = ()
    probes: tuple[ProbeSettings, ...] = ()
    collectors: Collectors = Collectors()
    bus: BusSettings | None = None
    history: HistorySettings | None = None
    web: WebSettings = field(default_factory=lambda: WebSettings(listen=(":10139",)))
