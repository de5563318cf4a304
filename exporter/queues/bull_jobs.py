"""What BullMQ and Bull keep of a job: since when it could run, and how long it took.

A job is a hash ``P:Q:ID`` (classes/job.ts, lib/job.js) with ``timestamp`` (creation), ``processedOn`` and ``finishedOn`` (start
and end of the last attempt) in unix ms and ``opts``, JSON, whose ``delay`` in ms keeps what the field ``delay`` loses when the
job is due. Scores of ``delayed`` are the due time in ms times 4096 plus a serial number; those of ``completed`` plain ms.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from depthgauge.errors import ErrorKind
from depthgauge.resp import Command, Reply, TooLarge
from exporter.queues.heads import HeadMemory
from exporter.queues.payload import eligible, fields, items, number, seconds
from exporter.queues.tally import MOST, WINDOW, RecentMean

SAMPLE: Final = 5
"""Completed jobs looked at in one reading of a queue: the newest ones."""

_SERIALS: Final = 4096
_CENTURY: Final = 3_155_760_000.0


class _Opts(msgspec.Struct):
    """The options that tell when a job may run."""

    delay: Any = None


class Head:
    """The next job to run of one queue in one reading: found step by step, judged at the end."""

    def __init__(self, memory: HeadMemory, base: bytes, now: float) -> None:
        self.eligible_at: datetime | None = None
        self.first_seen_at: datetime | None = None
        self.readable = memory.readable(base, now)
        self.error: str | None = None if self.readable else ErrorKind.TOO_LARGE
        self._memory = memory
        self._base = base
        self._now = now
        self._job: bytes | None = None

    def ask(self, job: Reply) -> list[Command]:
        """Return the command that asks for a job's times; none where there is no job, or its hash is left alone."""
        if not isinstance(job, bytes) or not self.readable:
            return []
        self._job = job
        return [("HMGET", self._base + b":" + job, "timestamp", "processedOn", "opts")]

    def judge(self, reply: Reply) -> None:
        """Take the reply to :meth:`ask`; the job may be gone meanwhile."""
        if any(isinstance(value, TooLarge) for value in items(reply)):
            self._memory.pause(self._base, self._now)
            self.readable, self.error = False, ErrorKind.TOO_LARGE
            return
        timestamp, processed, raw = items(reply) if len(items(reply)) == 3 else (None, None, None)
        if timestamp is None and raw is None:
            return
        opts = fields(raw, _Opts) if isinstance(raw, bytes) else None
        created = seconds(timestamp)
        if opts is None or created is None:
            self.error = ErrorKind.GARBAGE
        if created is not None:
            due = created + (_delay(opts) if opts else 0.0)
            self.eligible_at = eligible(max(due, seconds(processed) or 0.0), self._now)
        if self.eligible_at is None and self._job is not None:
            self.first_seen_at = self._memory.first_seen(self._base, self._job, self._now)

    def judge_overdue(self, reply: Reply) -> None:
        """Take the first of the delayed jobs with its score, where no job is ready and that one is due."""
        if len(items(reply)) == 2 and (score := number(items(reply)[1])) is not None:
            self.eligible_at = eligible(score // _SERIALS / 1000, self._now)


def _delay(opts: _Opts) -> float:
    delay = opts.delay
    usable = isinstance(delay, int | float) and not isinstance(delay, bool) and delay > 0
    return float(min(delay, _CENTURY * 1000)) / 1000 if usable else 0.0


def overdue_until(now: float) -> int:
    """Return the score up to which delayed jobs are due. ``now`` is unix time in seconds."""
    return int(now * 1000) * _SERIALS + _SERIALS - 1


class RecentJobs:
    """Mean processing seconds of jobs that were completed lately, by queue, from a few of the newest at each reading."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[float, int, float]] = {}
        self._mean = RecentMean()

    def fresh(self, base: bytes, newest: Reply, now: float) -> list[bytes]:
        """Return the ids among the newest completed jobs (with scores) that have not been looked at yet."""
        known = self._known.pop(base, None)
        if known is None or known[0] > now * 1000 + WINDOW * 1000:
            known = ((now - WINDOW) * 1000, 0, 0.0)
            self._mean.update(base, now=now, count=0, seconds=0.0)
        since, count, spent = known
        pairs = items(newest)
        scored = [(pairs[at], number(pairs[at + 1])) for at in range(0, len(pairs) - 1, 2)]
        ids = [job for job, score in scored if isinstance(job, bytes) and score is not None and score > since]
        since = max((since, *(score for _, score in scored if score is not None)))
        if len(self._known) >= MOST:
            del self._known[next(iter(self._known))]
        self._known[base] = (since, count, spent)
        return ids

    def update(self, base: bytes, hashes: Iterable[Reply], now: float) -> float | None:
        """Take processedOn and finishedOn of the fresh jobs, return the mean of the last minutes; None without any."""
        since, count, spent = self._known[base]
        for reply in hashes:
            started, finished = (number(value) for value in (*items(reply), None, None)[:2])
            if started is not None and finished is not None and 0 < started <= finished:
                count += 1
                spent += min((finished - started) / 1000, _CENTURY)
        self._known[base] = (since, count, spent)
        return self._mean.update(base, now=now, count=count, seconds=spent)


def times_of(base: bytes, jobs: Sequence[bytes]) -> list[Command]:
    """Return the commands that ask when jobs began and ended."""
    return [("HMGET", base + b":" + job, "processedOn", "finishedOn") for job in jobs]
