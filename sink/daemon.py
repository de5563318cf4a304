"""The sink daemon: a consumer in a thread of its own, so that neither a frozen database nor a silent bus holds up a stop."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics, generate_latest

from depthgauge.exposition import CONTENT_TYPE
from depthgauge.httpd import Request, Response, Server, text
from depthgauge.reload import Reloaded, Reloader
from depthgauge.web_metrics import WebMetrics
from sink.consume import Consumer
from sink.deliver import Delivery
from sink.fetch import Fetcher
from sink.handover import Handover
from sink.inbox import Inbox
from sink.patience import BusHealth, Patience
from sink.retention import Horizon
from sink.settings import SinkSettings
from sink.telemetry import Telemetry
from sink.upkeep import Upkeep
from sink.upkeep_telemetry import UpkeepTelemetry
from sink.write import Writer

log = logging.getLogger(__name__)

BUS_TIMEOUT: Final = 5.0
DATABASE_DEADLINE: Final = 60.0
"""Seconds after which a database that does not answer is cut off; above its own statement_timeout of 30."""
STOP_WORK: Final = 1.2
STOP_WEB: Final = 0.3
"""Seconds; a stop takes less than two in all."""


def utc_now() -> datetime:
    """Return the time as an aware datetime."""
    return datetime.now(UTC)


class Sink:
    """One sink; ``run`` blocks until it is told to stop, ``load`` reads its configuration again."""

    def __init__(
        self,
        settings: SinkSettings,
        *,
        clock: Callable[[], datetime] = utc_now,
        database_deadline: float = DATABASE_DEADLINE,
        bus_timeout: float = BUS_TIMEOUT,
        load: Callable[[], Reloaded] | None = None,
    ) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._failure: BaseException | None = None
        self._registry = CollectorRegistry()
        # The text format has no place for creation times; the library would make series of them.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no types here
        ProcessCollector(registry=self._registry)
        self.telemetry = Telemetry(self._registry, now=time.time)
        horizon = Horizon(settings.retention.raw)
        self._writer = Writer(settings.dsn, horizon, deadline=database_deadline)
        self._upkeep = Upkeep(settings, UpkeepTelemetry(self._registry), horizon)
        self._inbox = Inbox(settings.bus.url, settings.consumer, timeout=bus_timeout)
        self._consumer = self._assemble(clock, horizon, bus_timeout)
        self._thread = threading.Thread(target=self._consume, name="consume", daemon=True)
        self.server = Server(settings.web, self._answer)
        self.reloader = Reloader(self.server.gate, load, now=time.time)
        self._registry.register(WebMetrics(self.server, self.reloader))

    def _assemble(self, clock: Callable[[], datetime], horizon: Horizon, bus_timeout: float) -> Consumer:
        settings, stop, telemetry = self._settings, self._stop, self.telemetry

        def oldest() -> datetime:
            return horizon.oldest(clock())

        health, handover = BusHealth(telemetry), Handover(stop)
        reader = Inbox(settings.bus.url, settings.consumer, timeout=bus_timeout)
        reading = Patience(health, "reading", stop)
        fetcher = Fetcher(settings, reader, handover, reading, stop, clock=clock, oldest=oldest)
        return Consumer(
            settings,
            inbox=self._inbox,
            fetcher=fetcher,
            handover=handover,
            delivery=Delivery(self._writer, telemetry, stop),
            telemetry=telemetry,
            patience=Patience(health, "writing", stop),
            stop=stop,
            clock=clock,
            oldest=oldest,
        )

    def run(self, stop: threading.Event) -> None:
        """Serve and consume until ``stop`` is set.

        Raise OSError if an address cannot be bound, SchemaError if the database's schema is not the one this sink needs.
        """
        self.server.start()
        log.info("listening on %s", ", ".join(self.server.urls))
        self._thread.start()
        self._upkeep.start()
        try:
            while not stop.wait(0.1) and not self._ended.is_set():
                pass
        finally:
            log.info("stopping")
            self._stop.set()
            if not self._ended.wait(STOP_WORK / 2):
                self._writer.cut()
                self._ended.wait(STOP_WORK / 2)
            self._upkeep.stop(STOP_WEB)
            self.server.stop(STOP_WEB)
        if self._failure is not None:
            raise self._failure

    def _consume(self) -> None:
        try:
            self._consumer.run()
        except BaseException as exc:  # noqa: BLE001  whatever ends the consumer ends the sink: run() raises it
            self._failure = exc
        finally:
            self._stop.set()
            self._writer.close()
            self._inbox.close()
            self._consumer.join()
            self._ended.set()

    def _answer(self, request: Request) -> Response:
        if request.path == self._settings.web.telemetry_path:
            return Response(200, generate_latest(self._registry), content_type=CONTENT_TYPE)
        if request.path == "/-/healthy":
            return text(200, "healthy")
        if request.path == "/-/ready":
            if self._writer.installation is None:
                return text(503, "not ready: the database has not answered yet")
            return text(200, "ready")
        if request.path == "/":
            return text(
                200, f"Depthgauge sink {self._settings.consumer}; metrics at {self._settings.web.telemetry_path}"
            )
        return text(HTTPStatus.NOT_FOUND, f"not found; metrics are at {self._settings.web.telemetry_path}")
