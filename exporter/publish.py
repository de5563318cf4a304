"""Snapshots to the bus: the stream entry first, then the cache, then the list of hosts.

Publishing has a thread of its own and never holds up the loop. What the bus does not take is kept in memory, bounded by
count and by bytes; the oldest goes first, and every drop is counted by its reason in the next snapshot's ``drops``.
Nothing is ever trimmed from the stream: the sink deletes what it has committed.
"""

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import redis
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client import Counter as CounterMetric

from depthgauge import stream
from depthgauge.backoff import Backoff
from depthgauge.errors import SourceError
from depthgauge.redis_link import explain
from depthgauge.settings import BusSettings
from depthgauge.snapshot import EXPIRY_INTERVALS, Snapshot
from exporter import metrics
from exporter.bus_check import BusCheck, DropReason

log = logging.getLogger(__name__)

MAX_WAITING: Final = 2_000
MAX_WAITING_BYTES: Final = 64 * 1024 * 1024
BATCH: Final = 50
MIN_CACHE_TTL: Final = 120


@dataclass(frozen=True, slots=True)
class _Waiting:
    fields: dict[str, bytes]
    size: int
    host: str
    slot: float
    cache_ttl: int


class Publisher:
    """Takes snapshots from the loop and puts them on the bus."""

    def __init__(
        self,
        settings: BusSettings,
        bus: redis.Redis,
        *,
        may_publish: Callable[[], bool],
        registry: CollectorRegistry,
        backoff: Backoff,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._settings = settings
        self._bus = bus
        self._check = BusCheck(bus, settings)
        self._may_publish = may_publish
        self._backoff = backoff
        self._max_waiting = max_waiting
        self._lock = threading.Lock()
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._drops: Counter[str] = Counter({reason.value: 0 for reason in DropReason})
        self._hindrance = DropReason.BUS_AWAY
        self._told: str | None = None
        self._told_cache = False
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._up = Gauge(metrics.BUS_UP.name, metrics.BUS_UP.help, registry=registry)
        self._published = CounterMetric(metrics.BUS_PUBLISHED.name, metrics.BUS_PUBLISHED.help, registry=registry)
        self._depth = Gauge(metrics.BUS_WAITING.name, metrics.BUS_WAITING.help, registry=registry)
        self._cache_errors = CounterMetric(
            metrics.BUS_CACHE_ERRORS.name, metrics.BUS_CACHE_ERRORS.help, registry=registry
        )
        self._thread = threading.Thread(target=self._run, name="publish", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def offer(self, snapshot: Snapshot) -> None:
        """Queue a snapshot; never blocks on the bus."""
        fields = stream.encode(snapshot)
        item = _Waiting(
            fields=fields,
            size=sum(map(len, fields.values())),
            host=snapshot.host,
            slot=snapshot.slot.timestamp(),
            cache_ttl=max(MIN_CACHE_TTL, round(EXPIRY_INTERVALS * snapshot.interval)),
        )
        with self._lock:
            self._waiting.append(item)
            self._bytes += item.size
            self._trim()
        self._wake.set()

    def drops(self) -> Mapping[str, int]:
        """Return the drops so far, by reason."""
        with self._lock:
            return dict(self._drops)

    def stop(self, timeout: float) -> int:
        """Try to publish what is waiting for at most ``timeout`` seconds; return how many snapshots were left behind."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        with self._lock:
            return len(self._waiting)

    def _run(self) -> None:
        while True:
            self._wake.wait()
            if not self._waiting:
                if self._stop.is_set():
                    return
                self._wake.clear()
                if self._waiting or self._stop.is_set():
                    self._wake.set()
                continue
            if self._publish_some():
                self._backoff.reset()
            elif self._stop.wait(self._backoff.next_delay()):
                self._publish_some()
                return

    def _publish_some(self) -> bool:
        """Publish up to BATCH snapshots; return False when the bus did not take them."""
        if not self._may_publish():
            return self._hindered(DropReason.DUPLICATE_HOST, "another exporter publishes under this host name")
        batch = self._take()
        sent = 0
        try:
            refusal = self._check.refusal()
            if refusal is not None:
                return self._hindered(refusal.reason, refusal.message)
            sent = self._send(batch)
        except (redis.exceptions.RedisError, OSError) as exc:
            return self._hindered(DropReason.BUS_AWAY, str(explain(self._settings.url, exc)))
        finally:
            self._put_back(batch[sent:])
        if sent < len(batch):
            return False
        self._up.set(1)
        if self._told is not None:
            log.info("the bus takes snapshots again")
            self._told = None
        return True

    def _send(self, batch: list[_Waiting]) -> int:
        """Send the batch in one pipeline; return how many entries the stream took, from the first on.

        The cache follows only when nothing newer waits: a backlog that drains must not turn the cache back.
        """
        newest = batch[-1]
        with self._bus.pipeline(transaction=False) as pipe:
            for item in batch:
                pipe.xadd(stream.STREAM, dict(item.fields))  # type: ignore[arg-type]  # redis-py asks for a wider dict
            if not self._waiting:
                pipe.set(stream.LATEST_PREFIX + newest.host, newest.fields["d"], ex=newest.cache_ttl)
                pipe.zadd(stream.HOSTS, {newest.host: newest.slot})
            replies = pipe.execute(raise_on_error=False)
        errors = [(index, reply) for index, reply in enumerate(replies) if isinstance(reply, Exception)]
        sent = next((index for index, _ in errors if index < len(batch)), len(batch))
        self._published.inc(sent)
        if errors:
            error = explain(self._settings.url, errors[0][1])
            if sent < len(batch):
                self._hindered(DropReason.BUS_REFUSED, str(error))
            else:
                self._cache_failed(error)
        return sent

    def _take(self) -> list[_Waiting]:
        with self._lock:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            self._bytes -= sum(item.size for item in batch)
            return batch

    def _put_back(self, rest: list[_Waiting]) -> None:
        with self._lock:
            self._waiting.extendleft(reversed(rest))
            self._bytes += sum(item.size for item in rest)
            self._trim()

    def _trim(self) -> None:
        """Drop the oldest beyond the bounds; the caller holds the lock."""
        while len(self._waiting) > self._max_waiting or (self._bytes > MAX_WAITING_BYTES and len(self._waiting) > 1):
            self._bytes -= self._waiting.popleft().size
            self._drops[self._hindrance] += 1
        self._depth.set(len(self._waiting))

    def _cache_failed(self, error: SourceError) -> None:
        self._cache_errors.inc()
        if not self._told_cache:
            self._told_cache = True
            log.error("the stream took the snapshot but the cache did not: %s", error)

    def _hindered(self, reason: DropReason, message: str) -> bool:
        self._hindrance = reason
        self._up.set(0)
        if self._told != reason:
            self._told = reason
            log.error("not publishing: %s; keeping snapshots in memory", message, extra={"reason": reason.value})
        return False
