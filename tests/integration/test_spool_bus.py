"""The spool between a publisher and a real Redis that is away, silent, full or refuses; with real files."""

import time
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from depthgauge import stream
from exporter.depot import BATCH
from exporter.spool import Limits
from tests.plugins.publishers import NOW, Running, Start, latest, on_stream, snapshot
from tests.plugins.redis_server import RedisServer
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("redis-server")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "spool"


def entries(*ranges: range, run: str = "r1") -> list[tuple[str, int]]:
    return [(run, seq) for each in ranges for seq in each]


def spooled(running: Running, count: int) -> None:
    wait_for(lambda: running.spooled == count, timeout=10, what=f"{count} snapshots are on disk")


def test_order_and_number_survive_a_bus_that_comes_and_goes(
    start: Start, redis_server: RedisServer, folder: Path
) -> None:
    running = start(folder=folder)
    running.offer(*range(1, 11))
    wait_for(lambda: running.value("depthgauge_bus_published_total") == 10, timeout=5)
    bus = redis_server.client()
    sent = on_stream(bus)
    redis_server.stop()
    # Twenty times what memory holds for a publisher without a spool in these tests.
    for first in range(11, 2011, 100):
        running.offer(*range(first, first + 100))
        spooled(running, first - 11 + 100)
    assert running.value("depthgauge_spool_snapshots") == 2000
    assert running.value("depthgauge_spool_oldest_timestamp_seconds") == snapshot(11).slot.timestamp()
    assert running.value("depthgauge_bus_waiting_snapshots") == 0
    assert running.settled[-1] == 2010
    redis_server.start()
    running.offer(*range(2011, 2031))

    bus = redis_server.client()
    wait_for(lambda: bus.xlen(stream.STREAM) == 2020, timeout=15)
    running.offer(2031)
    wait_for(lambda: bus.xlen(stream.STREAM) == 2021, timeout=5)
    assert sent + on_stream(bus) == entries(range(1, 2032))
    assert latest(bus) == 2031
    wait_for(lambda: running.settled[-1] == 2031, timeout=5)
    assert running.settled == sorted(set(running.settled))
    assert running.drops() == {}
    assert running.value("depthgauge_spool_snapshots") == 0
    assert running.value("depthgauge_spool_oldest_timestamp_seconds") is None
    assert list(folder.glob("*.segment")) == []


def test_what_is_offered_while_it_leaves_the_bus_alone_is_on_disk_at_once(
    start: Start, redis_server: RedisServer, folder: Path
) -> None:
    redis_server.stop()
    running = start(folder=folder)
    running.offer(1)
    spooled(running, 1)
    # From here on it would try again in an hour.
    running.publisher._backoff._first = running.publisher._backoff._most = 3600
    wait_for(lambda: running.publisher._backoff.failures >= 2, timeout=5)
    for seq in range(2, 6):
        running.offer(seq)
        spooled(running, seq)
        wait_for(lambda: running.settled[-1] == seq, timeout=5)  # noqa: B023  used before seq moves on


def test_the_cache_is_about_now_while_a_backlog_drains(start: Start, redis_server: RedisServer, folder: Path) -> None:
    redis_server.stop()
    running = start(folder=folder)
    running.offer(*range(1, 3001))
    spooled(running, 3000)
    seen: list[tuple[int, int | None]] = []
    redis_server.start()
    bus = redis_server.client()

    def done() -> bool:
        pipe = bus.pipeline()
        pipe.xlen(stream.STREAM)
        pipe.get(stream.LATEST_PREFIX + "web-1")
        length, body = pipe.execute()
        seen.append((length, stream.unpack(body).seq if body else None))
        return bool(length == 3000)

    wait_for(done, timeout=20, step=0.001)
    # The cache follows the first batch.
    during = {number for length, number in seen if BATCH < length < 3000}
    assert during == {3000}, "it was looked at in the middle, and showed the newest"


def test_a_drained_snapshot_of_an_earlier_run_never_gets_to_the_cache(
    start: Start, redis_server: RedisServer, folder: Path
) -> None:
    redis_server.stop()
    first = start(folder=folder, run_id="r1")
    first.offer(*range(1, 11))
    spooled(first, 10)
    first.stop()
    redis_server.start()
    start(folder=folder, run_id="r2")

    bus = redis_server.client()
    wait_for(lambda: bus.xlen(stream.STREAM) == 10, timeout=5)
    assert on_stream(bus) == entries(range(1, 11))
    assert (latest(bus), bus.exists(stream.HOSTS)) == (None, 0)


def test_a_full_stream_is_drained_into_in_order_and_the_cache_stays_fresh(
    start: Start, redis_server: RedisServer, folder: Path
) -> None:
    bus = redis_server.client()
    for _ in range(50):
        bus.xadd(stream.STREAM, {"d": b"x" * 1000})
    running = start(folder=folder, max_bytes=20_000)
    for seq in range(1, 301):
        running.offer(seq)
    spooled(running, 300)
    wait_for(lambda: latest(bus) == 300, timeout=5)
    running.offer(301)
    wait_for(lambda: latest(bus) == 301, timeout=5)
    assert bus.xlen(stream.STREAM) == 50
    got: list[tuple[str, int]] = []

    def drained() -> bool:
        """A sink that reads and deletes."""
        found = cast("list[tuple[bytes, dict[bytes, bytes]]]", bus.xrange(stream.STREAM))
        ours = [stream.decode(fields) for _, fields in found if b"v" in fields]
        got.extend((each.run_id, each.seq) for each in ours)
        if found:
            bus.xdel(stream.STREAM, *(name for name, _ in found))
        return len(got) >= 301

    wait_for(drained, timeout=15)
    assert got == entries(range(1, 302))
    assert running.drops() == {}


def test_a_bus_that_refuses_entries(start: Start, redis_server: RedisServer, folder: Path) -> None:
    bus = redis_server.client()
    bus.execute_command("ACL", "SETUSER", "pub", "on", "nopass", "~*", "+@all", "-xadd")  # type: ignore[no-untyped-call]  # redis-py has no types here
    running = Running(redis_server.url.replace("//", "//pub:x@"), folder=folder)
    try:
        running.offer(*range(1, 101))
        spooled(running, 100)
        assert (bus.xlen(stream.STREAM), running.value("depthgauge_bus_up")) == (0, 0)
        bus.execute_command("ACL", "SETUSER", "pub", "+xadd")  # type: ignore[no-untyped-call]  # redis-py has no types here
        wait_for(lambda: bus.xlen(stream.STREAM) == 100, timeout=5)
        assert on_stream(bus) == entries(range(1, 101))
    finally:
        running.stop()


def test_a_bus_at_its_maxmemory(
    start: Start, redis_server: RedisServer, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bus = redis_server.client()
    bus.config_set("maxmemory-policy", "noeviction")
    bus.config_set("maxmemory", "1")
    running = start(folder=folder)
    running.offer(*range(1, 101))
    spooled(running, 100)
    assert bus.xlen(stream.STREAM) == 0
    assert "keeping snapshots on disk" in caplog.text
    bus.config_set("maxmemory", "0")
    wait_for(lambda: bus.xlen(stream.STREAM) == 100, timeout=5)
    assert on_stream(bus) == entries(range(1, 101))


def test_a_bus_that_may_evict_the_stream_gets_nothing(start: Start, redis_server: RedisServer, folder: Path) -> None:
    bus = redis_server.client()
    bus.config_set("maxmemory", "100mb")
    bus.config_set("maxmemory-policy", "allkeys-lru")
    running = start(folder=folder)
    running.offer(*range(1, 11))
    spooled(running, 10)
    assert bus.dbsize() == 0
    assert running.drops() == {}


def test_bounds_are_told_by_run_to_those_who_come_after(start: Start, redis_server: RedisServer, folder: Path) -> None:
    redis_server.stop()
    time_is = [NOW]
    options = {"folder": folder, "limits": Limits(max_bytes=40_000), "clock": lambda: time_is[0]}
    first = start(run_id="r1", **options)
    first.offer(*range(1, 101))
    spooled(first, 100)
    first.stop()
    second = start(run_id="r2", **options)
    second.offer(*range(1, 201))
    spooled(second, 200)
    wait_for(lambda: second.publisher.earlier_drops() == {"r1": {"spool_full": 100}}, timeout=5)
    wait_for(lambda: 0 < second.drops().get("spool_full", 0) < 200, timeout=5)
    second.stop()
    time_is[0] += timedelta(hours=25)
    third = start(run_id="r3", **options)
    wait_for(lambda: "spool_expired" in third.publisher.earlier_drops().get("r2", {}), timeout=5)

    assert third.value("depthgauge_spool_snapshots") == 0
    earlier = third.publisher.earlier_drops()
    assert earlier["r1"] == {"spool_full": 100}
    assert sum(earlier["r2"].values()) == 200
    assert third.drops() == {}
    assert third.value("depthgauge_spool_earlier_drops", reason="spool_full") == 100 + earlier["r2"]["spool_full"]


def test_a_second_exporter_goes_on_without_a_spool_and_takes_it_when_it_is_free(
    start: Start, redis_server: RedisServer, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    redis_server.stop()
    first = start(folder=folder, run_id="r1")
    first.offer(1)
    spooled(first, 1)
    second = start(folder=folder, run_id="r2")
    wait_for(lambda: second.errors("held") == 1, timeout=5)
    assert "give each its own exporter.state_dir" in caplog.text
    second.offer(1, 2)
    wait_for(lambda: second.value("depthgauge_bus_up") == 0, timeout=5)
    assert second.value("depthgauge_spool_snapshots") is None
    first.stop()
    second.publisher._depot._opened_at = None
    spooled(second, 2)
    redis_server.start()
    bus = redis_server.client()
    wait_for(lambda: bus.xlen(stream.STREAM) == 3, timeout=5)
    assert on_stream(bus) == [("r1", 1), ("r2", 1), ("r2", 2)]


def test_without_a_state_dir_it_says_so(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    running = start()
    assert caplog.text.count("no exporter.state_dir is set") == 1
    assert running.value("depthgauge_spool_max_bytes") is None


def test_offering_never_waits_for_the_disk(start: Start, redis_server: RedisServer, folder: Path) -> None:
    redis_server.stop()
    running = start(folder=folder)
    running.offer(1)
    spooled(running, 1)
    with running.publisher._depot._lock:
        # The disk hangs, as far as the publisher's thread can see.
        began = time.monotonic()
        running.offer(*range(2, 50))
        drops, waiting = running.publisher.drops(), running.value("depthgauge_bus_waiting_snapshots")
        assert running.value("depthgauge_spool_snapshots") == 1
        assert time.monotonic() - began < 1
    assert (sum(drops.values()), waiting) == (0, 48)
    spooled(running, 49)
