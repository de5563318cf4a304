"""Which node has which keys: what nodes tell, right and wrong, and what commands are about."""

from typing import Any

import pytest

from depthgauge.redis_slots import redirection, slot_map, slot_of
from depthgauge.redis_url import Address
from depthgauge.resp import Command, Reply, ReplyError

ASKED = Address("seed", 7000)
A, B = Address("10.0.0.1", 7001), Address("10.0.0.2", 7002)


def node(address: Address, *more: Reply) -> list[Reply]:
    return [address.host.encode(), address.port, b"id", *more]


def test_masters_by_slot() -> None:
    slots = slot_map([[0, 99, node(B, []), node(A)], [101, 16383, node(A)]], ASKED)
    assert slots is not None
    assert slots.masters == (A, B), "sorted, so that everybody takes the same one first"
    assert [slots.owner(slot) for slot in (0, 99, 100, 101, 16383)] == [B, B, None, A, A]
    assert slots.after(A) == B
    assert slots.after(B) is None
    assert slots.after(Address("10.0.0.1", 9999)) == B, "also after one that is gone"


@pytest.mark.parametrize("host", [None, b"", b"?"])
def test_a_node_without_an_endpoint_is_where_it_was_asked(host: Reply) -> None:
    slots = slot_map([[0, 16383, [host, 7009, b"id"]]], ASKED)
    assert slots is not None
    assert slots.masters == (Address("seed", 7009),)


@pytest.mark.parametrize(
    "reply",
    [
        None,
        5,
        b"x",
        [b"x"],
        [[]],
        [[0, 5]],
        [[0, 5, b"x"]],
        [[0, 5, [b"h"]]],
        [[0, 5, [b"h h", 1]]],
        [[0, 5, [b"h", 0]]],
        [[0, 5, [[b"h"], 1]]],
        [[0, 16384, [b"h", 1]]],
        [[-1, 5, [b"h", 1]]],
        [[6, 5, [b"h", 1]]],
        [[b"0", 5, [b"h", 1]]],
    ],
)
def test_what_is_no_map(reply: Any) -> None:
    assert slot_map(reply, ASKED) is None


def test_a_cluster_larger_than_any_is_no_map() -> None:
    assert slot_map([[each, each, [b"h", each + 1]] for each in range(1001)], ASKED) is None


def test_no_range_is_a_map_without_masters() -> None:
    slots = slot_map([], ASKED)
    assert slots is not None
    assert slots.masters == ()


@pytest.mark.parametrize(
    ("command", "slot"),
    [
        (("LLEN", "foo"), 12182),
        (("LLEN", b"foo"), 12182),
        (("HGET", "{foo}:x", "y"), 12182),
        (("LLEN", "queues:{foo}:delayed"), 12182),
        (("XINFO", "GROUPS", "foo"), 12182),
        (("xinfo", "STREAM", b"foo"), 12182),
        (("EXISTS", "foo{}"), 5542),
        (("TIME",), None),
        (("info", "server"), None),
        (("SCAN", "0", "COUNT", 1), None),
        (("PING",), None),
    ],
)
def test_the_slot_of_a_command(command: Command, slot: int | None) -> None:
    assert slot_of(command) == slot


def test_redirections() -> None:
    assert redirection(ReplyError("MOVED", "MOVED 3999 10.0.0.2:7002"), A) == (B, False)
    assert redirection(ReplyError("ASK", "ASK 3999 10.0.0.2:7002"), A) == (B, True)
    assert redirection(ReplyError("MOVED", "MOVED 1 :7009"), A) == (Address("10.0.0.1", 7009), False)
    assert redirection(ReplyError("MOVED", "MOVED 1 fe80::1:7"), A) == (Address("fe80::1", 7), False)
    for other in (
        ReplyError("MOVED", "MOVED"),
        ReplyError("MOVED", "MOVED 1 h:x"),
        ReplyError("ERR", "ERR"),
        b"x",
        None,
    ):
        assert redirection(other, A) is None
