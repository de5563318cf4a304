"""What a consumer group of a stream is known by: its row of XINFO GROUPS, its head and its consumers; pure."""

from dataclasses import dataclass
from typing import Final

from depthgauge.resp import Reply, TooLarge
from exporter.queues.payload import count, items

MAX_CONSUMERS: Final = 1_000
"""Consumers of one group; they are not read where there are more: nothing removes those that are gone."""
ALIVE: Final = 600.0
"""Seconds since a consumer last asked for entries (before Redis 7.2: was last given some) that it counts as living."""

_LAST: Final = (1 << 64) - 1
_LONGEST_ID: Final = len(f"{_LAST}-{_LAST}")


@dataclass(frozen=True, slots=True)
class Group:
    """A row of XINFO GROUPS; None for what this version of Redis does not tell or does not know."""

    name: bytes
    consumers: int | None
    pending: int | None
    delivered: tuple[int, int] | None
    """The last id that was delivered."""
    read: int | None
    lag: int | None


@dataclass(slots=True)
class Details:
    """What was asked about one group, and the answers."""

    start: str | None
    """The id behind the last delivered one, if the head is to be read."""
    asks_consumers: bool
    head: Reply = None
    consumers: Reply = None
    may_count: bool = True
    """Whether there is a batch left for counting."""
    counted: int = 0
    """Entries asked for each way, where the backlog has to be counted."""
    ahead: Reply = None
    """The entries that were not delivered, or the first of them."""
    behind: Reply = None
    """The first entries of the stream, up to the last delivered one."""


def groups_of(reply: Reply) -> list[Group]:
    """Return the rows of a reply to XINFO GROUPS; fields that are unknown or missing do no harm."""
    rows = []
    for row in items(reply):
        fields = items(row)
        known = {name: value for name, value in zip(fields[::2], fields[1::2], strict=False) if isinstance(name, bytes)}
        name = known.get(b"name")
        if isinstance(name, bytes):
            delivered, read = _id(known.get(b"last-delivered-id")), count(known.get(b"entries-read"))
            rows.append(
                Group(
                    name=name,
                    consumers=count(known.get(b"consumers")),
                    pending=count(known.get(b"pending")),
                    delivered=delivered,
                    # A group that was never given anything has read nothing; Valkey says that it does not know.
                    read=0 if delivered == (0, 0) and b"entries-read" in known else read,
                    lag=count(known.get(b"lag")),
                )
            )
    return rows


def waiting_of(group: Group, details: Details, length: int | None) -> tuple[int | None, bool]:
    """Return how many entries were not delivered, and whether that is unknown because there are too many to count."""
    if length == 0 or group.lag == 0 or (isinstance(details.head, list) and not details.head):
        return 0, False
    if group.lag is not None:
        return group.lag if length is None else min(group.lag, length), False
    if length is None or group.delivered is None:
        return None, False
    if group.delivered == (0, 0):
        return length, False
    if isinstance(details.ahead, list) and len(details.ahead) < details.counted:
        return len(details.ahead), False
    if isinstance(details.behind, list) and len(details.behind) < details.counted:
        return max(len(items(details.ahead)), length - len(details.behind)), False
    return None, details.may_count


def workers_of(group: Group, details: Details, waiting: int | None) -> tuple[int | None, int | None]:
    """Return living and busy consumers.

    Consumers stay after their process, and one that waits without a timeout, or is busy for long, is as silent as one
    that is gone. So none are said to be living only where jobs wait that a living one would have taken.
    """
    if group.consumers is None or group.consumers > MAX_CONSUMERS:
        return None, None
    if details.asks_consumers and not isinstance(details.consumers, list):
        return None, None
    alive = busy = holders = 0
    for row in items(details.consumers):
        fields = items(row)
        known = {name: value for name, value in zip(fields[::2], fields[1::2], strict=False) if isinstance(name, bytes)}
        idle, pending = count(known.get(b"idle")), count(known.get(b"pending"))
        living = idle is not None and idle <= ALIVE * 1e3
        alive += living
        busy += living and bool(pending)
        holders += not living and bool(pending)
    return (alive, busy) if alive or (waiting and not holders) else (None, None)


def _id(value: Reply | None) -> tuple[int, int] | None:
    if not isinstance(value, bytes):
        return None
    milliseconds, _, number = value.partition(b"-")
    usable = milliseconds.isdigit() and number.isdigit() and len(value) <= _LONGEST_ID
    return (int(milliseconds), int(number)) if usable else None


def next_id(last: tuple[int, int]) -> str:
    """Return the smallest id behind this one: exclusive ranges exist since Redis 6.2 only."""
    milliseconds, number = last
    return f"{milliseconds}-{number + 1}" if number < _LAST else f"{milliseconds + 1}-0"


def size_of(reply: Reply) -> int:
    """Return the bytes of all texts of a reply."""
    if isinstance(reply, list):
        return sum(size_of(item) for item in reply)
    return len(reply) if isinstance(reply, bytes) else 0


def has_too_large(reply: Reply) -> bool:
    """Say whether a text of a reply was read past, at any depth."""
    return isinstance(reply, TooLarge) or any(has_too_large(item) for item in items(reply))
