"""The settings of a Redis: how to log in to one, and what to read from it."""

from typing import Final

from cli import kinds, kinds_redis
from cli.schema import LOCAL_REDIS, SYSTEMS, Key, Role, Section
from depthgauge.secrets import Secret


def redis_login(prefix: str, default: str | None) -> tuple[Key, ...]:
    """Return the settings of the login; the variables' names start with ``prefix``."""
    return (
        Key(
            name="url",
            kind=kinds.REDIS_URL,
            help="Where it is: `redis://host:6379/0`, `rediss://…` with TLS, `unix:///path/to/redis.sock?db=0`, `redis+sentinel://host,host/service/0`"
            + (", `redis+cluster://host,host`" if default else "")
            + "; user name and password may stand in it.",
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
        Key(
            name="ca_file",
            kind=kinds.FILE,
            help="Certificates (PEM) that its own has to come from, where it speaks TLS.",
            default_text="the system's",
            env=f"{prefix}_CA_FILE",
        ),
        Key(
            name="cert_file",
            kind=kinds.FILE,
            help="Client certificate (PEM), where it wants one.",
            env=f"{prefix}_CERT_FILE",
        ),
        Key(
            name="key_file",
            kind=kinds.FILE,
            help="The key of `cert_file` (PEM, without a password), where it is not in the same file.",
            env=f"{prefix}_KEY_FILE",
        ),
    )


def _prefix(name: str, title: str, text: str) -> Section:
    key = Key(name="prefix", kind=kinds_redis.PREFIX, help=text, default_text="found out")
    return Section(
        name=f"redis.{name}", help=f"What {title} needs told.", roles=frozenset({Role.EXPORTER}), keys=(key,)
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
        *redis_login("REDIS", LOCAL_REDIS),
        Key(
            name="systems",
            kind=kinds.several(kinds.choice("auto", *SYSTEMS)),
            help="Queue systems to read: `auto` tries those that can be told by their keys, one that is named is read in any case.",
            default=("auto",),
        ),
        Key(
            name="queues",
            kind=kinds.several(kinds_redis.KEY),
            help="Queues that are always shown, also when empty: `name` in every system that is in use, or `system:name`.",
            default=(),
        ),
        Key(
            name="include",
            kind=kinds.several(kinds.PATTERN),
            help="Queues that were found are read only if one of these patterns matches their whole name; queues in `queues` always are.",
            default=(),
        ),
        Key(
            name="exclude",
            kind=kinds.several(kinds.PATTERN),
            help="Queues that were found are not read if one of these patterns matches their whole name.",
            default=(),
        ),
    ),
    children=(
        _prefix("laravel", "Laravel", "`database.redis.options.prefix` of the application."),
        _prefix("horizon", "Laravel Horizon", "`horizon.prefix` of the application."),
        Section(
            name="redis.celery",
            help="What Celery needs told.",
            roles=frozenset({Role.EXPORTER}),
            keys=(
                Key(
                    name="prefix",
                    kind=kinds_redis.PREFIX,
                    help="`global_keyprefix` in the application's `broker_transport_options`.",
                    default_text="found out",
                ),
                Key(
                    name="separator",
                    kind=kinds_redis.KEY,
                    help="`sep` in `broker_transport_options`: between a queue's name and a priority step.",
                    default_text="kombu's own: U+0006 U+0016",
                ),
                Key(
                    name="priority_steps",
                    kind=kinds.several(kinds.integer(0, 255)),
                    help="`priority_steps` in `broker_transport_options`.",
                    default=(0, 3, 6, 9),
                ),
                Key(
                    name="time_header",
                    kind=kinds.NAME,
                    help="Header of messages that holds the time they were sent, where the application sets one: Celery itself stores none.",
                ),
            ),
        ),
        _prefix("rq", "RQ", "`RQ_KEY_PREFIX` of the application."),
        _prefix("sidekiq", "Sidekiq", "Namespace of `redis-namespace` (Sidekiq 6 and earlier)."),
        _prefix("resque", "Resque", "`Resque.redis.namespace` of the application."),
        _prefix("bullmq", "BullMQ", "`prefix` of the application's queues."),
        _prefix("bull", "Bull", "`prefix` of the application's queues."),
        _prefix("dramatiq", "Dramatiq", "`namespace` of the application's `RedisBroker`."),
        Section(
            name="redis.stream",
            help="A stream that a consumer group works on; streams with groups are found without it.",
            repeated=True,
            roles=frozenset({Role.EXPORTER}),
            keys=(
                Key(name="key", kind=kinds_redis.KEY, help="The stream's key.", required=True),
                Key(name="name", kind=kinds.NAME, help="The `queue` label.", default_text="the key and the group"),
                Key(name="group", kind=kinds.NAME, help="The consumer group.", default_text="every group"),
            ),
        ),
        Section(
            name="redis.list",
            help="A plain list that is used as a queue.",
            repeated=True,
            roles=frozenset({Role.EXPORTER}),
            keys=(
                Key(name="key", kind=kinds_redis.KEY, help="The list's key.", required=True),
                Key(name="name", kind=kinds.NAME, help="The `queue` label.", default_text="the key"),
                Key(
                    name="take",
                    kind=kinds.choice("left", "right"),
                    help="The end that jobs are taken from: `left` (LPOP) or `right` (RPOP).",
                    default="left",
                ),
                Key(
                    name="processing",
                    kind=kinds_redis.KEY,
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
                Key(name="key", kind=kinds_redis.KEY, help="The sorted set's key.", required=True),
                Key(name="name", kind=kinds.NAME, help="The `queue` label.", default_text="the key"),
                Key(
                    name="score",
                    kind=kinds.choice("due", "priority"),
                    help="What scores are: `due` times (unix, in s, ms or µs) or a `priority`.",
                    default="due",
                ),
                Key(
                    name="take",
                    kind=kinds.choice("min", "max"),
                    help="The end that jobs are taken from where scores are priorities: `min` (ZPOPMIN) or `max` (ZPOPMAX).",
                    default="min",
                ),
                Key(
                    name="time_field",
                    kind=kinds.TEXT,
                    help="Where a member that is a JSON object has the time it was put in, dotted, where scores are priorities.",
                ),
            ),
        ),
    ),
)
