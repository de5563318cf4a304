"""Finding queues in the background."""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from depthgauge.secrets import Secret
from depthgauge.snapshot import Queue
from exporter.queues.laravel import LaravelReader
from exporter.queues.reader import Conversation, Reader
from exporter.settings import PrefixSettings
from exporter.sources import discovery, findings
from exporter.sources.discovery import Discovery
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import RedisServer
from tests.plugins.waiting import wait_for

P = "laravel_database_queues:"


def soon() -> float:
    return time.monotonic() + 10


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("discovery:")]


def test_the_first_reading_waits_for_the_first_walk(redis_server: RedisServer, make_source: MakeSource) -> None:
    pipe = redis_server.client().pipeline(transaction=False)
    for number in range(30_000):
        pipe.set(f"cache:{number}", "x")
    pipe.rpush(f"{P}emails", "x")
    pipe.execute()
    assert ("laravel", "emails") in read(make_source(redis_server.url))


def test_a_new_queue_is_found_by_the_next_walk(redis_server: RedisServer, make_source: MakeSource) -> None:
    source = make_source(redis_server.url, discovery_interval=0.05)
    assert read(source) == {}
    redis_server.client().rpush(f"{P}emails", "x")
    redis_server.client().sadd("rq:queues", "rq:queue:high")
    wait_for(lambda: set(read(source)) == {("laravel", "emails"), ("rq", "high")}, what="both are found")


def test_discover_now_sees_what_is_there_when_it_is_called(redis_server: RedisServer, make_source: MakeSource) -> None:
    source = make_source(redis_server.url)
    assert read(source) == {}
    redis_server.client().rpush(f"{P}emails", "x")
    assert source.discover_now(soon())
    assert set(read(source)) == {("laravel", "emails")}


def test_known_queues_stay_at_0(redis_server: RedisServer, make_source: MakeSource) -> None:
    client = redis_server.client()
    client.rpush(f"{P}emails", "x")
    client.sadd("rq:queues", "rq:queue:high")
    source = make_source(redis_server.url)
    before = read(source)
    client.flushall()
    assert source.discover_now(soon())
    after = read(source)
    assert set(after) == set(before)
    assert all(queue.live.waiting == 0 and queue.error is None for queue in after.values())


@pytest.mark.parametrize(
    ("command", "queue"),
    [
        ("RPUSH {}emails x", "emails"),
        ("ZADD {}emails:delayed 1 x", "emails"),
        ("ZADD {}emails:reserved 1 x", "emails"),
        ("RPUSH {}mail:eu x", "mail:eu"),
        ("RPUSH {}emails:delayed x", "emails:delayed"),
        ("RPUSH {}{{emails}} x", "emails"),
        ("RPUSH {}emails:notify 1", None),
        ("SET {}emails x", None),
        ("ZADD {}emails 1 x", None),
        ("SET illuminate:queues:paused 1", None),
        ("RPUSH {} x", None),
        ("RPUSH otherqueues x", None),
    ],
)
def test_which_keys_are_laravels(
    redis_server: RedisServer, make_source: MakeSource, command: str, queue: str | None
) -> None:
    client: Any = redis_server.client()
    client.execute_command(*command.format(P).split(" "))
    assert set(read(make_source(redis_server.url))) == ({("laravel", queue)} if queue else set())


def test_a_walk_looks_at_so_many_keys_and_the_next_goes_on(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    pipe = redis_server.client().pipeline(transaction=False)
    for number in range(5000):
        pipe.rpush(f"{P}q{number}", "x")
    pipe.execute()
    finder = Discovery(
        "main",
        Secret(redis_server.url),
        [LaravelReader(PrefixSettings(), PrefixSettings(), ())],
        interval=300,
        max_keys=1000,
    )
    try:
        assert finder.now(soon())
        first = len(finder.found["laravel"])
        assert 900 < first < 2500
        assert "the next walk goes on from there" in caplog.text
        for _ in range(6):
            assert finder.now(soon())
        assert len(finder.found["laravel"]) == 5000
    finally:
        finder.close()


def test_random_queue_names_are_bounded(
    redis_server: RedisServer,
    make_source: MakeSource,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(findings, "MAX_FOUND", 50)
    pipe = redis_server.client().pipeline(transaction=False)
    for number in range(500):
        pipe.rpush(f"{P}q{number}", "x")
        pipe.sadd("rq:queues", f"rq:queue:q{number}")
    pipe.execute()
    source = make_source(redis_server.url, queues=("laravel:configured",))
    assert source.discover_now(soon())
    found = read(source)
    assert len(found) == 101
    assert ("laravel", "configured") in found
    assert sum("further ones are not read" in record.message for record in caplog.records) == 2


class Told(Reader):
    """A system whose queues are all told by configuration."""

    system = "told"

    def read(self, found: Sequence[bytes], now: float) -> Conversation[Sequence[Queue]]:
        yield from ()
        return ()


def test_nobody_walks_where_nothing_has_to_be_found_by_walking(redis_server: RedisServer) -> None:
    finder = Discovery("main", Secret(redis_server.url), [Told()])
    try:
        assert finder.now(soon())
    finally:
        finder.close()
    assert "scan" not in redis_server.command_calls()


class Broken(Told):
    """A system with a defect that shows at a certain key."""

    system = "broken"
    needs_scan = True

    def may_own(self, page: Sequence[bytes]) -> Sequence[bytes]:
        return [key for key in page if key == b"bad"]

    def recognise(self, key: bytes, kind: bytes) -> bytes | None:
        raise ValueError(f"{key!r} of {kind!r}")


def test_a_defect_does_not_end_the_looking_for_queues(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    client = redis_server.client()
    client.set("bad", "x")
    laravel = LaravelReader(PrefixSettings(), PrefixSettings(), ())
    finder = Discovery("main", Secret(redis_server.url), [laravel, Broken()])
    try:
        assert finder.now(soon())
        assert finder.problem is not None
        assert "failed unexpectedly" in caplog.text
        client.delete("bad")
        client.rpush(f"{P}emails", "x")
        assert finder.now(soon())
        assert finder.found["laravel"] == (f"{P}emails".encode(),)
        assert finder.problem is None
    finally:
        finder.close()


def test_walks_rest_while_nobody_reads(redis_server: RedisServer, make_source: MakeSource) -> None:
    source = make_source(redis_server.url, discovery_interval=0.01)
    read(source)
    wait_for(lambda: not source.discovery._used, what="the last walk that was asked for")
    before = redis_server.command_calls()["scan"]
    time.sleep(0.3)  # the time in which thirty walks would have been made
    assert redis_server.command_calls()["scan"] <= before + 1


def test_a_server_that_was_away_may_be_another_one(
    redis_server: RedisServer, make_source: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "_SOON", 0.05)
    source = make_source(redis_server.url, queues=("rq:high",))
    first = source.collect().run_id
    assert first is not None
    redis_server.stop()
    with pytest.raises(Exception, match="Redis at"):
        source.collect()
    redis_server.start()
    assert source.collect().run_id is None, "the old run id is not claimed for a server nobody has asked yet"
    second = wait_for(lambda: source.collect().run_id, what="the new run id")
    assert second != first


def test_a_walk_that_fails_is_told_once_and_tried_again(
    redis_server: RedisServer,
    make_source: MakeSource,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(discovery, "_SOON", 0.05)
    source = make_source(redis_server.url, queues=("rq:high",), discovery_interval=0.05)
    read(source)
    with caplog.at_level(logging.WARNING):
        redis_server.stop()
        with pytest.raises(Exception, match="refused"):
            source.collect()
        assert "refused" in wait_for(lambda: source.discovery.problem, what="a walk has failed")
    redis_server.start()
    redis_server.client().sadd("rq:queues", "rq:queue:late")
    wait_for(lambda: ("rq", "late") in read(source), what="the queue is found")
    wait_for(lambda: source.discovery.problem is None, what="a walk has gone well to its end")
    assert len([record for record in caplog.records if "cannot discover" in record.message]) <= 2


def test_closing_ends_the_thread_also_before_a_frozen_server(
    redis_server: RedisServer, make_source: MakeSource
) -> None:
    source = make_source(redis_server.url, timeout=0.3)
    redis_server.pause()
    with pytest.raises(Exception, match="Redis at"):
        source.collect()
    assert threads()
    started = time.monotonic()
    source.close()
    assert time.monotonic() - started < 1.5
    wait_for(lambda: not threads(), what="the thread has ended")
