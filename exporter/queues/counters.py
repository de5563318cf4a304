"""Counters that workers keep by a convention, for systems that keep none: docs/counters.md.

A worker adds to the fields ``completed``, ``failed`` and ``runtime_ms`` of the hash ``depthgauge:jobs:QUEUE``. Before that
key may stand the prefix that the worker's client puts before all its keys. The numbers go to the queue of that name, where
its own system tells none.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from msgspec import structs

from depthgauge.errors import ErrorKind
from depthgauge.names import clean
from depthgauge.resp import Reply
from depthgauge.snapshot import Queue
from exporter.queues import NAMES, horizon, laravel
from exporter.queues.laravel import LaravelReader
from exporter.queues.laravel_apps import COUNTERS
from exporter.queues.payload import first_error, items
from exporter.queues.reader import Conversation, QueueReader, Reader, holding
from exporter.queues.tally import MOST, RecentMean

log = logging.getLogger(__name__)

COMMANDS: Final = frozenset({"hmget"})
"""The commands that reading sends."""
FIELDS: Final = ("completed", "failed", "runtime_ms")
LARGEST: Final = (1 << 63) - 1
"""What HINCRBY can reach."""

QueueId = tuple[str, str]
"""System and label."""


class Counters(NamedTuple):
    """What stands in one hash."""

    key: bytes
    completed: int | None
    failed: int | None
    seconds: float | None
    """Mean of the jobs that went by lately."""
    error: str | None


class CounterReader(Reader):
    """Finds and reads these hashes, and fills their numbers into queues. A handle is the hash's key.

    It is no queue system: :meth:`read` gives no queue. ``target`` is the name of the Redis, for the log.
    """

    system: Final = "counters"
    needs_scan = True

    def __init__(self, target: str, readers: Iterable[QueueReader]) -> None:
        self._target = target
        self._laravel = next((reader for reader in readers if isinstance(reader, LaravelReader)), None)
        self._mean = RecentMean()
        self._read: Sequence[Counters] = ()
        self._own: dict[QueueId, frozenset[str]] = {}
        self._told: set[bytes] = set()

    def may_own(self, page: Sequence[bytes]) -> Sequence[bytes]:
        """Return the keys with the mark of counters."""
        return holding(page, COUNTERS)

    def recognise(self, key: bytes, kind: bytes) -> bytes | None:
        """Return the key of a hash with a queue's name."""
        return key if kind == b"hash" and key.partition(COUNTERS)[2] else None

    def name(self, handle: bytes) -> str:
        """Return the queue's name without the system that pins it."""
        return _pinned(clean(handle.partition(COUNTERS)[2]))[1]

    def prefix(self, handle: bytes) -> bytes | None:
        """Return what the worker's client has put before the key."""
        return handle.partition(COUNTERS)[0]

    def read(self, found: Sequence[bytes], now: float) -> Conversation[Sequence[Queue]]:
        """Read the hashes in one batch and keep what they say for :meth:`fill`."""
        replies = (yield [("HMGET", key, *FIELDS) for key in found]) if found else []
        self._read = [self._counters(key, reply, now) for key, reply in zip(found, replies, strict=True)]
        return ()

    def fill(self, queues: Sequence[Queue]) -> list[Queue]:
        """Return the queues, those that counters belong to with what they lack."""
        for queue in queues:
            self._remember(queue)
        filled = {(queue.system, queue.name): queue for queue in queues}
        for owner, counters in self._owners(filled).items():
            filled[owner] = self._filled(filled[owner], counters)
        return [filled[queue.system, queue.name] for queue in queues]

    def _counters(self, key: bytes, reply: Reply, now: float) -> Counters:
        values = items(reply)
        numbers = [_number(value) for value in values] if len(values) == len(FIELDS) else [None] * len(FIELDS)
        completed, failed, runtime = numbers
        garbage = any(number is None and value is not None for number, value in zip(numbers, values, strict=False))
        error = first_error((reply,)) or (ErrorKind.GARBAGE if garbage else None)
        jobs = None if completed is None and failed is None else (completed or 0) + (failed or 0)
        seconds = None
        if jobs is not None and runtime is not None and not garbage:
            seconds = self._mean.update(key, now=now, count=jobs, seconds=runtime / 1000)
        return Counters(key, completed, failed, seconds, error)

    def _remember(self, queue: Queue) -> None:
        """Note which totals a queue's own system tells: a moment without them is no reason to show another's."""
        key = (queue.system, queue.name)
        told = {field for field in ("completed_total", "failed_total") if getattr(queue, field) is not None}
        known = self._own.get(key, frozenset())
        if told - known:
            if len(self._own) >= MOST and key not in self._own:
                del self._own[next(iter(self._own))]
            self._own[key] = known | told

    def _owners(self, queues: Mapping[QueueId, Queue]) -> Mapping[QueueId, Counters]:
        """Return the counters of each queue that has some, where it is clear whose they are."""
        lacking: dict[str, list[QueueId]] = defaultdict(list)
        for key in queues:
            if key[0] != horizon.SYSTEM and len(self._own.get(key, ())) < 2:
                lacking[key[1]].append(key)
        prefixes = self._laravel_prefixes()
        clear: dict[QueueId, list[Counters]] = defaultdict(list)
        bare: dict[QueueId, list[Counters]] = defaultdict(list)
        for counters in self._read:
            owner = self._pinned_owner(counters.key, prefixes)
            if owner is not None and owner in queues:
                clear[owner].append(counters)
                continue
            if owner is not None and not owner[1]:
                continue
            # A name that begins like a system's may be the queue's own: arq's default queue is arq:queue.
            owners = lacking[clean(counters.key.partition(COUNTERS)[2])]
            if len(owners) == 1:
                bare[owners[0]].append(counters)
            elif owners:
                self._tell(
                    counters.key, f"{' and '.join(sorted(system for system, _ in owners))} have a queue of that name"
                )
        found: dict[QueueId, Counters] = {}
        for owner, several in (bare | clear).items():
            if len(several) == 1:
                found[owner] = several[0]
            else:
                self._tell(several[1].key, f"{clean(several[0].key)} counts the same queue")
        return found

    def _pinned_owner(self, key: bytes, prefixes: frozenset[bytes]) -> QueueId | None:
        """Return the queue that a key names with its system, or by the prefix of a Laravel application; None for neither."""
        prefix, _, name = key.partition(COUNTERS)
        system, rest = _pinned(clean(name))
        if system not in ("", laravel.SYSTEM):
            return system, rest
        if self._laravel is not None and prefix in prefixes:
            queue = name.partition(b":")[2] if system else name
            # No such queue: a name that no queue has.
            return laravel.SYSTEM, self._laravel.labels.get((prefix, queue), "")
        return (system, rest) if system else None

    def _laravel_prefixes(self) -> frozenset[bytes]:
        if self._laravel is None:
            return frozenset()
        return frozenset(prefix for prefix, _ in self._laravel.labels if prefix)

    def _filled(self, queue: Queue, counters: Counters) -> Queue:
        own = self._own.get((queue.system, queue.name), frozenset())
        changes: dict[str, object] = {}
        if "completed_total" not in own and counters.completed is not None:
            changes["completed_total"] = counters.completed
        if "failed_total" not in own and counters.failed is not None:
            changes["failed_total"] = counters.failed
        if queue.processing_seconds is None and counters.seconds is not None:
            changes["processing_seconds"] = counters.seconds
        return structs.replace(queue, **changes, error=queue.error or counters.error)

    def _tell(self, key: bytes, why: str) -> None:
        if key not in self._told and len(self._told) < MOST:
            self._told.add(key)
            log.warning(
                "redis %s: the counters in %s are not shown: %s. Let the workers write to %sSYSTEM:QUEUE, with the system"
                " in it (docs/counters.md)",
                self._target,
                clean(key),
                why,
                COUNTERS.decode(),
            )


def _pinned(name: str) -> tuple[str, str]:
    """Return the system that a name is pinned to, "" for none, and the name without it."""
    system, sign, rest = name.partition(":")
    return (system, rest) if sign and rest and system in NAMES else ("", name)


def _number(value: Reply) -> int | None:
    """Return a count; None for anything else. HINCRBY writes digits, and counts do not fall below 0."""
    if not isinstance(value, bytes) or not value.isdigit() or len(value) > len(str(LARGEST)):
        return None
    number = int(value)
    return number if number <= LARGEST else None
