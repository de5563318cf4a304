"""The settings of what is read beside supervisord and queues: databases, probes, and the switches of all."""

from typing import Final

from cli import kinds
from cli.schema import Key, Role, Section


def _switch(name: str, text: str) -> Key:
    return Key(
        name=name,
        kind=kinds.BOOLEAN,
        help=text,
        default=True,
        env=f"COLLECTOR_{name.upper()}",
        flag=f"collector.{name}",
    )


DATABASE: Final = Section(
    name="database",
    help="A PostgreSQL database of a watched application. A login that may only connect is enough for most of it, the role `pg_monitor` for all.",
    repeated=True,
    roles=frozenset({Role.EXPORTER}),
    keys=(
        Key(
            name="name",
            kind=kinds.NAME,
            help="This database's identity in the fleet, and the `target` label: the same on every host that reads it.",
            default="default",
        ),
        Key(
            name="dsn",
            kind=kinds.SECRET,
            help="Where it is: a URL `postgresql://user@host/database` or `key=value` pairs, as libpq takes them.",
            env="DATABASE_DSN",
            secret=True,
            required=True,
        ),
        Key(
            name="slow_query",
            kind=kinds.seconds(0.001, 86_400),
            help="Seconds from which a statement is slow.",
            default=1.0,
        ),
    ),
    children=(
        Section(
            name="database.failed_jobs",
            help="Laravel's table of failed jobs in this database: counts by queue, and when the newest failed; never what is in a job.",
            roles=frozenset({Role.EXPORTER}),
            keys=(
                Key(
                    name="redis",
                    kind=kinds.NAME,
                    help="The name of the `[[redis]]` whose queues' jobs they were.",
                    default="default",
                ),
                Key(
                    name="table",
                    kind=kinds.NAME,
                    help="Its name, with a schema before it if need be: `app.failed_jobs`.",
                    default="failed_jobs",
                ),
                Key(
                    name="connection",
                    kind=kinds.NAME,
                    help="Only those of this queue connection (the table's column `connection`).",
                    default_text="all",
                ),
            ),
        ),
    ),
)

PROBE: Final = Section(
    name="probe",
    help="A URL that is asked again and again: whether it answers, and how fast.",
    repeated=True,
    roles=frozenset({Role.EXPORTER}),
    keys=(
        Key(name="name", kind=kinds.NAME, help="The `target` label.", required=True),
        Key(
            name="url",
            kind=kinds.PROBE_URL,
            help="`http://…` or `https://…`; user name and password may stand in it.",
            secret=True,
            required=True,
        ),
        Key(name="every", kind=kinds.seconds(0.1, 3600), help="Seconds between two attempts.", default=5.0),
        Key(name="timeout", kind=kinds.seconds(0.1, 60), help="Seconds that one attempt may take.", default=5.0),
        Key(name="ca_file", kind=kinds.FILE, help="Certificates to trust instead of the system's, PEM."),
    ),
)

COLLECTORS: Final = Section(
    name="collectors",
    help="What is read beside supervisord and queues; `false` leaves it out.",
    roles=frozenset({Role.EXPORTER}),
    keys=(
        _switch("redis", "How each `[[redis]]` is: memory, clients, hits, evictions."),
        _switch("postgres", "Every `[[database]]`."),
        _switch("host", "This host: CPU, memory, disks, uptime."),
        _switch("probe", "Every `[[probe]]`."),
    ),
)

HISTORY: Final = Section(
    name="history",
    help="Where the API and `depthgauge history` read what was: the sink's database, by a role that may only read (docs/database.md).",
    roles=frozenset({Role.EXPORTER, Role.HISTORY}),
    keys=(
        Key(
            name="dsn",
            kind=kinds.SECRET,
            help="The database: a URL or `key=value` pairs, as libpq takes them.",
            env="HISTORY_DSN",
            secret=True,
            required=True,
        ),
    ),
)
