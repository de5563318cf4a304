"""Alerts about what the queues and their applications stand on: Redis, PostgreSQL, hosts, URLs."""

from typing import Final

from cli.rules.model import HOLD, Alert, Choices, Threshold

MEMORY: Final = Threshold(name="redis.memory", default=0.9, unit="ratio", help="part of maxmemory that a Redis may use")
EVICTED: Final = Threshold(
    name="redis.evicted", default=0, unit="count", help="keys that a Redis may evict in 15 minutes"
)
POSTGRES: Final = Threshold(
    name="postgres.down", default=180, unit="time", help="how long no exporter may read a PostgreSQL"
)
CONNECTIONS: Final = Threshold(
    name="postgres.connections", default=0.8, unit="ratio", help="part of max_connections that may be in use"
)
DISK: Final = Threshold(name="host.disk", default=0.9, unit="ratio", help="part of a file system that may be used")
PROBE: Final = Threshold(name="probe.down", default=180, unit="time", help="how long a probed URL may fail")


def _connections(c: Choices) -> str:
    # Added up first, held afterwards: a state that has gone and the one its connections are in now must not both count.
    added = f"sum without (state) ({c.of_exporters('depthgauge_postgres_connections')})"
    return f"last_over_time(({added})[{HOLD}:15s])"


ALERTS: Final = (
    Alert(
        name="DepthgaugeRedisMemoryHigh",
        severity="warning",
        threshold=MEMORY,
        expr=lambda c: (
            c.each_target(
                "max",
                f"\n  {c.last('depthgauge_redis_memory_used_bytes')}"
                f"\n  / ({c.last('depthgauge_redis_memory_max_bytes')} > 0)\n",
            )
            + f" > {c.number(MEMORY)}"
        ),
        lasting="5m",
        summary="A Redis has nearly reached its memory limit.",
        description="Redis {{ $labels.target }} uses {{ $value | humanizePercentage }} of its maxmemory, more than {limit}.",
    ),
    Alert(
        name="DepthgaugeRedisEvicting",
        severity="warning",
        threshold=EVICTED,
        expr=lambda c: (
            c.each_target("max", c.grown("depthgauge_redis_evicted_keys_total", "15m")) + f" > {c.number(EVICTED)}"
        ),
        summary="A Redis throws keys out for want of memory.",
        description=(
            "Redis {{ $labels.target }} has evicted {{ $value }} keys in 15 minutes: "
            "where they were jobs, these are lost."
        ),
    ),
    Alert(
        name="DepthgaugePostgresDown",
        severity="critical",
        threshold=POSTGRES,
        expr=lambda c: c.each_target("max", c.last("depthgauge_postgres_up")) + " == 0",
        lasting=POSTGRES,
        summary="No exporter can read a PostgreSQL.",
        description="PostgreSQL {{ $labels.target }} has not answered any exporter for {limit}.",
    ),
    Alert(
        name="DepthgaugePostgresConnectionsHigh",
        severity="warning",
        threshold=CONNECTIONS,
        expr=lambda c: (
            c.each_target(
                "max",
                f"\n  {_connections(c)}\n  / {c.last('depthgauge_postgres_max_connections')}\n",
            )
            + f" > {c.number(CONNECTIONS)}"
        ),
        lasting="5m",
        summary="A PostgreSQL has few connections left.",
        description=(
            "PostgreSQL {{ $labels.target }} has {{ $value | humanizePercentage }} of its max_connections in use, "
            "more than {limit}."
        ),
    ),
    Alert(
        name="DepthgaugeHostDiskFull",
        severity="warning",
        threshold=DISK,
        expr=lambda c: f"{c.last('depthgauge_host_disk_used_ratio')} > {c.number(DISK)}",
        lasting="15m",
        summary="A file system is nearly full.",
        description=(
            "{{ $labels.mountpoint }} on {{ $labels.target }} is {{ $value | humanizePercentage }} full, more than {limit}."
        ),
    ),
    Alert(
        name="DepthgaugeProbeDown",
        severity="critical",
        threshold=PROBE,
        expr=lambda c: f"{c.last('depthgauge_probe_up')} == 0",
        lasting=PROBE,
        summary="A probed URL does not answer, or answers with an error.",
        description="Probe {{ $labels.target }} has failed for {limit}, seen from {{ $labels.instance }}.",
    ),
)
