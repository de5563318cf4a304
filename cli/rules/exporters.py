"""Alerts about the exporters themselves and their way to the bus."""

from typing import Final

from cli.rules.model import Alert, Choices, Threshold

DOWN: Final = Threshold(name="exporter.down", default=300, unit="time", help="how long an exporter may not be scraped")
ABSENT: Final = Threshold(
    name="exporter.absent", default=900, unit="time", help="how long Prometheus may know of no exporter at all"
)
STALE: Final = Threshold(
    name="exporter.stale", default=120, unit="time", help="how old the snapshot in /metrics may be"
)
SOURCE: Final = Threshold(name="exporter.source", default=900, unit="time", help="how long a source may fail")
RELOAD: Final = Threshold(
    name="exporter.reload",
    default=600,
    unit="time",
    help="how long a daemon may run with a configuration that it could not read again",
)
BUDGET: Final = Threshold(
    name="exporter.over_budget", default=0, unit="count", help="series of a family that may be left out"
)
BUS: Final = Threshold(name="bus.down", default=600, unit="time", help="how long the bus may refuse snapshots")
SPOOL: Final = Threshold(name="spool.full", default=0.8, unit="ratio", help="part of the spool that may be filled")
DROPPED: Final = Threshold(
    name="bus.dropped", default=0, unit="count", help="snapshots that may be dropped in 15 minutes"
)

OF_ONE_HOST: Final = 'kind!~"supervisor|redis|redis_server|database"'
"""Not those with alerts of their own, nor those that another exporter may take over."""


def _source_failing(c: Choices) -> str:
    shared = c.last("depthgauge_source_up", 'kind="redis_server"')
    return (
        f"{c.last('depthgauge_source_up', OF_ONE_HOST)} == 0\nor\nmax by ({c.labels('kind', 'target')}) ({shared}) == 0"
    )


EXPORTER: Final = (
    Alert(
        name="DepthgaugeExporterDown",
        severity="critical",
        threshold=DOWN,
        expr=lambda c: f"{c.of_exporters('up')} == 0",
        lasting=DOWN,
        summary="An exporter cannot be scraped.",
        description="Prometheus has not been able to scrape {{ $labels.instance }} for {limit}: that host is not watched.",
    ),
    Alert(
        name="DepthgaugeExporterAbsent",
        severity="critical",
        threshold=ABSENT,
        expr=lambda c: f"absent({c.of_exporters('up')})",
        lasting=ABSENT,
        summary="Prometheus knows of no exporter.",
        description="There has been no exporter to be scraped for {limit}: nothing is watched.",
    ),
    Alert(
        name="DepthgaugeSnapshotStale",
        severity="critical",
        threshold=STALE,
        expr=lambda c: f"time() - {c.last('depthgauge_snapshot_timestamp_seconds')} > {c.number(STALE)}",
        lasting="1m",
        summary="An exporter answers but collects nothing any more.",
        description="The snapshot of {{ $labels.instance }} is {{ $value | humanizeDuration }} old, more than {limit}.",
    ),
    Alert(
        name="DepthgaugeSourceFailing",
        severity="warning",
        threshold=SOURCE,
        expr=_source_failing,
        lasting=SOURCE,
        summary="A source cannot be read.",
        description=(
            "{{ $labels.kind }} {{ $labels.target }} could not be read for {limit}"
            "{{ with $labels.instance }} by {{ . }}{{ end }}."
        ),
    ),
    Alert(
        name="DepthgaugeConfigReloadFailed",
        severity="warning",
        threshold=RELOAD,
        expr=lambda c: (
            f"{c.last('depthgauge_config_last_reload_successful')} == 0\n"
            f"or\n{c.last_of_sinks('depthgauge_config_last_reload_successful')} == 0"
        ),
        lasting=RELOAD,
        summary="A daemon could not read its changed configuration.",
        description="{{ $labels.instance }} has gone on with its former configuration for {limit}: the new one has mistakes.",
    ),
    Alert(
        name="DepthgaugeSeriesOverBudget",
        severity="warning",
        threshold=BUDGET,
        expr=lambda c: f"{c.last('depthgauge_series_over_budget')} > {c.number(BUDGET)}",
        lasting="15m",
        summary="An exporter leaves out series because there are too many.",
        description="{{ $labels.instance }} leaves out {{ $value }} series of {{ $labels.family }}: nothing is known of them here.",
    ),
)

BUS_ALERTS: Final = (
    Alert(
        name="DepthgaugeBusDown",
        severity="warning",
        threshold=BUS,
        expr=lambda c: f"{c.last('depthgauge_bus_up')} == 0",
        lasting=BUS,
        summary="An exporter cannot publish on the bus.",
        description="The bus has taken no snapshot of {{ $labels.instance }} for {limit}: history waits in its spool, if it has one.",
    ),
    Alert(
        name="DepthgaugeSpoolFilling",
        severity="critical",
        threshold=SPOOL,
        expr=lambda c: (
            f"{c.last('depthgauge_spool_bytes')}\n/ {c.last('depthgauge_spool_max_bytes')}\n> {c.number(SPOOL)}"
        ),
        lasting="5m",
        summary="The spool of an exporter is nearly full: history will be lost.",
        description="The spool of {{ $labels.instance }} is {{ $value | humanizePercentage }} full, more than {limit}.",
    ),
    Alert(
        name="DepthgaugeSnapshotsDropped",
        severity="warning",
        threshold=DROPPED,
        expr=lambda c: f"{c.grown('depthgauge_bus_drops_total', '15m')} > {c.number(DROPPED)}",
        summary="Snapshots were dropped: history has a gap.",
        description=(
            "{{ $labels.instance }} has dropped snapshots in the last 15 minutes: {{ $value }} ({{ $labels.reason }})."
        ),
    ),
)
