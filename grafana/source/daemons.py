"""The dashboard of Depthgauge itself: is what the other dashboards show complete and fresh."""

from typing import Final

from grafana.source import bus_panels, sink_panels, variables
from grafana.source.board import PROMETHEUS, Board, Row
from grafana.source.columns import Column
from grafana.source.looks import BYTES, CPU, PER_SECOND, SECONDS, STALE, TROUBLE, UP
from grafana.source.panels import Panel, grid, lines, number, states
from grafana.source.promql import OURS, down, instant, ours, own, rows, series, up

LOST: Final = 'state="lost"'


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid="depthgauge-self",
        title="Depthgauge / Depthgauge itself",
        description="Exporters, bus, spool and sinks: is what the other dashboards show complete and fresh?",
        source=PROMETHEUS,
        variables=variables.scope(OURS),
        rows=(
            Row("Now", _now()),
            Row("Exporters: what they read", _sources()),
            Row("Bus and spool", bus_panels.panels()),
            Row("Sinks", sink_panels.panels()),
            Row("What they cost, and what they refused", _daemons()),
        ),
    )


def _now() -> tuple[Panel, ...]:
    return (
        number(
            "Targets down",
            "Exporters and sinks that Prometheus cannot scrape.",
            instant(down(up())),
            look=TROUBLE,
            width=3,
            background=True,
        ),
        number(
            "Oldest snapshot",
            "Age of the oldest snapshot that an exporter shows: more than a few intervals, and its loop hangs.",
            instant(f"max(time() - {own('depthgauge_snapshot_timestamp_seconds')})"),
            look=STALE,
            width=3,
            background=True,
        ),
        number(
            "Sources failing",
            "Supervisords, Redis servers, databases and other sources whose last reading failed.",
            instant(down(own("depthgauge_source_up"))),
            look=TROUBLE,
            width=3,
            background=True,
        ),
        number(
            "Bus refuses",
            "Exporters whose last snapshot the bus did not take; it waits in the spool or in memory.",
            instant(down(own("depthgauge_bus_up"))),
            look=TROUBLE,
            width=3,
            background=True,
        ),
        number(
            "Sinks stopped",
            "Sinks that wait for a human: the schema, the edition or the privileges are wrong.",
            instant(f"sum({own('depthgauge_sink_stopped')})"),
            look=TROUBLE,
            width=3,
            background=True,
        ),
        number(
            "Sink behind by",
            "Time since the newest slot that a sink has put into the database.",
            instant(f"max({own('depthgauge_sink_lag_seconds')})"),
            look=STALE,
            width=3,
            background=True,
        ),
        number(
            "Snapshots lost",
            "Snapshots of the last days that are missing in the database and that no spool can still hold.",
            instant(f"max({own('depthgauge_sink_gap_snapshots', LOST)})"),
            look=TROUBLE,
            width=3,
            background=True,
        ),
        number(
            "Configurations refused",
            "Daemons whose configuration was bad when it was last read; they go on with the former one.",
            instant(down(own(OURS))),
            look=TROUBLE,
            width=3,
            background=True,
        ),
    )


def _sources() -> tuple[Panel, ...]:
    source = "{{kind}} {{target}} ({{instance}})"
    return (
        states(
            "Sources",
            "Whether the last attempt to read each source succeeded.",
            series(f"min by (instance, kind, target) ({own('depthgauge_source_up')})", source),
            look=UP,
            width=16,
            height=10,
        ),
        grid(
            "Versions",
            "What each exporter is.",
            rows(f"max by (instance, version, python_version) ({own('depthgauge_build_info')})"),
            columns=(
                Column(field="instance", title="Instance"),
                Column(field="version", title="Version"),
                Column(field="python_version", title="Python"),
            ),
            sort="Instance",
            ascending=True,
            width=8,
            height=10,
        ),
        lines(
            "Time to read each source",
            "How long the last attempt took.",
            series(f"max by (instance, kind, target) ({own('depthgauge_source_duration_seconds')})", source),
            look=SECONDS,
        ),
        lines(
            "Failed readings",
            "Failed attempts a second, by reason.",
            series(
                "sum by (instance, kind, target, reason) "
                f"(rate({own('depthgauge_source_errors_total')}[$__rate_interval])) > 0",
                "{{kind}} {{target}} {{reason}} ({{instance}})",
            ),
            look=PER_SECOND,
        ),
        lines(
            "Time of a collection",
            "How long the last collection took. It has to stay below the interval.",
            series(f"max by (instance) ({own('depthgauge_cycle_duration_seconds')})", "{{instance}}"),
            look=SECONDS,
            width=8,
        ),
        lines(
            "Collections skipped",
            "Collections a second that did not take place because an earlier one took too long.",
            series(
                f"sum by (instance) (rate({own('depthgauge_cycles_skipped_total')}[$__rate_interval]))", "{{instance}}"
            ),
            look=PER_SECOND,
            width=8,
        ),
        lines(
            "Left out",
            "Series that a family's budget left out, and queues of which some number could not be read.",
            series(
                f"sum by (instance, family) ({own('depthgauge_series_over_budget')}) > 0",
                "{{family}} over budget ({{instance}})",
            ),
            series(
                f"max by (redis, reason) ({own('depthgauge_queues_unreadable')})", "queues of {{redis}}: {{reason}}"
            ),
            width=8,
            stepped=True,
        ),
    )


def _daemons() -> tuple[Panel, ...]:
    daemon = "{{job}} {{instance}}"
    refused = own("depthgauge_http_refused_requests_total")
    return (
        lines(
            "CPU of the daemons",
            "CPU time a second of each exporter and sink: 100 % is one whole CPU.",
            series(
                f"rate({own('process_cpu_seconds_total')}[$__rate_interval]) and on (job, instance) {own(OURS)}", daemon
            ),
            look=CPU,
            width=8,
        ),
        lines(
            "Memory of the daemons",
            "Resident memory of each exporter and sink.",
            series(ours("process_resident_memory_bytes"), daemon),
            look=BYTES,
            width=8,
        ),
        lines(
            "Time of a scrape",
            "How long Prometheus took to scrape each of them.",
            series(ours("scrape_duration_seconds"), daemon),
            look=SECONDS,
            width=8,
        ),
        lines(
            "Samples of a scrape",
            "How many samples each page has. Prometheus refuses a page with more than its sample_limit.",
            series(ours("scrape_samples_scraped"), daemon),
            width=12,
        ),
        lines(
            "Requests refused or failed",
            "Requests a second that the daemons' own web servers refused, by reason, answered with 500, or cut off.",
            series(f"sum by (reason) (rate({refused}[$__rate_interval])) > 0", "refused: {{reason}}"),
            series(f"sum(rate({own('depthgauge_http_failed_requests_total')}[$__rate_interval]))", "failed"),
            series(f"sum(rate({own('depthgauge_http_evicted_connections_total')}[$__rate_interval]))", "cut off"),
            look=PER_SECOND,
            width=12,
        ),
    )
