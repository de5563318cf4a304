"""RQ (python-rq 1.x to 3.x: rq/queue.py, rq/registry.py, rq/intermediate_queue.py, rq/worker_registration.py).

Keys begin with ``rq:`` (RQ_KEY_PREFIX since 3.0).

=========  ===========================================================  =======================================
state      from                                                         note
=========  ===========================================================  =======================================
waiting    LLEN ``rq:queue:Q`` + ZCOUNT ``rq:scheduled:Q`` -inf now     overdue ones wait for a scheduler,
           + ZCARD ``rq:ready:Q``                                       ready ones for RQ's maintenance
active     ZCARD ``rq:wip:Q`` + LLEN ``rq:queue:Q:intermediate``        abandoned ones until RQ's maintenance
delayed    ZCARD ``rq:scheduled:Q`` - overdue                           retries with an interval included
retry      unknown                                                      a retry is a queued or scheduled job
blocked    ZCARD ``rq:deferred:Q``                                      waits for another job
finished   ZCARD ``rq:finished:Q``                                      kept 500 s by default
failed     ZCARD ``rq:failed:Q``                                        kept a year by default
canceled   ZCARD ``rq:canceled:Q``
=========  ===========================================================  =======================================

RQ's own ``count``, ``len(registry)`` and ``Worker.all()`` clean up while they count, and so write: they are not used.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from depthgauge.errors import ErrorKind
from depthgauge.names import clean
from depthgauge.resp import Command, Reply, ReplyError, TooLarge
from depthgauge.snapshot import KeptJobs, LiveJobs, Queue
from exporter.queues.payload import count, eligible, first_error, items, seconds, total
from exporter.queues.reader import Conversation, Reader
from exporter.settings import PrefixSettings

SYSTEM: Final = "rq"
COMMANDS: Final = frozenset(
    {"llen", "lrange", "zcard", "zcount", "zrange", "scard", "smembers", "sscan", "hmget", "exists"}
)
"""The commands that reading sends."""
MAX_WORKERS: Final = 5_000
"""Members of one queue's set of workers; a larger set is not read."""
MAX_NAMES: Final = 50_000
"""Names taken from ``rq:queues``; the walk over a longer set ends early."""

_TRIES: Final = 3
"""Jobs looked at for the head: the hash of an expired job is gone while its id is still in the list."""
_COLUMNS: Final = 12


class RqReader(Reader):
    """Reads RQ's queues. A handle is the queue's name."""

    system: Final = SYSTEM

    def __init__(self, settings: PrefixSettings, names: Sequence[str]) -> None:
        self._prefix = (settings.prefix or "rq").encode() + b":"
        self._names = tuple(name.encode() for name in names)

    def discover(self) -> Conversation[Sequence[bytes]]:
        """Return the names in ``rq:queues``, which RQ fills and never prunes."""
        names: dict[bytes, None] = {}
        start = self._prefix + b"queue:"
        cursor: Reply = b"0"
        while isinstance(cursor, bytes) and len(names) < MAX_NAMES:
            (reply,) = yield [("SSCAN", self._prefix + b"queues", cursor, "COUNT", 1000)]
            page = items(reply)
            if len(page) != 2:
                break
            for member in items(page[1]):
                if isinstance(member, bytes) and member.startswith(start) and len(member) > len(start):
                    names[member.removeprefix(start)] = None
            cursor = page[0] if page[0] != b"0" else None
        return tuple(names)

    def told_by(self, handle: bytes) -> str:  # noqa: ARG002  the protocol's signature
        """Return the key of the set of names."""
        return clean(self._prefix + b"queues")

    def read(self, found: Sequence[bytes], now: float) -> Conversation[Sequence[Queue]]:
        """Read all queues in three batches: counts, then job hashes and sets of workers, then the workers' hashes."""
        names = tuple(dict.fromkeys((*self._names, *found)))
        if not names:
            return ()
        replies: list[Reply] = yield [
            ("EXISTS", self._prefix + b"suspended"),
            *(command for name in names for command in self._counting(name, now)),
        ]
        suspended = count(replies[0])
        readings = {
            name: _Reading(replies[1 + _COLUMNS * at : 1 + _COLUMNS * (at + 1)]) for at, name in enumerate(names)
        }
        commands = [command for name, reading in readings.items() for command in self._details(name, reading)]
        details: list[Reply] = (yield commands) if commands else []
        rest = iter(details)
        for name, reading in readings.items():
            reading.details = [next(rest) for _ in self._details(name, reading)]
        workers = list(dict.fromkeys(key for reading in readings.values() for key in self._worker_keys(reading)))
        hashes: list[Reply] = (yield [("HMGET", key, "state", "birth", "death") for key in workers]) if workers else []
        states = dict(zip(workers, hashes, strict=True))
        return [
            self._queue(name, reading, states, paused=None if suspended is None else bool(suspended), now=now)
            for name, reading in readings.items()
        ]

    def _key(self, part: bytes, name: bytes) -> bytes:
        return self._prefix + part + b":" + name

    def _counting(self, name: bytes, now: float) -> tuple[Command, ...]:
        scheduled = self._key(b"scheduled", name)
        waiting = self._key(b"queue", name)
        return (
            ("LLEN", waiting),
            ("LLEN", waiting + b":intermediate"),
            ("ZCARD", self._key(b"wip", name)),
            ("ZCARD", scheduled),
            ("ZCOUNT", scheduled, "-inf", now),
            ("ZCARD", self._key(b"ready", name)),
            ("ZCARD", self._key(b"deferred", name)),
            ("ZCARD", self._key(b"finished", name)),
            ("ZCARD", self._key(b"failed", name)),
            ("ZCARD", self._key(b"canceled", name)),
            ("SCARD", self._key(b"workers", name)),
            ("LRANGE", waiting, 0, _TRIES - 1),
        )

    def _details(self, name: bytes, reading: "_Reading") -> list[Command]:
        commands: list[Command] = [
            ("HMGET", self._prefix + b"job:" + job, "enqueued_at", "created_at") for job in reading.jobs
        ]
        if not reading.jobs and reading.overdue:
            commands.append(("ZRANGE", self._key(b"scheduled", name), 0, 0, "WITHSCORES"))
        if reading.reads_workers:
            commands.append(("SMEMBERS", self._key(b"workers", name)))
        return commands

    def _worker_keys(self, reading: "_Reading") -> list[bytes]:
        start = self._prefix + b"worker:"
        return [key for key in items(reading.members) if isinstance(key, bytes) and key.startswith(start)]

    def _queue(
        self, name: bytes, reading: "_Reading", states: Mapping[bytes, Reply], *, paused: bool | None, now: float
    ) -> Queue:
        hashes = [states[key] for key in self._worker_keys(reading)]
        error = first_error((*reading.counts, *reading.details, *hashes))
        alive: int | None = None
        busy: int | None = None
        if reading.workers is not None and reading.workers > MAX_WORKERS:
            error = error or ErrorKind.TOO_LARGE
        elif (reading.workers == 0 or isinstance(reading.members, list)) and not any(
            isinstance(fields, ReplyError) for fields in hashes
        ):
            living = [items(fields) for fields in hashes if _is_alive(items(fields))]
            alive, busy = len(living), sum(fields[0] == b"busy" for fields in living)
        return Queue(
            system=SYSTEM,
            name=clean(name),
            live=LiveJobs(
                waiting=total((reading.listed, reading.overdue, reading.ready)) if reading.listed is not None else None,
                active=total((reading.wip, reading.intermediate)) if reading.wip is not None else None,
                delayed=None
                if reading.scheduled is None or reading.overdue is None
                else max(0, reading.scheduled - reading.overdue),
                blocked=reading.deferred,
            ),
            kept=KeptJobs(finished=reading.finished, failed=reading.failed, canceled=reading.canceled),
            head_eligible_at=reading.head(now),
            registry_workers=alive,
            registry_workers_busy=busy,
            paused=paused,
            error=error,
        )


class _Reading:
    """The replies of one queue."""

    def __init__(self, counts: Sequence[Reply]) -> None:
        self.counts = counts
        self.details: Sequence[Reply] = ()
        (
            self.listed,
            self.intermediate,
            self.wip,
            self.scheduled,
            self.overdue,
            self.ready,
            self.deferred,
            self.finished,
            self.failed,
            self.canceled,
            self.workers,
            _,
        ) = (count(reply) for reply in counts)
        self.jobs = [job for job in items(counts[-1]) if isinstance(job, bytes)]

    @property
    def reads_workers(self) -> bool:
        return self.workers is not None and 0 < self.workers <= MAX_WORKERS

    @property
    def members(self) -> Reply:
        """The set of workers: the last detail, where it was asked for."""
        return self.details[-1] if self.reads_workers else None

    def head(self, now: float) -> datetime | None:
        """Return when the first job that still exists was queued, or when the first overdue one was due."""
        for fields in self.details[: len(self.jobs)]:
            known = [value for value in items(fields) if isinstance(value, bytes)]
            if known:
                return eligible(seconds(known[0]), now)
        if not self.jobs and self.overdue:
            first = items(self.details[0])
            return eligible(seconds(first[1]), now) if len(first) == 2 else None
        return None


def _is_alive(fields: Sequence[Reply]) -> bool:
    """Say whether a worker's hash (state, birth, death) is there and tells no death: sets keep the names of killed ones."""
    if len(fields) != 3 or isinstance(fields[2], bytes):
        return False
    return not isinstance(fields[0], TooLarge) and (fields[0] is not None or fields[1] is not None)
