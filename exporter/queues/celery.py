"""Celery on a Redis broker (kombu/transport/redis.py, kombu/transport/virtual/base.py, celery/app/amqp.py).

Keys begin with P, the transport option ``global_keyprefix``, empty unless set. SEP is 06 16 (hexadecimal) unless ``sep`` is set.

=========  ===========================================================  =======================================
state      from                                                         note
=========  ===========================================================  =======================================
waiting    LLEN ``Q`` + LLEN ``Q`` SEP ``3`` + ``6`` + ``9``            a list for each priority step
active     HLEN ``unacked``, for all queues together (queue ``""``)     taken by a worker, not acknowledged
delayed    unknown                                                      a worker holds ETA and countdown tasks
                                                                        in ``unacked`` until they are due
retry      unknown                                                      a retry is a task with an ETA
blocked    unknown                                                      chords are counted in the result backend
failed     unknown                                                      kept by task in the result backend
=========  ===========================================================  =======================================

``unacked`` is one hash for all queues and workers of an application. By default a task is acknowledged when it begins: it holds
what workers have prefetched and what has an ETA, and running tasks are nowhere in Redis. With ``task_acks_late`` running ones
are in it too. Which queue an entry is of stands in its value, beside the whole message: it is not read, so that the figure is
exact at any size and no payload travels for it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from depthgauge.errors import ErrorKind
from depthgauge.resp import Command, Reply, TooLarge
from depthgauge.snapshot import LiveJobs, Queue
from exporter.queues.celery_names import CeleryNames
from exporter.queues.heads import HeadMemory
from exporter.queues.payload import count, eligible, fields, first_error, seconds
from exporter.queues.reader import Conversation
from exporter.queues.targets import Target, Targets
from exporter.settings import CelerySettings

SYSTEM: Final = "celery"
COMMANDS: Final = frozenset({"hlen", "llen", "lindex", "sscan"})
"""The commands that reading sends."""


class _Message(msgspec.Struct):
    """What tells one message from another, and since when it waits (celery/app/amqp.py, protocol 2; the body is not looked at)."""

    headers: Any = None
    properties: Any = None


class CeleryReader(CeleryNames):
    """Reads Celery's queues."""

    system: Final = SYSTEM

    def __init__(self, settings: CelerySettings, names: Sequence[str]) -> None:
        own = None if settings.prefix is None else settings.prefix.encode()
        separator = settings.separator.encode()
        super().__init__(own, separator)
        # The lowest step is the first that workers take from, and that of 0 has no suffix.
        self._suffixes = (b"", *(separator + b"%d" % step for step in sorted({*settings.priority_steps} - {0})))
        self._time_header = settings.time_header
        self._targets = Targets(names, own=own, default=b"", between=b"", whole=True)
        self._heads = HeadMemory()

    def read(self, found: Sequence[bytes], now: float) -> Conversation[Sequence[Queue]]:
        """Read all queues in two batches: counts, then heads."""
        targets = self._targets.of(found)
        if not targets:
            return ()
        replies: list[Reply] = yield [command for target in targets for command in self._counting(target)]
        rest = iter(replies)
        read = {target: [next(rest) for _ in self._counting(target)] for target in targets}
        asked = {
            target: command
            for target, counts in read.items()
            if (command := self._head_command(target, counts, now)) is not None
        }
        answers: list[Reply] = (yield list(asked.values())) if asked else []
        heads = dict(zip(asked, answers, strict=True))
        return [
            self._queue(target, counts, heads.get(target), now) if target.name else _unacked(target, counts)
            for target, counts in read.items()
        ]

    def _counting(self, target: Target) -> Sequence[Command]:
        if not target.name:
            return (("HLEN", target.prefix + b"unacked"),)
        key = target.prefix + target.name
        return tuple(("LLEN", key + suffix) for suffix in self._suffixes)

    def _head_command(self, target: Target, counts: Sequence[Reply], now: float) -> Command | None:
        """Return how to read the next message: the last of the first list that has any; None where there is none to read."""
        if not target.name or not self._heads.readable(target.handle, now):
            return None
        filled = (suffix for suffix, reply in zip(self._suffixes, counts, strict=True) if count(reply))
        suffix = next(filled, None)
        return None if suffix is None else ("LINDEX", target.prefix + target.name + suffix, -1)

    def _queue(self, target: Target, counts: Sequence[Reply], head: Reply, now: float) -> Queue:
        numbers = [number for reply in counts if (number := count(reply)) is not None]
        waiting = sum(numbers) if len(numbers) == len(counts) else None
        error = first_error((*counts, head))
        if any(numbers) and not self._heads.readable(target.handle, now):
            error = error or ErrorKind.TOO_LARGE
        at, seen, problem = self._judge(target.handle, head, now)
        return Queue(
            system=SYSTEM,
            name=target.label,
            live=LiveJobs(waiting=waiting),
            head_eligible_at=at,
            head_first_seen_at=seen,
            error=error or problem,
        )

    def _judge(self, handle: bytes, head: Reply, now: float) -> tuple[datetime | None, datetime | None, str | None]:
        """Return eligible time, first-seen time and what is wrong with the head."""
        if isinstance(head, TooLarge):
            self._heads.pause(handle, now)
        if not isinstance(head, bytes):
            return None, None, None
        message = fields(head, _Message)
        headers = _object(message.headers) if message is not None else {}
        at = self._eligible_at(headers, now)
        if at is not None:
            return at, None, None
        task = headers.get("id") or _object(message.properties if message is not None else None).get("correlation_id")
        mark = f"{task} {headers.get('retries')}".encode("utf-8", "replace") if isinstance(task, str) else head
        return None, self._heads.first_seen(handle, mark, now), None if message is not None else ErrorKind.GARBAGE

    def _eligible_at(self, headers: dict[str, Any], now: float) -> datetime | None:
        """Return when the task became eligible: when it was sent, if a header tells, and not before its ETA.

        None for a task whose ETA is still to come: it stands here only while no worker fetches it, and that is told by
        since when it was seen.
        """
        eta = seconds(headers.get("eta"))
        sent = seconds(headers.get(self._time_header)) if self._time_header is not None else None
        if eta is not None and eta > now:
            return None
        known = [at for at in (eta, sent) if at is not None]
        return eligible(max(known), now) if known else None


def _unacked(target: Target, counts: Sequence[Reply]) -> Queue:
    return Queue(system=SYSTEM, name=target.label, live=LiveJobs(active=count(counts[0])), error=first_error(counts))


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
