"""Arq (arq/worker.py, arq/connections.py, arq/constants.py, arq/jobs.py).

A queue is a sorted set of job ids by due time (ms) under the worker's ``queue_name``, ``arq:queue`` unless changed. A job
stays in it while it runs and leaves at its end.

=========  ===========================================================  =======================================
state      from                                                         note
=========  ===========================================================  =======================================
waiting    ZCOUNT ``Q`` -inf now - active
active     of the first 500 due ids of ``Q``, those with a key          jobs of killed workers count until the
           ``arq:in-progress:ID``                                       key expires (job_timeout + 10 s)
delayed    ZCARD ``Q`` - due                                            retries with a delay included
retry      unknown                                                      a retry is a due or delayed job
blocked    unknown
finished   unknown                                                      results are keys of all queues together
=========  ===========================================================  =======================================

``Q:health-check`` tells that a worker of Q was alive within the last hour, not how many: each worker overwrites it, and the
first to stop deletes it. It serves to find queues only. Jobs are pickled: none is read.
"""

import math
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from depthgauge.errors import ErrorKind
from depthgauge.names import clean
from depthgauge.resp import Command, Reply, TooLarge
from depthgauge.snapshot import LiveJobs, Queue
from exporter.queues.heads import HeadMemory
from exporter.queues.payload import count, eligible, first_error, items
from exporter.queues.reader import Conversation, Reader

SYSTEM: Final = "arq"
COMMANDS: Final = frozenset({"zcard", "zcount", "zrange", "mget", "getrange"})
"""The commands that reading and discovery send."""
DEFAULT_QUEUE: Final = b"arq:queue"
LOOKED_AT: Final = 500
"""Due ids looked at: running jobs are among them, because a worker takes none but the first ``queue_read_limit`` (100)."""
MAX_MET: Final = 1_000
"""Keys that look like a health check and are asked in one walk what they hold."""

_HEALTH: Final = b":health-check"
_HEALTH_TEXT: Final = re.compile(rb"j_complete=\d+ j_failed=\d+ j_retried=\d+ j_ongoing=\d+ queued=\d+")
_RUNNING: Final = b"arq:in-progress:"


class ArqReader(Reader):
    """Reads arq's queues. A handle is the queue's key, which is its name."""

    system: Final = SYSTEM
    needs_scan = True

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(name.encode() for name in names)
        self._ids = HeadMemory()
        self.prefixes: list[bytes] = []
        """Queues whose health check, as it seems, was met in this walk: others have keys of that ending too."""

    def discover(self) -> Conversation[Sequence[bytes]]:
        """Return the queues whose health check holds what arq writes there."""
        met, self.prefixes = tuple(dict.fromkeys(self.prefixes)), []
        texts: list[Reply] = (yield [("GETRANGE", queue + _HEALTH, 0, 255) for queue in met]) if met else []
        return tuple(
            queue
            for queue, text in zip(met, texts, strict=True)
            if isinstance(text, bytes) and _HEALTH_TEXT.search(text)
        )

    def may_own(self, page: Sequence[bytes]) -> Sequence[bytes]:
        """Return the default queue and the keys that end like a health check."""
        return [key for key in page if key.endswith(_HEALTH) or key == DEFAULT_QUEUE]

    def recognise(self, key: bytes, kind: bytes) -> bytes | None:
        """Return the default queue; remember a health check, which :meth:`discover` looks into."""
        if key == DEFAULT_QUEUE:
            return key if kind == b"zset" else None
        queue = key.removesuffix(_HEALTH)
        if kind == b"string" and queue and len(self.prefixes) < MAX_MET:
            self.prefixes.append(queue)
        return None

    def name(self, handle: bytes) -> str:
        """Return the key, cleaned."""
        return clean(handle)

    def read(self, found: Sequence[bytes], now: float) -> Conversation[Sequence[Queue]]:
        """Read all queues in three batches: counts, the first due ids, and which of them are running."""
        queues = tuple(dict.fromkeys((*self._names, *found)))
        if not queues:
            return ()
        moment = int(now * 1000)
        counts: list[Reply] = yield [command for queue in queues for command in _counting(queue, moment)]
        readings = {queue: _Reading(counts[2 * at : 2 * at + 2]) for at, queue in enumerate(queues)}
        due = {queue: reading for queue, reading in readings.items() if reading.due and self._ids.readable(queue, now)}
        if due:
            firsts: list[Reply] = yield [
                ("ZRANGE", queue, 0, min(reading.due or 0, LOOKED_AT) - 1, "WITHSCORES")
                for queue, reading in due.items()
            ]
            for (queue, reading), first in zip(due.items(), firsts, strict=True):
                reading.take_first(first, moment)
                if _has_too_large(first):
                    self._ids.pause(queue, now)
        listed = [reading for reading in due.values() if reading.jobs]
        if listed:
            marks: list[Reply] = yield [("MGET", *(_RUNNING + job for job in reading.jobs)) for reading in listed]
            for reading, mark in zip(listed, marks, strict=True):
                reading.marks = mark
        return [_queue(name, reading, now) for name, reading in readings.items()]


class _Reading:
    """The replies of one queue."""

    def __init__(self, counts: Sequence[Reply]) -> None:
        self.counts = counts
        self.members, self.due = (count(reply) for reply in counts)
        self.first: Reply = None
        self.jobs: dict[bytes, float] = {}
        """Due times (ms) of the first due jobs, in their order."""
        self.marks: Reply = []
        """What their keys of running jobs hold."""

    def take_first(self, reply: Reply, moment: int) -> None:
        """Take ids and scores from the lowest score on; what is no longer due has been put off meanwhile."""
        self.first = reply
        rows = items(reply)
        for job, score in zip(rows[::2], rows[1::2], strict=False):
            due = _score(score)
            if isinstance(job, bytes) and due <= moment:
                self.jobs[job] = due

    def active(self) -> int | None:
        """Return how many jobs run; None if that could not be read, or if there may be more than were looked at."""
        if self.due == 0:
            return 0
        if not isinstance(self.first, list) or _has_too_large(self.first):
            return None
        if not isinstance(self.marks, list) or len(self.marks) != len(self.jobs):
            return None
        running = sum(mark is not None for mark in self.marks)
        return None if running >= LOOKED_AT and self.due != running else running

    def head(self, now: float) -> datetime | None:
        """Return when the first due job that does not run became due."""
        if self.active() is None:
            return None
        marked = zip(self.jobs.values(), items(self.marks), strict=True)
        return next((eligible(due / 1000, now) for due, mark in marked if mark is None), None)


def _score(reply: Reply) -> float:
    """Return a score, which may be infinite; what is none is never due."""
    try:
        return float(reply) if isinstance(reply, bytes) else math.nan
    except ValueError:
        return math.nan


def _has_too_large(reply: Reply) -> bool:
    return any(isinstance(item, TooLarge) for item in items(reply))


def _counting(queue: bytes, moment: int) -> tuple[Command, Command]:
    return ("ZCARD", queue), ("ZCOUNT", queue, "-inf", moment)


def _queue(name: bytes, reading: _Reading, now: float) -> Queue:
    error = first_error((*reading.counts, reading.first, reading.marks))
    members, due, active = reading.members, reading.due, reading.active()
    if due is not None and active is None:
        error = error or ErrorKind.TOO_LARGE
    return Queue(
        system=SYSTEM,
        name=clean(name),
        live=LiveJobs(
            waiting=None if due is None or active is None else max(0, due - active),
            active=active,
            delayed=None if members is None or due is None else max(0, members - due),
        ),
        head_eligible_at=reading.head(now),
        error=error,
    )
