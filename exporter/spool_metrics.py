"""The spool's metrics: their rows, and the collector that shows the spool as it is now, without waiting for it."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from depthgauge.exposition import Metric

BYTES: Final = Metric(
    name="depthgauge_spool_bytes",
    type="gauge",
    help="Bytes that the spool takes on disk; absent while there is no spool to be used.",
)
MAX_BYTES: Final = Metric(
    name="depthgauge_spool_max_bytes", type="gauge", help="Bytes that the spool may take on disk."
)
SNAPSHOTS: Final = Metric(
    name="depthgauge_spool_snapshots",
    type="gauge",
    help="Snapshots in the spool that the stream has not taken yet, those of earlier runs included.",
)
OLDEST: Final = Metric(
    name="depthgauge_spool_oldest_timestamp_seconds",
    type="gauge",
    help="The slot of the oldest snapshot in the spool; absent while it is empty.",
)
SPOOLED: Final = Metric(
    name="depthgauge_spool_spooled_total", type="counter", help="Snapshots synced to the spool by this exporter."
)
EARLIER_DROPS: Final = Metric(
    name="depthgauge_spool_earlier_drops",
    type="gauge",
    help="Snapshots of earlier runs that were dropped before the stream had them, by reason; told for seven days.",
    labels=("reason",),
)
ERRORS: Final = Metric(
    name="depthgauge_spool_errors_total",
    type="counter",
    help=(
        "Failures of the spool, by reason: held by another exporter, cannot be opened, append, read, its state cannot be "
        "kept, torn by a crash, corrupt records."
    ),
    labels=("reason",),
)
TABLE: Final = (BYTES, MAX_BYTES, SNAPSHOTS, OLDEST, SPOOLED, EARLIER_DROPS, ERRORS)


class Numbers(Protocol):
    """What is kept now."""

    @property
    def bytes(self) -> int:
        """On disk."""

    @property
    def snapshots(self) -> int:
        """Not taken by the stream yet."""

    @property
    def oldest(self) -> float | None:
        """Slot of the oldest, unix time."""


class SpoolCollector(Collector):
    """Shows what the functions say; none of them may wait. ``numbers`` gives None while there is no spool to be used."""

    def __init__(
        self,
        *,
        max_bytes: int,
        numbers: Callable[[], Numbers | None],
        spooled: Callable[[], int],
        earlier_drops: Callable[[], Mapping[str, Mapping[str, int]]],
        errors: Callable[[], Mapping[str, int]],
    ) -> None:
        self._max_bytes = max_bytes
        self._numbers = numbers
        self._spooled = spooled
        self._earlier_drops = earlier_drops
        self._errors = errors

    def collect(self) -> Iterable[GaugeMetricFamily | CounterMetricFamily]:
        """Return the families as they are now."""
        numbers = self._numbers()
        gauges: list[tuple[Metric, float | None]] = [(MAX_BYTES, self._max_bytes)]
        if numbers is not None:
            gauges += [(BYTES, numbers.bytes), (SNAPSHOTS, numbers.snapshots), (OLDEST, numbers.oldest)]
        for metric, value in gauges:
            if value is not None:
                yield GaugeMetricFamily(metric.name, metric.help, value)
        yield CounterMetricFamily(SPOOLED.name, SPOOLED.help, self._spooled())
        earlier = GaugeMetricFamily(EARLIER_DROPS.name, EARLIER_DROPS.help, labels=EARLIER_DROPS.labels)
        totals: Counter[str] = Counter()
        for drops in self._earlier_drops().values():
            totals.update(drops)
        for reason, count in sorted(totals.items()):
            earlier.add_metric([reason], count)
        yield earlier
        errors = CounterMetricFamily(ERRORS.name, ERRORS.help, labels=ERRORS.labels)
        for reason, count in sorted(self._errors().items()):
            errors.add_metric([reason], count)
        yield errors
