"""How a publisher with a spool ends, and what it does while its host name is another exporter's."""

import threading
import time
from pathlib import Path

import pytest

from depthgauge import stream
from tests.plugins.publishers import Start, on_stream
from tests.plugins.redis_server import RedisServer
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("redis-server")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "spool"


@pytest.mark.parametrize("how", ["frozen", "writes wait"])
def test_a_silent_bus_at_the_end(start: Start, redis_server: RedisServer, folder: Path, how: str) -> None:
    """What waits, and what is in flight, goes to the spool within the time that a stop may take."""
    running = start(folder=folder, timeout=10)
    bus = redis_server.client()
    running.offer(1)
    wait_for(lambda: running.value("depthgauge_bus_published_total") == 1, timeout=5)
    if how == "frozen":
        redis_server.pause()
    else:
        bus.client_pause(60_000, all=False)
    try:
        running.offer(*range(2, 61))
        if how == "writes wait":
            wait_for(lambda: running.publisher._outbox._flying, timeout=5)
        began = time.monotonic()
        left = running.publisher.stop(0.7)
        assert time.monotonic() - began < 1.0
        assert left == 0
        assert running.settled[-1] == 60
    finally:
        redis_server.resume()
    bus.client_unpause()
    # The next run delivers them. What was in flight is there twice: that is what the ledger is for.
    start(folder=folder, run_id="r2")
    wait_for(lambda: {seq for _, seq in on_stream(bus)} == set(range(1, 61)), timeout=5)
    assert list(dict.fromkeys(on_stream(bus))) == [("r1", seq) for seq in range(1, 61)]


def test_the_end_without_a_hindrance_leaves_nothing_behind(
    start: Start, redis_server: RedisServer, folder: Path
) -> None:
    running = start(folder=folder)
    running.offer(*range(1, 301))
    assert running.publisher.stop(2) == 0
    bus = redis_server.client()
    assert on_stream(bus) == [("r1", seq) for seq in range(1, 301)]
    assert running.settled[-1] == 300


def test_a_duplicate_keeps_nothing_for_later(start: Start, redis_server: RedisServer, folder: Path) -> None:
    mine = threading.Event()
    running = start(folder=folder, may_publish=mine.is_set)
    for seq in range(1, 11):
        running.offer(seq)
        wait_for(lambda: running.publisher._outbox.waiting <= 3, timeout=5)
    assert running.drops() == {"duplicate_host": 7}
    assert running.spooled == 0
    wait_for(lambda: running.settled[-1:] == [7], timeout=5)
    # It was our own lease, of the run before: the last few are published, and nothing was in between.
    mine.set()
    bus = redis_server.client()
    wait_for(lambda: bus.xlen(stream.STREAM) == 3, timeout=5)
    assert on_stream(bus) == [("r1", 8), ("r1", 9), ("r1", 10)]


def test_a_duplicate_does_not_drain_and_tells_its_drops_later(
    start: Start, redis_server: RedisServer, folder: Path
) -> None:
    redis_server.stop()
    first = start(folder=folder, run_id="r1")
    first.offer(1, 2)
    wait_for(lambda: first.spooled == 2, timeout=5)
    first.stop()
    redis_server.start()
    second = start(folder=folder, run_id="r2", may_publish=lambda: False)
    second.offer(*range(1, 6))
    wait_for(lambda: second.drops() == {"duplicate_host": 2}, timeout=5)
    second.stop()
    bus = redis_server.client()
    assert bus.xlen(stream.STREAM) == 0
    third = start(folder=folder, run_id="r3")
    wait_for(lambda: bus.xlen(stream.STREAM) == 2, timeout=5)
    assert third.publisher.earlier_drops() == {"r2": {"duplicate_host": 5}}


def test_while_nobody_knows_whose_name_it_is_snapshots_are_kept(
    start: Start, redis_server: RedisServer, folder: Path
) -> None:
    """The bus is back, and the lease has not been asked for again: another exporter may have the name by now."""
    known: list[bool | None] = [None]
    running = start(folder=folder, may_publish=lambda: known[0])
    running.offer(*range(1, 11))
    wait_for(lambda: running.spooled == 10, timeout=5)
    bus = redis_server.client()
    assert bus.dbsize() == 0
    known[0] = True
    wait_for(lambda: bus.xlen(stream.STREAM) == 10, timeout=5)
