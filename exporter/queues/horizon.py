"""Laravel Horizon: who works on an application's queues, and what it has measured (laravel/horizon, src/Repositories/Redis*.php).

The jobs stand in Laravel's own keys, under Laravel's own prefix: the reader of Laravel reads them and takes the rest from
here. Horizon's keys have a prefix of their own, ``laravel_horizon:`` unless changed.

=========  ===========================================================  =======================================
number     from                                                         note
=========  ===========================================================  =======================================
waiting    unknown                                                      ``pending_jobs`` is trimmed, and holds
active     unknown                                                      reserved jobs too: Laravel's keys tell
failed     ZCARD ``failed_jobs``                                        of all queues, kept 7 days
finished   ZCARD ``completed_jobs`` + ``silenced_jobs``                 of all queues, kept an hour
completed  HMGET ``queue:Q`` + ``snapshot:queue:Q``                     a sawtooth: sawtooth.py
workers    HMGET ``supervisor:NAME`` of those in ``supervisors``        processes by pool of queues; a hash
                                                                        expires after 30 s
paused     the same, status                                             of all that serve the queue
=========  ===========================================================  =======================================

Queues are told by the set ``measured_queues``, once a job of theirs has ended well, and by the supervisors.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from depthgauge.errors import ErrorKind
from depthgauge.resp import Command, Reply, ReplyError, TooLarge
from depthgauge.snapshot import KeptJobs, Queue
from exporter.queues.laravel_apps import unbraced
from exporter.queues.naming import labels
from exporter.queues.payload import count, first_error, items, number, total
from exporter.queues.reader import Conversation
from exporter.queues.sawtooth import Sawtooth, hash_of, mean_seconds, snapshots_of
from exporter.queues.sets import walk
from exporter.settings import PrefixSettings

SYSTEM: Final = "horizon"
"""The label of the numbers that are of all queues together; the queues themselves are Laravel's."""
COMMANDS: Final = frozenset({"hmget", "sscan", "zcard", "zrange"})
"""The commands that reading and finding send."""
MAX_SUPERVISORS: Final = 1_000
"""Supervisors read of one application; the processes of more are not told."""
MAX_NAMES: Final = 20_000
"""Queue names taken from one application."""
MAX_PREFIXES: Final = 100
"""Applications looked for in one Redis."""
SILENT: Final = 3600.0
"""Seconds without a sign of life after which a supervisor's hash is not looked for any more.

Whether it is alive its hash tells, which Redis lets expire 30 s after the last sign. The time of that sign is by the clock of
the supervisor's host, which need not agree with Redis's.
"""

_MEASURED: Final = b"measured_queues"
_SUPERVISORS: Final = b"supervisors"
_MASTERS: Final = b"masters"
MARKS: Final = (_MEASURED, _SUPERVISORS, _MASTERS)
"""Endings of the keys that may tell a prefix."""
_Processes = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
_KEPT: Final = (b"failed_jobs", b"completed_jobs", b"silenced_jobs")


class Registry(NamedTuple):
    """What the supervisors of one application say, by the queue's name without braces."""

    workers: Mapping[bytes, int] | None = None
    """Processes; None where the registry could not be read."""
    paused: Mapping[bytes, bool] = {}
    """Whether all that serve the queue are paused."""
    error: str | None = None


class Measures(NamedTuple):
    """What Horizon has measured of one queue."""

    completed: int | None = None
    seconds: float | None = None
    error: str | None = None


class Findings(NamedTuple):
    """What one reading of all applications gave."""

    registries: Mapping[bytes, Registry]
    """By Horizon's prefix."""
    measures: Mapping[tuple[bytes, bytes], Measures]
    """By Horizon's prefix and the queue's name without braces."""
    kept: Sequence[Queue]
    """The numbers of all queues together, one an application."""


NO_REGISTRY: Final = Registry()
NO_MEASURES: Final = Measures()
NOTHING: Final = Findings({}, {}, ())


class Horizon:
    """Finds and reads the applications of one Redis that run Horizon, by the prefix of its keys."""

    def __init__(self, settings: PrefixSettings) -> None:
        self.told = None if settings.prefix is None else settings.prefix.encode()
        self.prefixes: Sequence[bytes] = () if self.told is None else (self.told,)
        """Those asked for queues: the configured one, and those met."""
        self._totals = Sawtooth()

    def recognise(self, key: bytes, kind: bytes) -> None:
        """Remember the prefix of a set of measured queues, or of supervisors where the prefix has ``horizon`` in it.

        The key has one of :data:`MARKS` at its end.
        """
        end = next(end for end in MARKS if key.endswith(end))
        prefix = key.removesuffix(end)
        if kind != (b"set" if end == _MEASURED else b"zset") or (end != _MEASURED and b"horizon" not in prefix):
            return
        if self.ours(prefix) and prefix not in self.prefixes and len(self.prefixes) < MAX_PREFIXES:
            self.prefixes = (*self.prefixes, prefix)

    def ours(self, prefix: bytes) -> bool:
        """Say whether the prefix is the configured one, with or without a cluster's braces; any is where none is configured."""
        return self.told is None or unbraced(prefix) == unbraced(self.told)

    def discover(self) -> Conversation[Sequence[tuple[bytes, bytes]]]:
        """Return prefix and queue name, as Horizon spells it, of each queue that is measured or served."""
        found: dict[tuple[bytes, bytes], None] = {}
        for prefix in self.prefixes:
            names = yield from self._names(prefix)
            found.update(dict.fromkeys((prefix, name) for name in names))
        return tuple(found)

    def _names(self, prefix: bytes) -> Conversation[Sequence[bytes]]:
        start = prefix + b"queue:"

        def name(_: bytes, member: bytes) -> bytes | None:
            return member.removeprefix(start) if member.startswith(start) and member != start else None

        measured = yield from walk([prefix + _MEASURED], name)
        names = dict.fromkeys(measured[:MAX_NAMES])
        (reply,) = yield [("ZRANGE", prefix + _SUPERVISORS, -MAX_SUPERVISORS, -1)]
        members = [member for member in items(reply) if isinstance(member, bytes)]
        hashes = (yield [_supervisor(prefix, member) for member in members]) if members else []
        for values in map(items, hashes):
            pools = _pools(values[1]) if len(values) == 2 and isinstance(values[1], bytes) else None
            for queues, _ in pools or ():
                names.update(dict.fromkeys(queues))
        return tuple(names)

    def read(self, measured: Mapping[bytes, Mapping[bytes, Sequence[bytes]]], now: float) -> Conversation[Findings]:
        """Read the applications in two batches: ``measured`` has the spellings of each queue's name by prefix and name."""
        if not measured:
            return NOTHING
        commands: list[Command] = []
        for prefix, queues in measured.items():
            commands.append(("ZRANGE", prefix + _SUPERVISORS, -MAX_SUPERVISORS - 1, -1, "WITHSCORES"))
            commands += [("ZCARD", prefix + key) for key in _KEPT]
            for spellings in queues.values():
                for name in spellings:
                    key = prefix + b"queue:" + name
                    # The hash last: see Sawtooth.update.
                    commands.append(
                        ("ZRANGE", prefix + b"snapshot:queue:" + name, -self._totals.depth(key, now), -1, "WITHSCORES")
                    )
                    commands.append(("HMGET", key, "throughput", "runtime"))
        replies = iter((yield commands))
        living: dict[bytes, _Living] = {}
        kept: dict[bytes, list[Reply]] = {}
        measures: dict[tuple[bytes, bytes], Measures] = {}
        for prefix, queues in measured.items():
            living[prefix] = _living(next(replies), now)
            kept[prefix] = [next(replies) for _ in _KEPT]
            for queue, spellings in queues.items():
                pairs = [(prefix + b"queue:" + name, next(replies), next(replies)) for name in spellings]
                measures[prefix, queue] = self._measures(pairs, now)
        asked = [_supervisor(prefix, name) for prefix, found in living.items() for name in found.names]
        hashes = iter((yield asked) if asked else [])
        registries = {prefix: _registry(found, [next(hashes) for _ in found.names]) for prefix, found in living.items()}
        return Findings(registries, measures, _kept(kept))

    def rebase(self) -> None:
        """Let the totals go on from what is read next."""
        self._totals.rebase()

    def _measures(self, pairs: Sequence[tuple[bytes, Reply, Reply]], now: float) -> Measures:
        error = first_error(reply for _, *both in pairs for reply in both)
        measured = []
        completed: list[int] = []
        for key, snapshots_reply, hash_reply in pairs:
            snapshots, filling = snapshots_of(snapshots_reply), hash_of(hash_reply)
            if filling is None or not isinstance(snapshots_reply, list):
                return Measures(error=error or ErrorKind.GARBAGE)
            completed.append(self._totals.update(key, filling.jobs, snapshots, now))
            measured += [filling, *snapshots[-1:]]
        return Measures(sum(completed), mean_seconds(measured, now), error)


class _Living(NamedTuple):
    names: Sequence[bytes] = ()
    error: str | None = None


def _supervisor(prefix: bytes, name: bytes) -> Command:
    return ("HMGET", prefix + b"supervisor:" + name, "status", "processes")


def _living(reply: Reply, now: float) -> _Living:
    """Return the supervisors that may be alive: the members of others stay when all masters die."""
    if not isinstance(reply, list):
        return _Living(error=first_error((reply,)) or ErrorKind.GARBAGE)
    names = []
    for name, score in zip(reply[::2], reply[1::2], strict=False):
        if isinstance(name, bytes) and (number(score) or 0.0) >= now - SILENT:
            names.append(name)
    return _Living(names) if len(names) <= MAX_SUPERVISORS else _Living(error=ErrorKind.TOO_LARGE)


def _registry(living: _Living, hashes: Sequence[Reply]) -> Registry:
    error = living.error or first_error(hashes)
    workers: dict[bytes, int] = {}
    paused: dict[bytes, bool] = {}
    for reply in hashes:
        values = items(reply)
        if isinstance(reply, ReplyError) or len(values) != 2 or isinstance(values[1], TooLarge):
            error = error or ErrorKind.GARBAGE
            continue
        if values[1] is None:
            continue  # It is gone.
        pools = _pools(values[1])
        if pools is None:
            error = error or ErrorKind.GARBAGE
        for queues, processes in pools or ():
            for queue in {unbraced(name) for name in queues}:
                workers[queue] = workers.get(queue, 0) + processes
                paused[queue] = paused.get(queue, True) and values[0] == b"paused"
    # Whose processes one unreadable supervisor has is not known: the others' number would be too low.
    return Registry(workers, paused) if error is None else Registry(error=error)


def _pools(body: Reply) -> Sequence[tuple[Sequence[bytes], int]] | None:
    """Return queues and processes of each pool; None for garbage. Without balancing one pool serves several queues."""
    try:
        pools = msgspec.json.decode(body, type=dict[str, _Processes] | list[Any]) if isinstance(body, bytes) else None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if isinstance(pools, list):  # PHP's empty array
        return None if pools else ()
    if pools is None:
        return None
    return [
        ([queue.encode("utf-8", "replace") for queue in key.partition(":")[2].split(",") if queue], processes)
        for key, processes in pools.items()
    ]


def _kept(kept: Mapping[bytes, Sequence[Reply]]) -> Sequence[Queue]:
    names = labels((prefix, b"") for prefix in kept)
    return [
        Queue(
            system=SYSTEM,
            name=names[prefix, b""],
            kept=KeptJobs(
                failed=count(replies[0]),
                finished=total(count(reply) for reply in replies[1:]) if isinstance(replies[1], int) else None,
            ),
            error=first_error(replies),
        )
        for prefix, replies in kept.items()
    ]
