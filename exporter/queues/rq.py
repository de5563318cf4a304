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
from pathlib import PurePath
from typing import Final

from depthgauge.errors import ErrorKind
from depthgauge.names import clean
from depthgauge.resp import Command, Reply, ReplyError, TooLarge
from depthgauge.snapshot import KeptJobs, LiveJobs, Queue
from exporter.queues.payload import count, eligible, first_error, items, seconds, total
from exporter.queues.reader import Conversation
from exporter.settings import RqSettings

SYSTEM: Final = "rq"
MAX_WORKERS: Final = 5_000
"""Members of one queue's set of workers; a larger set is not read."""
MAX_NAMES: Final = 50_000
"""Names taken from ``rq:queues``; the walk over a longer set ends early."""

_TRIES: Final = 3
"""Jobs looked at for the head: the hash of an expired job is gone while its id is still in the list."""
_COLUMNS: Final = 12
_TITLE: Final = "rq:worker:"
_LISTENING: Final = ": Listening on "
_LONG: Final = frozenset(
    (
        "--url",
        "--config",
        "--worker-class",
        "--job-class",
        "--queue-class",
        "--connection-class",
        "--path",
        "--serializer",
        "--logging_level",
        "--logging-level",
        "--log-format",
        "--date-format",
        "--name",
        "--results-ttl",
        "--worker-ttl",
        "--maintenance-interval",
        "--job-monitoring-interval",
        "--exception-handler",
        "--pid",
        "--max-jobs",
        "--max-idle-time",
        "--dequeue-strategy",
        "--num-workers",
        "--verbosity",
        "--settings",
        "--pythonpath",
        "--sentry-dsn",
        "--sentry-ca-certs",
    )
)
"""Options that take a value (rq/cli/helpers.py, rq/cli/workers.py; django_rq/management/commands/rqworker.py)."""
_SHORT: Final = "ucwjPSnl"


class RqReader:
    """Reads RQ's queues. A handle is the queue's name."""

    system: Final = SYSTEM
    needs_scan: Final = False

    def __init__(self, settings: RqSettings, names: Sequence[str]) -> None:
        self._prefix = settings.prefix.encode() + b":"
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

    def may_own(self, key: bytes) -> bool:  # noqa: ARG002  the protocol's signature
        """Return False: the set of names tells all queues."""
        return False

    def recognise(self, key: bytes, kind: bytes) -> bytes | None:  # noqa: ARG002  the protocol's signature
        """Return None, see :meth:`may_own`."""
        return None

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


class RqCommandLine:
    """Workers: ``rq worker [options] high default``, ``rq worker-pool``, ``manage.py rqworker``, and RQ's process titles.

    No queue means ``default``, unless a settings module is named: that one may tell queues, and is not read.
    """

    system: Final = SYSTEM

    def serves(self, argv: Sequence[str]) -> Sequence[str] | None:
        """Return the positional arguments."""
        words = tuple(argv)
        title = " ".join(words).rstrip("\0 ")
        if title.startswith(_TITLE):
            _, found, queues = title.partition(_LISTENING)
            return [name.strip() for name in queues.split(",") if name.strip()] if found else None
        for at, word in enumerate(words):
            name = PurePath(word).name
            if name in {"rq", "rq.cli"} and words[at + 1 : at + 2] in (("worker",), ("worker-pool",)):
                return _positional(words[at + 2 :], _SHORT)
            if name in {"rqworker", "rqworker-pool"} and (
                at == 0 or PurePath(words[at - 1]).name.startswith(_LAUNCHERS)
            ):
                return _positional(words[at + 1 :], _SHORT + "v")
        return None


_LAUNCHERS: Final = ("python", "manage.py", "django-admin")


def _positional(words: Sequence[str], short: str) -> Sequence[str] | None:
    rest = iter(words)
    queues: list[str] = []
    configured = False
    for word in rest:
        if word == "--":
            queues += rest
        elif word.startswith("--"):
            option, sign, _ = word.partition("=")
            configured = configured or option == "--config"
            if option in _LONG and not sign:
                next(rest, None)
        elif word.startswith("-ds"):
            if word == "-ds":
                next(rest, None)
        elif word.startswith("-") and word != "-":
            at = next((at for at, letter in enumerate(word) if letter in short), None)
            configured = configured or (at is not None and word[at] == "c")
            if at is not None and at == len(word) - 1:
                next(rest, None)
        else:
            queues.append(word)
    if queues:
        return queues
    return None if configured else ["default"]
