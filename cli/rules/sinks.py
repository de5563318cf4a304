"""Alerts about the sinks and the database of history."""

from typing import Final

from cli.rules.model import Alert, Choices, Threshold

DOWN: Final = Threshold(name="sink.down", default=600, unit="time", help="how long a sink may not be scraped")
CANNOT_WRITE: Final = Threshold(
    name="sink.cannot_write", default=600, unit="time", help="how long a sink may be unable to write"
)
BUS_DOWN: Final = Threshold(
    name="sink.bus_down", default=600, unit="time", help="how long a sink may be unable to read the bus"
)
NEWER: Final = Threshold(
    name="sink.newer", default=0, unit="count", help="entries of a newer version that may wait for a sink"
)
LAG: Final = Threshold(
    name="sink.lag", default=900, unit="time", help="how old the newest snapshot in the database may be"
)
QUARANTINE: Final = Threshold(
    name="sink.quarantine", default=0, unit="count", help="entries that may be in the quarantine"
)
LOST: Final = Threshold(
    name="sink.lost", default=0, unit="count", help="snapshots that may be found missing in an hour without explanation"
)
MAINTENANCE: Final = Threshold(
    name="sink.maintenance", default=3600, unit="time", help="how long ago upkeep may have ended well"
)


def _maintenance(c: Choices) -> str:
    last_success = c.overall(
        "max", c.last_of_sinks("depthgauge_sink_maintenance_last_success_timestamp_seconds", 'step="all"')
    )
    # Where upkeep has never ended well there is no such time: it fails, and has for as long as the oldest sink runs.
    fails = c.overall("max", c.grown_of_sinks("depthgauge_sink_maintenance_failures_total", c.time(MAINTENANCE)))
    running = c.overall("min", c.last_of_sinks("process_start_time_seconds"))
    limit = c.number(MAINTENANCE)
    return (
        f"time() - {last_success} > {limit}\nor\n"
        f"(\n  time() - {running} > {limit}\n  and\n  {fails} > 0\n  unless\n  {last_success}\n)"
    )


ALERTS: Final = (
    Alert(
        name="DepthgaugeSinkDown",
        severity="warning",
        threshold=DOWN,
        expr=lambda c: f"{c.of_sinks('up')} == 0",
        lasting=DOWN,
        summary="A sink cannot be scraped.",
        description="Prometheus has not been able to scrape {{ $labels.instance }} for {limit}; the bus keeps what it does not write.",
    ),
    Alert(
        name="DepthgaugeSinkCannotWrite",
        severity="warning",
        threshold=CANNOT_WRITE,
        expr=lambda c: (
            f"{c.last_of_sinks('depthgauge_sink_database_up')} == 0\n"
            f"or\n{c.last_of_sinks('depthgauge_sink_stopped')} == 1"
        ),
        lasting=CANNOT_WRITE,
        summary="A sink cannot write into the database.",
        description="{{ $labels.instance }} has not been able to write into the database for {limit}.",
    ),
    Alert(
        name="DepthgaugeSinkBusDown",
        severity="warning",
        threshold=BUS_DOWN,
        expr=lambda c: f"{c.last_of_sinks('depthgauge_sink_bus_up')} == 0",
        lasting=BUS_DOWN,
        summary="A sink cannot read the bus.",
        description="{{ $labels.instance }} has not been able to read the bus for {limit}: it writes nothing.",
    ),
    Alert(
        name="DepthgaugeSinkTooOld",
        severity="warning",
        threshold=NEWER,
        expr=lambda c: f"{c.last_of_sinks('depthgauge_sink_newer_entries')} > {c.number(NEWER)}",
        lasting="15m",
        summary="Snapshots of a newer version wait for a sink to be upgraded.",
        description="{{ $labels.instance }} has left {{ $value }} entries of a newer version on the stream, more than {limit}.",
    ),
    Alert(
        name="DepthgaugeSinkLagging",
        severity="warning",
        threshold=LAG,
        expr=lambda c: (
            c.overall("min", f"time() - {c.last_of_sinks('depthgauge_sink_newest_slot_timestamp_seconds')}")
            + f" > {c.number(LAG)}"
        ),
        lasting="3m",
        summary="History stands still.",
        description="The newest snapshot in the database is {{ $value | humanizeDuration }} old, more than {limit}.",
    ),
    Alert(
        name="DepthgaugeQuarantineFilled",
        severity="warning",
        threshold=QUARANTINE,
        expr=lambda c: (
            c.overall("max", c.last_of_sinks("depthgauge_sink_quarantine_entries")) + f" > {c.number(QUARANTINE)}"
        ),
        lasting="15m",
        summary="Snapshots that no sink could use wait in the quarantine.",
        description="There are {{ $value }} entries in the quarantine, more than {limit}.",
    ),
    Alert(
        name="DepthgaugeSnapshotsLost",
        severity="warning",
        threshold=LOST,
        expr=lambda c: (
            c.overall("max", c.grown_of_sinks("depthgauge_sink_gap_snapshots", "1h", 'state="lost"'))
            + f" > {c.number(LOST)}"
        ),
        summary="Snapshots are missing in the history, and nobody has told why.",
        description="Snapshots found missing for good within an hour: {{ $value }}, more than {limit}.",
    ),
    Alert(
        name="DepthgaugeMaintenanceStale",
        severity="warning",
        threshold=MAINTENANCE,
        expr=_maintenance,
        lasting="5m",
        summary="The database is not kept up: rollups and retention are late.",
        description="depthgauge.maintain() has not ended well for {{ $value | humanizeDuration }}, more than {limit}.",
    ),
)
