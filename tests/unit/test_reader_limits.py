"""Replies that are possible and odd: numbers no counter reaches, rights for one half of a state, clocks of no calendar."""

import json
from collections.abc import Callable

import pytest

from depthgauge.resp import Command, Reply, ReplyError
from depthgauge.snapshot import Queue
from exporter.queues.bull_jobs import Head
from exporter.queues.bullmq import BullMqReader
from exporter.queues.group_rows import groups_of
from exporter.queues.heads import HeadMemory
from exporter.queues.payload import MOST_COUNTED, count, number
from exporter.queues.reader import QueueReader, converse
from exporter.queues.resque import ResqueReader
from exporter.queues.saq import SaqReader
from exporter.queues.sidekiq import SidekiqReader
from exporter.queues.streams import StreamReader
from exporter.queues.tally import Tally
from exporter.settings import PrefixSettings
from exporter.sources.discovery import unix_time

NOW = 1_800_000_000.0
DIGITS = b"9" * 5000
EMPTY: dict[str, Reply] = {
    "LINDEX": None,
    "SSCAN": [b"0", []],
    "HSCAN": [b"0", []],
    "LRANGE": [],
    "ZRANGE": [],
    "CLIENT": b"",
}


def read(reader: QueueReader, found: bytes, answer: Callable[[str, bytes], Reply]) -> dict[str, Queue]:
    """Return the queues by name; ``answer`` says None where the key is empty."""

    def one(command: Command) -> Reply:
        name, key = str(command[0]), command[1] if isinstance(command[1], bytes) else b""
        told = answer(name, key)
        if told is not None:
            return told
        return [None] * (len(command) - 2) if name == "HMGET" else EMPTY.get(name, 0)

    (queues,) = converse(lambda commands: [one(command) for command in commands], [reader.read((found,), NOW)])
    return {queue.name: queue for queue in queues}


def test_a_version_of_thousands_of_digits_is_some_version() -> None:
    def answer(name: str, key: bytes) -> Reply:
        return [None, b"10000", b"bullmq:" + DIGITS] if (name, key[-5:]) == ("HMGET", b":meta") else None

    queue = read(BullMqReader(PrefixSettings(), ()), b"bull\0mail", answer)["mail"]
    assert (queue.live.waiting, queue.error) == (0, None)


def test_a_delay_beyond_all_floats_does_no_harm() -> None:
    head = Head(HeadMemory(), b"bull:mail", NOW)
    head.judge([b"1799999990000", None, b'{"delay":' + b"9" * 400 + b"}"])
    assert head.eligible_at is None


def test_an_id_of_a_stream_that_is_none_is_unknown() -> None:
    last = b"%d-%d" % ((1 << 64) - 1, (1 << 64) - 1)
    rows: Reply = [[b"name", b"g", b"last-delivered-id", each] for each in (last, DIGITS + b"-1", b"x", last + b"0")]
    assert [group.delivered for group in groups_of(rows)] == [((1 << 64) - 1, (1 << 64) - 1), None, None, None]


def test_a_lag_below_0_is_counted_out() -> None:
    """XGROUP SETID … ENTRIESREAD with a number that is too high makes Redis 7 say so."""
    group: list[Reply] = [b"name", b"g", b"consumers", 0, b"pending", 0, b"last-delivered-id", b"1799999000000-0"]
    entry: Reply = [b"1799999990000-0", [b"job", b"x"]]

    def answer(name: str, key: bytes) -> Reply:
        if name == "XINFO":
            return [[*group, b"entries-read", 1000, b"lag", -995]]
        return 5 if name == "XLEN" else [entry]

    assert read(StreamReader((), ()), b"s", answer)["s/g"].live.waiting == 1
    assert count(-995) is None


def test_delayed_jobs_are_unknown_where_their_times_may_not_be_read() -> None:
    def answer(name: str, key: bytes) -> Reply:
        if key != b"resque:delayed_queue_schedule":
            return None
        return 3 if name == "ZCARD" else ReplyError("NOPERM", "NOPERM this user has no permissions")

    queue = read(ResqueReader(PrefixSettings(), ()), b"resque\0mail", answer)[""]
    assert (queue.live.waiting, queue.live.delayed, queue.error) == (None, None, "acl_denied")


def test_a_stranger_in_sidekiqs_set_of_processes_is_not_looked_at() -> None:
    def answer(name: str, key: bytes) -> Reply:
        assert (name, key) != ("HMGET", b"schedule")
        return [b"0", [b"schedule", b"stat:failed"]] if (name, key) == ("SSCAN", b"processes") else None

    queue = read(SidekiqReader(PrefixSettings(), ()), b"\0mail", answer)["mail"]
    assert (queue.registry_workers, queue.error) == (0, None)


@pytest.mark.parametrize("complete", [-7, MOST_COUNTED + 1, "many", None])
def test_a_worker_that_counts_nonsense_is_a_worker_and_counts_nothing(complete: object) -> None:
    info = b'{"stats":{"complete":5,"failed":0}}'
    reader = SaqReader(())

    def answer(name: str, key: bytes) -> Reply:
        if key.endswith(b":stats"):
            return [b"saq:mail:worker_info:1"] if name == "ZRANGE" else 1
        return info if name == "GET" else None

    assert read(reader, b"mail", answer)["mail"].completed_total == 0
    info = json.dumps({"stats": {"complete": complete, "failed": 0}}).encode()
    queue = read(reader, b"mail", answer)["mail"]
    assert (queue.completed_total, queue.registry_workers) == (0, 1)


def test_a_total_does_not_outgrow_a_column_of_a_database() -> None:
    tally = Tally()
    tally.update(b"q", {})
    totals = [tally.update(b"q", {b"%d" % life: MOST_COUNTED}) for life in range(4)]
    assert totals == [MOST_COUNTED] * 4


@pytest.mark.parametrize(
    ("value", "expected"), [(b"1.5", 1.5), ("2", 2.0), (3, 3.0), (True, None), (b"inf", None), (b"x", None), ([], None)]
)
def test_a_number_in_text(value: object, expected: float | None) -> None:
    assert number(value) == expected
    assert number(10**400) is None


@pytest.mark.parametrize(
    "reply", [[DIGITS[:4000], b"0"], [b"-1", b"0"], [b"253402300800000", b"0"], [b"1", b"x"], [b"1"], b"1", [1, 2]]
)
def test_a_clock_of_no_calendar_is_none(reply: Reply) -> None:
    assert unix_time(reply) is None
    assert unix_time([b"1800000000", b"500000"]) == NOW + 0.5
