"""Which sets and members tell a queue of RQ's."""

from collections.abc import Mapping, Sequence

import pytest

from depthgauge.resp import Command, Reply, ReplyError
from exporter.queues import rq_names
from exporter.queues.reader import converse
from exporter.queues.rq import RqReader
from exporter.settings import PrefixSettings


class Keys:
    """Sets and hashes of a Redis; anything else is an error, as where a key has another type."""

    def __init__(self, sets: Mapping[bytes, Sequence[bytes]], queues: Mapping[bytes, bytes] | None = None) -> None:
        self.sets = sets
        self.queues = queues or {}
        self.asked: list[bytes] = []

    def exchange(self, commands: Sequence[Command]) -> list[Reply]:
        return [self.reply(*command) for command in commands]

    def reply(self, word: object, key: object, *_: object) -> Reply:
        assert isinstance(key, bytes)
        self.asked.append(key)
        if word == "HMGET":
            return [self.queues.get(key)]
        if key.endswith(b"!"):
            return ReplyError("WRONGTYPE", "WRONGTYPE no set")
        members = self.sets.get(key, ())
        return len(members) if word == "SCARD" else [b"0", list(members)]

    def found(self, reader: RqReader) -> list[bytes]:
        for key in self.sets:
            if reader.needs_scan and reader.may_own([key]):
                assert reader.recognise(key, b"set") is None
        (handles,) = converse(self.exchange, [reader.discover()])
        return list(handles)


def test_only_members_as_rq_writes_them_tell_queues() -> None:
    keys = Keys(
        {
            b"rq:queues": [b"rq:queue:high", b"rq:queue:", b"high", b"shop:queue:low"],
            b"shop:rq:queues": [b"shop:rq:queue:a:b", b"rq:queue:low"],
            b"resque:queues": [b"images", b"queue:images"],
            b"other:queues:": [b"other:queue:x"],
            b"a b:queues": [b"a b:queue:x"],
        }
    )
    assert keys.found(RqReader(PrefixSettings(), ())) == [b"rq\0high", b"shop:rq\0a:b"]


def test_queues_without_jobs_are_told_by_their_workers() -> None:
    keys = Keys(
        {
            b"rq:queues": [b"rq:queue:high"],
            b"rq:workers": [b"rq:worker:1", b"rq:worker:2", b"rq:worker:gone", b"resque:1"],
            b"rq:workers:high": [b"rq:worker:1"],
            b"rq:workers:low": [b"rq:worker:1"],
            b"rq:workers:a,b": [b"rq:worker:2"],
        },
        {b"rq:worker:1": b"high,low", b"rq:worker:2": b"a,b", b"resque:1": b"no"},
    )
    reader = RqReader(PrefixSettings(), ())
    assert keys.found(reader) == [b"rq\0high", b"rq\0a,b", b"rq\0low"], "a comma may be in a name"
    assert [reader.told_by(b"rq\0" + name) for name in (b"high", b"low")] == ["rq:queues", "rq:workers"]


def test_a_queue_of_workers_that_cannot_be_asked_for_is_not_made_up() -> None:
    keys = Keys({b"rq:workers": [b"rq:worker:1"]}, {b"rq:worker:1": b"odd!"})
    assert keys.found(RqReader(PrefixSettings(), ())) == []


def test_a_configured_prefix_asks_nothing_else_and_walks_no_keys() -> None:
    keys = Keys({b"shop:queues": [b"shop:queue:mail"], b"rq:queues": [b"rq:queue:high"]})
    reader = RqReader(PrefixSettings(prefix="shop"), ())
    assert not reader.needs_scan
    assert keys.found(reader) == [b"shop\0mail"]
    assert set(keys.asked) == {b"shop:queues", b"shop:workers"}
    assert reader.recognise(b"rq:queues", b"set") is None
    assert b"rq:queues" not in reader.prefixes


def test_sets_met_are_asked_from_then_on_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rq_names, "MAX_SETS", 4)
    reader = RqReader(PrefixSettings(), ())
    for key, kind in ((b"a:queues", b"list"), (b"a:queues", b"set"), (b"a:queues", b"set"), (b"b:workers", b"set")):
        reader.recognise(key, kind)
    reader.recognise(b"c:queues", b"set")
    assert list(reader.prefixes) == [b"rq:queues", b"rq:workers", b"a:queues", b"b:workers"]
