"""Every setting there is: key of the file, variable, flag, help."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from cli import kinds
from cli.schema import LOCAL_REDIS, SYSTEMS, Key, Role, Section
from depthgauge.secrets import Secret


def _redis_login(prefix: str, default: str | None) -> tuple[Key, ...]:
    return (
        Key(
            name="url",
            kind=kinds.REDIS_URL,
            help="Where it is: `redis://host:6379/0`, `rediss://…` with TLS, or `unix:///path/to/redis.sock?db=0`; user name and password may stand in it.",
            default=Secret(default) if default else None,
            default_text=f'"{default}"' if default else None,
            env=f"{prefix}_URL",
            secret=True,
            required=default is None,
        ),
        Key(name="username", kind=kinds.NAME, help="User of Redis's ACL.", env=f"{prefix}_USERNAME"),
        Key(
            name="password",
            kind=kinds.SECRET,
            help="Password, where it does not stand in the URL.",
            env=f"{prefix}_PASSWORD",
            secret=True,
        ),
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
            help="Folder for what has to outlive a restart; nothing is kept in it yet.",
            env="STATE_DIR",
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

REDIS: Final = Section(
    name="redis",
    help="A Redis whose queues are read. Without any, it is `redis://localhost:6379/0`; `redis = []` at the top of the file means none.",
    repeated=True,
    roles=frozenset({Role.EXPORTER}),
    keys=(
        Key(
            name="name",
            kind=kinds.NAME,
            help="This server's identity in the fleet, and the `redis` label: the same on every host that reads it.",
            default="default",
        ),
        *_redis_login("REDIS", LOCAL_REDIS),
        Key(
            name="systems",
            kind=kinds.several(kinds.choice("auto", *SYSTEMS)),
            help="Queue systems to read: `auto` tries those that can be told by their keys, one that is named is read in any case.",
            default=("auto",),
        ),
        Key(
            name="queues",
            kind=kinds.several(kinds.NAME),
            help="Queues that are always shown, also when empty: `name` in every system that is in use, or `system:name`.",
            default=(),
        ),
    ),
    children=(
        Section(
            name="redis.laravel",
            help="What Laravel needs told.",
            roles=frozenset({Role.EXPORTER}),
            keys=(
                Key(
                    name="prefix",
                    kind=kinds.TEXT,
                    help="`database.redis.options.prefix` of the application.",
                    default_text="found out",
                ),
            ),
        ),
        Section(
            name="redis.rq",
            help="What RQ needs told.",
            roles=frozenset({Role.EXPORTER}),
            keys=(Key(name="prefix", kind=kinds.TEXT, help="`RQ_KEY_PREFIX` of the application.", default="rq"),),
        ),
        Section(
            name="redis.list",
            help="A plain list that is used as a queue.",
            repeated=True,
            roles=frozenset({Role.EXPORTER}),
            keys=(
                Key(name="key", kind=kinds.TEXT, help="The list's key.", required=True),
                Key(name="name", kind=kinds.NAME, help="The `queue` label.", default_text="the key"),
                Key(
                    name="take",
                    kind=kinds.choice("left", "right"),
                    help="The end that jobs are taken from: `left` (LPOP) or `right` (RPOP).",
                    default="left",
                ),
                Key(
                    name="processing",
                    kind=kinds.TEXT,
                    help="Key of the list of jobs that were taken and are not done (LMOVE, BRPOPLPUSH).",
                ),
                Key(
                    name="time_field",
                    kind=kinds.TEXT,
                    help="Where a job that is a JSON object has the time it was put in, dotted: `meta.queued_at`.",
                ),
            ),
        ),
        Section(
            name="redis.sorted_set",
            help="A sorted set that is used as a queue.",
            repeated=True,
            roles=frozenset({Role.EXPORTER}),
            keys=(
                Key(name="key", kind=kinds.TEXT, help="The sorted set's key.", required=True),
                Key(name="name", kind=kinds.NAME, help="The `queue` label.", default_text="the key"),
                Key(
                    name="score",
                    kind=kinds.choice("due", "priority"),
                    help="What scores are: `due` times (unix, in s, ms or µs) or a `priority`.",
                    default="due",
                ),
            ),
        ),
    ),
)

BUS: Final = Section(
    name="bus",
    help="The Redis that carries snapshots from exporters to sinks. An exporter without it never writes to any Redis; a sink needs it.",
    roles=frozenset({Role.EXPORTER, Role.SINK}),
    keys=(
        *_redis_login("BUS", None),
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
    ),
    children=(
        Section(
            name="sink.retention",
            help="How long the database keeps what.",
            roles=frozenset({Role.SINK}),
            keys=(
                Key(
                    name="raw",
                    kind=kinds.duration(timedelta(hours=1), timedelta(days=36_500), '"1h" to "100y"'),
                    help="Age at which rows are too late to be written.",
                    default=timedelta(days=30),
                    default_text='"30d"',
                ),
            ),
        ),
    ),
)

WEB: Final = Section(
    name="web",
    help="Where a daemon listens.",
    keys=(
        Key(
            name="listen",
            kind=kinds.several(kinds.ADDRESS),
            help="Addresses: `:port`, `host:port` or `[v6]:port`. Exporter and sink may share a file; then give one of them the flag.",
            default_text='[":10139"]; the sink: [":10140"]',
            env="WEB_LISTEN_ADDRESS",
            flag="web.listen-address",
        ),
        Key(
            name="telemetry_path",
            kind=kinds.WEB_PATH,
            help="Path of the metrics.",
            default="/metrics",
            env="WEB_TELEMETRY_PATH",
            flag="web.telemetry-path",
        ),
        Key(
            name="max_connections",
            kind=kinds.integer(1, 10_000),
            help="Connections that are served at a time.",
            default=64,
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

SECTIONS: Final = (EXPORTER, SUPERVISOR, REDIS, BUS, SINK, WEB, LOG)


def all_sections() -> Iterator[Section]:
    """Give every section, parents before children, in the order of the file."""
    return (each for section in SECTIONS for each in section.walk())


def section_of(name: str) -> Section:
    """Return the section of this dotted name."""
    return next(section for section in all_sections() if section.name == name)


def flags() -> Iterator[tuple[Section, Key]]:
    """Give every setting that has a flag."""
    return ((section, key) for section in all_sections() for key in section.keys if key.flag is not None)
