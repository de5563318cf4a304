"""Which node of a Redis Cluster has which keys, as CLUSTER SLOTS tells it, and which key a command is about.

https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/. CLUSTER SLOTS is what Redis from 3 on and Valkey
all have; a node names the others by the endpoint it prefers, with the port of TLS where it was asked over TLS.
"""

from collections.abc import Sequence
from typing import Final

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from depthgauge.redis_url import Address, address_of
from depthgauge.resp import Command, Reply, ReplyError

MAX_NODES: Final = 1000
"""The cluster's own limit."""

_KEYLESS: Final = frozenset(
    {"CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DBSIZE", "INFO", "PING", "ROLE", "SCAN", "TIME"}
)
_KEY_SECOND: Final = frozenset({"MEMORY", "OBJECT", "XGROUP", "XINFO"})


class SlotMap:
    """Masters by slot."""

    def __init__(self, ranges: Sequence[tuple[int, int, Address]]) -> None:
        self._owners: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        for first, last, address in ranges:
            self._owners[first : last + 1] = [address] * (last + 1 - first)
        self.masters: tuple[Address, ...] = tuple(sorted({address for _, _, address in ranges}))
        """Every master that has slots, in one order for everybody."""

    def owner(self, slot: int) -> Address | None:
        """Return the master of a slot; None where there is none."""
        return self._owners[slot]

    def after(self, address: Address) -> Address | None:
        """Return the next master, also after one that is none any more; None after the last."""
        return next((each for each in self.masters if each > address), None)


def slot_map(reply: Reply, asked: Address) -> SlotMap | None:
    """Return what a node answered to CLUSTER SLOTS; None for anything else. ``asked`` is the node."""
    if not isinstance(reply, list):
        return None
    ranges: list[tuple[int, int, Address]] = []
    for told in reply:
        if not isinstance(told, list) or len(told) < 3 or not isinstance(told[2], list) or len(told[2]) < 2:
            return None
        first, last, (host, port, *_) = told[0], told[1], told[2]
        # A node that knows no endpoint of its own means: where you have reached me.
        address = (
            address_of(asked.host if host in {None, b"", b"?"} else host, port) if not isinstance(host, list) else None
        )
        if address is None or not isinstance(first, int) or not isinstance(last, int):
            return None
        if not 0 <= first <= last < REDIS_CLUSTER_HASH_SLOTS:
            return None
        ranges.append((first, last, address))
    made = SlotMap(ranges)
    return made if len(made.masters) <= MAX_NODES else None


def slot_of(command: Command) -> int | None:
    """Return the slot of the command's (first) key; None for a command without one."""
    name = str(command[0]).upper()
    at = 2 if name in _KEY_SECOND else 1
    if name in _KEYLESS or len(command) <= at:
        return None
    key = command[at]
    return key_slot(key if isinstance(key, bytes) else str(key).encode())


def redirection(reply: Reply, asked: Address) -> tuple[Address, bool] | None:
    """Return where MOVED or ASK sends a command, and whether ASKING has to go before it; None for another reply."""
    if not isinstance(reply, ReplyError) or reply.code not in {"MOVED", "ASK"}:
        return None
    words = reply.message.split()
    if len(words) < 3:
        return None
    host, _, port = words[2].rpartition(":")
    address = address_of(host.strip("[]") or asked.host, port)
    return None if address is None else (address, reply.code == "ASK")
