"""Huey's Redis storages (huey/storage.py, huey/api.py), 2.x and 3.x.

NAME is the instance's name without anything but letters, digits and ``_``, unless it has ``clean_name=False``.

=========  ===========================================================  =======================================
state      from                                                         note
=========  ===========================================================  =======================================
waiting    LLEN ``huey.redis.NAME``; ZCARD where it is a sorted set     a sorted set with priorities; scheduled
           + ZCOUNT ``huey.schedule.NAME`` -inf now - 14 h              tasks are here until a consumer moves them
active     unknown                                                      a task that runs is nowhere in Redis
delayed    ZCARD ``huey.schedule.NAME`` - those of above                retries with a delay included
retry      unknown                                                      a retry is a queued or delayed task
blocked    unknown
finished   unknown                                                      ``huey.results.NAME`` holds locks and
                                                                        revocations too, and loses what is read
=========  ===========================================================  =======================================

Scores of the schedule are local time taken for UTC, or the other way round: off by the UTC offset of the consumer, which is
at most 14 hours. What is more than that behind is overdue whatever the zone. Tasks are pickled: none is read.
"""

import re
from collections.abc import Container, Sequence
from datetime import datetime
from typing import Final

from depthgauge.errors import ErrorKind
from depthgauge.names import clean
from depthgauge.resp import Command, Reply, TooLarge
from depthgauge.snapshot import LiveJobs, Queue
from exporter.queues.heads import HeadMemory
from exporter.queues.payload import count, eligible, first_error, total
from exporter.queues.reader import Conversation, Reader

SYSTEM: Final = "huey"
COMMANDS: Final = frozenset({"llen", "lindex", "zcard", "zcount", "zrange"})
"""The commands that reading sends, beside TYPE."""
FARTHEST_ZONE: Final = 14 * 3600
"""Seconds that local time may be ahead of UTC."""

_QUEUE: Final = b"huey.redis."
_SCHEDULE: Final = b"huey.schedule."
_RESULTS: Final = b"huey.results."
_KINDS: Final = {_QUEUE: (b"list", b"zset"), _SCHEDULE: (b"zset",), _RESULTS: (b"hash",)}
"""Keys that tell a queue by name, and their types."""
_STARTS: Final = tuple(_KINDS)
_DROPPED: Final = re.compile(rb"[^A-Za-z0-9_]")
_STAMP: Final = 8
"""Bytes of the time (big-endian, in µs) before a task in a queue with priorities."""


class HueyReader(Reader):
    """Reads Huey's queues. A handle is the name as it stands in the keys."""

    system: Final = SYSTEM
    needs_scan = True

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(name.encode() for name in names)
        self._heads = HeadMemory()

    def may_own(self, page: Sequence[bytes]) -> Sequence[bytes]:
        """Return the keys that begin as those of Huey that end with the queue's name."""
        return [key for key in page if key.startswith(_STARTS)]

    def recognise(self, key: bytes, kind: bytes) -> bytes | None:
        """Return the name. Results are no queue, but tell one that is idle."""
        start = next(start for start in _KINDS if key.startswith(start))
        return (key.removeprefix(start) or None) if kind in _KINDS[start] else None

    def name(self, handle: bytes) -> str:
        """Return the name, cleaned."""
        return clean(handle)

    def read(self, found: Sequence[bytes], now: float) -> Conversation[Sequence[Queue]]:
        """Read all queues in two batches: what they are and what is scheduled, then what is queued and its head."""
        known = dict.fromkeys(found)
        names = tuple(dict.fromkeys((*(_in_keys(name, known) for name in self._names), *known)))
        if not names:
            return ()
        told: list[Reply] = yield [command for name in names for command in _first(name, now)]
        rows = {name: told[3 * at : 3 * at + 3] for at, name in enumerate(names)}
        asked = {name: self._second(name, row[0], now) for name, row in rows.items()}
        commands = [command for second in asked.values() for command in second]
        replies = iter((yield commands) if commands else [])
        return [self._queue(name, rows[name], [next(replies) for _ in asked[name]], now) for name in names]

    def _second(self, name: bytes, kind: Reply, now: float) -> tuple[Command, ...]:
        key = _QUEUE + name
        if kind not in (b"list", b"zset"):
            return ()
        counting, head = (
            (("LLEN", key), ("LINDEX", key, -1)) if kind == b"list" else (("ZCARD", key), ("ZRANGE", key, 0, 0))
        )
        return (counting, head) if self._heads.readable(name, now) else (counting,)

    def _queue(self, name: bytes, told: Sequence[Reply], second: Sequence[Reply], now: float) -> Queue:
        kind, scheduled, overdue = told[0], count(told[1]), count(told[2])
        error = first_error((*told, *second))
        queued = count(second[0]) if second else None
        if kind == b"none":
            queued = 0
        elif isinstance(kind, bytes) and not second:
            error = error or ErrorKind.WRONG_TYPE
        if queued and not self._heads.readable(name, now):
            error = error or ErrorKind.TOO_LARGE
        at, seen = self._judge(name, second[1], now) if len(second) > 1 else (None, None)
        return Queue(
            system=SYSTEM,
            name=clean(name),
            live=LiveJobs(
                waiting=None if queued is None else total((queued, overdue)),
                delayed=None if scheduled is None or overdue is None else max(0, scheduled - overdue),
            ),
            head_eligible_at=at,
            head_first_seen_at=seen,
            error=error,
        )

    def _judge(self, name: bytes, reply: Reply, now: float) -> tuple[datetime | None, datetime | None]:
        """Return eligible time and first-seen time of the head: a list's element, or the members of a range of one."""
        head = next(iter(reply), None) if isinstance(reply, list) else reply
        if isinstance(head, TooLarge):
            self._heads.pause(name, now)
        if not isinstance(head, bytes):
            return None, None
        at = None
        if isinstance(reply, list):
            at = eligible(int.from_bytes(head[:_STAMP], "big") / 1e6, now)
        return (at, None) if at is not None else (None, self._heads.first_seen(name, head, now))


def _first(name: bytes, now: float) -> tuple[Command, ...]:
    schedule = _SCHEDULE + name
    return (
        ("TYPE", _QUEUE + name),
        ("ZCARD", schedule),
        ("ZCOUNT", schedule, "-inf", now - FARTHEST_ZONE),
    )


def _in_keys(name: bytes, found: Container[bytes]) -> bytes:
    """Return a configured name as it stands in the keys: without what Huey drops, unless it was found as it is."""
    return name if name in found else _DROPPED.sub(b"", name) or name
