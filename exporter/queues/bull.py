"""Bull 3 and 4, the predecessor of BullMQ (OptimalBits/bull: lib/queue.js, lib/getters.js, lib/commands/*.lua).

Keys are ``P:Q:part``, P is the option ``prefix``, ``bull`` unless changed. Whose a queue is: bull_keys.py.

=========  ===========================================================  =======================================
state      from                                                         note
=========  ===========================================================  =======================================
waiting    LLEN ``wait`` + LLEN ``paused``                              pausing renames one to the other
           + ZCOUNT ``delayed`` up to now                               overdue ones wait for a worker to move them
active     LLEN ``active``                                              of killed workers too, until others notice
delayed    ZCARD ``delayed`` - overdue                                  retries with a backoff and rate-limited ones too
retry      unknown                                                      a retry is a waiting or delayed job
blocked    unknown
finished   ZCARD ``completed``                                          all, unless the job says removeOnComplete
failed     ZCARD ``failed``                                             all, unless the job says removeOnFail
=========  ===========================================================  =======================================

``priority`` is an index of jobs that are in ``wait``.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final, NamedTuple

from depthgauge.resp import Command, Reply
from depthgauge.snapshot import KeptJobs, LiveJobs, Queue
from exporter.queues.bull_jobs import SAMPLE, Head, overdue_until, times_of
from exporter.queues.bull_keys import BullKeysReader, Target, has_bullmq_fields, meta_of, totals
from exporter.queues.payload import count, first_error, items, total
from exporter.queues.reader import Conversation

SYSTEM: Final = "bull"
COMMANDS: Final = frozenset({"llen", "lindex", "zcard", "zcount", "zrange", "hmget", "exists"})
"""The commands that reading sends."""
OPTIONAL_COMMANDS: Final = frozenset({"client|list"})
"""Without it there are no numbers of workers."""


class BullReader(BullKeysReader):
    """Reads Bull's queues."""

    system: Final = SYSTEM
    marks: ClassVar[Mapping[bytes, bytes]] = {b":id": b"string"}

    def evidence(self, base: bytes) -> tuple[Command, ...]:
        """Return what to ask: a counter alone, under a prefix that is not known, could be anybody's."""
        lists = [("LLEN", base + part) for part in (b":wait", b":paused", b":active")]
        sets = [("ZCARD", base + part) for part in (b":delayed", b":completed", b":failed")]
        return (*super().evidence(base), *lists, *sets)

    def is_ours(self, replies: Sequence[Reply], *, home: bool) -> bool:
        """Say whether there is a counter, nothing of BullMQ, and under an unknown prefix jobs where Bull keeps them."""
        meta, events, counter, *jobs = replies
        if has_bullmq_fields(meta) or events != 0 or counter != 1:
            return False
        return home or any(isinstance(number, int) and number > 0 for number in jobs)

    def read_queue(self, target: Target, now: float) -> Conversation[Queue | None]:
        """Read counts and ids, then the jobs these are of."""
        counts = _Counts(*(yield _counting(target, now)))
        if has_bullmq_fields(counts.meta) or counts.events == 1:
            return None
        head = Head(self.heads, target.base, now)
        fresh = self.recent.fresh(target.base, counts.newest, now)
        asked = next_job = head.ask(counts.next) or head.ask(counts.parked)
        if not next_job and head.readable and count(counts.overdue):
            asked = [("ZRANGE", target.key(b"delayed"), 0, 0, "WITHSCORES")]
        commands = [*asked, *times_of(target.base, fresh)]
        replies: list[Reply] = (yield commands) if commands else []
        for reply in replies[: len(asked)]:
            head.judge(reply) if next_job else head.judge_overdue(reply)
        listed, parked, overdue, later = (
            count(reply) for reply in (counts.wait, counts.paused, counts.overdue, counts.delayed)
        )
        waiting = total((listed, parked, overdue)) if listed is not None else None
        done, lost = totals(counts.done, counts.lost)
        meta = items(counts.meta)
        parking = count(counts.parking)
        paused = None if not meta or parking is None else bool(parking) or isinstance(meta[0], bytes)
        return Queue(
            system=SYSTEM,
            name=target.label,
            live=LiveJobs(
                waiting=waiting,
                active=count(counts.active),
                delayed=None if later is None or overdue is None else max(0, later - overdue),
            ),
            kept=KeptJobs(finished=count(counts.completed), failed=count(counts.failed)),
            head_eligible_at=head.eligible_at,
            head_first_seen_at=head.first_seen_at,
            completed_total=done,
            failed_total=lost,
            processing_seconds=self.recent.update(target.base, replies[len(asked) :], now),
            registry_workers=self.clients.workers(target.prefix, target.name),
            paused=paused,
            error=first_error((*counts, *replies)) or (head.error if waiting else None),
        )


class _Counts(NamedTuple):
    """The replies of the first batch."""

    wait: Reply
    next: Reply
    paused: Reply
    parked: Reply
    active: Reply
    delayed: Reply
    overdue: Reply
    completed: Reply
    failed: Reply
    meta: Reply
    parking: Reply
    events: Reply
    done: Reply
    lost: Reply
    newest: Reply


def _counting(target: Target, now: float) -> list[Command]:
    delayed = target.key(b"delayed")
    return [
        ("LLEN", target.key(b"wait")),
        ("LINDEX", target.key(b"wait"), -1),
        ("LLEN", target.key(b"paused")),
        ("LINDEX", target.key(b"paused"), -1),
        ("LLEN", target.key(b"active")),
        ("ZCARD", delayed),
        ("ZCOUNT", delayed, "-inf", overdue_until(now)),
        ("ZCARD", target.key(b"completed")),
        ("ZCARD", target.key(b"failed")),
        meta_of(target.base),
        ("EXISTS", target.key(b"meta-paused")),
        ("EXISTS", target.key(b"events")),
        ("HMGET", target.key(b"metrics:completed"), "count"),
        ("HMGET", target.key(b"metrics:failed"), "count"),
        ("ZRANGE", target.key(b"completed"), -SAMPLE, -1, "WITHSCORES"),
    ]
