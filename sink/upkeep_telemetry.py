"""Metrics of the database's upkeep; what has not been looked at yet is absent."""

from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sink import verdict
from sink.telemetry import PREFIX, Metric

STEPS: Final = ("roll_up", "drop", "columnstore", "all")
GAP_STATES: Final = ("open", "lost", "dropped")

METRICS: Final = (
    Metric(
        "depthgauge_sink_maintenance_last_success_timestamp_seconds",
        "gauge",
        "Unix time at which this step of depthgauge.maintain() last ended with nothing left to do, whichever sink called it.",
        "step",
        STEPS,
    ),
    Metric(
        "depthgauge_sink_maintenance_duration_seconds",
        "gauge",
        "Time that the step took when it last ended.",
        "step",
        STEPS,
    ),
    Metric(
        "depthgauge_sink_maintenance_failures_total",
        "counter",
        "Rounds of upkeep that failed in this sink and are repeated.",
        "reason",
        tuple(sorted(verdict.REASONS)),
    ),
    Metric("depthgauge_sink_dirty_buckets", "gauge", "Buckets of rollups that are marked and not computed anew yet."),
    Metric(
        "depthgauge_sink_columnstore_due_chunks",
        "gauge",
        "Chunks that should be in the columnstore and are not, or not wholly.",
    ),
    Metric(
        "depthgauge_sink_columnstore_lag_seconds",
        "gauge",
        "Time for which the oldest of those chunks has been due.",
    ),
    Metric(
        "depthgauge_sink_chunks",
        "gauge",
        "Chunks or partitions, by table and by how they are stored (row, columnstore).",
        "table",
    ),
    Metric(
        "depthgauge_sink_gap_snapshots",
        "gauge",
        "Snapshots missing from the ledger of the last days: open while a spool may still hold them, lost after that, "
        "dropped where their exporter has told so.",
        "state",
        GAP_STATES,
    ),
)
"""Every family."""

_BY_NAME: Final = {metric.name.removeprefix(PREFIX): metric for metric in METRICS}

_Samples = list[tuple[dict[str, str], float]]


class UpkeepTelemetry(Collector):
    """What the last round has seen, and the failures."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seen: dict[str, _Samples] = {}
        failures = _BY_NAME["maintenance_failures_total"]
        self._failures = Counter(
            failures.name.removesuffix("_total"), failures.help, (failures.label or "",), registry=registry
        )
        for value in failures.values:
            self._failures.labels(value)
        registry.register(self)

    def failed(self, reason: str) -> None:
        """Count a round that failed."""
        self._failures.labels(reason).inc()

    def saw_steps(self, steps: Mapping[str, tuple[float, float]]) -> None:
        """Note when each step ended (unix time) and how long it took (seconds)."""
        self._seen["maintenance_last_success_timestamp_seconds"] = [({"step": s}, at) for s, (at, _) in steps.items()]
        self._seen["maintenance_duration_seconds"] = [({"step": s}, seconds) for s, (_, seconds) in steps.items()]

    def saw_dirty(self, buckets: int) -> None:
        """Note how many buckets are marked."""
        self._seen["dirty_buckets"] = [({}, buckets)]

    def saw_columnstore(self, *, due: int, lag: float) -> None:
        """Note how many chunks are due, and for how many seconds the oldest has been."""
        self._seen["columnstore_due_chunks"] = [({}, due)]
        self._seen["columnstore_lag_seconds"] = [({}, lag)]

    def saw_chunks(self, chunks: Mapping[str, tuple[int, int]]) -> None:
        """Note each table's chunks: in row form, in the columnstore."""
        self._seen["chunks"] = [
            ({"table": table, "storage": storage}, count)
            for table, counts in sorted(chunks.items())
            for storage, count in zip(("row", "columnstore"), counts, strict=True)
        ]

    def saw_gaps(self, snapshots: Mapping[str, int]) -> None:
        """Note how many snapshots are missing, by state."""
        self._seen["gap_snapshots"] = [({"state": state}, snapshots.get(state, 0)) for state in GAP_STATES]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Give what has been seen."""
        for name, samples in dict(self._seen).items():
            family = GaugeMetricFamily(
                _BY_NAME[name].name, _BY_NAME[name].help, labels=list(samples[0][0]) if samples else []
            )
            for labels, value in samples:
                family.add_metric(list(labels.values()), value)
            yield family

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Name the families given by :meth:`collect`, so that the registry refuses second ones of the same name."""
        for metric in METRICS:
            if metric.kind == "gauge":
                yield GaugeMetricFamily(metric.name, metric.help)
