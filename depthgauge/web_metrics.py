"""What a daemon's HTTP server counts itself: the same families for exporter and sink."""

from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from depthgauge.gate import REASONS
from depthgauge.httpd import Server
from depthgauge.reload import Reloader


@dataclass(frozen=True, slots=True)
class WebFamily:
    """One family; ``values`` are those of its label."""

    name: str
    kind: str
    help: str
    label: str | None = None
    values: tuple[str, ...] = ()


EVICTED = WebFamily(
    "depthgauge_http_evicted_connections_total",
    "counter",
    "Connections that kept the server waiting and were closed to make room for others, or found no room.",
)
FAILURES = WebFamily(
    "depthgauge_http_failed_requests_total",
    "counter",
    "Requests answered with 500 because of a defect; the log has it.",
)
REFUSED = WebFamily(
    "depthgauge_http_refused_requests_total",
    "counter",
    "Requests refused: a method that is not answered, no credentials or wrong ones, too many wrong ones, too many requests of a client or of all.",
    "reason",
    REASONS,
)
HANDSHAKES = WebFamily(
    "depthgauge_http_failed_handshakes_total",
    "counter",
    "Connections that ended without a TLS handshake, or whose client certificate was not let in.",
)
CERTIFICATES = WebFamily(
    "depthgauge_http_certificate_errors_total",
    "counter",
    "Changed certificates, keys or client CAs that could not be loaded; the former ones are used on.",
)
RELOAD_GOOD = WebFamily(
    "depthgauge_config_last_reload_successful",
    "gauge",
    "Whether the configuration was good when it was last read.",
)
RELOAD_TIME = WebFamily(
    "depthgauge_config_last_reload_success_timestamp_seconds",
    "gauge",
    "Unix time when a good configuration was last read.",
)
FAMILIES = (EVICTED, FAILURES, REFUSED, HANDSHAKES, CERTIFICATES, RELOAD_GOOD, RELOAD_TIME)


class WebMetrics(Collector):
    """Collects them."""

    def __init__(self, server: Server, reloader: Reloader) -> None:
        self._server = server
        self._reloader = reloader

    def collect(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        """Return the families as they are now."""
        server, gate, reloader = self._server, self._server.gate, self._reloader
        yield CounterMetricFamily(EVICTED.name, EVICTED.help, server.evicted)
        yield CounterMetricFamily(FAILURES.name, FAILURES.help, server.failures)
        refused = CounterMetricFamily(REFUSED.name, REFUSED.help, labels=["reason"])
        for reason, count in gate.refused.items():
            refused.add_metric([reason], count)
        yield refused
        yield CounterMetricFamily(HANDSHAKES.name, HANDSHAKES.help, server.handshakes_failed)
        yield CounterMetricFamily(CERTIFICATES.name, CERTIFICATES.help, gate.certificate_errors)
        yield GaugeMetricFamily(RELOAD_GOOD.name, RELOAD_GOOD.help, float(reloader.good))
        yield GaugeMetricFamily(RELOAD_TIME.name, RELOAD_TIME.help, reloader.last_good)
