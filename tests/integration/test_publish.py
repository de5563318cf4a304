"""Publishing to a real Redis, without a spool: what waits, waits in memory."""

import threading
from typing import cast

import pytest

from depthgauge import stream
from tests.plugins.publishers import Start, latest, on_stream, snapshot
from tests.plugins.redis_server import RedisServer
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("redis-server")


def test_entry_cache_and_hosts(start: Start, redis_server: RedisServer) -> None:
    start().offer(1)

    with redis_server.client() as bus:
        wait_for(lambda: bus.exists(stream.HOSTS), timeout=5)
        [(_, fields)] = cast("list[tuple[bytes, dict[bytes, bytes]]]", bus.xrange(stream.STREAM))
        assert set(fields) == {b"v", b"host", b"run", b"seq", b"slot", b"d"}
        assert stream.decode(fields) == snapshot(1)
        assert stream.unpack(cast("bytes", bus.get("depthgauge:latest:web-1"))) == snapshot(1)
        assert 100 < cast("int", bus.ttl("depthgauge:latest:web-1")) <= 120
        assert bus.zscore(stream.HOSTS, "web-1") == snapshot(1).slot.timestamp()


def test_a_bus_that_was_away_gets_everything_in_order(start: Start, redis_server: RedisServer) -> None:
    redis_server.stop()
    publisher = start()
    for seq in range(1, 121):
        publisher.offer(seq)
    wait_for(lambda: publisher.value("depthgauge_bus_up") == 0, timeout=5)
    redis_server.start()

    with redis_server.client() as bus:
        wait_for(lambda: bus.xlen(stream.STREAM) == 100, timeout=10)
        assert on_stream(bus) == [("r1", seq) for seq in range(21, 121)]
        assert latest(bus) == 120
    assert publisher.drops() == {"bus_away": 20}
    assert publisher.value("depthgauge_bus_published_total") == 100


def test_a_paused_bus_blocks_neither_the_loop_nor_the_stop(start: Start, redis_server: RedisServer) -> None:
    publisher = start()
    redis_server.pause()
    try:
        for seq in range(1, 6):
            publisher.offer(seq)
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
        publisher.offer(1)
        wait_for(lambda: "is a sink running" in caplog.text, timeout=5)
        for seq in range(2, 5):
            publisher.offer(seq)
        wait_for(lambda: publisher.drops() == {"bus_full": 2}, timeout=5)
        assert bus.xlen(stream.STREAM) == 50

        bus.xtrim(stream.STREAM, maxlen=0, approximate=False)
        wait_for(lambda: bus.xlen(stream.STREAM) == 2, timeout=5)
        assert on_stream(bus) == [("r1", 3), ("r1", 4)]


def test_a_bus_that_may_evict_the_stream_is_refused_unless_told_otherwise(
    start: Start, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with redis_server.client() as bus:
        bus.config_set("maxmemory", "100mb")
        bus.config_set("maxmemory-policy", "allkeys-lru")
        start().offer(1)
        wait_for(lambda: "may evict unread snapshots" in caplog.text, timeout=5)
        assert bus.xlen(stream.STREAM) == 0

        start(allow_eviction=True).offer(1)
        wait_for(lambda: bus.xlen(stream.STREAM) == 1, timeout=5)


def test_a_duplicate_host_name_is_not_published(
    start: Start, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    mine = threading.Event()
    start(may_publish=mine.is_set).offer(1)
    wait_for(lambda: "another exporter publishes under this host name" in caplog.text, timeout=5)
    with redis_server.client() as bus:
        assert not bus.exists(stream.STREAM)
        mine.set()
        wait_for(lambda: bus.xlen(stream.STREAM) == 1, timeout=5)


def test_a_cache_that_refuses_does_not_repeat_the_entry(start: Start, redis_server: RedisServer) -> None:
    with redis_server.client() as bus:
        bus.set(stream.HOSTS, "in the way")
        publisher = start()
        for seq in (1, 2):
            publisher.offer(seq)
            wait_for(lambda: bus.xlen(stream.STREAM) == seq, timeout=5)  # noqa: B023  used before seq moves on
        wait_for(lambda: publisher.value("depthgauge_bus_cache_errors_total") == 2, timeout=5)
        assert on_stream(bus) == [("r1", 1), ("r1", 2)]


def test_a_defect_does_not_end_publishing(
    start: Start, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = start()
    calls: list[int] = []

    def settled(seq: int) -> None:
        calls.append(seq)
        if seq == 1:
            raise ZeroDivisionError

    publisher.publisher._settled = settled
    for seq in (1, 2):
        publisher.offer(seq)
        wait_for(lambda: calls[-1:] == [seq], timeout=5)  # noqa: B023  used before seq moves on
    assert "publishing failed unexpectedly" in caplog.text
    with redis_server.client() as bus:
        assert on_stream(bus) == [("r1", 1), ("r1", 2)]
