"""Every setting there is: key of the file, variable, flag, help."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from cli import kinds
from cli.schema import SYSTEMS, Key, Role, Section
from cli.table_health import COLLECTORS, DATABASE, HISTORY, PROBE
from cli.table_redis import REDIS, redis_login
from cli.table_web import WEB


def _age(name: str, days: int, text: str) -> Key:
    return Key(
        name=name,
        kind=kinds.duration(timedelta(hours=1), timedelta(days=36_500), '"1h" to "100y"'),
        help=text,
        default=timedelta(days=days),
        default_text=f'"{days}d"',
    )


EXPORTER: Final = Section(
    name="exporter",
    help="The exporter daemon.",
    roles=frozenset({Role.EXPORTER}),
    keys=(
        Key(
            name="host",
            kind=kinds.NAME,
            help="This host's identity in metrics and in the database: unique in the fleet.",
            default_text="the host's name",
            env="HOST",
        ),
        Key(
            name="interval",
            kind=kinds.seconds(1, 3600),
            help="Seconds between two snapshots.",
            default=15.0,
            env="INTERVAL",
        ),
        Key(
            name="state_dir",
            kind=kinds.FILE,
            help="Folder for what has to outlive a restart: the spool, which keeps snapshots while the bus is away (without it they wait in memory), what tells a reboot of the host, the queues that were found, and the token that the exporter makes where `web.token` is not set.",
            env="STATE_DIR",
        ),
        Key(
            name="spool_max_bytes",
            kind=kinds.size(1 << 20, 1 << 40),
            help="What the spool may take on disk; beyond that the oldest snapshots are dropped, and counted.",
            default=256 << 20,
            default_text='"256MiB"',
        ),
        Key(
            name="spool_max_age",
            kind=kinds.duration(timedelta(minutes=1), timedelta(days=365), '"1m" to "365d"'),
            help="Age at which a snapshot in the spool is dropped, and counted.",
            default=timedelta(hours=24),
            default_text='"24h"',
        ),
        Key(
            name="series_budget",
            kind=kinds.integer(1, 1_000_000),
            help="Series that one family of metrics may have at most.",
            default=10_000,
        ),
    ),
)

QUEUE_RULES: Final = Section(
    name="supervisor.queues",
    help="A rule that says which queues the processes of a program serve, where their command line does not; the first rule that matches decides.",
    repeated=True,
    roles=frozenset({Role.EXPORTER}),
    keys=(
        Key(
            name="program",
            kind=kinds.PATTERN,
            help="Has to match the whole name of the program, of the process, or `group:name`; a group `(?P<queue>…)` gives the queue.",
            required=True,
        ),
        Key(
            name="queues",
            kind=kinds.several(kinds.NAME),
            help="The queues, where the pattern has no group `queue`; an empty list says that it is no worker.",
            default=(),
        ),
        Key(name="system", kind=kinds.choice(*SYSTEMS), help="The queue system, where more than one is in use."),
        Key(name="redis", kind=kinds.NAME, help="The name of the Redis, where there are several."),
    ),
)

SUPERVISOR: Final = Section(
    name="supervisor",
    help="A supervisord to read. Without any, the usual places of its socket are searched; `supervisor = []` at the top of the file means none.",
    repeated=True,
    roles=frozenset({Role.EXPORTER}),
    children=(QUEUE_RULES,),
    keys=(
        Key(name="name", kind=kinds.NAME, help="The `supervisor` label.", default="main"),
        Key(
            name="url",
            kind=kinds.SUPERVISOR_URL,
            help="Where it listens: `unix:///path/to/supervisor.sock` or `http://host:9001/RPC2`.",
            env="SUPERVISOR_URL",
            required=True,
        ),
        Key(name="username", kind=kinds.NAME, help="User name of its HTTP server.", env="SUPERVISOR_USERNAME"),
        Key(
            name="password",
            kind=kinds.SECRET,
            help="Password of its HTTP server.",
            env="SUPERVISOR_PASSWORD",
            secret=True,
        ),
    ),
)

BUS: Final = Section(
    name="bus",
    help="The Redis that carries snapshots from exporters to sinks. An exporter without it never writes to any Redis; a sink needs it.",
    roles=frozenset({Role.EXPORTER, Role.SINK, Role.QUARANTINE}),
    keys=(
        *redis_login("BUS", None),
        Key(
            name="max_bytes",
            kind=kinds.size(1 << 20, 1 << 40),
            help="Memory that snapshots no sink has read may take in it; beyond that nothing more is published.",
            default=64 << 20,
            default_text='"64MiB"',
        ),
        Key(
            name="allow_eviction",
            kind=kinds.BOOLEAN,
            help="Publish also to a Redis that may evict what no sink has read yet.",
            default=False,
        ),
    ),
)

SINK: Final = Section(
    name="sink",
    help="The sink daemon.",
    roles=frozenset({Role.SINK, Role.MIGRATE}),
    keys=(
        Key(
            name="dsn",
            kind=kinds.SECRET,
            help="The database: a URL `postgresql://user@host/database` or `key=value` pairs, as libpq takes them.",
            env="SINK_DSN",
            secret=True,
            required=True,
        ),
        Key(
            name="consumer",
            kind=kinds.NAME,
            help="This sink's name: its own, and the same after a restart.",
            default_text="the host's name and the port it listens on",
            env="SINK_CONSUMER",
        ),
        Key(
            name="batch_rows",
            kind=kinds.integer(1, 1_000_000),
            help="Rows that one transaction may have.",
            default=5000,
        ),
        Key(
            name="batch_seconds",
            kind=kinds.seconds(0, 60),
            help="Seconds to wait for more snapshots before a batch is written.",
            default=1.0,
        ),
        Key(
            name="claim_after",
            kind=kinds.seconds(5, 86_400),
            help="Seconds after which snapshots that another sink has read and not written are taken over from it: longer than a batch takes.",
            default=60.0,
        ),
        Key(
            name="maintain_every",
            kind=kinds.duration(timedelta(0), timedelta(days=1), '"0s" to "1d"'),
            help="Pause between two calls of `depthgauge.maintain()`; `0s` leaves them to other sinks or to a job of yours.",
            default=timedelta(minutes=1),
            default_text='"1m"',
        ),
        Key(
            name="gaps_open",
            kind=kinds.duration(timedelta(minutes=1), timedelta(days=365), '"1m" to "365d"'),
            help="Age up to which a gap in the ledger may still be filled from a spool: the largest `spool_max_age` of the exporters.",
            default=timedelta(hours=24),
            default_text='"24h"',
        ),
    ),
    children=(
        Section(
            name="sink.retention",
            help="How long the database keeps what; `depthgauge migrate` tells it.",
            roles=frozenset({Role.SINK, Role.MIGRATE}),
            keys=(
                _age(
                    "raw",
                    30,
                    "Snapshots, queues, health and performance in full; older snapshots are too late to be written.",
                ),
                _age("processes", 7, "Processes in full."),
                _age("events", 180, "Changes of processes' states."),
                _age("5m", 180, "Rollups by five minutes; at least as long as `raw`."),
                _age("1h", 730, "Rollups by hour; at least as long as `5m`."),
            ),
        ),
    ),
)

LOG: Final = Section(
    name="log",
    help="What the daemons write to standard error.",
    keys=(
        Key(
            name="level",
            kind=kinds.choice("debug", "info", "warn", "error"),
            help="The least severe messages to write.",
            default="info",
            env="LOG_LEVEL",
            flag="log.level",
        ),
        Key(
            name="format",
            kind=kinds.choice("logfmt", "json"),
            help="How a message is written.",
            default="logfmt",
            env="LOG_FORMAT",
            flag="log.format",
        ),
    ),
)

SECTIONS: Final = (EXPORTER, SUPERVISOR, REDIS, DATABASE, PROBE, COLLECTORS, BUS, SINK, HISTORY, WEB, LOG)


def all_sections() -> Iterator[Section]:
    """Give every section, parents before children, in the order of the file."""
    return (each for section in SECTIONS for each in section.walk())


def section_of(name: str) -> Section:
    """Return the section of this dotted name."""
    return next(section for section in all_sections() if section.name == name)


def flags() -> Iterator[tuple[Section, Key]]:
    """Give every setting that has a flag."""
    return ((section, key) for section in all_sections() for key in section.keys if key.flag is not None)
