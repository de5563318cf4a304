"""A Redis Cluster as if it were one server: each command goes to the master that has its key.

All masters are asked side by side, one pipeline each, within one deadline. One that fails costs the replies it owes and no
others: they are errors that name it (:func:`~depthgauge.redis_link.unanswered`). MOVED and ASK are followed.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from depthgauge.errors import ErrorKind, SourceError
from depthgauge.redis_link import is_unanswered, kind_of_code, unanswered
from depthgauge.redis_nodes import Answer, Nodes
from depthgauge.redis_slots import SlotMap, redirection, slot_map, slot_of
from depthgauge.redis_url import Address, address_of, parse
from depthgauge.resp import MAX_BULK, Command, Reply, ReplyError
from depthgauge.secrets import Secret, masked

PATIENCE: Final = 2.0
"""Seconds that one node has for telling the map, less where little is left."""
TURNS: Final = 4
"""How often a command is sent at most: a redirection sends it once more."""

_GONE: Final = frozenset({ErrorKind.CLOSED, ErrorKind.DNS, ErrorKind.REFUSED, ErrorKind.UNREACHABLE})
"""What a master shows that is gone: another one may have its slots now."""


@dataclass(slots=True)
class _Call:
    """One exchange under way."""

    commands: Sequence[Command]
    replies: list[Reply]
    places: dict[int, tuple[Address, bool]] = field(default_factory=dict)
    """Commands still to be sent: where to, and whether ASKING goes before it."""
    scanned: dict[int, Address] = field(default_factory=dict)
    """The masters that SCAN is at."""
    failed: set[Address] = field(default_factory=set)


class ClusterLink:
    """A :class:`~depthgauge.redis_link.Link` to all masters of a cluster; not for several threads at once.

    Commands without a key go to the first master, by address, that answers. SCAN walks one master after the other: its
    cursor tells which one. CLIENT is refused: a part of the clients would pass for all of them.
    """

    def __init__(self, url: Secret, *, connect_timeout: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.url = url
        self.skipped: tuple[str, ...] = ()
        """Why masters were left out of the SCAN under way, or of the one done last."""
        self._where = parse(url)
        self._shown = f"Redis at {masked(url.reveal())}"
        self._monotonic = monotonic
        self._nodes = Nodes(self._where.server, connect_timeout=connect_timeout, monotonic=monotonic)
        self._slots: SlotMap | None = None
        self._stale = False
        self._masters: tuple[Address, ...] = ()
        self._changes = 0

    @property
    def connects(self) -> int:
        """How often the set of servers has changed: the first map, each other set of masters, each connection made anew."""
        return self._changes + self._nodes.reconnects

    def exchange(self, commands: Sequence[Command], *, deadline: float, max_bulk: int = MAX_BULK) -> list[Reply]:
        """Send each command to where its key is, return the replies in order. Commands may be sent twice.

        Raise SourceError if there is nobody to answer what needs no key, or if the cluster as a whole is down.
        """
        if not commands:
            return []
        slots = self._map(deadline)
        call = _Call(commands, [None] * len(commands))
        self._place(call, range(len(commands)), slots)
        for turn in range(TURNS):
            lost = self._turn(call, slots, deadline, max_bulk)
            if lost and turn == 0 and self._stale and self._monotonic() < deadline:
                slots = self._map(deadline)
            self._place(call, lost, slots)
            if not call.places:
                break
        self._raise_if_down(call)
        for index, address in call.scanned.items():
            call.replies[index] = self._page(commands[index], call.replies[index], slots, address)
        return call.replies

    def each(
        self, commands: Sequence[Command], *, deadline: float, max_bulk: int = MAX_BULK
    ) -> Mapping[Address, Answer]:
        """Send the same commands to every master of the map."""
        masters = self._map(deadline).masters
        return self._nodes.ask(dict.fromkeys(masters, commands), deadline=deadline, max_bulk=max_bulk)

    def renew(self) -> None:
        """Ask for the map anew before the next call: masters may have come, or gone."""
        self._stale = True

    def close(self) -> None:
        """Close the connections; a call in flight in another thread ends with an error. The map is asked for anew."""
        self.renew()
        self._nodes.close()

    def _place(self, call: _Call, indices: Iterable[int], slots: SlotMap) -> None:
        """Say where these commands go; one that nobody can answer keeps, or gets, an error for a reply."""
        for index in indices:
            command = call.commands[index]
            slot = slot_of(command)
            if _word(command[0]).upper() == "CLIENT":
                call.replies[index] = ReplyError("ERR", "ERR no node of a cluster knows the clients of all")
                continue
            if _is_scan(command):
                owner = call.scanned.get(index) or _scanned(command, slots)[0]
                if owner is None:
                    call.replies[index] = [b"0", []]
                    continue
                call.scanned[index] = owner
            elif slot is None:
                owner = next((each for each in slots.masters if each not in call.failed), None)
            else:
                owner = slots.owner(slot)
                if owner is None:
                    self._stale = True
                    call.replies[index] = ReplyError("CLUSTERDOWN", f"CLUSTERDOWN no master has the slot {slot}")
            if owner is not None and owner not in call.failed:
                call.places[index] = (owner, False)

    def _turn(self, call: _Call, slots: SlotMap, deadline: float, max_bulk: int) -> Sequence[int]:
        """Send what is placed; place again what was redirected, return what was lost to a node that failed."""
        shares: dict[Address, list[int]] = {}
        for index, (address, _) in call.places.items():
            shares.setdefault(address, []).append(index)
        wires: dict[Address, list[Command]] = {
            address: [each for index in indices for each in _wire(call.commands[index], slots, call.places[index])]
            for address, indices in shares.items()
        }
        answers = self._nodes.ask(wires, deadline=deadline, max_bulk=max_bulk)
        places, call.places = call.places, {}
        lost: list[int] = []
        for address, indices in shares.items():
            error = answers[address].error
            if error is not None:
                call.failed.add(address)
                self._stale |= error.kind in _GONE
                lost += indices
                for index in indices:
                    call.replies[index] = unanswered(error)
                continue
            told = iter(answers[address].replies)
            for index in indices:
                if places[index][1]:
                    next(told)
                reply = call.replies[index] = next(told)
                onward = redirection(reply, address)
                if onward is not None:
                    self._stale |= not onward[1]
                    call.places[index] = onward
        return lost

    def _raise_if_down(self, call: _Call) -> None:
        keyed: list[Reply] = []
        for command, reply in zip(call.commands, call.replies, strict=True):
            if slot_of(command) is not None:
                keyed.append(reply)
            elif isinstance(reply, ReplyError) and is_unanswered(reply) and not _is_scan(command):
                raise SourceError(kind_of_code(reply.code), f"{self._shown}: {reply.message}")
        errors = [each for each in keyed if isinstance(each, ReplyError)]
        down = [each.message for each in errors if each.code == "CLUSTERDOWN"]
        lost = [each.message for each in errors if is_unanswered(each)]
        if down and len(down) + len(lost) == len(keyed):
            told = "; ".join((*down[:1], *lost[:1]))
            raise SourceError(ErrorKind.UNREACHABLE, f"{self._shown}: the cluster is down: {told}")

    def _page(self, command: Command, reply: Reply, slots: SlotMap, address: Address) -> Reply:
        """Return a page of SCAN with a cursor that leads on to the next master; a master that failed has an empty one."""
        if _word(command[1]) == "0":
            self.skipped = ()
        if isinstance(reply, ReplyError) and is_unanswered(reply):
            self.skipped += (reply.message,)
            reply = [b"0", []]
        if not isinstance(reply, list) or len(reply) != 2:
            return reply
        cursor, page = reply
        if not isinstance(cursor, bytes):
            return reply
        if cursor != b"0":
            return [f"{address} ".encode() + cursor, page]
        following = slots.after(address)
        return [b"0" if following is None else f"{following} 0".encode(), page]

    def _map(self, deadline: float) -> SlotMap:
        """Return the map, asked for anew if it is stale; the old one where nobody tells a new one."""
        if self._slots is not None and not self._stale:
            return self._slots
        asked = tuple(dict.fromkeys((*self._masters, *self._where.addresses)))
        troubles: list[SourceError] = []
        for index, address in enumerate(asked):
            now = self._monotonic()
            until = now + min(PATIENCE, (deadline - now) / (len(asked) - index + 1))
            answer = self._nodes.ask({address: [("CLUSTER", "SLOTS")]}, deadline=until)[address]
            try:
                slots = self._read_map(answer, address)
            except SourceError as exc:
                troubles.append(exc)
                continue
            self._slots, self._stale = slots, False
            if slots.masters != self._masters:
                self._masters = slots.masters
                self._changes += 1
            self._nodes.keep(slots.masters)
            return slots
        if self._slots is not None:
            return self._slots
        told = "; ".join(dict.fromkeys(map(str, troubles)))
        raise SourceError(troubles[-1].kind, f"{self._shown}: no node tells which ones there are: {told}")

    def _read_map(self, answer: Answer, address: Address) -> SlotMap:
        if answer.error is not None:
            raise answer.error
        reply = answer.replies[0]
        if isinstance(reply, ReplyError):
            hint = " (write redis:// for a single server)" if "cluster support disabled" in reply.message else ""
            raise SourceError(kind_of_code(reply.code), f"{address} refused CLUSTER SLOTS: {reply.message}{hint}")
        slots = slot_map(reply, address)
        if slots is None:
            raise SourceError(ErrorKind.GARBAGE, f"{address} answered CLUSTER SLOTS with {str(reply)[:60]}")
        if not slots.masters:
            raise SourceError(ErrorKind.UNREACHABLE, f"{address} knows no master that has slots")
        return slots


def _word(word: str | bytes | float) -> str:
    return word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)


def _is_scan(command: Command) -> bool:
    return _word(command[0]).upper() == "SCAN"


def _scanned(command: Command, slots: SlotMap) -> tuple[Address | None, str]:
    """Return the master that SCAN is at, and the cursor for it; None at the end, also where the masters changed meanwhile."""
    place, _, cursor = _word(command[1]).rpartition(" ")
    if not place:
        return slots.masters[0], cursor
    host, _, port = place.rpartition(":")
    address = address_of(host.strip("[]"), port)
    if address in slots.masters:
        return address, cursor
    return (None if address is None else slots.after(address)), "0"


def _wire(command: Command, slots: SlotMap, place: tuple[Address, bool]) -> Sequence[Command]:
    """Return what is sent for a command."""
    if _is_scan(command):
        return [(command[0], _scanned(command, slots)[1], *command[2:])]
    return [("ASKING",), command] if place[1] else [command]
