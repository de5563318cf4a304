"""Sidekiq 5 to 8 (sidekiq/api.rb, client.rb, scheduled.rb, job_retry.rb, launcher.rb, metrics/tracking.rb).

Keys have no prefix, or the namespace ``NS:`` of redis-namespace (6 and earlier). Q is a queue, all others are of the whole
application and are shown for the queue ``""``.

=========  ===========================================================  =======================================
state      from                                                         note
=========  ===========================================================  =======================================
waiting    Q: LLEN ``queue:Q``
           all: ZCOUNT -inf now of ``schedule`` and of ``retry``        due, and not yet moved to their queues
active     entries of ``IDENTITY:work`` by their queue                  as of each process's last beat
           (``IDENTITY:workers`` up to 6.4)                             (10 s; 5 s up to 6)
           all: those whose queue is not told or not shown
delayed    all: ZCARD ``schedule`` - due
retry      all: ZCARD ``retry`` - due
blocked    unknown                                                      there is no such state
dead       all: ZCARD ``dead``                                          capped: 10,000 jobs, 180 days
=========  ===========================================================  =======================================

``stat:processed`` counts attempts, failed ones included; ``stat:failed`` counts failed ones. Sidekiq's own ``ProcessSet`` and
``Stats`` clean up, and so write: they are not used.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from depthgauge.errors import ErrorKind
from depthgauge.resp import Command, Reply
from depthgauge.snapshot import KeptJobs, LiveJobs, Queue
from exporter.queues import sets
from exporter.queues.attempts import Attempts, counter
from exporter.queues.heads import HeadMemory
from exporter.queues.namespaces import Application, NamespaceReader
from exporter.queues.payload import count, eligible, fields, first_error, seconds, total
from exporter.queues.reader import Conversation
from exporter.queues.sidekiq_discovery import discover
from exporter.queues.sidekiq_processes import (
    FIELDS,
    MAX_PROCESSES,
    MINUTES,
    Process,
    Running,
    is_identity,
    mean_seconds,
    metric_keys,
    process_of,
    running,
    work_commands,
)
from exporter.settings import PrefixSettings

SYSTEM: Final = "sidekiq"
COMMANDS: Final = frozenset({"llen", "lindex", "zcard", "zcount", "zrange", "get", "sscan", "hscan", "hmget"})
"""The commands that reading and discovery send."""
MAX_RUNNING: Final = 2_000
"""Running jobs of one application whose entries are read; more are counted without their queues."""
MAX_RUNNING_BYTES: Final = 4 * 1024 * 1024
"""Entries carry the jobs' payloads. Where they are larger together, they are left alone for ten minutes."""
MAX_METRICS: Final = 3_000
"""Fields of one minute's job metrics: three for each class of jobs."""
MAX_PAUSED: Final = 1_000

_MARKS: Final = (b":processes", b":stat:processed")


class _Head(msgspec.Struct):
    """The fields of a job that tell since when it waits: float seconds up to 7, milliseconds from 8 on."""

    jid: Any = None
    enqueued_at: Any = None
    created_at: Any = None


class SidekiqReader(NamespaceReader):
    """Reads Sidekiq's queues. A handle is namespace and name."""

    system: Final = SYSTEM

    def __init__(self, settings: PrefixSettings, names: Sequence[str]) -> None:
        super().__init__(settings, b"", names)
        self._heads = HeadMemory()
        self._attempts = Attempts()

    def discover(self) -> Conversation[Sequence[bytes]]:
        """Return the names in ``queues`` and those that living processes serve, where the keys are Sidekiq's."""
        return discover(self._namespaces)

    def may_own(self, page: Sequence[bytes]) -> Sequence[bytes]:
        """Return the keys that may tell a namespace: ``NS:processes`` and ``NS:stat:processed``."""
        return [key for key in page if key.endswith(_MARKS)] if self.needs_scan else ()

    def recognise(self, key: bytes, kind: bytes) -> bytes | None:
        """Remember the namespace; whether it is Sidekiq's or Resque's, :meth:`discover` tells."""
        mark = next((mark for mark in _MARKS if key.endswith(mark)), None)
        if mark is not None and kind == (b"set" if mark == _MARKS[0] else b"string"):
            self._namespaces.remember(key.removesuffix(mark))
        return None

    def read_application(self, app: Application, now: float) -> Conversation[list[Queue]]:
        """Read one application in three batches: counts; heads and processes; what busy processes do."""
        reading = _Reading(app, (yield _counting(app, now)))
        asked = {key: command for key, command in reading.details() if self._heads.readable(key, now)}
        replies: list[Reply] = (yield list(asked.values())) if asked else []
        reading.take(dict(zip(asked, replies, strict=True)))
        busy = [process for process in reading.living if process.busy]
        memory = app.key(b"\0work")
        if busy and (sum(each.busy for each in busy) > MAX_RUNNING or not self._heads.readable(memory, now)):
            reading.skip_work()
        elif busy:
            reading.take_work(busy, (yield work_commands(app, busy, MAX_RUNNING)))
            if reading.running is not None and reading.running.size > MAX_RUNNING_BYTES:
                self._heads.pause(memory, now)
        return [self._application(reading, now), *(self._queue(reading, name, now) for name in app.names)]

    def _queue(self, reading: "_Reading", name: bytes, now: float) -> Queue:
        waiting = reading.listed[name]
        at, seen, problem = self._head(reading, b"queue:" + name, waiting, now)
        return Queue(
            system=SYSTEM,
            name=reading.app.labels[name],
            live=LiveJobs(waiting=count(waiting), active=reading.active(name)),
            head_eligible_at=at,
            head_first_seen_at=seen,
            registry_workers=reading.workers(name),
            registry_workers_busy=reading.workers(name, busy=True),
            paused=None if reading.paused is None else name in reading.paused,
            error=first_error((waiting,))
            or problem
            or reading.problem
            or reading.work_problem
            or reading.queues_problem,
        )

    def _application(self, reading: "_Reading", now: float) -> Queue:
        schedule, due, retry, due_again, dead, processed, failed = reading.totals
        heads = [self._head(reading, key, number, now) for key, number in ((b"schedule", due), (b"retry", due_again))]
        return Queue(
            system=SYSTEM,
            name=reading.app.labels[b""],
            live=LiveJobs(
                waiting=total((count(due), count(due_again))),
                active=reading.active_elsewhere(),
                delayed=_rest(schedule, due),
                retry=_rest(retry, due_again),
            ),
            kept=KeptJobs(dead=count(dead)),
            head_eligible_at=min((at for at, _, _ in heads if at), default=None),
            completed_total=self._attempts.completed(reading.app.namespace, counter(processed), counter(failed)),
            failed_total=counter(failed),
            processing_seconds=reading.processing,
            registry_workers=reading.workers(b""),
            registry_workers_busy=reading.workers(b"", busy=True),
            error=first_error(reading.totals)
            or next((problem for _, _, problem in heads if problem), None)
            or reading.problem
            or reading.work_problem
            or reading.metrics_problem,
        )

    def _head(
        self, reading: "_Reading", rest: bytes, number: Reply, now: float
    ) -> tuple[datetime | None, datetime | None, str | None]:
        """Return eligible time, first-seen time and what is wrong with the head of a list or sorted set."""
        key = reading.app.key(rest)
        if not count(number):
            return None, None, None
        if not self._heads.readable(key, now):
            return None, None, ErrorKind.TOO_LARGE
        head = reading.replies.get(key)
        problem = first_error((head,))
        if problem == ErrorKind.TOO_LARGE:
            self._heads.pause(key, now)
        if isinstance(head, list) and problem is None:
            return (eligible(seconds(head[1]), now) if len(head) == 2 else None), None, None
        if not isinstance(head, bytes):
            return None, None, problem
        job = fields(head, _Head)
        if job is None:
            return None, self._heads.first_seen(key, head, now), ErrorKind.GARBAGE
        at = eligible(seconds(job.enqueued_at), now) or eligible(seconds(job.created_at), now)
        mark = job.jid.encode("utf-8", "replace") if isinstance(job.jid, str) else head
        return at, None if at else self._heads.first_seen(key, mark, now), None


_TOTALS: Final = 7


def _counting(app: Application, now: float) -> list[Command]:
    return [
        ("ZCARD", app.key(b"schedule")),
        ("ZCOUNT", app.key(b"schedule"), "-inf", now),
        ("ZCARD", app.key(b"retry")),
        ("ZCOUNT", app.key(b"retry"), "-inf", now),
        ("ZCARD", app.key(b"dead")),
        ("GET", app.key(b"stat:processed")),
        ("GET", app.key(b"stat:failed")),
        sets.scan_set(app.key(b"processes"), MAX_PROCESSES),
        sets.scan_set(app.key(b"paused"), MAX_PAUSED),
        *(sets.scan_hash(app.key(key.encode()), MAX_METRICS) for key in metric_keys(now)),
        *(("LLEN", app.key(b"queue:" + name)) for name in app.names),
    ]


def _rest(whole: Reply, due: Reply) -> int | None:
    everything, ready = count(whole), count(due)
    return None if everything is None or ready is None else max(0, everything - ready)


class _Reading:
    """The replies of one application."""

    def __init__(self, app: Application, counts: Sequence[Reply]) -> None:
        self.app = app
        self.totals = counts[:_TOTALS]
        processes, paused, *rest = counts[_TOTALS:]
        self._identities = sets.members(processes)
        if self._identities is not None:
            self._identities = [member for member in self._identities if is_identity(member)]
        self.paused = sets.members(paused)
        self.problem = sets.problem(processes) or sets.problem(paused)
        minutes = rest[: 2 * MINUTES]
        self.metrics_problem = next((error for each in minutes if (error := sets.problem(each))), None)
        self.processing = None if self.metrics_problem else mean_seconds(map(sets.pairs, minutes))
        self.listed = dict(zip(app.names, rest[2 * MINUTES :], strict=True))
        self.replies: Mapping[bytes, Reply] = {}
        self.living: list[Process] = []
        self.running: Running | None = Running({}, 0, 0)
        self.work_problem: str | None = None
        self._workers: dict[bytes, list[int]] = {}
        self.queues_problem: str | None = None
        """Why it is not known which queues a living process serves."""

    def details(self) -> Iterator[tuple[bytes, Command]]:
        """Return what the second batch reads, by key: heads where something waits, and the processes."""
        for name, length in self.listed.items():
            if count(length):
                key = self.app.key(b"queue:" + name)
                yield key, ("LINDEX", key, -1)
        for rest, due in ((b"schedule", self.totals[1]), (b"retry", self.totals[3])):
            if count(due):
                key = self.app.key(rest)
                yield key, ("ZRANGE", key, 0, 0, "WITHSCORES")
        for identity in self._identities or ():
            key = self.app.key(identity)
            yield key, ("HMGET", key, *FIELDS)

    def take(self, replies: Mapping[bytes, Reply]) -> None:
        """Take the replies of the second batch: who lives, and which queues they serve."""
        self.replies = replies
        told = {identity: replies[self.app.key(identity)] for identity in self._identities or ()}
        if (problem := first_error(told.values())) is not None:
            self.problem = self.problem or problem
            self._identities = None
            return
        each = (process_of(identity, reply) for identity, reply in told.items())
        self.living = [process for process in each if process is not None]
        for process in self.living:
            if process.quiet:
                continue
            if not process.queues:
                self.queues_problem = ErrorKind.GARBAGE
            for queue in (b"", *process.queues):
                counts = self._workers.setdefault(queue, [0, 0])
                counts[0] += 1
                counts[1] += process.busy > 0

    def skip_work(self) -> None:
        """Leave it unknown which queues the running jobs are from."""
        self.running = None
        self.work_problem = ErrorKind.TOO_LARGE

    def take_work(self, busy: Sequence[Process], replies: Sequence[Reply]) -> None:
        """Take the replies of the third batch: the running jobs."""
        self.running = running(busy, replies)
        self.work_problem = next((error for reply in replies if (error := sets.problem(reply))), None)

    def active(self, name: bytes) -> int | None:
        """Return the running jobs of a queue."""
        return None if self._identities is None or self.running is None else self.running.by_queue.get(name, 0)

    def active_elsewhere(self) -> int | None:
        """Return the running jobs that are told of no queue that is shown."""
        if self._identities is None:
            return None
        if self.running is None:
            return sum(process.busy for process in self.living)
        others = sum(jobs for queue, jobs in self.running.by_queue.items() if queue not in self.listed)
        return self.running.unknown + others

    def workers(self, queue: bytes, *, busy: bool = False) -> int | None:
        """Return the living processes that take jobs from a queue, or those of them that have jobs now.

        None for a queue as long as one of them does not tell its queues.
        """
        if self._identities is None or (queue and self.queues_problem):
            return None
        return self._workers.get(queue, (0, 0))[busy]
