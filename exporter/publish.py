"""Snapshots to the bus: the stream entry first, then the cache, then the list of hosts.

Publishing has a thread of its own and never holds up the loop. What the bus does not take at once goes to the spool on
disk, and from there to the bus, in order, when it takes snapshots again; where there is no spool it waits in memory.
Both are bounded; the oldest goes first, and every drop is counted by its reason in a later snapshot's ``drops``.
Nothing is ever trimmed from the stream: the sink deletes what it has committed.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

import redis
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client import Counter as CounterMetric

from depthgauge.backoff import Backoff
from depthgauge.errors import SourceError
from depthgauge.redis_link import explain
from depthgauge.settings import BusSettings
from depthgauge.snapshot import Snapshot
from exporter import metrics
from exporter.bus_check import BusCheck, DropReason
from exporter.depot import BATCH, BATCH_BYTES, Depot
from exporter.outbox import MAX_WAITING, Outbox, item_of
from exporter.sender import Sender, Sent

log = logging.getLogger(__name__)

MAX_DUPLICATE: Final = 3
"""Snapshots kept while another exporter has our host name: a restart after kill -9 waits so long for its own old lease."""

_UNKNOWN: Final = "nobody knows whether another exporter has this host name: the lease on it is not settled"


class Publisher:
    """Takes snapshots from the loop and puts them on the bus.

    ``may_publish`` says whether this host name is ours: None while nobody knows. ``settled`` is called, in the
    publisher's thread, with the highest ``seq`` such that this snapshot and all before it are settled: on the stream,
    synced to the spool, or dropped and counted. It must not wait.
    """

    def __init__(
        self,
        settings: BusSettings,
        bus: redis.Redis,
        *,
        may_publish: Callable[[], bool | None],
        registry: CollectorRegistry,
        backoff: Backoff,
        depot: Depot,
        settled: Callable[[int], None] = lambda _: None,
        max_waiting: int = MAX_WAITING,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._check = BusCheck(bus, settings)
        self._sender = Sender(bus, settings.url)
        self._may_publish = may_publish
        self._backoff = backoff
        self._depot = depot
        self._outbox = Outbox(max_waiting)
        self._settled = settled
        self._settled_seq = 0
        self._monotonic = monotonic
        self._hindrance: DropReason | None = None
        self._told_cache = False
        self._noted: Mapping[str, int] = {}
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._up = Gauge(metrics.BUS_UP.name, metrics.BUS_UP.help, registry=registry)
        self._published = CounterMetric(metrics.BUS_PUBLISHED.name, metrics.BUS_PUBLISHED.help, registry=registry)
        depth = Gauge(metrics.BUS_WAITING.name, metrics.BUS_WAITING.help, registry=registry)
        depth.set_function(lambda: self._outbox.waiting)
        self._cache_errors = CounterMetric(
            metrics.BUS_CACHE_ERRORS.name, metrics.BUS_CACHE_ERRORS.help, registry=registry
        )
        self._thread = threading.Thread(target=self._run, name="publish", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        if self._depot.folder is None:
            log.warning(
                "no exporter.state_dir is set: while the bus is away, snapshots wait in memory only and are lost when "
                "the exporter ends"
            )
        self._thread.start()

    def offer(self, snapshot: Snapshot) -> None:
        """Queue a snapshot; waits neither for the bus nor for the disk."""
        self._outbox.put(item_of(snapshot))
        self._wake.set()

    def drops(self) -> Mapping[str, int]:
        """Return the drops of this run so far, by reason, every reason named."""
        return {**{reason.value: 0 for reason in DropReason}, **self._depot.drops, **self._outbox.drops}

    def earlier_drops(self) -> Mapping[str, Mapping[str, int]]:
        """Return the drops of earlier runs that are remembered, by run, by reason."""
        return self._depot.earlier_drops

    def stop(self, timeout: float) -> int:
        """Bring what is waiting to the bus or to the spool within ``timeout`` seconds; return how many were left behind."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout / 2)
        if self._thread.is_alive():
            self._depot.rescue(self._outbox, timeout / 2)
            self._tell_settled()
        return self._outbox.waiting

    # The thread.

    def _run(self) -> None:
        self._depot.open()
        while not self._stop.is_set():
            if not self._outbox.waiting and not self._depot.busy:
                self._wake.wait()
                self._wake.clear()
            elif self._guarded(self._round):
                self._backoff.reset()
            else:
                self._hold(self._backoff.next_delay())
        self._guarded(self._finish)

    def _guarded(self, step: Callable[[], bool]) -> bool:
        try:
            return step()
        except Exception:
            # A defect must not end the thread: then nothing would be published, and nobody would be told.
            log.exception("publishing failed unexpectedly")
            self._up.set(0)
            return False

    def _hold(self, seconds: float) -> None:
        """Leave the bus alone for so long; what is offered meanwhile goes to the spool at once."""
        until = self._monotonic() + seconds
        while not self._stop.is_set() and (left := until - self._monotonic()) > 0:
            if self._wake.wait(left):
                self._wake.clear()
                self._guarded(self._put_aside)

    def _finish(self) -> bool:
        """Publish what waits, if the bus takes it at once; what it does not take goes to the spool."""
        if self._hindrance is None or not self._depot.usable:
            while self._outbox.waiting and not self._depot.busy and self._guarded(self._round):
                pass
        self._put_aside()
        if self._may_publish() is False:
            self._outbox.shrink(0, DropReason.DUPLICATE_HOST)
        self._depot.close(self._outbox.drops)
        return True

    def _round(self) -> bool:
        """Move a batch; return False when the bus did not take all of it."""
        self._depot.open()
        allowed = self._may_publish()
        if self._depot.busy and allowed is not False:
            # What is newer must not overtake what is older.
            self._depot.keep(self._outbox)
        took = self._try(allowed)
        if not took:
            self._depot.expire()
            self._put_aside()
        self._tell_settled()
        return took

    def _try(self, allowed: bool | None) -> bool:
        if allowed is False:
            return self._hindered(DropReason.DUPLICATE_HOST, "another exporter publishes under this host name")
        try:
            refusal = self._check.refusal()
            if refusal is not None:
                self._refresh_cache(refusal.reason)
                return self._hindered(refusal.reason, refusal.message)
            if self._may_publish() is not True:
                return self._hindered(DropReason.BUS_AWAY, _UNKNOWN)
            sent = self._drain() if self._depot.busy else self._direct()
            if sent is None:
                return self._hindered(DropReason.SPOOL_FAILED, "the spool cannot be read")
        except (redis.exceptions.RedisError, OSError) as exc:
            return self._hindered(DropReason.BUS_AWAY, str(explain(self._settings.url, exc)))
        self._published.inc(sent.accepted)
        if sent.refused is not None:
            return self._hindered(DropReason.BUS_REFUSED, str(sent.refused))
        if sent.cache is not None:
            self._cache_failed(sent.cache)
        self._up.set(1)
        if self._hindrance is not None:
            log.info("the bus takes snapshots again")
            self._hindrance = None
        return True

    def _direct(self) -> Sent:
        """Send what waits in memory."""
        batch = self._outbox.take(BATCH, BATCH_BYTES)
        sent = 0
        try:
            result = self._sender.send([item.fields for item in batch], self._outbox.newest)
            sent = result.accepted
        finally:
            self._outbox.settle(batch, sent)
        return result

    def _drain(self) -> Sent | None:
        """Send the oldest of what the spool has; None if it cannot be read.

        The read position follows the stream's yes: a crash in between sends them again, and the sink's ledger knows them.
        """
        batch = self._depot.peek()
        if not batch and self._depot.busy:
            return None
        result = self._sender.send([each.fields for each in batch], self._outbox.newest)
        self._depot.advance(batch[: result.accepted])
        return result

    def _put_aside(self) -> bool:
        """See to what waits in memory while the bus does not take it; return whether none of it is left there."""
        self._depot.open()
        if self._may_publish() is False:
            # They would collide with the other's: none of them is kept for later.
            self._outbox.shrink(MAX_DUPLICATE, DropReason.DUPLICATE_HOST)
        else:
            self._depot.keep(self._outbox)
        if self._hindrance is not None:
            self._outbox.reason = DropReason.SPOOL_FAILED if self._depot.failing else self._hindrance
        drops = self._outbox.drops
        if drops != self._noted:
            self._depot.note(drops)
            self._noted = drops
        self._tell_settled()
        if self._hindrance is DropReason.BUS_FULL:
            try:
                self._refresh_cache(self._hindrance)
            except (redis.exceptions.RedisError, OSError) as exc:
                self._hindered(DropReason.BUS_AWAY, str(explain(self._settings.url, exc)))
        return not self._outbox.waiting

    def _refresh_cache(self, reason: DropReason) -> None:
        """Keep the cache fresh while the stream is full; a bus that must not be written to gets nothing at all."""
        if reason is DropReason.BUS_FULL and self._may_publish() is True:
            sent = self._sender.send((), self._outbox.newest)
            if sent.cache is not None:
                self._cache_failed(sent.cache)

    def _tell_settled(self) -> None:
        settled = self._outbox.settled
        if settled > self._settled_seq:
            self._settled_seq = settled
            self._settled(settled)

    def _cache_failed(self, error: SourceError) -> None:
        self._cache_errors.inc()
        if not self._told_cache:
            self._told_cache = True
            log.error("the cache does not take snapshots, the stream is another matter: %s", error)

    def _hindered(self, reason: DropReason, message: str) -> bool:
        self._up.set(0)
        if self._hindrance is not reason:
            self._hindrance = reason
            where = "on disk" if self._depot.usable and reason is not DropReason.DUPLICATE_HOST else "in memory"
            log.error("not publishing: %s; keeping snapshots %s", message, where, extra={"reason": reason.value})
        return False
