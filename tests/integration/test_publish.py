"""Publishing to a real Redis."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
import redis
from prometheus_client import CollectorRegistry

from depthgauge import stream
from depthgauge.backoff import Backoff
from depthgauge.redis_link import client
from depthgauge.secrets import Secret
from depthgauge.settings import BusSettings
from depthgauge.snapshot import Cycle, Snapshot
from exporter.publish import Publisher
from tests.plugins.redis_server import RedisServer
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("redis-server")

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

NO_DROPS = {"bus_away": 0, "bus_full": 0, "bus_refused": 0, "duplicate_host": 0}

Start = Callable[..., Publisher]


def snapshot(seq: int) -> Snapshot:
    slot = NOW + timedelta(seconds=15 * seq)
    return Snapshot(
        host="web-1", run_id="r1", seq=seq, slot=slot, taken_at=slot, interval=15.0, cycle=Cycle(seconds=0.1)
    )


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def start(redis_server: RedisServer, registry: CollectorRegistry) -> Iterator[Start]:
    started: list[Publisher] = []

    def begin(
        *,
        may_publish: Callable[[], bool] = lambda: True,
        max_waiting: int = 100,
        registry: CollectorRegistry = registry,
        **settings: object,
    ) -> Publisher:
        bus = BusSettings(url=Secret(redis_server.url), **settings)  # type: ignore[arg-type]  # the test names fields
        publisher = Publisher(
            bus,
            client(bus.url, timeout=0.5),
            may_publish=may_publish,
            registry=registry,
            backoff=Backoff(first=0.05, most=0.2, random=lambda: 0.0),
            max_waiting=max_waiting,
        )
        publisher.start()
        started.append(publisher)
        return publisher

    yield begin
    for publisher in started:
        publisher.stop(timeout=2)


def sequence(bus: redis.Redis) -> list[int]:
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", bus.xrange(stream.STREAM))
    return [stream.decode(fields).seq for _, fields in entries]


def test_entry_cache_and_hosts(start: Start, redis_server: RedisServer) -> None:
    start().offer(snapshot(1))

    with redis_server.client() as bus:
        wait_for(lambda: bus.exists(stream.HOSTS), timeout=5)
        [(_, fields)] = cast("list[tuple[bytes, dict[bytes, bytes]]]", bus.xrange(stream.STREAM))
        assert set(fields) == {b"v", b"host", b"run", b"seq", b"slot", b"d"}
        assert stream.decode(fields) == snapshot(1)
        assert stream.unpack(cast("bytes", bus.get("depthgauge:latest:web-1"))) == snapshot(1)
        assert 100 < cast("int", bus.ttl("depthgauge:latest:web-1")) <= 120
        assert bus.zscore(stream.HOSTS, "web-1") == snapshot(1).slot.timestamp()


def test_a_bus_that_was_away_gets_everything_in_order(
    start: Start, redis_server: RedisServer, registry: CollectorRegistry
) -> None:
    redis_server.stop()
    publisher = start()
    for seq in range(1, 121):
        publisher.offer(snapshot(seq))
    wait_for(lambda: registry.get_sample_value("depthgauge_bus_up") == 0, timeout=5)
    redis_server.start()

    with redis_server.client() as bus:
        wait_for(lambda: bus.xlen(stream.STREAM) == 100, timeout=10)
        assert sequence(bus) == list(range(21, 121))
        latest = stream.unpack(cast("bytes", bus.get("depthgauge:latest:web-1")))
        assert latest.seq == 120
    assert publisher.drops() == {**NO_DROPS, "bus_away": 20}
    assert registry.get_sample_value("depthgauge_bus_published_total") == 100


def test_a_paused_bus_blocks_neither_the_loop_nor_the_stop(start: Start, redis_server: RedisServer) -> None:
    publisher = start()
    redis_server.pause()
    try:
        for seq in range(1, 6):
            publisher.offer(snapshot(seq))
        stopping = threading.Thread(target=publisher.stop, args=(1.5,), daemon=True)
        stopping.start()
        stopping.join(3)
        assert not stopping.is_alive()
    finally:
        redis_server.resume()


def test_a_full_stream_is_not_trimmed(
    start: Start, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with redis_server.client() as bus:
        for _ in range(50):
            bus.xadd(stream.STREAM, {"d": b"x" * 1000})
        publisher = start(max_bytes=20_000, max_waiting=2)
        publisher.offer(snapshot(1))
        wait_for(lambda: "is a sink running" in caplog.text, timeout=5)
        for seq in range(2, 5):
            publisher.offer(snapshot(seq))
        wait_for(lambda: publisher.drops() == {**NO_DROPS, "bus_full": 2}, timeout=5)
        assert bus.xlen(stream.STREAM) == 50

        bus.xtrim(stream.STREAM, maxlen=0, approximate=False)
        wait_for(lambda: bus.xlen(stream.STREAM) == 2, timeout=5)
        assert sequence(bus) == [3, 4]


def test_a_bus_that_may_evict_the_stream_is_refused_unless_told_otherwise(
    start: Start, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with redis_server.client() as bus:
        bus.config_set("maxmemory", "100mb")
        bus.config_set("maxmemory-policy", "allkeys-lru")
        start().offer(snapshot(1))
        wait_for(lambda: "may evict unread snapshots" in caplog.text, timeout=5)
        assert bus.xlen(stream.STREAM) == 0

        start(allow_eviction=True, registry=CollectorRegistry()).offer(snapshot(1))
        wait_for(lambda: bus.xlen(stream.STREAM) == 1, timeout=5)


def test_a_duplicate_host_name_is_not_published(
    start: Start, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    mine = threading.Event()
    start(may_publish=mine.is_set).offer(snapshot(1))
    wait_for(lambda: "another exporter publishes under this host name" in caplog.text, timeout=5)
    with redis_server.client() as bus:
        assert not bus.exists(stream.STREAM)
        mine.set()
        wait_for(lambda: bus.xlen(stream.STREAM) == 1, timeout=5)


def test_a_cache_that_refuses_does_not_repeat_the_entry(
    start: Start, redis_server: RedisServer, registry: CollectorRegistry
) -> None:
    with redis_server.client() as bus:
        bus.set(stream.HOSTS, "in the way")
        publisher = start()
        for seq in (1, 2):
            publisher.offer(snapshot(seq))
            wait_for(lambda: bus.xlen(stream.STREAM) == seq, timeout=5)  # noqa: B023  used before seq moves on
        wait_for(lambda: registry.get_sample_value("depthgauge_bus_cache_errors_total") == 2, timeout=5)
        assert sequence(bus) == [1, 2]
