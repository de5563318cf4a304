"""The queue source on real servers: round trips, bad data, large payloads, servers that fail."""

import json
import socket
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from depthgauge.errors import ErrorKind, SourceError
from depthgauge.secrets import Secret
from depthgauge.snapshot import LiveJobs
from exporter.settings import ListSettings, RedisSettings, SortedSetSettings
from exporter.sources.redis_queues import RedisQueuesSource
from tests.plugins.queue_source import CountTrips, MakeSource, read
from tests.plugins.redis_server import MakeRedis, RedisServer, valkey_binary
from tests.plugins.waiting import wait_for

P = "laravel_database_queues:"


def job(**fields: Any) -> str:
    return json.dumps({"id": "x", "attempts": 0} | fields)


def fill(server: RedisServer, queues: int = 3) -> None:
    """Put jobs into queues of every system, with heads, overdue jobs and workers."""
    pipe = server.client().pipeline(transaction=False)
    now = time.time()
    for number in range(queues):
        pipe.rpush(f"{P}l{number}", job(createdAt=int(now) - 30))
        pipe.zadd(f"{P}o{number}:delayed", {job(): now - 9})
        pipe.sadd("rq:queues", f"rq:queue:r{number}")
        pipe.rpush(f"rq:queue:r{number}", f"j{number}")
        pipe.hset(f"rq:job:j{number}", mapping={"enqueued_at": "2026-01-15T08:00:00.000000Z"})
        pipe.sadd(f"rq:workers:r{number}", f"rq:worker:w{number}")
        pipe.hset(f"rq:worker:w{number}", mapping={"state": "idle", "birth": "x"})
        pipe.rpush(f"list{number}", "a")
        pipe.zadd(f"zset{number}", {"a": now - 5})
    pipe.execute()


def plain(queues: int = 3) -> dict[str, Any]:
    return {
        "lists": tuple(ListSettings(key=f"list{n}", name=f"list{n}") for n in range(queues)),
        "sorted_sets": tuple(SortedSetSettings(key=f"zset{n}", name=f"zset{n}") for n in range(queues)),
    }


@pytest.mark.parametrize("queues", [1, 40])
def test_a_cycle_takes_three_round_trips_whatever_the_number_of_queues(
    redis_server: RedisServer, make_source: MakeSource, count_trips: CountTrips, queues: int
) -> None:
    fill(redis_server, queues)
    source = make_source(redis_server.url, **plain(queues))
    first = read(source)
    assert len(first) == 5 * queues
    trips = count_trips(source)
    assert set(read(source)) == set(first)
    assert len(trips) == 3


def test_what_a_real_server_is_asked_in_a_cycle(redis_server: RedisServer, make_source: MakeSource) -> None:
    fill(redis_server, 10)
    source = make_source(redis_server.url, **plain(10))
    read(source)
    redis_server.client().config_resetstat()
    read(source)
    calls = redis_server.command_calls()
    calls.pop("config|resetstat", None)
    calls.pop("info", None)
    assert calls == {
        "time": 1,
        "exists": 1,
        "llen": 20 + 20 + 10,  # Laravel, RQ with its intermediate queue, lists
        "zcard": 40 + 70 + 10,
        "zcount": 20 + 10 + 30,
        "scard": 10,
        "lrange": 10,
        "lindex": 10 + 10,
        "zrange": 10 + 10,
        "hmget": 10 + 10,
        "smembers": 10,
    }


def test_an_idle_redis_takes_one_round_trip_and_shows_nothing(
    redis_server: RedisServer, make_source: MakeSource
) -> None:
    source = make_source(redis_server.url)
    assert read(source) == {}
    redis_server.client().config_resetstat()
    assert read(source) == {}
    assert set(redis_server.command_calls()) <= {"time", "info", "config|resetstat"}


def test_the_part_names_the_server_and_the_moment(redis_server: RedisServer) -> None:
    moment = datetime(2027, 1, 15, tzinfo=UTC)
    source = RedisQueuesSource(
        RedisSettings(name="blue", url=Secret(redis_server.url)), clock=lambda: moment, timeout=5
    )
    try:
        part = source.collect()
        assert (source.kind, source.target) == ("redis", "blue")
        assert (part.redis, part.observed_at) == ("blue", moment)
        assert part.run_id == redis_server.client().info("server")["run_id"]
    finally:
        source.close()


def test_overdue_is_judged_by_redis_not_by_our_clock(redis_server: RedisServer) -> None:
    redis_server.client().zadd(f"{P}q:delayed", {job(): time.time() + 600})
    ahead = RedisQueuesSource(
        RedisSettings(name="main", url=Secret(redis_server.url)),
        clock=lambda: datetime.now(UTC) + timedelta(hours=1),
        timeout=5,
    )
    try:
        for _ in range(2):
            assert read(ahead)["laravel", "q"].live == LiveJobs(waiting=0, active=0, delayed=1)
    finally:
        ahead.close()


def test_known_lists_what_was_read(redis_server: RedisServer, make_source: MakeSource) -> None:
    fill(redis_server, 1)
    source = make_source(redis_server.url)
    assert source.known() is None
    read(source)
    assert set(source.known() or ()) == {("laravel", "l0"), ("laravel", "o0"), ("rq", "r0")}


def test_a_bare_name_goes_to_every_system_in_use(redis_server: RedisServer, make_source: MakeSource) -> None:
    redis_server.client().rpush(f"{P}emails", job())
    names = set(read(make_source(redis_server.url, queues=("emails", "high"))))
    assert names == {("laravel", "emails"), ("laravel", "high")}, "RQ is not in use here"
    names = set(read(make_source(redis_server.url, systems=("rq",), queues=("high", "laravel:low"))))
    assert names == {("laravel", "low"), ("laravel", "high"), ("laravel", "emails"), ("rq", "high")}


def test_keys_of_the_wrong_type_harm_only_themselves(redis_server: RedisServer, make_source: MakeSource) -> None:
    fill(redis_server, 3)
    source = make_source(redis_server.url, **plain(3))
    good = read(source)
    client = redis_server.client()
    client.delete("list1", f"{P}l1", "rq:queue:r1", "zset1")
    client.set("list1", "x")
    client.hset(f"{P}l1", "a", "b")
    client.xadd("rq:queue:r1", {"a": "b"})
    client.sadd("zset1", "x")
    bad = read(source)
    broken = {("list", "list1"), ("laravel", "l1"), ("rq", "r1"), ("zset", "zset1")}
    for key, queue in bad.items():
        if key in broken:
            assert queue.error == "wrong_type"
            assert queue.live.waiting is None
        else:
            assert queue.live == good[key].live
            assert queue.error is None
    assert bad["rq", "r1"].registry_workers == 1
    assert bad["laravel", "l1"].live.active == 0


NAMES = [b"nul\0in", b"new\nline", b"\xff\xfe", b"esc\x1b[31m", "größe".encode(), b"a b", b"a:b", b"q" * 400]


@pytest.mark.parametrize("name", NAMES, ids=[f"{number}" for number in range(len(NAMES))])
def test_any_name_is_counted_and_shown_cleanly(redis_server: RedisServer, make_source: MakeSource, name: bytes) -> None:
    client = redis_server.client()
    client.rpush(P.encode() + name, job(createdAt=int(time.time()) - 5))
    client.sadd("rq:queues", b"rq:queue:" + name)
    client.rpush(b"rq:queue:" + name, b"j\0")
    client.hset(b"rq:job:j\0", "enqueued_at", "2026-01-15T08:00:00.000000Z")
    found = read(make_source(redis_server.url))
    assert [queue.live.waiting for queue in found.values()] == [1, 1]
    assert all(queue.head_eligible_at is not None for queue in found.values())
    ((_, first), (_, second)) = found
    assert first == second
    assert first.isprintable()
    assert len(first) < 300


def test_a_payload_of_50_mb_is_read_past_once_and_then_left_alone(
    redis_server: RedisServer, make_source: MakeSource
) -> None:
    client = redis_server.client()
    body = job(createdAt=int(time.time()), pad="x" * 50_000_000)
    client.rpush(f"{P}big", body)
    client.rpush("biglist", body)
    client.zadd("bigset", {body: time.time() - 5})
    client.rpush(f"{P}small", job(createdAt=int(time.time()) - 7))
    del body
    source = make_source(
        redis_server.url,
        timeout=20,
        lists=(ListSettings(key="biglist", name="biglist", time_field="createdAt"),),
        sorted_sets=(SortedSetSettings(key="bigset", name="bigset"),),
    )
    tracemalloc.start()
    try:
        found = read(source)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000
    large = [("laravel", "big"), ("list", "biglist"), ("zset", "bigset")]
    for key in large:
        assert found[key].error == "too_large"
        assert found[key].live.waiting == 1, "counts stay"
        assert found[key].head_eligible_at is None
    assert found["laravel", "small"].head_eligible_at is not None
    client.config_resetstat()
    again = read(source)
    assert redis_server.command_calls()["lindex"] == 1, "only the small one"
    assert "zrange" not in redis_server.command_calls()
    assert [again[key].error for key in large] == ["too_large"] * 3


def test_a_frozen_server_costs_no_more_than_the_deadline_and_is_read_again(
    redis_server: RedisServer, make_source: MakeSource
) -> None:
    redis_server.client().rpush(f"{P}q", job())
    source = make_source(redis_server.url, timeout=0.6)
    read(source)
    redis_server.pause()
    for _ in range(2):
        started = time.monotonic()
        with pytest.raises(SourceError) as caught:
            source.collect()
        assert caught.value.kind is ErrorKind.TIMEOUT
        assert time.monotonic() - started < 1.5
    redis_server.resume()
    assert read(source)["laravel", "q"].live.waiting == 1


def test_a_server_that_is_down_at_the_start_is_told_quickly_and_read_later(
    redis_server: RedisServer, make_source: MakeSource
) -> None:
    redis_server.stop()
    source = make_source(redis_server.url, timeout=5, queues=("rq:high",))
    started = time.monotonic()
    with pytest.raises(SourceError) as caught:
        source.collect()
    assert caught.value.kind is ErrorKind.REFUSED
    assert str(redis_server.port) in str(caught.value)
    assert time.monotonic() - started < 2
    redis_server.start()
    assert read(source)["rq", "high"].live.waiting == 0


def test_a_server_that_is_busy_with_a_script_says_so(
    make_redis: MakeRedis, make_source: MakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    server = make_redis("--lua-time-limit", "10")
    source = make_source(server.url, queues=("rq:high",))
    read(source)
    with socket.create_connection(("127.0.0.1", server.port)) as script:
        script.sendall(b"*3\r\n$4\r\nEVAL\r\n$17\r\nwhile true do end\r\n$1\r\n0\r\n")

        def busy() -> bool:
            try:
                source.collect()
            except SourceError as exc:
                return exc.kind is ErrorKind.BUSY
            return False

        wait_for(busy, what="the server says BUSY")
        server.client().script_kill()
    wait_for(lambda: not busy(), what="the script has ended")
    assert read(source)["rq", "high"].live.waiting == 0
    assert caplog.records == [], "one thing is wrong, not every command"


@pytest.mark.needs("valkey")
def test_valkey_is_read_the_same(make_redis: MakeRedis, make_source: MakeSource) -> None:
    server = make_redis(binary=valkey_binary())
    fill(server, 2)
    found = read(make_source(server.url, **plain(2)))
    assert len(found) == 10
    assert all(queue.live.waiting == 1 and queue.error is None for queue in found.values())


def test_another_database_number(redis_server: RedisServer, make_source: MakeSource) -> None:
    redis_server.client(db=2).rpush(f"{P}q", job())
    assert read(make_source(redis_server.url)) == {}
    url = f"redis://127.0.0.1:{redis_server.port}/2"
    assert read(make_source(url))["laravel", "q"].live.waiting == 1


def test_no_name_comes_twice(
    redis_server: RedisServer, make_source: MakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    redis_server.client().rpush("a", "x")
    lists = (ListSettings(key="a", name="same"), ListSettings(key="b", name="same"))
    source = make_source(redis_server.url, lists=lists)
    for _ in range(3):
        assert read(source)["list", "same"].live.waiting == 1
    assert [record.message for record in caplog.records] == [
        "redis main: two list queues are called 'same': the second one is not shown"
    ]
