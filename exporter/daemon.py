"""The exporter daemon: what it is made of, how it starts and how it ends."""

import logging
import random
import secrets
import threading
import time
import uuid
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, disable_created_metrics

from depthgauge.backoff import Backoff
from depthgauge.history import History
from depthgauge.httpd import Server
from depthgauge.redis_link import client
from depthgauge.reload import Reloaded, Reloader
from depthgauge.settings import BusSettings
from depthgauge.snapshot import Snapshot
from depthgauge.web_metrics import WebMetrics
from exporter import metrics
from exporter.api_token import ApiTokens
from exporter.assembly import Assembly, utc_now
from exporter.collect import EveryoneCollects
from exporter.depot import Depot
from exporter.event_metrics import EventMetrics
from exporter.fleet import FleetCache
from exporter.lease import LeasedTargets, LeaseKeeper, Standing, database_lease, host_lease, redis_lease
from exporter.live import Live
from exporter.publish import Publisher
from exporter.recent import Recent
from exporter.settings import ExporterSettings
from exporter.spool import SPOOL, Limits
from exporter.store import SnapshotStore
from exporter.web.api import LiveApi
from exporter.web.app import make_app
from exporter.web.historical import PATH as HISTORICAL
from exporter.web.historical import Historical

log = logging.getLogger(__name__)

BUS_TIMEOUT: Final = 2.0
STOP_PUBLISH: Final = 0.7
STOP_LEASES: Final = 0.4
STOP_WEB: Final = 0.4
"""Seconds; a stop takes less than two in all."""


_MAY_PUBLISH: Final = {Standing.HELD: True, Standing.ELSEWHERE: False}
"""Anything else is not known: the lease keeper asks again within a quarter of an interval."""


class Bus:
    """Everything that talks to the bus: leases and publishing."""

    def __init__(
        self,
        settings: ExporterSettings,
        bus: BusSettings,
        run_id: str,
        registry: CollectorRegistry,
        *,
        clock: Callable[[], datetime],
        settled: Callable[[int], None] = lambda _: None,
    ) -> None:
        timeout = min(BUS_TIMEOUT, settings.interval)
        self._host_lease = host_lease(settings.host)
        names = [
            self._host_lease,
            *(redis_lease(each.name) for each in settings.redis),
            *(database_lease(each.name) for each in settings.databases),
        ]
        self.keeper = LeaseKeeper(client(bus.url, timeout=timeout), run_id, names, interval=settings.interval)
        self.leases = LeasedTargets(self.keeper)
        self._client = client(bus.url, timeout=timeout)
        self.publisher = Publisher(
            bus,
            self._client,
            may_publish=lambda: _MAY_PUBLISH.get(self.keeper.standing(self._host_lease)),
            registry=registry,
            backoff=Backoff(first=0.5, most=30.0, random=random.random),
            depot=_depot(settings, run_id, registry, clock),
            settled=settled,
        )
        self.fleet = FleetCache(bus.url, clock=clock, registry=registry)
        held = Gauge(metrics.LEASE_HELD.name, metrics.LEASE_HELD.help, metrics.LEASE_HELD.labels, registry=registry)
        for name in names:
            held.labels(name).set_function(partial(self._holds, name))

    def _holds(self, name: str) -> float:
        return float(self.keeper.standing(name) is Standing.HELD)

    def start(self) -> None:
        """Try the leases and start publishing."""
        self.keeper.start()
        self.publisher.start()

    def stop(self) -> None:
        """Bring what waits to the bus or to the spool, in a moment; give the leases back."""
        left = self.publisher.stop(STOP_PUBLISH)
        if left:
            log.warning("%d snapshots reached neither the bus nor the spool and are lost", left)
        self.keeper.stop(STOP_LEASES)
        self._client.close()
        self.fleet.close()


def _depot(
    settings: ExporterSettings, run_id: str, registry: CollectorRegistry, clock: Callable[[], datetime]
) -> Depot:
    folder = settings.state_dir / SPOOL if settings.state_dir is not None else None
    limits = Limits(max_bytes=settings.spool_max_bytes, max_age=settings.spool_max_age)
    return Depot(folder, limits, run_id=run_id, registry=registry, clock=clock)


class Daemon:
    """One exporter; ``run`` blocks until it is told to stop, ``load`` reads its configuration again."""

    def __init__(
        self,
        settings: ExporterSettings,
        *,
        history: History | None = None,
        clock: Callable[[], datetime] = utc_now,
        load: Callable[[], Reloaded] | None = None,
    ) -> None:
        self._settings = settings
        run_id = uuid.uuid4().hex
        registry = CollectorRegistry()
        # The text format has no place for creation times; the library would make series of them.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no types here
        ProcessCollector(registry=registry)
        self._bus = (
            Bus(settings, settings.bus, run_id, registry, clock=clock, settled=self._settled)
            if settings.bus is not None
            else None
        )
        leases = self._bus.leases if self._bus is not None else None
        self._assembly = Assembly(
            settings,
            run_id=run_id,
            leases=leases or EveryoneCollects(),
            drops=self._bus.publisher.drops if self._bus is not None else dict,
            earlier_drops=self._bus.publisher.earlier_drops if self._bus is not None else dict,
            clock=clock,
        )
        self._ended = threading.Event()
        self._failure: BaseException | None = None
        self.store = SnapshotStore()
        self._recent = Recent()
        visible = leases.visible if leases is not None else _as_it_is
        live = Live(
            self.store,
            visible=visible,
            cache=self._bus.fleet if self._bus is not None else None,
            ask=self._assembly.collector.demand.ask,
            recent=self._recent,
            clock=clock,
        )
        app = make_app(
            settings,
            self.store,
            registry=registry,
            clock=clock,
            visible=visible,
            api={**LiveApi(live, self._recent).routes, HISTORICAL: Historical(history, clock=clock)},
        )
        self.server = Server(settings.web, app)
        tokens = ApiTokens(settings.state_dir or settings.token_dir, random=partial(secrets.token_urlsafe, 32))
        self.reloader = Reloader(self.server.gate, load, now=time.time, complete=tokens.complete)
        self._complete = tokens.complete
        registry.register(WebMetrics(self.server, self.reloader))
        registry.register(EventMetrics(self._assembly.events))

    def run(self, stop: threading.Event) -> None:
        """Serve and collect until ``stop`` is set; raise OSError if an address cannot be bound."""
        self.server.gate.apply(self._complete(self._settings.web))
        self.server.start()
        log.info("listening on %s", ", ".join(self.server.urls))
        if self._bus is not None:
            self._bus.start()
        self._assembly.start()
        # In a thread of its own: a collection that waits for a hung source must not hold up the stop.
        threading.Thread(target=self._collect, args=(stop,), name="collect", daemon=True).start()
        try:
            while not stop.wait(0.1) and not self._ended.is_set():
                pass
        finally:
            log.info("stopping")
            if self._bus is not None:
                self._bus.stop()
            self.server.stop(STOP_WEB)
            self._assembly.close()
        if self._failure is not None:
            raise self._failure

    def _collect(self, stop: threading.Event) -> None:
        try:
            self._assembly.collector.run(self._emit, stop)
        except BaseException as exc:  # noqa: BLE001  whatever ends the loop ends the exporter: run() raises it
            self._failure = exc
        finally:
            self._ended.set()

    def _emit(self, snapshot: Snapshot) -> None:
        self.store.put(snapshot)
        if self._bus is not None and snapshot.seq > 0:
            self._bus.publisher.offer(self._bus.leases.visible(snapshot))
        self._recent.feed([snapshot])

    def _settled(self, seq: int) -> None:
        self._assembly.events.settled(seq)


def _as_it_is(snapshot: Snapshot) -> Snapshot:
    return snapshot
