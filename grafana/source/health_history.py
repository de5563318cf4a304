"""The dashboard of health and performance, out of the database: databases, Redis servers, URLs, disks and hosts."""

from typing import Final

from grafana.source import health_questions as ask
from grafana.source import history_variables, sql
from grafana.source.board import POSTGRES, Board, Row
from grafana.source.columns import Column
from grafana.source.grains import HEALTH, PERFORMANCE
from grafana.source.history_panels import lines
from grafana.source.looks import BYTES, FULL, PER_SECOND, RATIO, SECONDS, TROUBLE, Look
from grafana.source.panels import grid
from grafana.source.queue_history import process_marks

_UP: Final = Look(unit="percentunit", minimum=0, maximum=1, decimals=2)
_FULL: Final = Look(unit="percentunit", steps=FULL, minimum=0, maximum=1)


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid="depthgauge-health-history",
        title="Depthgauge / Health and performance history",
        description="How databases, Redis servers, URLs, disks and hosts were: from PostgreSQL or TimescaleDB.",
        source=POSTGRES,
        variables=(history_variables.hosts(), *history_variables.targets()),
        rows=(_responses(), _databases(), _redis(), _hosts()),
        annotations=(process_marks(),),
        since="now-24h",
        refresh="1m",
    )


def _responses() -> Row:
    return Row(
        "Response times",
        (
            lines(
                "Response time of databases and URLs",
                "Median, 95th and 99th percentile of all samples in each stretch of time, from summed histograms: right to 19 %.",
                ask.percentiles(),
                look=SECONDS,
            ),
            lines(
                "Slowest answer",
                "The longest response time of each stretch of time.",
                ask.slowest(),
                look=SECONDS,
                width=6,
            ),
            lines(
                "URLs that answered",
                "Part of the attempts that got an answer which is no error.",
                ask.mean(HEALTH, "uptime_ratio", ask.PROBES, ask.BY_TARGET),
                look=_UP,
                width=6,
            ),
        ),
    )


def _databases() -> Row:
    return Row(
        "Databases",
        (
            lines(
                "Connections",
                "Client connections, the highest over time, beside what the server allows.",
                ask.highest(HEALTH, "connections", ask.DATABASES, ask.BY_TARGET),
                ask.last(HEALTH, "max_connections", ask.DATABASES, ask.BY_TARGET),
                width=8,
            ),
            lines(
                "Transactions",
                "Transactions a second, their mean.",
                ask.mean(PERFORMANCE, "tps_current", ask.DATABASES, ask.BY_TARGET),
                look=PER_SECOND,
                width=8,
            ),
            lines(
                "Slow queries",
                "Statements in progress for longer than the slow_query setting, the highest over time.",
                ask.highest(HEALTH, "slow_queries", ask.DATABASES, ask.BY_TARGET),
                look=TROUBLE,
                width=8,
            ),
        ),
    )


def _redis() -> Row:
    return Row(
        "Redis",
        (
            lines(
                "Hit rate",
                "Hits among the lookups of keys, their mean; Depthgauge's own lookups are among them.",
                ask.mean(HEALTH, "hit_rate", ask.REDIS, ask.BY_TARGET),
                look=RATIO,
                width=6,
            ),
            lines(
                "Memory of Redis",
                "Memory that the server uses, the highest over time, beside what it may use where there is a limit.",
                ask.highest(HEALTH, "memory_used_bytes", ask.REDIS, ask.BY_TARGET),
                ask.last(HEALTH, "memory_max_bytes", ask.REDIS, ask.BY_TARGET),
                look=BYTES,
                width=6,
            ),
            lines(
                "Clients",
                "Clients connected, the highest over time.",
                ask.highest(HEALTH, "clients", ask.REDIS, ask.BY_TARGET),
                width=6,
            ),
            lines(
                "Time of a PING",
                "How long the server took to answer a PING, the highest over time.",
                ask.highest(HEALTH, "response_time", ask.REDIS, ask.BY_TARGET),
                look=SECONDS,
                width=6,
            ),
        ),
    )


def _hosts() -> Row:
    return Row(
        "Hosts",
        (
            lines(
                "CPU of hosts",
                "Busy time among all CPU time, its mean.",
                ask.mean(PERFORMANCE, "cpu_ratio", ask.MACHINES, ask.BY_HOST),
                look=_FULL,
                width=8,
            ),
            lines(
                "Memory of hosts",
                "Memory that is not available to programs, the highest over time, beside all there is.",
                ask.highest(PERFORMANCE, "memory_used_bytes", ask.MACHINES, ask.BY_HOST),
                ask.last(PERFORMANCE, "memory_total_bytes", ask.MACHINES, ask.BY_HOST),
                look=BYTES,
                width=8,
            ),
            lines(
                "Disks, used",
                "Used room among used and available room, as df counts, the highest over time.",
                ask.highest(HEALTH, "disk_used_ratio", ask.DISKS, ask.BY_DISK),
                look=_FULL,
                width=8,
                dashed=True,
            ),
            lines(
                "Disks, available",
                "Room for ordinary users, the lowest over time.",
                ask.highest(HEALTH, "disk_available_bytes", ask.DISKS, ask.BY_DISK, lowest=True),
                look=BYTES,
                width=8,
            ),
            lines(
                "Hosts up",
                "Part of the last 24 hours in which the host was up, the lowest over time.",
                ask.highest(HEALTH, "uptime_ratio", ask.UPTIME, ask.BY_HOST, lowest=True),
                look=_UP,
                width=8,
            ),
            grid(
                "Last starts",
                "When databases and hosts were started last, as of the end of the range.",
                sql.rows(ask.restarts()),
                columns=(
                    Column(field="kind", title="Kind"),
                    Column(field="target", title="Name"),
                    Column(field="last_restart_at", title="Last start", look=Look(unit="dateTimeFromNow")),
                    Column(field="uptime_ratio", title="Up, last 24 hours", look=_UP),
                ),
                sort="Last start",
                width=8,
                height=8,
            ),
        ),
    )
