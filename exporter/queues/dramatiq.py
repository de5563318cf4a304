"""Dramatiq's Redis broker (dramatiq/brokers/redis.py, brokers/redis/dispatch.lua, actor.py, middleware/retries.py).

Keys are P + ``:`` + queue, where P is the broker's ``namespace``, ``dramatiq`` unless changed.

=========  ===========================================================  =======================================
state      from                                                         note
=========  ===========================================================  =======================================
waiting    LLEN ``P:Q``                                                 ids, of messages that nobody fetched
active     HLEN ``P:Q.msgs`` - LLEN ``P:Q``                             running or prefetched by a worker;
                                                                        abandoned ones until maintenance
delayed    HLEN ``P:Q.DQ.msgs``                                         retries, and overdue ones, included
retry      unknown                                                      a retry is a delayed message
blocked    unknown
dead       ZCARD ``P:Q.XQ``                                             kept a week by default
=========  ===========================================================  =======================================

When a delayed message is due stands in its body only, so overdue ones cannot be counted. ``P:__heartbeats__`` holds every
process that used the broker, producers included: it is no registry of workers, but tells a namespace. There is no set of
names, so queues are found by SCAN.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from depthgauge.errors import ErrorKind
from depthgauge.resp import Command, Reply, TooLarge
from depthgauge.snapshot import KeptJobs, LiveJobs, Queue
from exporter.queues.heads import HeadMemory
from exporter.queues.naming import handle_of, labels, parts_of
from exporter.queues.payload import count, eligible, fields, first_error, seconds
from exporter.queues.reader import Conversation, Reader
from exporter.settings import PrefixSettings

SYSTEM: Final = "dramatiq"
COMMANDS: Final = frozenset({"llen", "hlen", "zcard", "lindex", "hget"})
"""The commands that reading sends."""
DEFAULT_PREFIX: Final = b"dramatiq"
"""Where configured queues are read as long as no key has told the namespace."""
MOST_CANDIDATES: Final = 20_000
"""Queues under namespaces not known that one walk looks into."""

_NAME: Final = re.compile(rb"[A-Za-z_][A-Za-z0-9._-]*")
"""What Dramatiq takes for a queue's name (actor.py): dots, but no colon."""
_MESSAGES: Final = b".msgs"
_DEAD: Final = b".XQ"
_ENDS: Final = (_MESSAGES, _DEAD)
_OTHERS: Final = (b".DQ", _DEAD)
"""What the delayed and the dead messages of a queue are kept under."""
_HEARTBEATS: Final = b":__heartbeats__"
_COUNTS: Final = 4
_CHUNK: Final = 500


class _Message(msgspec.Struct):
    """What of a message tells since when it waits (message.py); all times in ms."""

    message_timestamp: Any = None
    options: Any = None


class DramatiqReader(Reader):
    """Reads Dramatiq's queues. A handle is namespace and name."""

    system: Final = SYSTEM
    needs_scan = True

    def __init__(self, settings: PrefixSettings, names: Sequence[str]) -> None:
        self.own_prefix = self._prefix = None if settings.prefix is None else settings.prefix.encode()
        self._names = tuple(name.encode() for name in names)
        self._start = b"" if self._prefix is None else self._prefix + b":"
        self._home = DEFAULT_PREFIX if self._prefix is None else self._prefix
        self._candidates: dict[bytes, None] = {}
        self._heads = HeadMemory()
        self._found: Sequence[bytes] | None = None
        self._keys: dict[bytes, str] = {}

    @property
    def prefixes(self) -> Sequence[bytes]:  # type: ignore[override]  # read only here
        """Handles met under namespaces that are not known to be Dramatiq's; :meth:`discover` looks into them."""
        return tuple(self._candidates)

    def discover(self) -> Conversation[Sequence[bytes]]:
        """Return the handles met under namespaces that have Dramatiq's heartbeats: others have keys of these endings too."""
        candidates, self._candidates = tuple(self._candidates), {}
        namespaces = tuple(dict.fromkeys(parts_of(handle)[0] for handle in candidates))
        proven: set[bytes] = set()
        for start in range(0, len(namespaces), _CHUNK):
            chunk = namespaces[start : start + _CHUNK]
            kinds: list[Reply] = yield [("TYPE", namespace + _HEARTBEATS) for namespace in chunk]
            proven |= {namespace for namespace, kind in zip(chunk, kinds, strict=True) if kind == b"zset"}
        return tuple(handle for handle in candidates if parts_of(handle)[0] in proven)

    def may_own(self, page: Sequence[bytes]) -> Sequence[bytes]:
        """Return the keys that end like a hash of messages or a set of dead ones, in the configured namespace."""
        return [key for key in page if key.endswith(_ENDS) and key.startswith(self._start)]

    def recognise(self, key: bytes, kind: bytes) -> bytes | None:
        """Return namespace and queue: delayed and dead messages belong to the queue they came from.

        Under a namespace that is neither the default nor configured they are remembered until :meth:`discover`.
        """
        prefix, colon, name = key.rpartition(b":")
        if kind == b"hash" and name.endswith(_MESSAGES):
            name = name.removesuffix(_MESSAGES)
            name = name[:-3] if name.endswith(_OTHERS) else name
        elif kind == b"zset" and name.endswith(_DEAD):
            name = name.removesuffix(_DEAD)
        else:
            return None
        if not colon or b"\0" in prefix or _NAME.fullmatch(name) is None or self._prefix not in (None, prefix):
            return None
        handle = handle_of(prefix, name)
        if prefix == self._home:
            return handle
        if len(self._candidates) < MOST_CANDIDATES:
            self._candidates[handle] = None
        return None

    def read(self, found: Sequence[bytes], now: float) -> Conversation[Sequence[Queue]]:
        """Read all queues in two batches: counts and the ids of the heads, then the heads' messages."""
        if found is not self._found:
            queues = self._queues(found)
            names = labels(queues)
            self._keys = {prefix + b":" + name: names[prefix, name] for prefix, name in queues}
            self._found = found
        keys = self._keys
        if not keys:
            return ()
        asked = {key: (*_counting(key), *self._first(key, now)) for key in keys}
        replies = iter((yield [command for commands in asked.values() for command in commands]))
        read = {key: [next(replies) for _ in commands] for key, commands in asked.items()}
        heads = {
            key: ("HGET", key + _MESSAGES, row[_COUNTS])
            for key, row in read.items()
            if len(row) > _COUNTS and isinstance(row[_COUNTS], bytes)
        }
        bodies: list[Reply] = (yield list(heads.values())) if heads else []
        messages = dict(zip(heads, bodies, strict=True))
        return [self._queue(key, label, read[key], messages.get(key), now) for key, label in keys.items()]

    def _queues(self, found: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
        """Return namespace and name of each queue, those first that are configured and were not found."""
        known = [parts_of(handle) for handle in found]
        told = {name for _, name in known}
        home = self._prefix if self._prefix is not None else (known[0][0] if known else DEFAULT_PREFIX)
        return [*((home, name) for name in self._names if name not in told), *known]

    def _first(self, key: bytes, now: float) -> tuple[Command, ...]:
        return (("LINDEX", key, 0),) if self._heads.readable(key, now) else ()

    def _queue(self, key: bytes, label: str, row: Sequence[Reply], message: Reply, now: float) -> Queue:
        listed, kept, delayed, dead = (count(reply) for reply in row[:_COUNTS])
        error = first_error((*row, message))
        if listed and not self._heads.readable(key, now):
            error = error or ErrorKind.TOO_LARGE
        first = row[_COUNTS] if len(row) > _COUNTS else None
        at, seen = self._judge(key, first, message, now)
        return Queue(
            system=SYSTEM,
            name=label,
            live=LiveJobs(
                waiting=listed,
                active=None if kept is None or listed is None else max(0, kept - listed),
                delayed=delayed,
            ),
            kept=KeptJobs(dead=dead),
            head_eligible_at=at,
            head_first_seen_at=seen,
            error=error,
        )

    def _judge(self, key: bytes, first: Reply, message: Reply, now: float) -> tuple[datetime | None, datetime | None]:
        """Return eligible time and first-seen time of the head, given its id and its message."""
        if isinstance(first, TooLarge) or isinstance(message, TooLarge):
            self._heads.pause(key, now)
            return None, None
        if not isinstance(first, bytes):
            return None, None
        # A body that is no JSON is no mistake: the encoder is the application's choice.
        body = fields(message, _Message) if isinstance(message, bytes) else None
        at = None if body is None else _eligible_at(body, now)
        return (at, None) if at is not None else (None, self._heads.first_seen(key, first, now))


def _counting(key: bytes) -> tuple[Command, ...]:
    return (
        ("LLEN", key),
        ("HLEN", key + _MESSAGES),
        ("HLEN", key + b".DQ" + _MESSAGES),
        ("ZCARD", key + _DEAD),
    )


def _eligible_at(message: _Message, now: float) -> datetime | None:
    """Return when the message became eligible; None if that is not known.

    A retry keeps its first timestamp, and is queued again after a random part of a back-off that is not stored.
    """
    options = message.options if isinstance(message.options, dict) else {}
    if options.get("retries"):
        return None
    times = [at for at in (seconds(message.message_timestamp), seconds(options.get("eta"))) if at is not None]
    return eligible(max(times), now) if times else None
