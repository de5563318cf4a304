"""Laravel's ``redis`` queue driver (laravel/framework, Illuminate/Queue/RedisQueue.php and LuaScripts.php).

Keys are ``P`` + ``queues:`` + queue, where P is ``database.redis.options.prefix``: ``laravel_database_`` unless changed,
``laravel-database-`` in newer applications. What Horizon adds is in horizon.py.

=========  ===========================================================  =======================================
state      from                                                         note
=========  ===========================================================  =======================================
waiting    LLEN ``queues:Q`` + ZCOUNT ``queues:Q:delayed`` -inf now     overdue ones move inside a worker's pop
active     ZCARD ``queues:Q:reserved``                                  expired reservations included
delayed    ZCARD ``queues:Q:delayed`` - overdue                         released jobs pass through it too
retry      unknown                                                      a retry is a delayed job
blocked    unknown
failed     unknown                                                      kept in the table ``failed_jobs``
=========  ===========================================================  =======================================

``queues:Q:notify`` wakes blocked workers and is no state. There is no set of names without Horizon, so queues are found by
SCAN; one whose keys are gone by the counters that its workers keep (counters.py).
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from depthgauge.errors import ErrorKind
from depthgauge.names import clean
from depthgauge.resp import Command, Reply, TooLarge
from depthgauge.snapshot import LiveJobs, Queue
from exporter.queues import horizon
from exporter.queues.heads import HeadMemory
from exporter.queues.horizon import NO_MEASURES, NO_REGISTRY, Findings, Horizon
from exporter.queues.laravel_apps import (
    COUNTERS,
    MARK,
    Apps,
    Target,
    apps_of,
    handle_of,
    horizon_of,
    is_default,
    split,
    unbraced,
)
from exporter.queues.payload import count, eligible, fields, first_error, items, seconds, total
from exporter.queues.reader import Conversation, Reader, abreast, holding
from exporter.settings import PrefixSettings

log = logging.getLogger(__name__)

SYSTEM: Final = "laravel"
COMMANDS: Final = frozenset({"llen", "lindex", "zcard", "zcount", "zrange"})
"""The commands that reading sends."""
OPTIONAL_COMMANDS: Final = horizon.COMMANDS - COMMANDS
"""Those for Horizon's own keys."""

_PARTS: Final = (b":reserved", b":delayed")
_OTHERS: Final = (b"bull:", b"{bull}:", b"rq:", b"saq:")
"""Where keys of other systems begin: a queue of theirs may be called ``queues``, or ``mail-queues``."""
_CENTURY: Final = 3_155_760_000


class _Head(msgspec.Struct):
    """The envelope's fields that tell since when a job waits (Illuminate/Queue/Queue.php; Horizon's RedisPayload.php)."""

    id: Any = None
    attempts: Any = None
    createdAt: Any = None  # noqa: N815  Laravel's own spelling
    pushedAt: Any = None  # noqa: N815  Horizon's own spelling
    delay: Any = None


class LaravelReader(Reader):
    """Reads Laravel's queues. A handle is the key of the queue's list, prefix and braces included, or a name told by Horizon."""

    system: Final = SYSTEM
    needs_scan = True

    def __init__(self, settings: PrefixSettings, horizon_settings: PrefixSettings, names: Sequence[str]) -> None:
        self._prefix = None if settings.prefix is None else settings.prefix.encode()
        self._names = tuple(name.encode() for name in names)
        self._horizon = Horizon(horizon_settings)
        self._heads = HeadMemory()
        self._found: Sequence[bytes] | None = None
        self._apps = Apps()
        self._left_out: set[bytes] = set()

    @property
    def prefixes(self) -> Sequence[bytes]:  # type: ignore[override]  # read only here
        """Return those of Horizon: Laravel's own keys tell no names but their own."""
        return self._horizon.prefixes

    @property
    def labels(self) -> Mapping[tuple[bytes, bytes], str]:
        """Return the label of each queue in the last reading, by prefix and queue: what counters under a prefix belong to."""
        return self._apps.labels

    def discover(self) -> Conversation[Sequence[bytes]]:
        """Return the names that Horizon knows."""
        told = yield from self._horizon.discover()
        return tuple(handle_of(prefix, name) for prefix, name in told)

    def may_own(self, page: Sequence[bytes]) -> Sequence[bytes]:
        """Return the keys with the mark of a queue, under the configured prefix if there is one; and what may be Horizon's."""
        if self._prefix is None:
            marked = holding(page, MARK) + holding(page, COUNTERS)
        else:
            starts = (self._prefix + MARK, self._prefix + COUNTERS)
            marked = [key for key in page if key.startswith(starts)]
        marked += [key for key in page if key.endswith(horizon.MARKS)]
        return tuple(dict.fromkeys(marked))

    def recognise(self, key: bytes, kind: bytes) -> bytes | None:
        """Return the list's key: its TYPE tells a queue whose name ends in ``:delayed`` from the delayed jobs of another."""
        if key.endswith(horizon.MARKS):
            self._horizon.recognise(key, kind)
        if kind == b"list" and not key.endswith(b":notify"):
            base = key
        elif kind == b"zset" and key.endswith(_PARTS):
            base = key.rpartition(b":")[0]
        elif kind == b"hash" and COUNTERS in key:
            return self._counted(key)
        else:
            return None
        if self._prefix is None and base.startswith(_OTHERS):
            return None
        # What begins with NUL would be taken for a name that Horizon has told.
        return base if self._ours(base) and split(base, self._prefix)[1] and not base.startswith(b"\0") else None

    def bare(self, handle: bytes) -> bytes:
        """Return the queue's name without the prefix, with the braces that a cluster needs."""
        told = horizon_of(handle)
        prefix, _ = split(handle, self._prefix)
        return handle.removeprefix(prefix + MARK) if told is None else told[1]

    def name(self, handle: bytes) -> str:
        """Return the name without braces: with them it is the same queue."""
        return clean(unbraced(self.bare(handle)))

    def pins(self, handle: bytes) -> Mapping[str, bytes]:
        """Return what stands before ``queues:``, and Horizon's prefix where Horizon has told the queue.

        Of such a queue the former is not known as long as no key was met, nor where it could be another application's.
        """
        told = horizon_of(handle)
        if told is None:
            return {SYSTEM: split(handle, self._prefix)[0]}
        home = self._apps.homes.get(told[0]) or ()
        return {**({SYSTEM: home[0]} if len(home) == 1 else {}), horizon.SYSTEM: told[0]}

    def keeps(self, handle: bytes) -> bool:
        """Say whether the handle is of the configured prefix, be it Laravel's or Horizon's."""
        return self._ours(handle)

    def told_by(self, handle: bytes) -> str:
        """Return Horizon's set of names, for a name that is in it or served by one of its supervisors."""
        told = horizon_of(handle)
        return f"named in {clean((told[0] if told else b'') + b'measured_queues')}"

    def read(self, found: Sequence[bytes], now: float) -> Conversation[Sequence[Queue]]:
        """Read all queues in two batches, what Horizon knows of them included."""
        if found is not self._found:
            self._apps = self._sorted(found)
            self._found = found
        both: Conversation[list[Any]] = abreast((self._live(now), self._horizon.read(self._apps.measured, now)))
        read, told = yield from both
        counts, heads = read
        queues = [self._queue(target, counts, heads, told, now) for target in self._apps.targets]
        return [*queues, *told.kept]

    def rebase(self) -> None:
        """Let the totals of Horizon's measurements go on from what is read next."""
        self._horizon.rebase()

    def _counted(self, key: bytes) -> bytes | None:
        """Return the list's key for a key of counters: idle queues have no other. Other systems use the same mark."""
        prefix, _, queue = key.partition(COUNTERS)
        queue = queue.removeprefix(SYSTEM.encode() + b":")
        ours = prefix == self._prefix if self._prefix is not None else is_default(prefix) and b"\0" not in prefix
        return prefix + MARK + queue if ours and queue else None

    def _sorted(self, found: Sequence[bytes]) -> Apps:
        wanted = [handle for handle in found if self._ours(handle)]
        apps = apps_of(
            wanted,
            self._names,
            told=self._prefix,
            horizons=() if self._horizon.told is None else (self._horizon.told,),
        )
        for horizon_prefix, home in apps.homes.items():
            if home is None and horizon_prefix not in self._left_out:
                self._left_out.add(horizon_prefix)
                log.warning(
                    "horizon at %s: cannot tell which application's queues it watches, its workers and totals are left"
                    " out: tell both prefixes, [redis.laravel] prefix and [redis.horizon] prefix, in a [[redis]] section"
                    " for each application",
                    clean(horizon_prefix),
                )
        return apps

    def _ours(self, handle: bytes) -> bool:
        told = horizon_of(handle)
        if told is not None:
            return self._horizon.ours(told[0])
        return MARK in handle if self._prefix is None else handle.startswith(self._prefix + MARK)

    def _live(self, now: float) -> Conversation[tuple[dict[bytes, list[Reply]], dict[bytes, Reply]]]:
        """Ask for the counts of all lists, then for their heads."""
        keys = [key for target in self._apps.targets for key in target.keys]
        if not keys:
            return {}, {}
        counts: list[Reply] = yield [command for key in keys for command in _counting(key, now)]
        read = {key: counts[4 * at : 4 * at + 4] for at, key in enumerate(keys)}
        asked = {key: command for key in keys if (command := self._head_command(key, read[key], now)) is not None}
        replies: list[Reply] = (yield list(asked.values())) if asked else []
        return read, dict(zip(asked, replies, strict=True))

    def _head_command(self, key: bytes, counts: Sequence[Reply], now: float) -> Command | None:
        listed, _, _, overdue = (count(reply) for reply in counts)
        if not self._heads.readable(key, now):
            return None
        if listed:
            return ("LINDEX", key, 0)
        return ("ZRANGE", key + b":delayed", 0, 0, "WITHSCORES") if overdue else None

    def _queue(
        self,
        target: Target,
        read: Mapping[bytes, list[Reply]],
        heads: Mapping[bytes, Reply],
        told: Findings,
        now: float,
    ) -> Queue:
        keys = target.keys
        listed, reserved, later, overdue = (total(count(read[key][column]) for key in keys) for column in range(4))
        waiting = total((listed, overdue)) if listed is not None else None
        delayed = None if later is None or overdue is None else max(0, later - overdue)
        error = first_error(reply for key in keys for reply in (*read[key], heads.get(key)))
        eligibles: list[datetime] = []
        seen: list[datetime] = []
        for key in keys:
            head = heads.get(key)
            if waiting and not self._heads.readable(key, now):
                error = error or ErrorKind.TOO_LARGE
            at, first, problem = self._judge(key, head, now)
            error = error or problem
            eligibles += [at] if at else []
            seen += [first] if first else []
        registry, measures = NO_REGISTRY, NO_MEASURES
        if target.horizon is not None:
            registry = told.registries[target.horizon]
            measures = told.measures[target.horizon, target.queue]
        return Queue(
            system=SYSTEM,
            name=target.label,
            live=LiveJobs(waiting=waiting, active=reserved, delayed=delayed),
            head_eligible_at=min(eligibles, default=None),
            head_first_seen_at=min(seen, default=None) if not eligibles else None,
            completed_total=measures.completed,
            processing_seconds=measures.seconds,
            registry_workers=None if registry.workers is None else registry.workers.get(target.queue, 0),
            paused=registry.paused.get(target.queue),
            error=error or measures.error or registry.error,
        )

    def _judge(self, key: bytes, head: Reply, now: float) -> tuple[datetime | None, datetime | None, str | None]:
        """Return eligible time, first-seen time and what is wrong with the head."""
        if isinstance(head, TooLarge) or any(isinstance(item, TooLarge) for item in items(head)):
            self._heads.pause(key, now)
            return None, None, ErrorKind.TOO_LARGE
        if isinstance(head, list):
            return (eligible(seconds(head[1]), now) if len(head) == 2 else None), None, None
        if not isinstance(head, bytes):
            return None, None, None
        job = fields(head, _Head)
        if job is None:
            return None, self._heads.first_seen(key, head, now), ErrorKind.GARBAGE
        at = _eligible_at(job, now)
        if at is not None:
            return at, None, None
        mark = f"{job.id} {job.attempts}".encode("utf-8", "replace") if isinstance(job.id, str) else head
        return None, self._heads.first_seen(key, mark, now), None


def _counting(key: bytes, now: float) -> tuple[Command, Command, Command, Command]:
    return (
        ("LLEN", key),
        ("ZCARD", key + b":reserved"),
        ("ZCARD", key + b":delayed"),
        ("ZCOUNT", key + b":delayed", "-inf", now),
    )


def _eligible_at(job: _Head, now: float) -> datetime | None:
    """Return when the job became eligible; None for one without a time, and for one tried before: its times are the first push's."""
    if isinstance(job.attempts, int) and job.attempts > 0:
        return None
    times = [at for at in (seconds(job.createdAt), seconds(job.pushedAt)) if at is not None]
    if not times:
        return None
    delay = job.delay if isinstance(job.delay, int | float) and not isinstance(job.delay, bool) else 0
    return eligible(max(times) + min(max(0, delay), _CENTURY), now)
