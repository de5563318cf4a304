"""No key and no reply makes a reader raise, whatever stands in it, or tell a number that cannot be."""

import json
import random
from collections.abc import Sequence
from typing import Any, Final

import pytest

from depthgauge.resp import Command, Reply, ReplyError, TooLarge
from depthgauge.secrets import Secret
from depthgauge.snapshot import Queue
from exporter.queues import SYSTEMS
from exporter.queues.active import active_readers
from exporter.queues.reader import QueueReader, converse
from exporter.settings import CelerySettings, ListSettings, RedisSettings, SortedSetSettings, StreamSettings

NOW: Final = 1_800_000_000.0
ROUNDS: Final = 60

PIECES: Final = (
    *(b"", b":", b"\0", b"{", b"}", b"/", b"a", b"b:c", b"\xff\xfe", b"n" * 600, b"rq", b"bull", b"shop_database_"),
    *(
        b"queues:",
        b"laravel_horizon:",
        b"measured_queues",
        b"supervisors",
        b"depthgauge:jobs:",
        b":delayed",
        b":notify",
    ),
    *(b"_kombu.binding.", b"\x06\x16", b".msgs", b".DQ", b".XQ", b":queue:", b":queues", b":workers", b":processes"),
    *(
        b":stat:processed",
        b":workers:heartbeat",
        b":meta",
        b":id",
        b":events",
        b"arq:queue",
        b":health-check",
        b"taskiq",
    ),
    *(
        b"huey.redis.",
        b"huey.schedule.",
        b"huey.results.",
        b"saq:",
        b":queued",
        b":incomplete",
        b":stats",
        b"0:0",
        b"1",
    ),
    *(b"web:1:abc", b"web:1:*,[z-a],!x,{a,b", b"rq:worker:w", b"rq:queue:high", b"saq:job:a:1", b"saq:a:worker_info:1"),
)
"""What keys, members of sets and ids are put together from."""
FIELDS: Final = (
    *("id", "attempts", "createdAt", "pushedAt", "delay", "headers", "properties", "enqueued_at", "created_at", "jid"),
    *("class", "args", "queue", "queues", "capsules", "weights", "labels", "message_timestamp", "options", "retries"),
    *(
        "eta",
        "task_id",
        "queued",
        "touched",
        "scheduled",
        "retry_delay",
        "retry_backoff",
        "stats",
        "complete",
        "failed",
    ),
    *("throughput", "runtime", "redis:a,b", "timestamp", "opts", "correlation_id"),
)
VALUES: Final[tuple[Any, ...]] = (
    *(None, True, -1, 0, 1, 7, 1e308, -1e308, 10**400, 1 << 63, "", "x", "9" * 400, "2026-13-45", "0001-01-01", [], {}),
    *([None], {"a": 1}, {"id": {}}, [[["x"]]], "2026-01-15T08:00:00Z", 1.8e9, 1.8e12, "1800000000.5"),
)
TEXTS: Final = (
    *(
        b"",
        b"null",
        b"[]",
        b"{}",
        b"1",
        b"-1",
        b"7",
        b"1e400",
        b"-inf",
        b"nan",
        b"1" * 400,
        b"1800000000",
        b"\xff",
        b"\0",
    ),
    *(
        b"[" * 20_000,
        b'{"a":' * 3000,
        b"true",
        b"busy",
        b"2026-01-15T08:00:00Z",
        b"9999-12-31T23:59:59+99:99",
        b"1-1",
        b"-",
    ),
)
KINDS: Final = (b"none", b"string", b"list", b"set", b"zset", b"hash", b"stream", b"")
SCORES: Final = (b"0", b"-inf", b"inf", b"1", b"1799999990", b"1799999990000", b"1e300", b"7371939840000000")


class Garbage:
    """A Redis that answers each command with something of the right type, or an error."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def key(self) -> bytes:
        return b"".join(self.random.choices(PIECES, k=self.random.randint(1, 4)))

    def text(self) -> bytes | TooLarge | None:
        chance = self.random.random()
        if chance < 0.1:
            return None
        if chance < 0.15:
            return TooLarge(5_000_000)
        if chance < 0.5:
            return self.random.choice(TEXTS)
        chosen = self.random.sample(FIELDS, self.random.randint(0, len(FIELDS)))
        return json.dumps({field: self.random.choice(VALUES) for field in chosen}).encode()

    def member(self) -> Reply:
        return self.key() if self.random.random() < 0.7 else self.text()

    def answer(self, commands: Sequence[Command]) -> list[Reply]:
        return [self.one(command) for command in commands]

    def one(self, command: Command) -> Reply:
        if self.random.random() < 0.05:
            return ReplyError("WRONGTYPE", "WRONGTYPE Operation against a key holding the wrong kind of value")
        name = str(command[0])
        if name in {"LLEN", "ZCARD", "ZCOUNT", "HLEN", "SCARD", "XLEN", "EXISTS"}:
            return self.random.choice((0, 0, 1, 1, 2, 500, 1 << 40))
        if name == "TYPE":
            return self.random.choice(KINDS)
        if name in {"HMGET", "MGET"}:
            return [self.text() for _ in command[1 if name == "MGET" else 2 :]]
        if name in {"SSCAN", "HSCAN"}:
            pairs = [self.member() for _ in range(2 * self.random.randint(0, 4))]
            return [self.random.choice((b"0", b"0", b"0", b"7")), pairs]
        if name == "ZRANGE" and "WITHSCORES" in command:
            rows = [[self.member(), self.random.choice(SCORES)] for _ in range(self.random.randint(0, 3))]
            return [each for row in rows for each in row]
        if name in {"LRANGE", "SMEMBERS", "ZRANGE"}:
            return [self.member() for _ in range(self.random.randint(0, 4))]
        if name == "XRANGE":
            return [[self.member(), [self.text(), self.text()]] for _ in range(self.random.randint(0, 2))]
        if name == "XINFO":
            return [self.row() for _ in range(self.random.randint(0, 3))]
        return self.member()

    def row(self) -> list[Reply]:
        numbers: list[Reply] = [0, 1, 7, -1, 1 << 40, None]
        fields: dict[bytes, Reply] = {
            b"name": self.random.choice((b"workers", b"taskiq", self.key())),
            b"last-delivered-id": self.random.choice(
                (b"0-0", b"5-1", b"1799999990000-0", b"18446744073709551615-1", b"x")
            ),
            **{
                word: self.random.choice(numbers)
                for word in (b"consumers", b"pending", b"entries-read", b"lag", b"idle")
            },
        }
        told = self.random.sample(sorted(fields), self.random.randint(3, len(fields)))
        return [each for field in told for each in (field, fields[field])]


def reader_of(system: str) -> QueueReader:
    settings = RedisSettings(
        name="x",
        url=Secret("redis://x"),
        systems=(system,),
        queues=(f"{system}:named",) if system not in {"list", "zset"} else (),
        celery=CelerySettings(time_header="eta") if system == "celery" else CelerySettings(),
        streams=(StreamSettings(key="a", name="a"),) if system == "stream" else (),
        lists=(ListSettings(key="a", name="a", time_field="headers.id"),) if system == "list" else (),
        sorted_sets=(SortedSetSettings(key="a", name="a"),) if system == "zset" else (),
    )
    (active,) = active_readers(settings)
    return active.reader


def check(queue: Queue) -> None:
    numbers = [getattr(part, name) for part in (queue.live, queue.kept) for name in part.__struct_fields__]
    numbers += [queue.completed_total, queue.failed_total, queue.registry_workers, queue.registry_workers_busy]
    assert all(number is None or (isinstance(number, int) and 0 <= number < 1 << 63) for number in numbers), queue
    assert queue.processing_seconds is None or 0 <= queue.processing_seconds < 1e12, queue
    for moment in (queue.head_eligible_at, queue.head_first_seen_at):
        assert moment is None or moment.timestamp() <= NOW + 120 * ROUNDS, queue
    assert queue.name.isprintable() or not any(ord(char) < 32 for char in queue.name)
    assert len(queue.name) < 300


@pytest.mark.parametrize("system", [system.name for system in SYSTEMS])
def test_garbage_everywhere(system: str) -> None:
    reader = reader_of(system)
    found: dict[bytes, None] = {}
    for seed in range(ROUNDS):
        redis = Garbage(seed)
        for key in reader.may_own([redis.key() for _ in range(40)]):
            if (handle := reader.recognise(key, redis.random.choice(KINDS))) is not None:
                found[handle] = None
        found |= dict.fromkeys(converse(redis.answer, [reader.discover()])[0])
        for handle in tuple(found)[-30:]:
            assert reader.name(handle)
            assert isinstance(reader.told_by(handle), str)
            assert reader.bare(handle) is not None
            assert all(isinstance(prefix, bytes) for prefix in reader.pins(handle).values())
        for late in range(2):
            for queue in converse(redis.answer, [reader.read(tuple(found)[-30:], NOW + 60 * seed + late)])[0]:
                check(queue)
        if seed % 7 == 0:
            reader.rebase()
