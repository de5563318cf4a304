"""Panels about sinks: what they write, what waits for them, and the upkeep of the database."""

from typing import Final

from grafana.source.columns import Column
from grafana.source.looks import BYTES, COUNT, PER_SECOND, SECONDS, UP, Look
from grafana.source.panels import Panel, grid, lines, states
from grafana.source.promql import own, rows, series

DAY: Final = Look(unit="s", minimum=0)


def panels() -> tuple[Panel, ...]:
    """Return the panels."""
    return (*_written(), *_waiting(), *_upkeep())


def _per_second(metric: str, by: str = "") -> str:
    return f"sum {by} (rate({own(metric)}[$__rate_interval]))".replace("sum  (", "sum(")


def _batch(quantile: float) -> str:
    buckets = own("depthgauge_sink_batch_duration_seconds_bucket")
    return f"histogram_quantile({quantile:g}, sum by (le) (rate({buckets}[$__rate_interval])))"


def _written() -> tuple[Panel, ...]:
    outcomes = ("committed", "duplicate", "collided", "too_late")
    return (
        states(
            "Bus and database of the sinks",
            "Whether the last exchange of each sink with the bus, and with the database, worked.",
            series(f"min by (instance) ({own('depthgauge_sink_bus_up')})", "bus ({{instance}})"),
            series(f"min by (instance) ({own('depthgauge_sink_database_up')})", "database ({{instance}})"),
            look=UP,
            width=8,
            height=8,
        ),
        lines(
            "Snapshots by what became of them",
            "Snapshots a second: committed, known already, with a slot that had other rows already, and too late for the "
            "retention.",
            *(
                series(_per_second(f"depthgauge_sink_snapshots_{each}_total"), each.replace("_", " "))
                for each in outcomes
            ),
            look=PER_SECOND,
            width=8,
        ),
        lines(
            "Rows written",
            "Rows a second, by table.",
            series(_per_second("depthgauge_sink_rows_total", "by (table)"), "{{table}}"),
            look=PER_SECOND,
            width=8,
        ),
        lines(
            "Time of a batch",
            "From handing a batch to the database until it is committed, all tries together: what 50 and 95 of 100 did not "
            "exceed.",
            series(_batch(0.5), "50 %"),
            series(_batch(0.95), "95 %"),
            look=SECONDS,
            width=8,
        ),
        lines(
            "Failures and retries",
            "Exchanges a second that failed, by reason.",
            series(f"{_per_second('depthgauge_sink_retries_total', 'by (reason)')} > 0", "database: {{reason}}"),
            series(f"{_per_second('depthgauge_sink_bus_errors_total', 'by (reason)')} > 0", "bus: {{reason}}"),
            series(
                f"{_per_second('depthgauge_sink_maintenance_failures_total', 'by (reason)')} > 0", "upkeep: {{reason}}"
            ),
            look=PER_SECOND,
            width=8,
        ),
        lines(
            "Behind by",
            "Time since the newest slot that each sink has committed.",
            series(f"max by (instance) ({own('depthgauge_sink_lag_seconds')})", "{{instance}}"),
            look=SECONDS,
            width=8,
        ),
    )


def _waiting() -> tuple[Panel, ...]:
    return (
        lines(
            "Entries on the stream",
            "What all sinks together have not written yet: on the stream, of these read and not acknowledged, left for a "
            "newer sink, and in the quarantine.",
            series(f"max({own('depthgauge_sink_stream_entries')})", "on the stream"),
            series(f"max({own('depthgauge_sink_pending_entries')})", "read, not acknowledged"),
            series(f"max({own('depthgauge_sink_newer_entries')})", "for a newer sink"),
            series(f"max({own('depthgauge_sink_quarantine_entries')})", "in the quarantine"),
            width=8,
        ),
        lines(
            "Memory of the stream",
            "Memory of the bus that the stream takes. A full bus makes exporters spool.",
            series(f"max({own('depthgauge_sink_stream_bytes')})", "stream"),
            look=BYTES,
            width=8,
        ),
        lines(
            "Snapshots missing in the database",
            "Of the last days: open while a spool may still hold them, lost after that, dropped where their exporter has "
            "told so.",
            series(f"max by (state) ({own('depthgauge_sink_gap_snapshots')})", "{{state}}"),
            width=8,
            stepped=True,
        ),
    )


def _upkeep() -> tuple[Panel, ...]:
    success = own("depthgauge_sink_maintenance_last_success_timestamp_seconds")
    return (
        lines(
            "Upkeep: time since each step was done",
            "Since the step of depthgauge.maintain() last ended with nothing left to do.",
            series(f"min by (step) (time() - {success})", "{{step}}"),
            look=SECONDS,
            width=8,
        ),
        lines(
            "Upkeep: what is left to do",
            "Buckets of rollups to compute anew, and chunks that should be in the columnstore.",
            series(f"max({own('depthgauge_sink_dirty_buckets')})", "dirty buckets"),
            series(f"max({own('depthgauge_sink_columnstore_due_chunks')})", "chunks due"),
            look=COUNT,
            width=8,
        ),
        lines(
            "Chunks",
            "Chunks or partitions by how they are stored, of all tables.",
            series(f"sum by (storage) (max by (table, storage) ({own('depthgauge_sink_chunks')}))", "{{storage}}"),
            stepped=True,
            width=8,
        ),
        grid(
            "Database",
            "What each sink writes to.",
            rows(f"max by (instance, edition, layout) ({own('depthgauge_sink_database_info')})"),
            rows(f"max by (instance) ({own('depthgauge_sink_schema_version')})"),
            columns=(
                Column(field="instance", title="Sink"),
                Column(field="edition", title="Edition"),
                Column(field="layout", title="Layout"),
                Column(field="Value #B", title="Schema", look=Look(decimals=0)),
            ),
            sort="Sink",
            ascending=True,
            height=5,
        ),
    )
