"""Resque 1 to 3 (resque/data_store.rb, worker.rb, failure/*.rb) and resque-scheduler (scheduler/delaying_extensions.rb).

Keys begin with a namespace and a colon, ``resque:`` unless changed. Q is a queue, all others are of the whole application and
are shown for the queue ``""``.

=========  ===========================================================  =======================================
state      from                                                         note
=========  ===========================================================  =======================================
waiting    Q: LLEN ``queue:Q``
           all: LLEN of the due ones of ``delayed:TIME``                not yet moved by resque-scheduler
active     ``worker:ID`` of the registered workers, by its queue        those of dead workers until Resque
           all: those whose queue is not told or not shown              prunes them
delayed    all: LLEN of the other ``delayed:TIME``                      unknown above 1,000 different times
retry      unknown                                                      a retry is a delayed job
blocked    unknown                                                      there is no such state
failed     all: LLEN ``failed``                                         kept until it is cleared
           Q: LLEN ``Q_failed`` with the backend RedisMultiQueue        unknown without it
=========  ===========================================================  =======================================

``stat:processed`` counts jobs, failed ones included; ``stat:failed`` counts failed ones.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Final

from depthgauge.errors import ErrorKind
from depthgauge.resp import Command, Reply, ReplyError, TooLarge
from depthgauge.snapshot import KeptJobs, LiveJobs, Queue
from exporter.queues import sets
from exporter.queues.attempts import Attempts, counter
from exporter.queues.heads import HeadMemory
from exporter.queues.namespaces import Application, NamespaceReader
from exporter.queues.payload import count, eligible, first_error, items, total
from exporter.queues.reader import Conversation
from exporter.queues.resque_discovery import discover
from exporter.queues.resque_workers import PEEK, Served, Worker, is_id, worker_of
from exporter.settings import PrefixSettings

SYSTEM: Final = "resque"
COMMANDS: Final = frozenset({"llen", "lindex", "zcard", "zrange", "get", "getrange", "sscan", "hmget"})
"""The commands that reading and discovery send."""
DEFAULT: Final = b"resque"
MAX_WORKERS: Final = 2_000
"""Members of the set of workers; a larger one is not read."""
MAX_TIMES: Final = 1_000
"""Different times of delayed jobs: each is a list of its own."""
MAX_FAILED: Final = 1_000
"""Lists of failed jobs by queue."""

_MARKS: Final = ((b":workers:heartbeat", b"hash"), (b":stat:processed", b"string"))
_ENDS: Final = tuple(mark for mark, _ in _MARKS)
_FAILED: Final = b"_failed"


class ResqueReader(NamespaceReader):
    """Reads Resque's queues. A handle is namespace and name."""

    system: Final = SYSTEM

    def __init__(self, settings: PrefixSettings, names: Sequence[str]) -> None:
        super().__init__(settings, DEFAULT, names)
        self._heads = HeadMemory()
        self._attempts = Attempts()
        self._served: dict[bytes, Served] = {}

    def discover(self) -> Conversation[Sequence[bytes]]:
        """Return the names in ``queues`` of the namespaces that are Resque's."""
        return discover(self._namespaces, DEFAULT)

    def may_own(self, page: Sequence[bytes]) -> Sequence[bytes]:
        """Return the keys that may tell a namespace: ``NS:workers:heartbeat`` and ``NS:stat:processed``."""
        return [key for key in page if key.endswith(_ENDS)] if self.needs_scan else ()

    def recognise(self, key: bytes, kind: bytes) -> bytes | None:
        """Remember the namespace; whether it is Resque's or Sidekiq's, :meth:`discover` tells."""
        for mark, wanted in _MARKS:
            if key.endswith(mark) and kind == wanted:
                self._namespaces.remember(key.removesuffix(mark))
        return None

    def read_application(self, app: Application, now: float) -> Conversation[list[Queue]]:
        """Read one application in two batches: counts; heads, workers, delayed and failed jobs."""
        reading = _Reading(app, (yield _counting(app)))
        asked = {key: command for key, command in reading.details() if self._heads.readable(key, now)}
        replies: list[Reply] = (yield list(asked.values())) if asked else []
        reading.take(dict(zip(asked, replies, strict=True)), now)
        served = self._served.setdefault(app.namespace, Served()).by(reading.workers or (), app.names)
        serving = _serving(reading.workers or (), served)
        return [
            self._application(reading, now),
            *(self._queue(reading, name, serving.get(name, (0, 0)), now) for name in app.names),
        ]

    def _queue(self, reading: "_Reading", name: bytes, serving: tuple[int, int], now: float) -> Queue:
        waiting = reading.listed[name]
        key = reading.app.key(b"queue:" + name)
        head = reading.replies.get(key)
        if isinstance(head, TooLarge):
            self._heads.pause(key, now)
        unread = ErrorKind.TOO_LARGE if count(waiting) and not self._heads.readable(key, now) else None
        failed = reading.failed_of(name)
        return Queue(
            system=SYSTEM,
            name=reading.app.labels[name],
            live=LiveJobs(waiting=count(waiting), active=reading.active(name)),
            kept=KeptJobs(failed=count(failed)),
            head_first_seen_at=self._heads.first_seen(key, head, now) if isinstance(head, bytes) else None,
            registry_workers=None if reading.workers is None else serving[0],
            registry_workers_busy=None if reading.workers is None else serving[1],
            paused=reading.paused,
            error=first_error((waiting, head, failed, reading.totals[5])) or unread or reading.problem,
        )

    def _application(self, reading: "_Reading", now: float) -> Queue:
        processed, failures = reading.totals[3:5]
        return Queue(
            system=SYSTEM,
            name=reading.app.labels[b""],
            live=LiveJobs(waiting=reading.due, active=reading.active_elsewhere(), delayed=reading.later),
            kept=KeptJobs(failed=reading.failed_elsewhere()),
            head_eligible_at=eligible(reading.due_since, now),
            completed_total=self._attempts.completed(reading.app.namespace, counter(processed), counter(failures)),
            failed_total=counter(failures),
            error=first_error(reading.totals) or reading.delayed_problem or reading.problem,
        )


def _counting(app: Application) -> list[Command]:
    return [
        ("ZCARD", app.key(b"delayed_queue_schedule")),
        ("ZRANGE", app.key(b"delayed_queue_schedule"), 0, MAX_TIMES - 1),
        ("LLEN", app.key(b"failed")),
        ("GET", app.key(b"stat:processed")),
        ("GET", app.key(b"stat:failed")),
        ("GET", app.key(b"pause-all-workers")),
        sets.scan_set(app.key(b"failed_queues"), MAX_FAILED),
        sets.scan_set(app.key(b"workers"), MAX_WORKERS),
        *(("LLEN", app.key(b"queue:" + name)) for name in app.names),
    ]


def _serving(workers: Sequence[Worker], served: Mapping[bytes, Sequence[bytes]]) -> Mapping[bytes, tuple[int, int]]:
    """Return how many living workers serve each queue, and how many of them have a job."""
    alike = Counter((worker.queues, worker.busy) for worker in workers if worker.alive)
    serving: dict[bytes, tuple[int, int]] = {}
    for (queues, busy), number in alike.items():
        for name in served[queues]:
            alive, working = serving.get(name, (0, 0))
            serving[name] = (alive + number, working + number * busy)
    return serving


class _Reading:
    """The replies of one application."""

    def __init__(self, app: Application, counts: Sequence[Reply]) -> None:
        self.app = app
        self.totals = counts[:6]
        size, times, self._failed, _, _, pause = self.totals
        self._size = count(size) if isinstance(times, list) else None
        failed_queues, workers, *lengths = counts[6:]
        self._times = [time for time in items(times) if isinstance(time, bytes) and time.isdigit() and len(time) < 12]
        self._failed_queues = sets.members(failed_queues)
        self._ids = sets.members(workers)
        if self._ids is not None:
            self._ids = [identity for identity in self._ids if is_id(identity)]
        self.listed = dict(zip(app.names, lengths, strict=True))
        self.problem = sets.problem(workers) or sets.problem(failed_queues)
        self.paused = None if isinstance(pause, ReplyError) else _is_true(pause)
        self.replies: Mapping[bytes, Reply] = {}
        self.workers: list[Worker] | None = None
        self.due: int | None = None
        self.due_since: float | None = None
        self.later: int | None = None
        self.delayed_problem: str | None = None

    def details(self) -> Iterator[tuple[bytes, Command]]:
        """Return what the second batch reads, by key."""
        for name, length in self.listed.items():
            if count(length):
                key = self.app.key(b"queue:" + name)
                yield key, ("LINDEX", key, 0)
        for rest in (*(b"delayed:" + time for time in self._times), *self._lists):
            key = self.app.key(rest)
            yield key, ("LLEN", key)
        for identity in self._ids or ():
            key = self.app.key(b"worker:" + identity)
            yield key, ("GETRANGE", key, 0, PEEK)
        if self._ids:
            key = self.app.key(b"workers:heartbeat")
            yield key, ("HMGET", key, *self._ids)

    @property
    def _lists(self) -> list[bytes]:
        return [name for name in sets.plausible(self._failed_queues or ()) if name.endswith(_FAILED)]

    def take(self, replies: Mapping[bytes, Reply], now: float) -> None:
        """Take the replies of the second batch."""
        self.replies = replies
        self._take_workers(now)
        self._take_delayed(now)

    def _take_workers(self, now: float) -> None:
        if self._ids is None:
            return
        says = [self.replies[self.app.key(b"worker:" + identity)] for identity in self._ids]
        beats = self.replies[self.app.key(b"workers:heartbeat")] if self._ids else []
        if (problem := first_error((*says, beats))) is not None:
            self.problem = self.problem or problem
        elif len(items(beats)) != len(self._ids):
            self.problem = self.problem or ErrorKind.GARBAGE
        else:
            told = zip(self._ids, says, items(beats), strict=True)
            self.workers = [worker_of(identity, says, beat, now) for identity, says, beat in told]

    def _take_delayed(self, now: float) -> None:
        lengths = {int(time): self.replies[self.app.key(b"delayed:" + time)] for time in self._times}
        self.delayed_problem = first_error(lengths.values())
        if self._size is None or self.delayed_problem is not None:
            return
        all_read = self._size <= MAX_TIMES
        if all_read or max(lengths, default=0) > now:
            self.due = total((0, *(count(each) for time, each in lengths.items() if time <= now)))
            self.due_since = min((time for time, each in lengths.items() if time <= now and count(each)), default=None)
        if all_read:
            self.later = total((0, *(count(each) for time, each in lengths.items() if time > now)))
        else:
            self.delayed_problem = ErrorKind.TOO_LARGE

    def active(self, name: bytes) -> int | None:
        """Return the jobs of a queue that workers have."""
        return None if self.workers is None else self._working.get(name, 0)

    def active_elsewhere(self) -> int | None:
        """Return the jobs that workers have and that are told of no queue that is shown."""
        if self.workers is None:
            return None
        return sum(jobs for queue, jobs in self._working.items() if queue is None or queue not in self.listed)

    @cached_property
    def _working(self) -> Mapping[bytes | None, int]:
        return Counter(worker.works_on for worker in self.workers or () if worker.busy)

    def failed_of(self, name: bytes) -> Reply:
        """Return the length of a queue's own list of failed jobs; None where the application keeps no such lists."""
        if not self._failed_queues:
            return None
        return self.replies.get(self.app.key(name + _FAILED), 0)

    def failed_elsewhere(self) -> int | None:
        """Return the failed jobs that are kept for all queues together, or for a queue that is not shown."""
        if self._failed_queues is None:
            return None
        others = [rest for rest in self._lists if rest.removesuffix(_FAILED) not in self.listed]
        return total((count(self._failed), *(count(self.replies.get(self.app.key(rest))) for rest in others)))


def _is_true(pause: Reply) -> bool:
    return isinstance(pause, bytes) and pause.strip().lower() == b"true"
