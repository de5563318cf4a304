"""Publishers in tests: with a spool or without, over a real Redis."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias, cast

import pytest
import redis
from prometheus_client import CollectorRegistry

from depthgauge import stream
from depthgauge.backoff import Backoff
from depthgauge.redis_link import client
from depthgauge.secrets import Secret
from depthgauge.settings import BusSettings
from depthgauge.snapshot import Cycle, Snapshot
from exporter.bus_check import DropReason
from exporter.depot import Depot
from exporter.publish import Publisher
from exporter.spool import Limits
from tests.plugins.redis_server import RedisServer

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

NO_DROPS = {reason.value: 0 for reason in DropReason}


def snapshot(seq: int, run_id: str = "r1") -> Snapshot:
    """Return the snapshot of this number, one every 15 seconds."""
    slot = NOW + timedelta(seconds=15 * seq)
    return Snapshot(
        host="web-1", run_id=run_id, seq=seq, slot=slot, taken_at=slot, interval=15.0, cycle=Cycle(seconds=0.1)
    )


def on_stream(bus: redis.Redis) -> list[tuple[str, int]]:
    """Return run and number of every entry, in the order of the stream."""
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", bus.xrange(stream.STREAM))
    found = [stream.decode(fields) for _, fields in entries]
    return [(each.run_id, each.seq) for each in found]


def latest(bus: redis.Redis) -> int | None:
    """Return the number of the snapshot in the cache."""
    body = cast("bytes | None", bus.get(stream.LATEST_PREFIX + "web-1"))
    return stream.unpack(body).seq if body is not None else None


class Running:
    """A publisher, what it has settled, and its metrics; without a folder it keeps 100 snapshots in memory."""

    def __init__(
        self,
        url: str,
        *,
        folder: Path | None = None,
        run_id: str = "r1",
        may_publish: Callable[[], bool | None] = lambda: True,
        max_waiting: int | None = None,
        timeout: float = 0.5,
        limits: Limits | None = None,
        clock: Callable[[], datetime] = lambda: NOW,
        **settings: object,
    ) -> None:
        bus = BusSettings(url=Secret(url), **settings)  # type: ignore[arg-type]  # the test names fields
        self.run_id = run_id
        self.registry = CollectorRegistry()
        self.settled: list[int] = []
        self.client = client(bus.url, timeout=timeout)
        self.publisher = Publisher(
            bus,
            self.client,
            may_publish=may_publish,
            registry=self.registry,
            backoff=Backoff(first=0.05, most=0.2, random=lambda: 0.0),
            depot=Depot(folder, limits or Limits(), run_id=run_id, registry=self.registry, clock=clock),
            settled=self.settled.append,
            max_waiting=max_waiting or (100 if folder is None else 10_000),
        )
        self.publisher.start()

    def offer(self, *seqs: int) -> None:
        for seq in seqs:
            self.publisher.offer(snapshot(seq, self.run_id))

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    def errors(self, reason: str) -> float | None:
        return self.value("depthgauge_spool_errors_total", reason=reason)

    @property
    def spooled(self) -> float | None:
        """Snapshots synced to disk so far."""
        return self.value("depthgauge_spool_spooled_total")

    def drops(self) -> dict[str, int]:
        """Drops by reason, without those that are 0."""
        drops = self.publisher.drops()
        assert drops.keys() == NO_DROPS.keys()
        return {reason: count for reason, count in drops.items() if count}

    def stop(self, timeout: float = 2) -> int:
        left = self.publisher.stop(timeout)
        self.client.close()
        return left


Start: TypeAlias = Callable[..., Running]


@pytest.fixture
def start(redis_server: RedisServer) -> Iterator[Start]:
    """Give a function that starts a publisher without a spool (``folder=…`` gives it one), stopped with the test."""
    started: list[Running] = []

    def begin(**options: object) -> Running:
        started.append(Running(redis_server.url, **options))  # type: ignore[arg-type]  # the test names arguments
        return started[-1]

    yield begin
    for each in started:
        each.stop()
