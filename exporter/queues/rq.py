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
totals     ``rq:worker:NAME`` of workers that serve only Q              see rq_workers.py
=========  ===========================================================  =======================================

RQ's own ``count``, ``len(registry)`` and ``Worker.all()`` clean up while they count, and so write: they are not used.
A member of ``rq:wip:Q`` is a job id, since 2.0 with the id of its execution: only their number is read.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from depthgauge.errors import ErrorKind
from depthgauge.resp import Command, Reply
from depthgauge.snapshot import KeptJobs, LiveJobs, Queue
from exporter.queues.payload import count, eligible, first_error, items, seconds, total
from exporter.queues.reader import Conversation
from exporter.queues.rq_names import DEFAULT_PREFIX, MAX_WORKERS, RqNames
from exporter.queues.rq_workers import FIELDS, Served, Workers
from exporter.queues.targets import Target, Targets
from exporter.settings import PrefixSettings

SYSTEM: Final = "rq"
COMMANDS: Final = frozenset(
    {"llen", "lrange", "zcard", "zcount", "zrange", "scard", "smembers", "sscan", "hmget", "exists"}
)
"""The commands that reading sends."""

_TRIES: Final = 3
"""Jobs looked at for the head: the hash of an expired job is gone while its id is still in the list."""
_COLUMNS: Final = 12


class RqReader(RqNames):
    """Reads RQ's queues."""

    system: Final = SYSTEM

    def __init__(self, settings: PrefixSettings, names: Sequence[str]) -> None:
        own = None if settings.prefix is None else settings.prefix.encode()
        super().__init__(own)
        self._targets = Targets(names, own=own, default=DEFAULT_PREFIX, between=b":")
        self._workers = Workers()

    def rebase(self) -> None:
        """Let the totals go on from what is read next."""
        self._workers.rebase()

    def read(self, found: Sequence[bytes], now: float) -> Conversation[Sequence[Queue]]:
        """Read all queues in three batches: counts, then job hashes and sets of workers, then the workers' hashes."""
        targets = self._targets.of(found)
        if not targets:
            return ()
        prefixes = tuple(dict.fromkeys(target.prefix for target in targets))
        replies: list[Reply] = yield [
            *(("EXISTS", prefix + b":suspended") for prefix in prefixes),
            *(command for target in targets for command in _counting(target, now)),
        ]
        suspended = dict(zip(prefixes, replies[: len(prefixes)], strict=True))
        readings = [
            _Reading(target, replies[at : at + _COLUMNS])
            for target, at in zip(targets, range(len(prefixes), len(replies), _COLUMNS), strict=True)
        ]
        commands = [command for reading in readings for command in reading.asks()]
        details = iter((yield commands) if commands else ())
        for reading in readings:
            reading.details = [next(details) for _ in reading.asks()]
        workers = list(dict.fromkeys(key for reading in readings for key in self._asked(reading)))
        hashes: list[Reply] = (yield [("HMGET", key, *FIELDS) for key in workers]) if workers else []
        states = dict(zip(workers, hashes, strict=True))
        return [self._queue(reading, states, suspended[reading.target.prefix], now) for reading in readings]

    def _asked(self, reading: "_Reading") -> Sequence[bytes]:
        members = reading.members
        return () if members is None else self._workers.asked(reading.target.handle, members)

    def _queue(self, reading: "_Reading", states: Mapping[bytes, Reply], suspended: Reply, now: float) -> Queue:
        target, members = reading.target, reading.members
        error = first_error((*reading.counts, *reading.details, *(states[key] for key in self._asked(reading))))
        if reading.workers is not None and reading.workers > MAX_WORKERS:
            error = error or ErrorKind.TOO_LARGE
        served = Served() if members is None else self._workers.judge(target.handle, target.name, members, states, now)
        return Queue(
            system=SYSTEM,
            name=target.label,
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
            completed_total=served.completed,
            failed_total=served.failed,
            processing_seconds=served.processing_seconds,
            registry_workers=served.workers,
            registry_workers_busy=served.busy,
            paused=None if count(suspended) is None else bool(count(suspended)),
            error=error or first_error((suspended,)),
        )


def _key(target: Target, part: bytes) -> bytes:
    return b"%b:%b:%b" % (target.prefix, part, target.name)


def _counting(target: Target, now: float) -> tuple[Command, ...]:
    scheduled = _key(target, b"scheduled")
    waiting = _key(target, b"queue")
    return (
        ("LLEN", waiting),
        ("LLEN", waiting + b":intermediate"),
        ("ZCARD", _key(target, b"wip")),
        ("ZCARD", scheduled),
        ("ZCOUNT", scheduled, "-inf", now),
        ("ZCARD", _key(target, b"ready")),
        ("ZCARD", _key(target, b"deferred")),
        ("ZCARD", _key(target, b"finished")),
        ("ZCARD", _key(target, b"failed")),
        ("ZCARD", _key(target, b"canceled")),
        ("SCARD", _key(target, b"workers")),
        ("LRANGE", waiting, 0, _TRIES - 1),
    )


class _Reading:
    """The replies of one queue."""

    def __init__(self, target: Target, counts: Sequence[Reply]) -> None:
        self.target = target
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

    def asks(self) -> list[Command]:
        """Return the second batch's commands: hashes of the first jobs, or the first overdue one; the set of workers."""
        commands: list[Command] = [
            ("HMGET", self.target.prefix + b":job:" + job, "enqueued_at", "created_at") for job in self.jobs
        ]
        if not self.jobs and self.overdue:
            commands.append(("ZRANGE", _key(self.target, b"scheduled"), 0, 0, "WITHSCORES"))
        if self._reads_workers:
            commands.append(("SMEMBERS", _key(self.target, b"workers")))
        return commands

    @property
    def _reads_workers(self) -> bool:
        return self.workers is not None and 0 < self.workers <= MAX_WORKERS

    @property
    def members(self) -> Sequence[bytes] | None:
        """The keys of the workers' hashes, from the last of the details; None where the set could not be read."""
        if self.workers == 0:
            return ()
        if not self._reads_workers or not isinstance(self.details[-1], list):
            return None
        start = self.target.prefix + b":worker:"
        return [key for key in self.details[-1] if isinstance(key, bytes) and key.startswith(start)]

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
