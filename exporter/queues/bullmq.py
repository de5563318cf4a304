"""BullMQ 3 to 6 on Redis (taskforcesh/bullmq: src/classes/queue-keys.ts, src/commands/*.lua, and its ports).

Keys are ``P:Q:part``, P is the option ``prefix``, ``bull`` unless changed.

=========  ===========================================================  =======================================
state      from                                                         note
=========  ===========================================================  =======================================
waiting    LLEN ``wait`` + LLEN ``paused`` + ZCARD ``prioritized``      without the markers ``0:…`` of 3 and 4
           + ZCOUNT ``delayed`` up to now                               overdue ones wait for a worker to move them
active     LLEN ``active``                                              of killed workers too, until others notice
delayed    ZCARD ``delayed`` - overdue                                  retries with a backoff included
retry      unknown                                                      a retry is a waiting or delayed job
blocked    ZCARD ``waiting-children``                                   waits for the jobs of its flow
finished   ZCARD ``completed``                                          all, unless the job says removeOnComplete
failed     ZCARD ``failed``                                             all, unless the job says removeOnFail
=========  ===========================================================  =======================================

While a queue is paused up to version 5 its jobs are in ``paused``, since 6 they stay in ``wait``. Up to version 3 prioritized
jobs are in ``wait`` and ``priority`` is only an index. The library's own getJobCounts removes a marker and so writes.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Final, NamedTuple

from depthgauge.resp import Command, Reply
from depthgauge.snapshot import KeptJobs, LiveJobs, Queue
from exporter.queues.bull_jobs import SAMPLE, Head, overdue_until, times_of
from exporter.queues.bull_keys import BullKeysReader, Target, has_bullmq_fields, meta_of, totals
from exporter.queues.payload import count, first_error, items, total
from exporter.queues.reader import Conversation

SYSTEM: Final = "bullmq"
COMMANDS: Final = frozenset({"llen", "lrange", "lindex", "zcard", "zcount", "zrange", "hmget", "exists"})
"""The commands that reading sends."""
OPTIONAL_COMMANDS: Final = frozenset({"client|list"})
"""Without it there are no numbers of workers."""

_ENDS: Final = 3
"""Ids looked at where jobs are taken from: jobs that were pushed to the front (LIFO, stalled) may stand before a marker."""
_MARK: Final = b"0:"
"""What 3 and 4 put into an empty list, ``0:0`` or ``0:TIME``, so that a waiting worker looks up; no id begins so."""
_DIGITS: Final = 9
"""Of a major version: Python refuses to make a number of thousands."""


class BullMqReader(BullKeysReader):
    """Reads BullMQ's queues."""

    system: Final = SYSTEM
    marks: ClassVar[Mapping[bytes, bytes]] = {b":meta": b"hash", b":events": b"stream"}

    def is_ours(self, replies: Sequence[Reply], *, home: bool) -> bool:
        """Say whether ``meta`` is BullMQ's; under a known prefix a stream of events and a counter do as well."""
        meta, events, counter = replies
        return has_bullmq_fields(meta) or (home and events == 1 and counter == 1)

    def read_queue(self, target: Target, now: float) -> Conversation[Queue | None]:
        """Read counts and ids, then what these lead to."""
        counts = _Counts(*(yield _counting(target, now)))
        head = Head(self.heads, target.base, now)
        fresh = self.recent.fresh(target.base, counts.newest, now)
        asked = _details(target, counts, head)
        commands = [*asked.values(), *times_of(target.base, fresh)]
        replies: list[Reply] = (yield commands) if commands else []
        more = dict(zip(asked, replies, strict=False))
        if more.get("id") == 1 and more.get("events") == 0:
            return None
        last: list[Reply] = []
        if "head" in more:
            head.judge(more["head"])
        elif after := head.ask(_next(more.get("paused"))) or head.ask(next(iter(items(more.get("prioritized"))), None)):
            last = yield after
            head.judge(last[0])
        else:
            head.judge_overdue(more.get("overdue"))

        listed, parked, overdue, later = (
            count(reply) for reply in (counts.wait, counts.paused, counts.overdue, counts.delayed)
        )
        marks = _marks((*items(counts.ends), more.get("first"), *items(more.get("paused")), more.get("paused_first")))
        waiting = total((listed, parked, count(counts.prioritized), overdue)) if listed is not None else None
        if waiting is not None:
            waiting = max(0, waiting - marks)
        done, lost = totals(counts.done, counts.lost)
        meta = items(counts.meta)
        return Queue(
            system=SYSTEM,
            name=target.label,
            live=LiveJobs(
                waiting=waiting,
                active=count(counts.active),
                delayed=None if later is None or overdue is None else max(0, later - overdue),
                blocked=count(counts.blocked),
            ),
            kept=KeptJobs(finished=count(counts.completed), failed=count(counts.failed)),
            head_eligible_at=head.eligible_at,
            head_first_seen_at=head.first_seen_at,
            completed_total=done,
            failed_total=lost,
            processing_seconds=self.recent.update(target.base, replies[len(asked) :], now),
            registry_workers=self.clients.workers(target.prefix, target.name),
            paused=isinstance(meta[0], bytes) if meta else None,
            error=first_error((*counts, *replies, *last)) or (head.error if waiting else None),
        )


class _Counts(NamedTuple):
    """The replies of the first batch."""

    wait: Reply
    ends: Reply
    paused: Reply
    active: Reply
    prioritized: Reply
    delayed: Reply
    overdue: Reply
    blocked: Reply
    completed: Reply
    failed: Reply
    meta: Reply
    done: Reply
    lost: Reply
    newest: Reply


def _counting(target: Target, now: float) -> list[Command]:
    wait, delayed = target.key(b"wait"), target.key(b"delayed")
    return [
        ("LLEN", wait),
        ("LRANGE", wait, -_ENDS, -1),
        ("LLEN", target.key(b"paused")),
        ("LLEN", target.key(b"active")),
        ("ZCARD", target.key(b"prioritized")),
        ("ZCARD", delayed),
        ("ZCOUNT", delayed, "-inf", overdue_until(now)),
        ("ZCARD", target.key(b"waiting-children")),
        ("ZCARD", target.key(b"completed")),
        ("ZCARD", target.key(b"failed")),
        meta_of(target.base),
        ("HMGET", target.key(b"metrics:completed"), "count"),
        ("HMGET", target.key(b"metrics:failed"), "count"),
        ("ZRANGE", target.key(b"completed"), -SAMPLE, -1, "WITHSCORES"),
    ]


def _details(target: Target, counts: _Counts, head: Head) -> dict[str, Command]:
    """Return what the counts lead to: whose an unmarked queue is, where else a marker may be, and the next job."""
    asked: dict[str, Command] = {}
    old = _is_old(counts.meta)
    if not has_bullmq_fields(counts.meta):
        asked["events"] = ("EXISTS", target.key(b"events"))
        asked["id"] = ("EXISTS", target.key(b"id"))
    if old and (count(counts.wait) or 0) > _ENDS:
        asked["first"] = ("LINDEX", target.key(b"wait"), 0)
    parked = count(counts.paused) or 0
    if parked:
        asked["paused"] = ("LRANGE", target.key(b"paused"), -_ENDS, -1)
    if old and parked > _ENDS:
        asked["paused_first"] = ("LINDEX", target.key(b"paused"), 0)
    for command in head.ask(_next(counts.ends)):
        asked["head"] = command
    if "head" not in asked and head.readable:
        if count(counts.prioritized):
            asked["prioritized"] = ("ZRANGE", target.key(b"prioritized"), 0, 0)
        if count(counts.overdue):
            asked["overdue"] = ("ZRANGE", target.key(b"delayed"), 0, 0, "WITHSCORES")
    return asked


def _is_old(meta: Reply) -> bool:
    """Say whether a marker may be in the lists: up to version 4, or where the version is not told."""
    version = items(meta)[2] if len(items(meta)) == 3 else None
    major = version.rpartition(b":")[2].partition(b".")[0] if isinstance(version, bytes) else b""
    return not major.isdigit() or len(major) > _DIGITS or int(major) < 5


def _marks(ids: Iterable[Reply]) -> int:
    return sum(isinstance(job, bytes) and job.startswith(_MARK) for job in ids)


def _next(ends: Reply) -> bytes | None:
    """Return the job that is taken next out of the end of a list."""
    return next((job for job in reversed(items(ends)) if isinstance(job, bytes) and not job.startswith(_MARK)), None)
