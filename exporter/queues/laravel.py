"""Laravel's ``redis`` queue driver, without Horizon (laravel/framework, Illuminate/Queue/RedisQueue.php and LuaScripts.php).

Keys are ``P`` + ``queues:`` + queue, where P is ``database.redis.options.prefix``, ``laravel_database_`` unless changed.

=========  ===========================================================  =======================================
state      from                                                         note
=========  ===========================================================  =======================================
waiting    LLEN ``queues:Q`` + ZCOUNT ``queues:Q:delayed`` -inf now     overdue ones move inside a worker's pop
active     ZCARD ``queues:Q:reserved``                                  expired reservations included
delayed    ZCARD ``queues:Q:delayed`` - overdue                         released jobs pass through it too
retry      unknown                                                      a retry is a delayed job
blocked    unknown
failed     unknown                                                      kept in the table ``failed_jobs``
=========  ===========================================================  =======================================

``queues:Q:notify`` wakes blocked workers and is no state. There is no set of names, so queues are found by SCAN.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from depthgauge.errors import ErrorKind
from depthgauge.names import clean
from depthgauge.resp import Command, Reply, TooLarge
from depthgauge.snapshot import LiveJobs, Queue
from exporter.queues.heads import HeadMemory
from exporter.queues.payload import count, eligible, fields, first_error, items, seconds, total
from exporter.queues.reader import Conversation, Reader
from exporter.settings import PrefixSettings

SYSTEM: Final = "laravel"
COMMANDS: Final = frozenset({"llen", "lindex", "zcard", "zcount", "zrange"})
"""The commands that reading sends."""
DEFAULT_PREFIX: Final = b"laravel_database_"
"""Where configured queues are read as long as no key has told the prefix: Laravel's own default up to 12."""

_MARK: Final = b"queues:"
_PARTS: Final = (b":reserved", b":delayed")
_CENTURY: Final = 3_155_760_000


class _Head(msgspec.Struct):
    """The envelope's fields that tell since when a job waits (Illuminate/Queue/Queue.php; Horizon's RedisPayload.php)."""

    id: Any = None
    attempts: Any = None
    createdAt: Any = None  # noqa: N815  Laravel's own spelling
    pushedAt: Any = None  # noqa: N815  Horizon's own spelling
    delay: Any = None


class LaravelReader(Reader):
    """Reads Laravel's queues. A handle is the key of the queue's list, prefix and braces included."""

    system: Final = SYSTEM
    needs_scan = True

    def __init__(self, settings: PrefixSettings, names: Sequence[str]) -> None:
        self._prefix = None if settings.prefix is None else settings.prefix.encode()
        self._names = tuple(name.encode() for name in names)
        self._heads = HeadMemory()
        self._found: Sequence[bytes] | None = None
        self._targets: tuple[tuple[str, tuple[bytes, ...]], ...] = ()

    def may_own(self, key: bytes) -> bool:
        """Say whether the key has the mark of a queue, under the configured prefix if there is one."""
        return _MARK in key if self._prefix is None else key.startswith(self._prefix + _MARK)

    def recognise(self, key: bytes, kind: bytes) -> bytes | None:
        """Return the list's key: its TYPE tells a queue whose name ends in ``:delayed`` from the delayed jobs of another."""
        if kind == b"list" and not key.endswith(b":notify"):
            base = key
        elif kind == b"zset" and key.endswith(_PARTS):
            base = key.rpartition(b":")[0]
        else:
            return None
        return base if self._split(base)[1] else None

    def name(self, handle: bytes) -> str:
        """Return the queue's name without prefix and braces."""
        return clean(self._split(handle)[1])

    def prefix(self, handle: bytes) -> bytes:
        """Return what stands before ``queues:``."""
        return self._split(handle)[0]

    def read(self, found: Sequence[bytes], now: float) -> Conversation[Sequence[Queue]]:
        """Read all queues in two batches."""
        if found is not self._found:
            self._targets = self._group(found)
            self._found = found
        keys = [key for _, keys in self._targets for key in keys]
        counts: list[Reply] = yield [command for key in keys for command in _counting(key, now)]
        read = {key: counts[4 * at : 4 * at + 4] for at, key in enumerate(keys)}
        asked = {key: command for key in keys if (command := self._head_command(key, read[key], now)) is not None}
        replies: list[Reply] = (yield list(asked.values())) if asked else []
        heads = dict(zip(asked, replies, strict=True))
        return [self._queue(label, keys, read, heads, now) for label, keys in self._targets]

    def _split(self, key: bytes) -> tuple[bytes, bytes]:
        """Return prefix and queue of a list's key, without the braces that Laravel adds on a cluster."""
        if self._prefix is None:
            prefix, _, queue = key.rpartition(_MARK)
        else:
            prefix, queue = self._prefix, key.removeprefix(self._prefix + _MARK)
        return prefix, queue[1:-1] if queue.startswith(b"{") and queue.endswith(b"}") else queue

    def _group(self, found: Sequence[bytes]) -> tuple[tuple[str, tuple[bytes, ...]], ...]:
        """Return label and keys of each queue, configured ones first.

        Two applications in one Redis are two prefixes. A queue name that only one of them has is its label; a name that
        several have becomes one label an application, prefix and name.
        """
        queues: dict[tuple[bytes, bytes], list[bytes]] = {}
        prefixes: dict[bytes, set[bytes]] = {}
        for key in found:
            prefix, queue = self._split(key)
            prefixes.setdefault(queue, set()).add(prefix)
        home = (
            self._prefix if self._prefix is not None else min(set().union(*prefixes.values()), default=DEFAULT_PREFIX)
        )
        for name in self._names:
            key = home + _MARK + name
            prefix, queue = self._split(key)
            if queue not in prefixes:
                prefixes[queue] = {prefix}
            for owner in sorted(prefixes[queue]):
                queues.setdefault((owner, queue), []).append(owner + _MARK + name)
        for key in found:
            keys = queues.setdefault(self._split(key), [])
            if key not in keys:
                keys.append(key)
        return tuple(
            (clean(queue if len(prefixes[queue]) == 1 else prefix + queue), tuple(keys))
            for (prefix, queue), keys in queues.items()
        )

    def _head_command(self, key: bytes, counts: Sequence[Reply], now: float) -> Command | None:
        listed, _, _, overdue = (count(reply) for reply in counts)
        if not self._heads.readable(key, now):
            return None
        if listed:
            return ("LINDEX", key, 0)
        return ("ZRANGE", key + b":delayed", 0, 0, "WITHSCORES") if overdue else None

    def _queue(
        self,
        label: str,
        keys: Sequence[bytes],
        read: dict[bytes, list[Reply]],
        heads: dict[bytes, Reply],
        now: float,
    ) -> Queue:
        listed, reserved, later, overdue = (total(count(read[key][column]) for key in keys) for column in range(4))
        waiting = total((listed, overdue)) if listed is not None else None
        delayed = None if later is None or overdue is None else max(0, later - overdue)
        error = first_error(reply for key in keys for reply in (*read[key], heads.get(key)))
        eligibles: list[datetime] = []
        seen: list[datetime] = []
        for key in keys:
            head = heads.get(key)
            if waiting and not self._heads.readable(key, now):
                error = error or ErrorKind.TOO_LARGE
            at, first, problem = self._judge(key, head, now)
            error = error or problem
            eligibles += [at] if at else []
            seen += [first] if first else []
        return Queue(
            system=SYSTEM,
            name=label,
            live=LiveJobs(waiting=waiting, active=reserved, delayed=delayed),
            head_eligible_at=min(eligibles, default=None),
            head_first_seen_at=min(seen, default=None) if not eligibles else None,
            error=error,
        )

    def _judge(self, key: bytes, head: Reply, now: float) -> tuple[datetime | None, datetime | None, str | None]:
        """Return eligible time, first-seen time and what is wrong with the head."""
        if isinstance(head, TooLarge) or any(isinstance(item, TooLarge) for item in items(head)):
            self._heads.pause(key, now)
            return None, None, ErrorKind.TOO_LARGE
        if isinstance(head, list):
            return (eligible(seconds(head[1]), now) if len(head) == 2 else None), None, None
        if not isinstance(head, bytes):
            return None, None, None
        job = fields(head, _Head)
        if job is None:
            return None, self._heads.first_seen(key, head, now), ErrorKind.GARBAGE
        at = _eligible_at(job, now)
        if at is not None:
            return at, None, None
        mark = f"{job.id} {job.attempts}".encode("utf-8", "replace") if isinstance(job.id, str) else head
        return None, self._heads.first_seen(key, mark, now), None


def _counting(key: bytes, now: float) -> tuple[Command, Command, Command, Command]:
    return (
        ("LLEN", key),
        ("ZCARD", key + b":reserved"),
        ("ZCARD", key + b":delayed"),
        ("ZCOUNT", key + b":delayed", "-inf", now),
    )


def _eligible_at(job: _Head, now: float) -> datetime | None:
    """Return when the job became eligible; None for one without a time, and for one tried before: its times are the first push's."""
    if isinstance(job.attempts, int) and job.attempts > 0:
        return None
    times = [at for at in (seconds(job.createdAt), seconds(job.pushedAt)) if at is not None]
    if not times:
        return None
    delay = job.delay if isinstance(job.delay, int | float) and not isinstance(job.delay, bool) else 0
    return eligible(max(times) + min(max(0, delay), _CENTURY), now)
