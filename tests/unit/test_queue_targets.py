"""Which queues are read where several applications share a Redis, and how sets of names are walked."""

from collections.abc import Sequence

import pytest

from depthgauge.resp import Command, Reply, ReplyError
from exporter.queues import sets
from exporter.queues.reader import converse
from exporter.queues.sets import walk
from exporter.queues.targets import Targets


def shown(targets: Targets, *found: bytes) -> list[tuple[bytes, bytes, str]]:
    return [(target.prefix, target.name, target.label) for target in targets.of(found)]


def test_a_configured_queue_is_read_where_it_was_found() -> None:
    targets = Targets(("mail",), own=None, default=b"rq", between=b":")
    assert shown(targets) == [(b"rq", b"mail", "mail")]
    assert shown(targets, b"shop\0mail") == [(b"shop", b"mail", "mail")]
    assert shown(targets, b"shop\0low") == [(b"shop", b"mail", "mail"), (b"shop", b"low", "low")]
    assert shown(targets, b"shop\0low", b"rq\0x")[0] == (b"rq", b"mail", "mail")
    assert shown(targets, b"shop\0mail", b"blog\0mail") == [
        (b"shop", b"mail", "shop:mail"),
        (b"blog", b"mail", "blog:mail"),
    ]


def test_a_configured_prefix_is_where_configured_queues_are_read() -> None:
    targets = Targets(("mail",), own=b"shop", default=b"rq", between=b":")
    assert shown(targets) == [(b"shop", b"mail", "mail")]


def test_each_application_has_a_target_for_what_it_keeps_of_all_its_queues() -> None:
    targets = Targets((), own=None, default=b"", between=b"", whole=True)
    assert shown(targets) == []
    assert shown(targets, b"\0a", b"\0b") == [(b"", b"a", "a"), (b"", b"b", "b"), (b"", b"", "")]
    assert shown(targets, b"\0a", b"shop:\0a") == [
        (b"", b"a", "a"),
        (b"shop:", b"a", "shop:a"),
        (b"", b"", ""),
        (b"shop:", b"", "shop:"),
    ]


def test_the_same_findings_give_the_same_list() -> None:
    targets = Targets((), own=None, default=b"rq", between=b":")
    found = (b"rq\0a",)
    assert targets.of(found) is targets.of(found)


class Sets:
    """Sets on a server that gives pages of two members."""

    def __init__(self, **members: Sequence[bytes]) -> None:
        self.members = {name.encode(): tuple(values) for name, values in members.items()}
        self.trips = 0

    def exchange(self, commands: Sequence[Command]) -> list[Reply]:
        self.trips += 1
        return [self.page(command) for command in commands]

    def page(self, command: Command) -> Reply:
        word, key, cursor, *_ = command
        assert word == "SSCAN"
        assert isinstance(key, bytes)
        if key not in self.members:
            return ReplyError("WRONGTYPE", "WRONGTYPE no set")
        assert isinstance(cursor, bytes)
        start = int(cursor)
        end = start + 2 if start + 2 < len(self.members[key]) else 0
        return [b"%d" % end, list(self.members[key][start : start + 2])]


def walked(server: Sets, *keys: bytes) -> list[tuple[bytes, bytes]]:
    def take(key: bytes, member: bytes) -> tuple[bytes, bytes] | None:
        return (key, member) if member.startswith(b"q") else None

    (found,) = converse(server.exchange, [walk(keys, take)])
    return found


def test_sets_are_walked_side_by_side_and_strangers_left_out() -> None:
    server = Sets(a=[b"q1", b"x", b"q2"], b=[b"q3"])
    assert sorted(walked(server, b"a", b"b", b"none")) == [(b"a", b"q1"), (b"a", b"q2"), (b"b", b"q3")]
    assert server.trips == 2


def test_a_set_of_strangers_is_not_walked_to_its_end() -> None:
    server = Sets(a=[b"x"] * 100)
    assert walked(server, b"a") == []
    assert server.trips == 1


def test_a_long_set_is_left_at_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "MOST", 6000)
    server = Sets(a=[b"q%d" % number for number in range(100)])
    assert len(walked(server, b"a")) == 12
    assert server.trips == 6, "so many pages as the bound has thousands"
