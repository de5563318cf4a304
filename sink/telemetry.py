"""The sink's metrics about itself: one table of them, and the objects that count."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from depthgauge.errors import ErrorKind
from sink import tables, verdict
from sink.inbox import BusState

PREFIX: Final = "depthgauge_sink_"
QUARANTINE_REASONS: Final = ("corrupt", "refused", "future")
BATCH_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One family; ``values`` are those of its label, where they are a closed set."""

    name: str
    kind: str
    help: str
    label: str | None = None
    values: tuple[str, ...] = ()


METRICS: Final = (
    Metric(
        "depthgauge_sink_rows_total",
        "counter",
        "Rows added to the database.",
        "table",
        tuple(table.name for table in tables.TABLES),
    ),
    Metric(
        "depthgauge_sink_snapshots_committed_total",
        "counter",
        "Snapshots whose rows were committed, collided ones included.",
    ),
    Metric(
        "depthgauge_sink_snapshots_duplicate_total",
        "counter",
        "Snapshots that the ledger had already: delivered twice, or committed just before a connection broke.",
    ),
    Metric(
        "depthgauge_sink_snapshots_collided_total",
        "counter",
        "Committed snapshots whose host and slot had rows of another snapshot already: two exporters use one host name.",
    ),
    Metric(
        "depthgauge_sink_snapshots_too_late_total",
        "counter",
        "Snapshots older than the retention of raw rows, dropped.",
    ),
    Metric(
        "depthgauge_sink_snapshots_quarantined_total",
        "counter",
        "Stream entries moved to the quarantine stream: corrupt, refused by the database for a value in them, or from the future.",
        "reason",
        QUARANTINE_REASONS,
    ),
    Metric(
        "depthgauge_sink_quarantine_evicted_total",
        "counter",
        "Entries that fell out of the full quarantine, the oldest, when this sink put another in: they are lost.",
    ),
    Metric(
        "depthgauge_sink_quarantine_entries",
        "gauge",
        "Entries in the quarantine; depthgauge quarantine lists, retries or drops them.",
    ),
    Metric(
        "depthgauge_sink_newer_entries",
        "gauge",
        "Stream entries left pending because a newer depthgauge wrote them: upgrade this sink.",
    ),
    Metric(
        "depthgauge_sink_entries_vanished_total",
        "counter",
        "Stream entries that were deleted or trimmed by somebody else while they were pending.",
    ),
    Metric(
        "depthgauge_sink_entries_claimed_total",
        "counter",
        "Stream entries taken over from sinks that left them pending.",
    ),
    Metric("depthgauge_sink_stream_entries", "gauge", "Entries on the stream: the backlog of all sinks together."),
    Metric("depthgauge_sink_pending_entries", "gauge", "Entries that sinks have read and not yet acknowledged."),
    Metric(
        "depthgauge_sink_oldest_pending_seconds",
        "gauge",
        "Time since the oldest entry that is read and not acknowledged came onto the stream; 0 without any.",
    ),
    Metric("depthgauge_sink_stream_bytes", "gauge", "Memory of the bus that the stream takes."),
    Metric("depthgauge_sink_bus_up", "gauge", "Whether the last exchange with the bus worked."),
    Metric(
        "depthgauge_sink_bus_errors_total",
        "counter",
        "Exchanges with the bus that failed.",
        "reason",
        tuple(kind.value for kind in ErrorKind),
    ),
    Metric("depthgauge_sink_database_up", "gauge", "Whether the last exchange with the database worked."),
    Metric(
        "depthgauge_sink_retries_total",
        "counter",
        "Exchanges with the database that failed and are repeated.",
        "reason",
        tuple(sorted(verdict.REASONS)),
    ),
    Metric(
        "depthgauge_sink_stopped",
        "gauge",
        "Whether writing waits for a human: the schema, the edition or the privileges are wrong.",
    ),
    Metric(
        "depthgauge_sink_batch_duration_seconds",
        "histogram",
        "Time from handing a batch to the database until it is committed, all tries together.",
    ),
    Metric("depthgauge_sink_schema_version", "gauge", "Version of the database's schema."),
    Metric(
        "depthgauge_sink_database_info",
        "gauge",
        "What the database is: its edition (plain, apache, community) and how its tables are cut into days.",
    ),
    Metric("depthgauge_sink_last_commit_timestamp_seconds", "gauge", "Unix time of the last commit of new rows."),
    Metric(
        "depthgauge_sink_newest_slot_timestamp_seconds", "gauge", "Unix time of the newest slot committed by this sink."
    ),
    Metric("depthgauge_sink_lag_seconds", "gauge", "Time since the newest slot that this sink has committed."),
)
"""Every family; those that are unknown until something happened are left out until then."""

_BY_NAME: Final = {metric.name.removeprefix(PREFIX): metric for metric in METRICS}


class Telemetry(Collector):
    """Counts; collects the families that may be unknown itself."""

    def __init__(self, registry: CollectorRegistry, *, now: Callable[[], float]) -> None:
        self.registry = registry
        self._now = now
        self._known: dict[str, float] = {}
        self._info: dict[str, str] = {}
        self._oldest_pending: float | None = None
        self.rows = self._counter("rows_total")
        self.committed = self._counter("snapshots_committed_total")
        self.duplicate = self._counter("snapshots_duplicate_total")
        self.collided = self._counter("snapshots_collided_total")
        self.too_late = self._counter("snapshots_too_late_total")
        self.quarantined = self._counter("snapshots_quarantined_total")
        self.quarantine_evicted = self._counter("quarantine_evicted_total")
        self.newer = self._gauge("newer_entries")
        self.vanished = self._counter("entries_vanished_total")
        self.claimed = self._counter("entries_claimed_total")
        self.bus_up = self._gauge("bus_up")
        self.bus_errors = self._counter("bus_errors_total")
        self.database_up = self._gauge("database_up")
        self.retries = self._counter("retries_total")
        self.stopped = self._gauge("stopped")
        batches = _BY_NAME["batch_duration_seconds"]
        self.batch_seconds = Histogram(batches.name, batches.help, registry=registry, buckets=BATCH_SECONDS)
        registry.register(self)

    def committed_slot(self, slot: datetime) -> None:
        """Note a commit of new rows up to this slot."""
        self._known["last_commit_timestamp_seconds"] = self._now()
        newest = max(slot.timestamp(), self._known.get("newest_slot_timestamp_seconds", -math.inf))
        self._known["newest_slot_timestamp_seconds"] = newest

    def bus_state(self, state: BusState) -> None:
        """Note how much is on the bus."""
        self._oldest_pending = state.oldest_pending
        known = {
            "stream_entries": state.entries,
            "pending_entries": state.pending,
            "stream_bytes": state.size,
            "quarantine_entries": state.quarantined,
        }
        self._known.update({name: float(value) for name, value in known.items() if value is not None})

    def database_is(self, *, schema_version: int, info: Mapping[str, str]) -> None:
        """Note what the database is."""
        self._known["schema_version"] = float(schema_version)
        self._info = dict(info)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Give what is known by now."""
        known = dict(self._known)
        newest = known.get("newest_slot_timestamp_seconds")
        if newest is not None:
            known["lag_seconds"] = max(0.0, self._now() - newest)
        if "pending_entries" in known:
            oldest = self._oldest_pending
            known["oldest_pending_seconds"] = 0.0 if oldest is None else max(0.0, self._now() - oldest)
        for name, value in known.items():
            metric = _BY_NAME[name]
            yield GaugeMetricFamily(metric.name, metric.help, value)
        if self._info:
            metric = _BY_NAME["database_info"]
            family = GaugeMetricFamily(metric.name, metric.help, labels=list(self._info))
            family.add_metric(list(self._info.values()), 1.0)
            yield family

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Name the families given by :meth:`collect`, so that the registry refuses second ones of the same name."""
        mine = ("schema_version", "database_info", "lag_seconds")
        bus = ("stream_entries", "pending_entries", "oldest_pending_seconds", "stream_bytes", "quarantine_entries")
        times = ("last_commit_timestamp_seconds", "newest_slot_timestamp_seconds")
        for name in (*mine, *bus, *times):
            yield GaugeMetricFamily(_BY_NAME[name].name, _BY_NAME[name].help)

    def _counter(self, name: str) -> Counter:
        metric = _BY_NAME[name]
        labels = (metric.label,) if metric.label else ()
        made = Counter(metric.name.removesuffix("_total"), metric.help, labels, registry=self.registry)
        for value in metric.values:
            made.labels(value)
        return made

    def _gauge(self, name: str) -> Gauge:
        metric = _BY_NAME[name]
        return Gauge(metric.name, metric.help, registry=self.registry)
