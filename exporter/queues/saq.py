"""SAQ on Redis (0.9 to 0.26: saq/queue/redis.py, saq/queue/base.py, saq/job.py, saq/worker.py).

Keys are ``saq:`` + queue + ``:…``; jobs are ``saq:job:`` + queue + ``:`` + key. SAQ knows no other prefix.

=========  ===========================================================  =======================================
state      from                                                         note
=========  ===========================================================  =======================================
waiting    LLEN ``saq:Q:queued`` + overdue in ``saq:Q:incomplete``      overdue ones wait for a worker's tick
active     LLEN ``saq:Q:active``                                        of killed workers until SAQ's sweep
delayed    ZCOUNT ``saq:Q:incomplete`` (now +inf                        retries with a delay included
retry      unknown                                                      a retry is a queued or scheduled job
blocked    unknown
others     unknown                                                      done jobs stay as keys of their own
=========  ===========================================================  =======================================

``incomplete`` holds every job that is not done: score 0 for those in a list, else the unix time they are due. A job that
was scheduled and is retried at once is in a list *and* has its old due time until the next tick; so no more jobs are
overdue than ``incomplete`` holds beyond the lists and the future.
"""

from collections.abc import Container, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from depthgauge.errors import ErrorKind
from depthgauge.names import clean
from depthgauge.resp import Command, Reply, ReplyError, TooLarge
from depthgauge.snapshot import LiveJobs, Queue
from exporter.queues.heads import HeadMemory, remember
from exporter.queues.payload import MOST_COUNTED, count, eligible, fields, first_error, items, number, seconds
from exporter.queues.reader import Conversation, Reader
from exporter.queues.tally import Tally

SYSTEM: Final = "saq"
COMMANDS: Final = frozenset({"llen", "lindex", "zcard", "zcount", "zrange", "get"})
"""The commands that reading sends."""
MAX_WORKERS: Final = 1_000
"""Workers of one queue; those of a queue that has more are not read."""

_PREFIX: Final = b"saq:"
_PARTS: Final = {b"queued": b"list", b"active": b"list", b"incomplete": b"zset", b"stats": b"zset"}
_ENDS: Final = tuple(b":" + part for part in _PARTS)
_COLUMNS: Final = 8
_CENTURY: Final = 3_155_760_000


class _Job(msgspec.Struct):
    """The fields of a job that tell since when it waits: ms, but ``scheduled`` and ``retry_delay`` are seconds.

    Fields that have their default are left out by SAQ.
    """

    queued: Any = None
    touched: Any = None
    scheduled: Any = None
    attempts: Any = 0
    retry_delay: Any = 0
    retry_backoff: Any = False


_Count = Annotated[int, msgspec.Meta(ge=0, le=MOST_COUNTED)]


class _Counters(msgspec.Struct):
    complete: _Count
    failed: _Count
    uptime: Any = None
    """Milliseconds."""


class _Worker(msgspec.Struct):
    """``worker_info:UUID``; in older versions ``stats:UUID``, which is the counters themselves."""

    stats: _Counters


class SaqReader(Reader):
    """Reads SAQ's queues. A handle is the queue's name."""

    system: Final = SYSTEM
    needs_scan = True

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(name.encode() for name in names)
        self._heads = HeadMemory()
        self._complete = Tally()
        self._failed = Tally()
        self._since: dict[bytes, float] = {}
        """When the totals of each queue began, or went on."""

    def may_own(self, page: Sequence[bytes]) -> Sequence[bytes]:
        """Return the keys that are named as those that hold jobs or workers of a queue."""
        return [key for key in page if key.startswith(_PREFIX) and key.endswith(_ENDS)]

    def recognise(self, key: bytes, kind: bytes) -> bytes | None:
        """Return the queue's name; a job whose key ends alike is a string."""
        name, _, part = key.removeprefix(_PREFIX).rpartition(b":")
        return name if name and _PARTS.get(part) == kind else None

    def rebase(self) -> None:
        """Let the totals go on from what is read next."""
        self._complete.rebase()
        self._failed.rebase()
        self._since.clear()

    def read(self, found: Sequence[bytes], now: float) -> Conversation[Sequence[Queue]]:
        """Read all queues in two batches."""
        names = tuple(dict.fromkeys((*self._names, *found)))
        if not names:
            return ()
        replies: list[Reply] = yield [command for name in names for command in _counting(name, now)]
        readings = [_Reading(name, replies[_COLUMNS * at : _COLUMNS * (at + 1)]) for at, name in enumerate(names)]
        asked = [reading.details(head=self._heads.readable(reading.name, now)) for reading in readings]
        commands = [command for each in asked for command in each]
        rest = iter((yield commands) if commands else [])
        return [
            self._queue(reading, [next(rest) for _ in each], now)
            for reading, each in zip(readings, asked, strict=True)
        ]  # fmt: skip

    def _queue(self, reading: "_Reading", details: Sequence[Reply], now: float) -> Queue:
        infos = details[len(details) - len(reading.workers) :]
        head = details[0] if len(details) > len(infos) else None
        error = first_error((*reading.counts, *details))
        if isinstance(head, TooLarge):
            self._heads.pause(reading.name, now)
        at, seen = self._head(reading, head, now)
        if reading.waiting and not self._heads.readable(reading.name, now):
            error = error or ErrorKind.TOO_LARGE
        alive = complete = failed = None
        if reading.too_many_workers:
            error = error or ErrorKind.TOO_LARGE
        elif reading.knows_workers and not any(isinstance(info, ReplyError | TooLarge) for info in infos):
            living = {key: info for key, info in zip(reading.workers, infos, strict=True) if isinstance(info, bytes)}
            alive = len(living)
            counters = {key: known for key, info in living.items() if (known := _counters(info)) is not None}
            older = self._older(reading.name, counters, now)
            complete = self._complete.update(
                reading.name, {key: each.complete for key, each in counters.items()}, older
            )
            failed = self._failed.update(reading.name, {key: each.failed for key, each in counters.items()}, older)
        return Queue(
            system=SYSTEM,
            name=clean(reading.name),
            live=LiveJobs(waiting=reading.waiting, active=reading.active, delayed=reading.delayed),
            head_eligible_at=at,
            head_first_seen_at=seen,
            completed_total=None if complete is None else int(complete),
            failed_total=None if failed is None else int(failed),
            registry_workers=alive,
            error=error,
        )

    def _older(self, name: bytes, counters: Mapping[bytes, _Counters], now: float) -> Container[bytes]:
        """Return the workers that began before the totals did: their keys expire while a job blocks their event loop."""
        since = self._since.get(name, now)
        remember(self._since, name, since)
        return {key for key, each in counters.items() if now - (number(each.uptime) or 0) / 1000 < since}

    def _head(self, reading: "_Reading", head: Reply, now: float) -> tuple[datetime | None, datetime | None]:
        """Return eligible and first-seen time of the first job in the list, or of the first overdue one."""
        if reading.first is None:
            due = items(head)
            return (eligible(seconds(due[1]), now) if len(due) == 2 else None), None
        if isinstance(head, ReplyError | TooLarge) or not self._heads.readable(reading.name, now):
            return None, None
        job = fields(head, _Job) if isinstance(head, bytes) else None
        at = None if job is None else eligible(_eligible_at(job), now)
        tries = b"" if job is None else str(job.attempts).encode("utf-8", "replace")
        return at, None if at is not None else self._heads.first_seen(reading.name, reading.first + b" " + tries, now)


class _Reading:
    """The replies of one queue."""

    def __init__(self, name: bytes, counts: Sequence[Reply]) -> None:
        self.name = name
        self.counts = counts
        self.listed, _, self.active, self._unfinished, self._past, self.delayed, self._registered, _ = (
            count(reply) for reply in counts
        )
        start = b"saq:job:" + name + b":"
        first = counts[1]
        self.first = first if isinstance(first, bytes) and first.startswith(start) else None
        """The job that runs next."""
        starts = (_PREFIX + name + b":worker_info:", _PREFIX + name + b":stats:")
        members = [] if self.too_many_workers else items(counts[7])
        self.workers = [key for key in members if isinstance(key, bytes) and key.startswith(starts)]

    @property
    def overdue(self) -> int | None:
        numbers = (self.listed, self.active, self._unfinished, self._past, self.delayed)
        known = [number for number in numbers if number is not None]
        if len(known) < len(numbers):
            return None
        listed, active, unfinished, past, delayed = known
        return min(past, max(0, unfinished - listed - active - delayed))

    @property
    def waiting(self) -> int | None:
        return None if self.listed is None else self.listed + (self.overdue or 0)

    @property
    def knows_workers(self) -> bool:
        return self._registered is not None and isinstance(self.counts[7], list)

    @property
    def too_many_workers(self) -> bool:
        return self._registered is not None and self._registered > MAX_WORKERS

    def details(self, *, head: bool) -> list[Command]:
        """Return what is asked next: the head, if there is one and it may be read, then all workers."""
        commands: list[Command] = []
        if self.first is not None and head:
            commands.append(("GET", self.first))
        elif self.listed == 0 and self.overdue and self._unfinished and self._past is not None:
            # Those in a list come first, with score 0.
            rank = self._unfinished - self._past - (self.delayed or 0)
            commands.append(("ZRANGE", self._key(b"incomplete"), rank, rank, "WITHSCORES"))
        return [*commands, *(("GET", key) for key in self.workers)]

    def _key(self, part: bytes) -> bytes:
        return _PREFIX + self.name + b":" + part


def _counting(name: bytes, now: float) -> tuple[Command, ...]:
    key = _PREFIX + name + b":"
    return (
        ("LLEN", key + b"queued"),
        ("LINDEX", key + b"queued", 0),
        ("LLEN", key + b"active"),
        ("ZCARD", key + b"incomplete"),
        ("ZCOUNT", key + b"incomplete", 1, now),
        ("ZCOUNT", key + b"incomplete", f"({now}", "+inf"),
        ("ZCARD", key + b"stats"),
        ("ZRANGE", key + b"stats", 0, MAX_WORKERS - 1),
    )


def _eligible_at(job: _Job) -> float | None:
    """Return when a job became eligible, in unix seconds; None for a retry whose delay was drawn by lot."""
    if isinstance(job.attempts, int) and job.attempts > 0:
        touched = seconds(job.touched)
        if touched is None or job.retry_backoff is not False:
            return None
        delay = job.retry_delay if isinstance(job.retry_delay, int | float) else 0
        return touched + min(max(0, delay), _CENTURY)
    return max((at for at in (seconds(job.queued), seconds(job.scheduled)) if at is not None), default=None)


def _counters(info: bytes) -> _Counters | None:
    worker = fields(info, _Worker)
    return worker.stats if worker is not None else fields(info, _Counters)
