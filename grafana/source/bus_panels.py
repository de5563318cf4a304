"""Panels about the way from exporters to the bus: what was published, what waits, what was dropped, who holds leases."""

from typing import Final

from grafana.source.looks import BAD, COUNT, GOOD, PER_SECOND, RATIO, SECONDS, UP, Look, texts
from grafana.source.panels import Panel, lines, states
from grafana.source.promql import own, series

HELD: Final = Look(texts=texts({0: ("", "transparent"), 1: ("holds it", GOOD)}), absent="unknown")


def panels() -> tuple[Panel, ...]:
    """Return the panels."""
    drops = f"sum by (reason) (rate({own('depthgauge_bus_drops_total')}[$__rate_interval]))"
    return (
        states(
            "Bus and listeners",
            "Whether the bus took the last snapshot of each exporter, and whether the event listener of each supervisord "
            "that has one was alive.",
            series(f"min by (instance) ({own('depthgauge_bus_up')})", "bus ({{instance}})"),
            series(
                f"min by (instance, supervisor) ({own('depthgauge_listener_up')})",
                "listener of {{supervisor}} ({{instance}})",
            ),
            look=UP,
            width=12,
            height=8,
        ),
        states(
            "Leases",
            "Which exporter reads each Redis and database that several know.",
            series(f"max by (instance, lease) ({own('depthgauge_lease_held')})", "{{lease}} ({{instance}})"),
            look=HELD,
            width=12,
            height=8,
        ),
        lines(
            "Snapshots published",
            "Snapshots a second that each exporter put on the stream. At a steady one an interval all is well.",
            series(
                f"sum by (instance) (rate({own('depthgauge_bus_published_total')}[$__rate_interval]))", "{{instance}}"
            ),
            look=PER_SECOND,
            width=8,
        ),
        lines(
            "Snapshots that wait for the bus",
            "Snapshots that the stream does not have yet: in memory, and in the spool on disk.",
            series(f"sum by (instance) ({own('depthgauge_bus_waiting_snapshots')})", "memory ({{instance}})"),
            series(f"sum by (instance) ({own('depthgauge_spool_snapshots')})", "spool ({{instance}})"),
            look=COUNT,
            width=8,
        ),
        lines(
            "Snapshots dropped",
            "Snapshots a second that never reached the stream, by reason. These are lost.",
            series(drops, "{{reason}}"),
            look=Look(unit="ops", minimum=0, steps=((None, GOOD), (0.001, BAD))),
            width=8,
        ),
        lines(
            "Room of the spool that is used",
            "Bytes of the spool among those it may take; when it is full the oldest snapshots are dropped.",
            series(
                f"sum by (instance) ({own('depthgauge_spool_bytes')}) "
                f"/ sum by (instance) ({own('depthgauge_spool_max_bytes')})",
                "{{instance}}",
            ),
            look=RATIO,
            width=8,
        ),
        lines(
            "Age of the oldest snapshot in the spool",
            "How long the bus has not taken it; absent while the spool is empty.",
            series(f"max by (instance) (time() - {own('depthgauge_spool_oldest_timestamp_seconds')})", "{{instance}}"),
            look=SECONDS,
            width=8,
        ),
        lines(
            "State changes of processes",
            "State changes a second that were put into snapshots, by where they come from: a listener tells them "
            "exactly, polling misses what is short.",
            series(f"sum by (source) (rate({own('depthgauge_events_total')}[$__rate_interval]))", "{{source}}"),
            series(
                f"sum by (reason) (rate({own('depthgauge_events_lost_total')}[$__rate_interval])) > 0",
                "lost: {{reason}}",
            ),
            look=PER_SECOND,
            width=8,
        ),
    )
