"""Which keys of a database Dramatiq's, arq's and Huey's readers take for theirs, and what they do about heads too large."""

from collections.abc import Sequence

import pytest

from depthgauge.resp import Command, Reply, TooLarge
from depthgauge.snapshot import Queue
from exporter.queues import dramatiq
from exporter.queues.arq import ArqReader
from exporter.queues.dramatiq import DramatiqReader
from exporter.queues.heads import PAUSE
from exporter.queues.huey import HueyReader
from exporter.queues.reader import QueueReader, converse
from exporter.settings import PrefixSettings

NOW = 1.8e9
FOREIGN = (
    (b"rq:queue:default", b"list"),
    (b"queues:default:reserved", b"zset"),
    (b"_kombu.binding.celery", b"set"),
    (b"bull:mail:meta", b"hash"),
    (b"queue:default", b"list"),
    (b"saq:default:stats", b"zset"),
    (b"resque:queue:mail", b"list"),
    (b"dramatiq:default", b"list"),
    (b"dramatiq:__heartbeats__", b"zset"),
    (b"dramatiq:__acks__.4cb6.default", b"set"),
    (b"arq:job:1", b"string"),
    (b"arq:abort", b"zset"),
    (b"huey.r.shop.1", b"string"),
    (b"huey.counters.shop", b"hash"),
    (b"huey.notify.shop.1", b"list"),
)


def handle(reader: QueueReader, key: bytes, kind: bytes) -> bytes | None:
    return reader.recognise(key, kind) if reader.may_own([key]) else None


@pytest.mark.parametrize("reader", [DramatiqReader(PrefixSettings(), ()), ArqReader(()), HueyReader(())])
def test_keys_of_others_are_left_alone(reader: QueueReader) -> None:
    assert [key for key, kind in FOREIGN if handle(reader, key, kind) is not None] == []
    assert list(reader.prefixes) == []


@pytest.mark.parametrize(
    ("key", "kind", "queue"),
    [
        (b"dramatiq:default.msgs", b"hash", b"dramatiq\0default"),
        (b"dramatiq:default.DQ.msgs", b"hash", b"dramatiq\0default"),
        (b"dramatiq:default.XQ.msgs", b"hash", b"dramatiq\0default"),
        (b"dramatiq:default.XQ", b"zset", b"dramatiq\0default"),
        (b"dramatiq:mail.eu.msgs", b"hash", b"dramatiq\0mail.eu"),
        (b"dramatiq:a.msgs.msgs", b"hash", b"dramatiq\0a.msgs"),
        (b"dramatiq:default.msgs", b"list", None),
        (b"dramatiq:default.XQ", b"hash", None),
        (b"default.msgs", b"hash", None),
        (b"dramatiq:9.msgs", b"hash", None),
        (b"dramatiq:.DQ.msgs", b"hash", None),
        (b"dramatiq:.msgs", b"hash", None),
        (b"user:42 inbox.msgs", b"hash", None),
        (b"a\0b:default.msgs", b"hash", None),
        (b"room:general.msgs", b"hash", None),
    ],
)
def test_dramatiq_knows_a_queue_by_its_messages(key: bytes, kind: bytes, queue: bytes | None) -> None:
    assert handle(DramatiqReader(PrefixSettings(), ()), key, kind) == queue


def test_dramatiq_believes_another_namespace_by_its_heartbeats() -> None:
    reader = DramatiqReader(PrefixSettings(), ())
    for key in (b"shop:jobs:mail.eu.msgs", b"room:general.msgs", b"room:42:a.XQ", b"shop:jobs:low.DQ.msgs"):
        assert handle(reader, key, b"zset" if key.endswith(b".XQ") else b"hash") is None
    assert len(reader.prefixes) == 4, "discovery asks once more when there are more"

    def exchange(commands: Sequence[Command]) -> list[Reply]:
        asked = [b"shop:jobs:__heartbeats__", b"room:__heartbeats__", b"room:42:__heartbeats__"]
        assert commands == [("TYPE", key) for key in asked]
        return [b"zset", b"none", b"hash"]

    assert converse(exchange, [reader.discover()]) == [(b"shop:jobs\0mail.eu", b"shop:jobs\0low")]
    assert reader.prefixes == ()


def test_dramatiq_looks_into_so_many_strangers_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dramatiq, "MOST_CANDIDATES", 3)
    reader = DramatiqReader(PrefixSettings(), ())
    for number in range(9):
        handle(reader, b"room:a%d.msgs" % number, b"hash")
    assert len(reader.prefixes) == 3
    assert handle(reader, b"dramatiq:mail.msgs", b"hash") is not None


def test_dramatiq_looks_into_the_configured_namespace_only() -> None:
    reader = DramatiqReader(PrefixSettings(prefix="shop"), ())
    assert handle(reader, b"shop:mail.msgs", b"hash") == b"shop\0mail"
    for key in (b"shop:jobs:mail.msgs", b"shopping:mail.msgs", b"dramatiq:mail.msgs"):
        assert handle(reader, key, b"hash") is None


@pytest.mark.parametrize(
    ("key", "kind", "queue"),
    [
        (b"huey.redis.shop", b"list", b"shop"),
        (b"huey.redis.shop", b"zset", b"shop"),
        (b"huey.schedule.my-app.q", b"zset", b"my-app.q"),
        (b"huey.results.shop", b"hash", b"shop"),
        (b"huey.redis.shop", b"hash", None),
        (b"huey.results.shop", b"string", None),
        (b"huey.redis.", b"list", None),
    ],
)
def test_huey_knows_a_queue_by_three_keys(key: bytes, kind: bytes, queue: bytes | None) -> None:
    assert handle(HueyReader(()), key, kind) == queue


def test_arq_asks_what_a_health_check_holds() -> None:
    reader = ArqReader(())
    assert handle(reader, b"arq:queue", b"list") is None
    assert handle(reader, b"arq:queue", b"zset") == b"arq:queue"
    for key, kind in ((b"a:health-check", b"string"), (b":health-check", b"string"), (b"b:health-check", b"hash")):
        assert handle(reader, key, kind) is None
    assert handle(reader, b"c:health-check", b"string") is None
    assert reader.prefixes == [b"a", b"c"]
    health = b"Nov-29 00:14:00 j_complete=0 j_failed=0 j_retried=0 j_ongoing=0 queued=0"

    def exchange(commands: Sequence[Command]) -> list[Reply]:
        assert [command[1] for command in commands] == [b"a:health-check", b"c:health-check"]
        return [b"ok", health]

    assert converse(exchange, [reader.discover()]) == [(b"c",)]

    assert reader.prefixes == [], "asked about again when the next walk meets them: what is gone is told no more"
    assert converse(exchange, [reader.discover()]) == [()]


REPLIES: dict[str, Reply] = {
    "TYPE": b"list",
    "LLEN": 3,
    "HLEN": 3,
    "ZCARD": 3,
    "ZCOUNT": 3,
    "LINDEX": TooLarge(2_000_000),
    "ZRANGE": [TooLarge(2_000_000), b"1799999999000"],
}


@pytest.mark.parametrize(
    ("reader", "found", "head"),
    [
        (DramatiqReader(PrefixSettings(), ()), b"dramatiq\0default", "LINDEX"),
        (ArqReader(()), b"arq:queue", "ZRANGE"),
        (HueyReader(()), b"shop", "LINDEX"),
    ],
)
def test_what_was_too_large_is_left_alone_for_a_while(reader: QueueReader, found: bytes, head: str) -> None:
    asked: list[str] = []

    def exchange(commands: Sequence[Command]) -> list[Reply]:
        asked.extend(str(command[0]) for command in commands)
        return [REPLIES[str(command[0])] for command in commands]

    def read(now: float) -> tuple[bool, Queue]:
        asked.clear()
        ((queue,),) = converse(exchange, [reader.read((found,), now)])
        return head in asked, queue

    first, queue = read(NOW)
    assert (first, queue.error) == (True, "too_large")
    second, queue = read(NOW + 15)
    assert (second, queue.error) == (False, "too_large")
    assert queue.head_eligible_at is None
    assert queue.head_first_seen_at is None
    assert read(NOW + PAUSE + 1)[0]
