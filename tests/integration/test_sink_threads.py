"""Reading ahead: while the database takes its time the sink reads and decodes more, a little, and answers for all of it."""

import contextlib
import time
from collections.abc import Iterator
from datetime import datetime

import psycopg
import pytest

from depthgauge import stream
from sink import consume
from sink.fetch import READ_COUNT
from tests.plugins.redis_server import RedisServer
from tests.plugins.sinks import MakeSink, RunningSink, make_snapshot, publish, recent_slot, select, sequence
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("redis-server")

BATCH = 6
"""Snapshots that make a batch of 20 rows: three or four rows each."""


@contextlib.contextmanager
def blocked(dsn: str) -> Iterator[psycopg.Connection]:
    """Hold up whoever writes to the ledger."""
    with psycopg.connect(dsn) as blocker:
        blocker.execute("LOCK TABLE depthgauge.snapshots IN EXCLUSIVE MODE")
        yield blocker


def pending(server: RedisServer) -> int:
    return int(server.client().xpending(stream.STREAM, stream.GROUP)["pending"])


def reading_ahead(sink: RunningSink) -> None:
    """Wait until the sink has read as far ahead as it may."""
    handover = sink.sink._consumer._handover
    wait_for(handover._batches.full, 20, what="two batches wait for the one that is being written")


def drained(server: RedisServer) -> None:
    bus = server.client()
    wait_for(lambda: bus.xlen(stream.STREAM) == 0, 60, what="the sink has drained the stream")


@pytest.fixture
def base() -> datetime:
    return recent_slot(back=120)


def test_reading_ahead_is_bounded_and_nothing_is_read_twice(
    make_sink: MakeSink, redis_server: RedisServer, database: str, base: datetime
) -> None:
    bus = redis_server.client()
    sink = make_sink(database, redis_server.url, batch_rows=20, claim_after=0.3)
    wait_for(lambda: sink.count("database_up") == 1, 20)
    with blocked(database):
        publish(bus, *(make_snapshot(seq, base=base) for seq in range(1, 401)))
        reading_ahead(sink)
        assert pending(redis_server) <= 4 * (BATCH + 1) + READ_COUNT
        # Long enough for what waits to look abandoned.
        wait_for(lambda: bus.xpending_range(stream.STREAM, stream.GROUP, "-", "+", 1, idle=400), 20)
    drained(redis_server)

    assert sequence(database) == list(range(1, 401))
    assert sink.count("snapshots_committed_total") == 400
    assert sink.count("snapshots_duplicate_total") == 0
    assert sink.count("entries_claimed_total") == 0
    assert sink.sink._consumer._handover.held == frozenset()


def test_what_was_read_and_not_written_is_left_to_the_next_start(
    make_sink: MakeSink, redis_server: RedisServer, database: str, base: datetime
) -> None:
    publish(redis_server.client(), *(make_snapshot(seq, base=base) for seq in range(1, 201)))
    with blocked(database):
        sink = make_sink(database, redis_server.url, batch_rows=20)
        reading_ahead(sink)
        started = time.monotonic()
        sink.stop()
        assert time.monotonic() - started < 2.0
        assert sequence(database) == []
        left = pending(redis_server)
        assert left >= 3 * BATCH
        assert redis_server.client().xlen(stream.STREAM) == 200
    again = make_sink(database, redis_server.url, batch_rows=20)
    drained(redis_server)

    assert sequence(database) == list(range(1, 201))
    assert again.count("snapshots_committed_total") == 200


def test_a_bus_that_comes_back_empty_costs_nothing_that_was_read(
    make_sink: MakeSink, redis_server: RedisServer, database: str, base: datetime
) -> None:
    sink = make_sink(database, redis_server.url, batch_rows=20)
    wait_for(lambda: sink.count("database_up") == 1, 20)
    with blocked(database):
        publish(redis_server.client(), *(make_snapshot(seq, base=base) for seq in range(1, 16)))
        wait_for(lambda: pending(redis_server) == 15, 20)
        redis_server.kill()
        redis_server.start()
    wait_for(lambda: sequence(database) == list(range(1, 16)), 60)
    publish(redis_server.client(), make_snapshot(16, base=base))
    drained(redis_server)

    assert sequence(database) == list(range(1, 17))
    assert sink.count("snapshots_duplicate_total") == 0


@pytest.mark.parametrize("fate", ["XGROUP DESTROY {stream} {group}", "DEL {stream}"])
def test_a_group_or_stream_that_is_gone_is_made_again(
    fate: str, make_sink: MakeSink, redis_server: RedisServer, database: str, base: datetime
) -> None:
    """As after an eviction, or somebody's clearing up, in the middle of the work."""
    bus = redis_server.client()
    sink = make_sink(database, redis_server.url, batch_rows=20, claim_after=0.3)
    wait_for(lambda: sink.count("database_up") == 1, 20)
    with blocked(database):
        publish(bus, *(make_snapshot(seq, base=base) for seq in range(1, 16)))
        wait_for(lambda: pending(redis_server) == 15, 20)
        bus.execute_command(*fate.format(stream=stream.STREAM, group=stream.GROUP).split())  # type: ignore[no-untyped-call]  # redis-py has no types here
    publish(bus, make_snapshot(16, base=base))
    drained(redis_server)

    assert sequence(database) == list(range(1, 17))
    assert select(database, "SELECT count(*) FROM depthgauge.worker_snapshots") == [(16,)]
    assert sink.running


def test_a_paused_bus_and_a_blocked_database_together_do_not_hold_up_the_stop(
    make_sink: MakeSink, redis_server: RedisServer, database: str, base: datetime
) -> None:
    sink = make_sink(database, redis_server.url, batch_rows=20)
    wait_for(lambda: sink.count("database_up") == 1, 20)
    with blocked(database):
        publish(redis_server.client(), *(make_snapshot(seq, base=base) for seq in range(1, 16)))
        wait_for(lambda: pending(redis_server) == 15, 20)
        redis_server.pause()
        try:
            wait_for(lambda: sink.count("bus_errors_total", reason="timeout") >= 1, 20)
            assert sink.count("bus_up") == 0
            started = time.monotonic()
            sink.stop()
            assert time.monotonic() - started < 2.0
        finally:
            redis_server.resume()


def test_an_error_in_the_reading_thread_ends_the_sink(
    make_sink: MakeSink, redis_server: RedisServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No real part makes one: whatever nobody thought of must not leave a sink that only looks alive."""
    from sink import fetch

    def broken(*_: object) -> None:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(fetch.Fetcher, "_gather", broken)
    sink = make_sink(database, redis_server.url)
    wait_for(lambda: not sink.running, 20)

    assert str(sink.failure) == "nobody thought of this"


def test_the_state_of_the_bus_is_told(
    make_sink: MakeSink, redis_server: RedisServer, database: str, base: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consume, "STATE_EVERY", 0.1)
    bus = redis_server.client()
    publish(bus, make_snapshot(1, base=base), v=b"9.0")
    publish(bus, *(make_snapshot(seq, base=base) for seq in range(2, 6)))
    sink = make_sink(database, redis_server.url)
    wait_for(lambda: sink.count("pending_entries") == 1, 20)
    wait_for(lambda: sink.count("oldest_pending_seconds") > 0.2, 20)

    assert sink.count("stream_entries") == 1
    assert sink.count("stream_bytes") == bus.memory_usage(stream.STREAM)
    assert sink.count("batch_duration_seconds_count") >= 1
    assert sink.count("batch_duration_seconds_sum") > 0
    assert sink.count("newer_entries") == 1
    # An upgraded sink has taken it.
    bus.xack(
        stream.STREAM,
        stream.GROUP,
        *[entry["message_id"] for entry in bus.xpending_range(stream.STREAM, stream.GROUP, "-", "+", 5)],
    )
    wait_for(lambda: sink.count("newer_entries") == 0, 20)
    assert sink.count("oldest_pending_seconds") == 0


def test_consumers_that_are_gone_for_long_are_taken_off_the_list(
    make_sink: MakeSink, redis_server: RedisServer, database: str, monkeypatch: pytest.MonkeyPatch, base: datetime
) -> None:
    monkeypatch.setattr(consume, "FORGET_AFTER", 0.5)
    bus = redis_server.client()
    publish(bus, make_snapshot(1, base=base), v=b"9.0")
    bus.xgroup_create(stream.STREAM, stream.GROUP, id="0")
    bus.xgroup_createconsumer(stream.STREAM, stream.GROUP, "gone")
    bus.xreadgroup(stream.GROUP, "busy", {stream.STREAM: ">"}, count=1)
    make_sink(database, redis_server.url, claim_after=6.0)

    def names() -> set[bytes]:
        return {each["name"] for each in bus.xinfo_consumers(stream.STREAM, stream.GROUP)}

    wait_for(lambda: b"a" in names(), 20)
    wait_for(lambda: b"gone" not in names(), 20)
    assert names() == {b"a", b"busy"}
