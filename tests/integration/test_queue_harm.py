"""What goes wrong with one system's keys harms no other system, is told once, and heals."""

import logging
import time
from collections.abc import Sequence
from typing import Any

import pytest

from depthgauge.errors import ErrorKind
from depthgauge.snapshot import Queue
from exporter.queues.reader import Conversation
from exporter.sources.redis_queues import RedisQueuesSource
from tests.plugins.every_system import LARAVEL, WAITING, fill_every_system
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import RedisServer
from tests.plugins.waiting import wait_for

OWNERS = {
    b"laravel": "laravel",
    b"_kombu": "celery",
    b"celery": "celery",
    b"unacked": "celery",
    b"rq:": "rq",
    b"resque:": "resque",
    b"bull:video": "bullmq",
    b"bull:audio": "bull",
    b"dramatiq": "dramatiq",
    b"arq": "arq",
    b"huey": "huey",
    b"taskiq": "taskiq",
    b"saq": "saq",
    b"orders": "stream",
    **dict.fromkeys((b"queue", b"stat", b"processes", b"web:", b"retry", b"schedule", b"dead"), "sidekiq"),
}
MORE = (b"unacked", b"retry", b"schedule", b"dead", b"resque:failed", b"bull:video:active", b"dramatiq:default.XQ")
"""Keys that a system may have, beside those that are there."""


def numbers(queues: dict[tuple[str, str], Queue], *, but: str = "") -> dict[tuple[str, str], Any]:
    return {
        name: (queue.live, queue.kept, queue.paused, queue.registry_workers, queue.error)
        for name, queue in queues.items()
        if name[0] != but
    }


def spoil(client: Any, key: bytes, kind: str) -> None:
    client.delete(key)
    if kind == "string":
        client.set(key, b"\xff\x00{")
    elif kind == "list":
        client.rpush(key, b"\xff{", b"x" * 5_000_000, b'{"id": 1e999, "args": {}}')
    elif kind == "hash":
        client.hset(key, mapping={b"\xff": b"\xff", b"info": b"[", b"count": b"x", b"completed": b"-5"})
    else:
        client.zadd(key, {b"\xff": "inf", b"a": "-inf", b"b": 0, b"c": 1e300})


def found(source: RedisQueuesSource) -> dict[tuple[str, str], Queue]:
    source.discover_now(time.monotonic() + 10)
    return read(source)


@pytest.mark.parametrize("kind", ["string", "list", "hash", "zset"])
def test_keys_of_a_wrong_type_and_garbage_in_them(
    kind: str, redis_server: RedisServer, make_source: MakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    client: Any = redis_server.client()
    fill_every_system(client)
    source = make_source(redis_server.url)
    before = found(source)
    for key in sorted({*client.keys(), *MORE}):
        owner = next((system for start, system in OWNERS.items() if key.startswith(start)), "")
        spoil(client, key, kind)
        after = read(source)
        assert numbers(after, but=owner) == numbers(before, but=owner), key
        assert after.keys() == before.keys(), key
        told = len(caplog.records)
        read(source)
        assert len(caplog.records) == told, f"{key!r} is told once"
        client.flushall()
        fill_every_system(client)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert {(name, queue.live) for name, queue in found(source).items() if name in before} >= {
        (name, queue.live) for name, queue in before.items()
    }, "all is as it was"


def test_everything_goes_and_comes_back(redis_server: RedisServer, make_source: MakeSource) -> None:
    client: Any = redis_server.client()
    fill_every_system(client)
    source = make_source(redis_server.url)
    before = found(source)
    client.flushall()
    emptied = read(source)
    assert emptied.keys() == before.keys()
    assert {number for queue in emptied.values() for number in (queue.live.waiting, queue.live.active)} <= {0, None}
    assert {queue.error for queue in emptied.values()} == {None}
    fill_every_system(client)
    assert numbers(read(source)) == numbers(before)
    client.rename(f"{LARAVEL}emails", f"{LARAVEL}letters")
    moved = found(source)
    assert moved["laravel", "emails"].live.waiting == 0
    assert moved["laravel", "letters"].live.waiting == 1


def test_very_many_results_are_no_queues(redis_server: RedisServer, make_source: MakeSource) -> None:
    client: Any = redis_server.client()
    client.eval("for at = 1, 100000 do redis.call('SET', 'celery-task-meta-' .. at, '{}') end", 0)
    fill_every_system(client)
    source = make_source(redis_server.url)
    assert {name: queue.live.waiting for name, queue in found(source).items() if name in WAITING} == {
        name: waiting for name, waiting in WAITING.items() if name[0] not in {"list", "zset"}
    }
    assert source.discovery.problem is None


def test_a_defect_of_one_reader_is_told_once_and_the_others_are_read(
    redis_server: RedisServer,
    make_source: MakeSource,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client: Any = redis_server.client()
    fill_every_system(client)
    source = make_source(redis_server.url, discovery_interval=0.05)
    before = found(source)

    def breaks(*_: object) -> Conversation[Sequence[Queue]]:
        yield [("PING",)]
        raise ZeroDivisionError("a defect")

    (broken,) = (active.reader for active in source._active if active.reader.system == "rq")
    monkeypatch.setattr(broken, "read", breaks)
    for _ in range(3):
        after = read(source)
        assert numbers(after, but="rq") == numbers(before, but="rq")
        assert after["rq", "high"] == Queue(system="rq", name="high", error=ErrorKind.INTERNAL)
    (told,) = caplog.records
    assert "reading rq failed unexpectedly, everything else goes on" in told.getMessage()
    assert told.exc_info is not None

    monkeypatch.setattr(broken, "discover", breaks)
    client.rpush(f"{LARAVEL}late", "{}")
    wait_for(lambda: ("laravel", "late") in read(source), what="others are found")
    assert "looking for queues of rq failed unexpectedly" in caplog.records[-1].getMessage()
    monkeypatch.undo()
    assert numbers(read(source)).items() >= numbers(before).items(), "it heals"


def test_a_defect_in_the_walk_does_not_end_the_walking(
    redis_server: RedisServer,
    make_source: MakeSource,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client: Any = redis_server.client()
    fill_every_system(client)
    source = make_source(redis_server.url, discovery_interval=0.05)
    (broken,) = (active.reader for active in source._active if active.reader.system == "rq")
    monkeypatch.setattr(broken, "may_own", lambda _: 1 / 0)
    read(source)
    wait_for(lambda: source.discovery.problem, what="the walk has a problem")
    assert source.discovery.problem == "a defect, told in the log"
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1
    monkeypatch.undo()
    wait_for(lambda: read(source) and source.discovery.problem is None, what="the next walk is whole")
    assert read(source).keys() >= {name for name in WAITING if name[0] not in {"list", "zset"}}
