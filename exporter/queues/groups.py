"""Consumer groups of one stream, as queues: for streams in general and for Taskiq's (redis: t_stream.c, XINFO GROUPS).

XLEN is no backlog, because entries stay when they are acknowledged. Redis tells a group's backlog (``lag``) since 7.0, not
always, and not always rightly: it is None after an XDEL ahead of the group and for groups that began in the midst of a
stream, and before 7.4.2 and 8.0 it can be too large where the tail was deleted. So what stands behind the group is looked at:

* nothing there: 0, whatever ``lag`` says;
* ``lag`` is a number that is not negative (XGROUP's ENTRIESREAD can make it so): the smaller of it and XLEN;
* nothing was ever delivered: XLEN;
* otherwise it is counted, from the group to the end and from the beginning to the group, as far as :data:`MAX_COUNTED` and
  the bytes of a :class:`Budget` allow, because bodies travel with the entries. Unknown if both ways are longer.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from depthgauge.errors import ErrorKind
from depthgauge.names import clean
from depthgauge.resp import Command, Reply
from depthgauge.snapshot import LiveJobs, Queue
from exporter.queues.group_rows import (
    MAX_CONSUMERS,
    Details,
    Group,
    groups_of,
    has_too_large,
    next_id,
    size_of,
    waiting_of,
    workers_of,
)
from exporter.queues.heads import HeadMemory
from exporter.queues.payload import count, eligible, first_error, gone, items, seconds
from exporter.queues.reader import Conversation

COMMANDS: Final = frozenset({"xlen", "xinfo|groups", "xinfo|consumers", "xrange"})
"""The commands that reading sends."""
MAX_GROUPS: Final = 1_000
"""Groups shown of one stream."""
MAX_COUNTED: Final = 1_000
"""Entries counted each way where Redis does not tell the backlog."""
MAX_MET: Final = 50_000
"""Streams of one walk over the keys that are asked for groups."""

_MOST: Final = 50_000
_PAGE: Final = 500


class Budget:
    """Bytes that counting may fetch in one reading of a Redis, estimated from the head's size."""

    def __init__(self, size: int = 4 << 20) -> None:
        self._left = size

    def take(self, size: int) -> int:
        """Return how many entries of so many bytes may be fetched each way; 0 where nothing is left."""
        entries = min(MAX_COUNTED, self._left // (2 * max(1, size)))
        self._left -= 2 * entries * max(1, size)
        return entries


class Growth:
    """A counter that adds up what another one grew by, from 0 at the first look, and does not follow when that one falls."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[int | None, int]] = {}

    def update(self, key: bytes, value: int) -> int:
        """Return the total of a key, whose counter stands at ``value`` now."""
        before, total = self._known.pop(key, (None, 0))
        total += 0 if before is None else max(0, value - before)
        if len(self._known) >= _MOST:
            del self._known[next(iter(self._known))]
        self._known[key] = (value, total)
        return total

    def rebase(self) -> None:
        """Let the next look at each key count as 0 more: others have counted what went by meanwhile."""
        self._known = {key: (None, total) for key, (_, total) in self._known.items()}


class GroupReader:
    """Reads the groups of streams for one system; remembers heads and totals."""

    def __init__(self, system: str) -> None:
        self._system = system
        self._heads = HeadMemory()
        self._done = Growth()

    def rebase(self) -> None:
        """Let the totals go on from what is read next."""
        self._done.rebase()

    def read(
        self,
        key: bytes,
        counts: Sequence[Reply],
        *,
        label: Callable[[bytes], str | None],
        expected: Mapping[bytes, str],
        now: float,
        budget: Budget | None,
    ) -> Conversation[dict[bytes, Queue]]:
        """Return the queue of each group, given the replies to :func:`counting`; two batches at most, one without a budget.

        ``label`` names a group, or says None for one that is not shown. ``expected`` are groups to be shown also when they
        are gone, with their labels.
        """
        length = count(counts[0])
        groups = {group.name: group for group in groups_of(counts[1])[:MAX_GROUPS] if label(group.name) is not None}
        details = {name: self._details(key, group, length, now) for name, group in groups.items()}
        commands = [command for name, group in groups.items() for command in _asking(key, group, details[name])]
        rest = iter((yield commands) if commands else [])
        for each in details.values():
            each.head = next(rest) if each.start is not None else None
            each.consumers = next(rest) if each.asks_consumers else None
        for name, group in groups.items():
            details[name].may_count = budget is not None
            details[name].counted = _to_count(group, details[name], length, budget) if budget is not None else 0
        commands = [command for name, group in groups.items() for command in _counting_out(key, group, details[name])]
        rest = iter((yield commands) if commands else [])
        for each in details.values():
            if each.counted:
                each.ahead, each.behind = next(rest), next(rest)
        queues = {
            name: self._queue(key, group, details[name], counts, now, name=clean(label(name) or ""))
            for name, group in groups.items()
        }
        for name, text in expected.items():
            if name not in queues:
                queues[name] = self._missing(clean(text), length, counts)
        return queues

    def _details(self, key: bytes, group: Group, length: int | None, now: float) -> Details:
        looks = bool(length) and group.lag != 0 and group.delivered is not None
        return Details(
            start=next_id(group.delivered)
            if looks and group.delivered is not None and self._heads.readable(_mark(key, group), now)
            else None,
            asks_consumers=group.consumers is not None and 0 < group.consumers <= MAX_CONSUMERS,
        )

    def _queue(
        self,
        key: bytes,
        group: Group,
        details: Details,
        counts: Sequence[Reply],
        now: float,
        *,
        name: str,
    ) -> Queue:
        length = count(counts[0])
        mark = _mark(key, group)
        error = first_error((*counts, details.head, details.consumers, details.ahead, details.behind))
        waiting, bounded = waiting_of(group, details, length)
        if bounded or (group.consumers or 0) > MAX_CONSUMERS:
            error = error or ErrorKind.TOO_LARGE
        if group.pending is None or group.delivered is None:
            error = error or ErrorKind.GARBAGE
        if has_too_large(details.head):
            self._heads.pause(mark, now)
        if waiting and not self._heads.readable(mark, now):
            error = error or ErrorKind.TOO_LARGE
        at, seen = self._head(mark, details.head, now) if waiting != 0 else (None, None)
        alive, busy = workers_of(group, details, waiting)
        done = None
        if group.read is not None and group.pending is not None:
            done = self._done.update(mark, group.read - group.pending)
        return Queue(
            system=self._system,
            name=name,
            live=LiveJobs(waiting=waiting, active=group.pending),
            head_eligible_at=at,
            head_first_seen_at=seen,
            completed_total=done,
            registry_workers=alive,
            registry_workers_busy=busy,
            error=error,
        )

    def _missing(self, label: str, length: int | None, counts: Sequence[Reply]) -> Queue:
        """Return the queue of a group that is not there: nobody can say what waits for it, unless nothing is stored at all."""
        if gone(counts[1]) or (length == 0 and isinstance(counts[1], list)):
            return Queue(system=self._system, name=label, live=LiveJobs(waiting=0, active=0))
        error = first_error(counts)
        return Queue(system=self._system, name=label, error=error or ErrorKind.NOT_FOUND)

    def _head(self, mark: bytes, reply: Reply, now: float) -> tuple[datetime | None, datetime | None]:
        """Return eligible and first-seen time of the first entry that was not delivered: its id begins with milliseconds."""
        if has_too_large(reply) or not (entry := items(next(iter(items(reply)), None))):
            return None, None
        if not isinstance(entry[0], bytes):
            return None, None
        at = eligible(seconds(entry[0].partition(b"-")[0]), now)
        return at, None if at is not None else self._heads.first_seen(mark, entry[0], now)


def counting(key: bytes) -> tuple[Command, Command]:
    """Return the commands of the first batch."""
    return ("XLEN", key), ("XINFO", "GROUPS", key)


def groups_met(keys: Sequence[bytes]) -> Conversation[list[tuple[bytes, tuple[bytes, ...]]]]:
    """Ask streams that a walk has met for the names of their groups; those that are gone by now have none."""
    met = []
    for start in range(0, len(keys), _PAGE):
        page = keys[start : start + _PAGE]
        replies: list[Reply] = yield [("XINFO", "GROUPS", key) for key in page]
        met += [(key, tuple(each.name for each in groups_of(reply))) for key, reply in zip(page, replies, strict=True)]
    return met


def _asking(key: bytes, group: Group, details: Details) -> list[Command]:
    commands: list[Command] = []
    if details.start is not None:
        commands.append(("XRANGE", key, details.start, "+", "COUNT", 1))
    if details.asks_consumers:
        commands.append(("XINFO", "CONSUMERS", key, group.name))
    return commands


def _to_count(group: Group, details: Details, length: int | None, budget: Budget) -> int:
    """Return how many entries are to be counted each way; 0 where the backlog is known without, or cannot be counted."""
    known = group.lag is not None or group.delivered in {None, (0, 0)}
    if known or not length or not items(details.head) or has_too_large(details.head):
        return 0
    return budget.take(size_of(details.head))


def _counting_out(key: bytes, group: Group, details: Details) -> list[Command]:
    if not details.counted or details.start is None or group.delivered is None:
        return []
    return [
        ("XRANGE", key, details.start, "+", "COUNT", details.counted),
        ("XRANGE", key, "-", "{}-{}".format(*group.delivered), "COUNT", details.counted),
    ]


def _mark(key: bytes, group: Group) -> bytes:
    return key + b"\0" + group.name
