"""RQ's registry of workers, and the counters that each worker keeps in its own hash (rq/worker/base.py, rq/worker.py).

``P:worker:NAME`` holds ``state``, ``birth``, ``death``, ``queues`` (with commas between), ``successful_job_count``,
``failed_job_count`` (attempts, so that a job tried three times may count three) and ``total_working_time`` in seconds.
RQ counts by worker and not by queue, so the figures can be a queue's only where workers serve nothing else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from depthgauge.resp import Reply, ReplyError, TooLarge
from exporter.queues.heads import remember
from exporter.queues.payload import MOST_COUNTED, items, number
from exporter.queues.tally import RecentMean, Tally

FIELDS: Final = (
    "state",
    "birth",
    "death",
    "queues",
    "successful_job_count",
    "failed_job_count",
    "total_working_time",
)
"""What is asked of a worker's hash."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """What its workers tell of one queue; None is unknown."""

    workers: int | None = None
    busy: int | None = None
    completed: int | None = None
    failed: int | None = None
    processing_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class _Worker:
    """One worker's hash."""

    state: Reply
    birth: Reply
    death: Reply
    queues: Reply
    completed: Reply
    failed: Reply
    seconds: Reply

    @property
    def alive(self) -> bool:
        """A hash that is there and tells no death: sets keep the names of killed workers."""
        known = self.state is not None or self.birth is not None
        return known and not isinstance(self.state, TooLarge) and not isinstance(self.death, bytes)

    @property
    def life(self) -> bytes:
        """What tells it from a later worker of the same name."""
        return self.birth if isinstance(self.birth, bytes) else b""


NOBODY: Final = Served(workers=0, busy=0)


class Workers:
    """Remembers who served which queue, and what they had done by then."""

    def __init__(self) -> None:
        self._members: dict[bytes, frozenset[bytes]] = {}
        self._based: dict[bytes, None] = {}
        self._counted: dict[bytes, None] = {}
        self._completed = Tally()
        self._failed = Tally()
        self._seconds = Tally()
        self._mean = RecentMean()

    def asked(self, handle: bytes, members: Sequence[bytes]) -> Sequence[bytes]:
        """Return the keys of the workers to read: those in the queue's set, and once more those that have just left it.

        RQ keeps a worker's hash for a minute after its good-bye: its last jobs are counted there.
        """
        left = self._members.get(handle)
        return tuple(dict.fromkeys((*members, *left))) if left else members

    def judge(
        self, handle: bytes, name: bytes, members: Sequence[bytes], hashes: Mapping[bytes, Reply], now: float
    ) -> Served:
        """Return what is known of a queue whose set of workers could be read; ``hashes`` has a reply for each that was asked."""
        if not members and handle in self._based and not (handle in self._counted or handle in self._members):
            return NOBODY
        asked = self.asked(handle, members)
        if any(isinstance(hashes[key], ReplyError) for key in asked):
            return Served()
        read = {key: _Worker(*fields) for key in asked if len(fields := items(hashes[key])) == len(FIELDS)}
        self._remember(handle, members)
        living = [worker for key in members if (worker := read.get(key)) is not None and worker.alive]
        served = Served(workers=len(living), busy=sum(worker.state == b"busy" for worker in living))
        own = {key + b"\0" + worker.life: worker for key, worker in read.items() if worker.queues == name}
        if not own and handle not in self._counted:
            if handle not in self._based:
                remember(self._based, handle, None)
                self._count(handle, {}, now)
            return served
        remember(self._based, handle, None)
        remember(self._counted, handle, None)
        completed, failed, mean = self._count(handle, own, now)
        if any(worker.queues != name for worker in living):
            return served
        return Served(
            workers=served.workers, busy=served.busy, completed=completed, failed=failed, processing_seconds=mean
        )

    def rebase(self) -> None:
        """Let what is read next count as nothing done."""
        for tally in (self._completed, self._failed, self._seconds):
            tally.rebase()
        self._members.clear()
        self._based.clear()

    def _remember(self, handle: bytes, members: Sequence[bytes]) -> None:
        if members:
            remember(self._members, handle, frozenset(members))
        else:
            self._members.pop(handle, None)

    def _count(self, handle: bytes, own: Mapping[bytes, _Worker], now: float) -> tuple[int, int, float | None]:
        """Add what these workers, who serve nothing but this queue, have done since the last reading."""
        completed = self._completed.update(handle, _known(own, "completed"))
        failed = self._failed.update(handle, _known(own, "failed"))
        seconds = self._seconds.update(handle, _known(own, "seconds"))
        mean = self._mean.update(handle, now=now, count=completed + failed, seconds=seconds)
        return int(completed), int(failed), mean


def _known(workers: Mapping[bytes, _Worker], figure: str) -> dict[bytes, float]:
    """Return a figure of each worker; one that has not counted yet stands at 0, one that is no number is left out."""
    known: dict[bytes, float] = {}
    for life, worker in workers.items():
        reply = getattr(worker, figure)
        told = 0.0 if reply is None else number(reply)
        if told is not None and 0 <= told <= MOST_COUNTED:
            known[life] = told
    return known
