"""Every reader against replies of every kind: those it asked for, those of another type, and those of ill will."""

import math
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from depthgauge.resp import Command, Reply, ReplyError, TooLarge
from depthgauge.secrets import Secret
from depthgauge.snapshot import Queue
from exporter.queues import SYSTEMS
from exporter.queues.active import active_readers
from exporter.queues.counters import CounterReader
from exporter.queues.reader import Conversation, QueueReader
from exporter.settings import CelerySettings, ListSettings, PrefixSettings, RedisSettings, SortedSetSettings
from exporter.settings import StreamSettings as Stream

NOW = 1.8e9
T = TypeVar("T")
LARGEST = (1 << 63) - 1
NAMES = tuple(system.name for system in SYSTEMS)

NUMBERS = ("0", "-1", "1", "9" * 30, "9" * 5000, "1e308", "-1e308", "1e400", "nan", "-inf", "0x1", " 1", "1_0", "")
TIMES = (
    *("1799999000", "1799999000.5", "1799999000123", "1799999000123456", "2026-02-29", "2027-01-15T00:00:00.5Z"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "99999999999", "-1799999000"),
)
WORDS = (
    "",
    "mail",
    "mail:eu",
    "busy",
    "paused",
    "true",
    "none",
    "list",
    "zset",
    "stream",
    "taskiq",
    "\0",
    "é",
    "\ud800",
)
JSON = ("{}", "[]", "null", '"\\ud800"', "[" * 2000, '{"' + "a" * 40 + '":' * 9, '{"a":1}', '{"queue":"mail"}')
FIELDS = (
    *("id", "uuid", "attempts", "createdAt", "pushedAt", "delay", "headers", "properties", "jid", "enqueued_at"),
    *("created_at", "queue", "queues", "capsules", "message_timestamp", "options", "retries", "eta", "queued"),
    *("touched", "scheduled", "retry_delay", "retry_backoff", "stats", "complete", "failed", "task_id", "labels"),
    *("throughput", "runtime", "class", "args", "weights", "redis:mail,low", "redis:mail"),
)
IDS = (
    *("rq:worker:a", "rq:queue:mail", "mail\x06\x16\x06\x16mail", "host:1:abc", "host:1:mail,*", "mail_failed"),
    *("laravel_horizon:queue:mail", "schedule", "retry", "saq:mail:worker_info:1", "saq:job:mail:1", "0:0", "\xff"),
)
ILL: tuple[Reply, ...] = (
    *(None, -1, -LARGEST, 1 << 60, TooLarge(2_000_000)),
    ReplyError("WRONGTYPE", "WRONGTYPE Operation against a key holding the wrong kind of value"),
    ReplyError("NOPERM", "NOPERM this user has no permissions to run the 'get' command"),
    ReplyError("ERR", "ERR no such key"),
)
CLIENTS = "id=1 name=depthgauge db=0 sub=0 cmd=client|list\nid=2 name=bull:bWFpbA== db=0 sub=0 cmd=bzpopmin user=x\n"
GROUP = ("name", "consumers", "pending", "last-delivered-id", "entries-read", "lag", "idle")
KEYS = (
    *(("queues:mail", "list"), ("laravel_database_queues:low:delayed", "zset"), ("queues:{mail}", "list")),
    *(("laravel_horizon:measured_queues", "set"), ("shop_database_depthgauge:jobs:mail", "hash")),
    *(("_kombu.binding.mail", "set"), ("x:_kombu.binding.low", "set"), ("rq:queues", "set"), ("x:workers", "set")),
    *(("app:processes", "set"), ("app:stat:processed", "string"), ("app:workers:heartbeat", "hash")),
    *(("bull:mail:meta", "hash"), ("bull:mail:id", "string"), ("x:low:id", "string"), ("{bull}:a:events", "stream")),
    *(("dramatiq:mail.msgs", "hash"), ("app:low.XQ", "zset"), ("app:__heartbeats__", "zset")),
    *(("arq:queue", "zset"), ("mail:health-check", "string"), ("huey.redis.mail", "list"), ("huey.schedule.a", "zset")),
    *(("taskiq", "list"), ("orders", "stream"), ("saq:mail:queued", "list"), ("saq:low:stats", "zset")),
)
BARE = dict.fromkeys(("arq", "huey", "taskiq", "saq", "stream", "list", "zset"), (b"mail", b"low"))
REMEMBERED = BARE | {"laravel": (b"queues:mail", b"a_queues:{low}", b"\0laravel_horizon:\0mail", b"\0a_horizon:\0low")}
"""Handles that an earlier run may have found."""


class Answers:
    """Makes replies: the same to the same command, whatever time it tells, unless ``steady`` is off."""

    def __init__(self, seed: int, *, ill: float, more: Sequence[bytes] = (), steady: bool = False) -> None:
        self.seed, self.ill, self.more, self.steady = seed, ill, more, steady
        self.random = random.Random(seed)

    def __call__(self, command: Command) -> Reply:
        if self.steady:
            key = command[2] if command[0] in {"XINFO", "CLIENT"} else command[1]
            self.random = random.Random(repr((self.seed, command[0], key)))
        return self.any() if self.random.random() < self.ill else self.proper(command)

    def pick(self, *choices: T) -> T:
        return self.random.choice(choices)

    def text(self) -> bytes:
        kind = self.random.randrange(7)
        if kind == 0:
            return self.json(2).encode("utf-8", "surrogatepass")
        if kind == 1:
            return self.pick(b"", *self.more)
        kinds: tuple[tuple[str, ...], ...] = (NUMBERS, TIMES, WORDS, JSON, IDS)
        return self.pick(*kinds[kind - 2]).encode("utf-8", "surrogatepass")

    def json(self, depth: int) -> str:
        def value() -> str:
            if depth and self.random.random() < 0.3:
                return self.json(depth - 1)
            return self.pick(
                "null", "true", *NUMBERS[:6], '"x"', '"\\ud800"', '"mail"', "[]", '["mail","\\u0000"]', *TIMES[:4]
            )

        return "{" + ",".join(f'"{self.pick(*FIELDS)}":{value()}' for _ in range(self.random.randrange(8))) + "}"

    def number(self) -> int:
        return self.pick(0, 0, 1, 2, 3, 7, 501, 1001, 6000, 1 << 40)

    def any(self, depth: int = 3) -> Reply:
        kind = self.random.randrange(8)
        if kind < 3 and depth:
            return [self.any(depth - 1) for _ in range(self.random.randrange(5))]
        if kind < 5:
            return self.text()
        return self.pick(*ILL)

    def texts(self, most: int) -> list[Reply]:
        return [self.text() for _ in range(self.random.randrange(most))]

    def rows(self, most: int) -> list[Reply]:
        scores = (b"1799999000", b"1799999000123", b"0", b"inf", b"-inf", b"nan", b"1e300", b"7372796000000000000")
        return [part for _ in range(self.random.randrange(most)) for part in (self.text(), self.pick(*scores))]

    def proper(self, command: Command) -> Reply:
        """Return a reply of the type that the command has."""
        name, *words = command
        if name in {"LLEN", "ZCARD", "ZCOUNT", "SCARD", "HLEN", "XLEN", "EXISTS"}:
            return self.number()
        if name in {"LINDEX", "GET", "HGET", "GETRANGE"}:
            return self.pick(None, self.text())
        if name == "TYPE":
            return self.pick(b"none", b"list", b"zset", b"set", b"hash", b"string", b"stream")
        if name in {"HMGET", "MGET"}:
            return [self.pick(None, self.text()) for _ in words[1 if name == "HMGET" else 0 :]]
        if name in {"SSCAN", "HSCAN"}:
            return [self.pick(b"0", b"0", b"17"), self.texts(6)]
        if name == "ZRANGE" and "WITHSCORES" in words:
            return self.rows(4)
        if name in {"LRANGE", "ZRANGE", "SMEMBERS"}:
            return self.texts(4)
        if name == "XRANGE":
            return [
                [self.pick(b"1799999000123-0", b"1-1", self.text()), self.texts(3)] for _ in range(self.pick(0, 1, 3))
            ]
        if name == "XINFO":
            return [self.row() for _ in range(self.pick(0, 1, 2))]
        assert name == "CLIENT", f"nobody said what {name!r} answers"
        return self.pick(CLIENTS.encode(), self.text())

    def row(self) -> Reply:
        values: dict[str, Reply] = {
            "name": self.pick(b"taskiq", b"g", self.text()),
            "last-delivered-id": self.pick(b"0-0", b"1799999000123-5", self.text()),
        }
        return [part for field in GROUP for part in (field.encode(), values.get(field, self.number()))]


def reader_of(system: str, *, told: bool) -> QueueReader:
    options: dict[str, Any] = {"queues": (f"{system}:mail", f"{system}:new", f"{system}:{'q' * 300}")} if told else {}
    if told:
        prefixed = dict.fromkeys(
            ("laravel", "horizon", "rq", "sidekiq", "resque", "bullmq", "bull", "dramatiq"), PrefixSettings(prefix="a")
        )
        options |= prefixed | {
            "celery": CelerySettings(prefix="a", time_header="id"),
            "streams": (Stream(key="orders", name="orders"), Stream(key="mail", name="named", group="g")),
            "lists": (ListSettings(key="jobs", name="jobs", processing="doing", time_field="queued"),),
            "sorted_sets": (
                SortedSetSettings(key="due", name="due"),
                SortedSetSettings(key="first", name="first", score="priority", time_field="queued"),
            ),
        }
    made = active_readers(RedisSettings(name="main", url=Secret(""), systems=(system,), **options))
    return next(each.reader for each in made if each.reader.system == system)


def hold(conversation: Conversation[T], answer: Callable[[Command], Reply], most: int) -> T:
    batches = 0
    try:
        commands = next(conversation)
        while True:
            batches += 1
            assert batches <= most, "too many round trips"
            commands = conversation.send([answer(command) for command in commands])
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]  # what the conversation returns


def walk(reader: QueueReader, answers: Answers) -> Sequence[bytes]:
    """Return what a walk over the keys finds, as discovery does it, and what an earlier run may have found."""
    found: dict[bytes, None] = {}
    for _ in range(2):
        if reader.needs_scan:
            kinds = {key.encode(): kind.encode() for key, kind in KEYS} | dict.fromkeys(answers.more, b"list")
            for key in reader.may_own(tuple(kinds)):
                handle = reader.recognise(key, answers.pick(kinds[key], b"zset"))
                found |= {} if handle is None else {handle: None}
        found |= dict.fromkeys(hold(reader.discover(), answers, 1_000))
    for handle in found:
        assert isinstance(reader.name(handle), str)
        assert isinstance(reader.told_by(handle), str)
        assert all(isinstance(prefix, bytes) for prefix in reader.pins(handle).values())
    return tuple(found)


def check(queues: Sequence[Queue], now: float) -> None:
    labels = [(queue.system, queue.name) for queue in queues]
    assert len(set(labels)) == len(labels), "two queues of one name"
    for queue in queues:
        numbers = (
            *(queue.live.waiting, queue.live.active, queue.live.delayed, queue.live.retry, queue.live.blocked),
            *(queue.kept.failed, queue.kept.dead, queue.kept.finished, queue.kept.canceled),
            *(queue.completed_total, queue.failed_total, queue.registry_workers, queue.registry_workers_busy),
        )
        assert all(number is None or 0 <= number <= LARGEST for number in numbers), queue
        assert queue.processing_seconds is None or 0 <= queue.processing_seconds < math.inf, queue
        assert queue.throughput is None
        assert queue.paused in {None, True, False}
        for head in (queue.head_eligible_at, queue.head_first_seen_at):
            assert head is None or head.timestamp() <= now + 1, queue
        if queue.registry_workers is not None and queue.registry_workers_busy is not None:
            assert queue.registry_workers_busy <= queue.registry_workers, queue


@pytest.mark.parametrize("system", NAMES)
@settings(max_examples=30, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(
    answers=st.builds(
        Answers,
        st.integers(0, 1 << 32),
        ill=st.sampled_from((0.0, 0.05, 0.5)),
        more=st.lists(st.binary(min_size=1, max_size=12), max_size=3),
    ),
    told=st.booleans(),
    now=st.sampled_from((NOW, NOW, 0.0, 1.0e9, 9.9e10)),
)
def test_a_reader_takes_whatever_comes(system: str, answers: Answers, told: bool, now: float) -> None:
    reader = reader_of(system, told=told)
    remembered = REMEMBERED.get(system, (b"a\0mail", b"a\0low", b"b\0mail"))
    found = tuple(dict.fromkeys((*walk(reader, answers), *remembered)))
    counters = CounterReader("main", [reader])
    for step in (0, 15, 30, -3600):
        queues = hold(reader.read(found, max(0.0, now + step)), answers, 3)
        check(queues, max(0.0, now + step))
        hold(counters.read((b"depthgauge:jobs:mail", b"x:depthgauge:jobs:"), now), answers, 1)
        check(counters.fill(queues), max(0.0, now + step))
        if step == 15:
            reader.rebase()


def size_of(value: Any, seen: set[int]) -> int:
    """Return how many things an object holds, at any depth."""
    if id(value) in seen or isinstance(value, type) or callable(value):
        return 0
    seen.add(id(value))
    if isinstance(value, Mapping):
        return len(value) + sum(size_of(part, seen) for pair in value.items() for part in pair)
    if isinstance(value, list | tuple | set | frozenset | deque):
        return len(value) + sum(size_of(part, seen) for part in value)
    slots = [getattr(value, name) for name in getattr(type(value), "__slots__", ()) if hasattr(value, name)]
    return sum(size_of(part, seen) for part in (*getattr(value, "__dict__", {}).values(), *slots))


@pytest.mark.parametrize("system", NAMES)
def test_reading_the_same_again_and_again_takes_no_more_memory(system: str) -> None:
    reader = reader_of(system, told=True)
    answers = Answers(7, ill=0.02, steady=True)
    sizes: list[int] = []
    for _ in range(2):
        for step in range(42):  # more than a mean looks back, and whole turns of its samples
            found = (*walk(reader, answers), *REMEMBERED.get(system, (b"a\0mail", b"a\0low", b"b\0mail")))
            hold(reader.read(tuple(dict.fromkeys(found)), NOW + 15 * (step + 42 * len(sizes))), answers, 3)
        sizes.append(size_of(reader, set()))
    assert sizes[0] > 0, "something is held at all"
    assert sizes[1] <= sizes[0]
