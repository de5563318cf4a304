"""What the gathering of events tells about itself."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from exporter import event_families
from exporter.event_source import EventSource


class EventMetrics(Collector):
    """Events by source, what was lost of them, and whether listeners live."""

    def __init__(self, events: EventSource) -> None:
        self._events = events

    def collect(self) -> Iterable[Metric]:
        """Return the figures as they are now."""
        for metric, values in (
            (event_families.EVENTS, self._events.told),
            (event_families.EVENTS_LOST, self._events.lost),
            (event_families.EVENT_LOG_FAILURES, self._events.failures),
        ):
            counter = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
            for label, value in dict(values).items():
                counter.add_metric([label], value)
            yield counter
        up = GaugeMetricFamily(
            event_families.LISTENER_UP.name, event_families.LISTENER_UP.help, labels=event_families.LISTENER_UP.labels
        )
        for name, alive in dict(self._events.alive).items():
            up.add_metric([name], alive)
        yield up
