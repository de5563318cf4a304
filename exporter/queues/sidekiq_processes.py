"""What Sidekiq's processes tell of themselves at each beat (sidekiq/launcher.rb, processor.rb, metrics/tracking.rb)."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from depthgauge.resp import Command, Reply, TooLarge
from exporter.queues.attempts import counter
from exporter.queues.namespaces import Application
from exporter.queues.payload import fields, items
from exporter.queues.sets import plausible, scan_hash, whole

FIELDS: Final = ("info", "busy", "quiet")
"""Fields read of a process's hash. ``concurrency`` is in ``info`` or a field, as the version has it, and is not needed."""
MAX_PROCESSES: Final = 1_000
"""Members of the set of processes; a larger one is not read."""
MINUTES: Final = 5
"""Full minutes of job metrics that the mean processing time is made of."""

_IDENTITY: Final = re.compile(rb".+:[0-9]+:[0-9a-f]+")


class _Info(msgspec.Struct):
    queues: Any = None
    capsules: Any = None


class _Work(msgspec.Struct):
    queue: Any = None


@dataclass(frozen=True, slots=True)
class Process:
    """A living process."""

    identity: bytes
    queues: tuple[bytes, ...]
    """Empty where ``info`` does not tell them: there is no process without queues."""
    busy: int
    quiet: bool
    """It finishes its jobs and takes no more."""


def is_identity(member: bytes) -> bool:
    """Say whether a member of the set ``processes`` looks like Sidekiq's: host, pid and a nonce in hex."""
    return _IDENTITY.fullmatch(member) is not None


def process_of(identity: bytes, reply: Reply) -> Process | None:
    """Return the process that the fields of its hash tell; None for one that is gone: its hash lives for 60 s."""
    values = items(reply)
    if len(values) != len(FIELDS) or not any(isinstance(value, bytes) for value in values):
        return None
    info, busy, quiet = values
    return Process(identity, queues_of(info), counter(busy) or 0, quiet == b"true")


def queues_of(info: Reply) -> tuple[bytes, ...]:
    """Return the queues that ``info`` names: ``queues`` (to be dropped in 9.0), or the weights of the capsules (from 8.0.8)."""
    told = fields(info, _Info) if isinstance(info, bytes) else None
    if told is None:
        return ()
    names: list[object] = [*told.queues] if isinstance(told.queues, list) else []
    for capsule in told.capsules.values() if isinstance(told.capsules, dict) else ():
        weights = capsule.get("weights") if isinstance(capsule, dict) else None
        names += weights if isinstance(weights, dict) else ()
    return tuple(dict.fromkeys(plausible(name.encode() for name in names if isinstance(name, str))))


def work_commands(app: Application, processes: Iterable[Process], most: int) -> list[Command]:
    """Return the commands that read what these processes do: two a process, the key was renamed in 6.5."""
    return [
        scan_hash(app.key(process.identity + part), most) for process in processes for part in (b":work", b":workers")
    ]


@dataclass(frozen=True, slots=True)
class Running:
    """The jobs that run, by queue."""

    by_queue: Mapping[bytes, int]
    unknown: int
    """Those whose entry could not be read."""
    size: int
    """Bytes of all entries."""


def running(processes: Sequence[Process], replies: Sequence[Reply]) -> Running:
    """Count what :func:`work_commands` gave; for a process whose entries could not be read its ``busy`` stands."""
    by_queue: dict[bytes, int] = {}
    unknown = size = 0
    for at, process in enumerate(processes):
        read = [whole(reply) for reply in replies[2 * at : 2 * at + 2]]
        entries = [value for each in read if each for value in each[1::2]]
        if not entries and None in read:
            unknown += process.busy
        for entry in entries:
            work = fields(entry, _Work) if isinstance(entry, bytes) else None
            if work is not None and isinstance(work.queue, str):
                queue = work.queue.encode("utf-8", "replace")
                by_queue[queue] = by_queue.get(queue, 0) + 1
            else:
                unknown += 1
            size += entry.size if isinstance(entry, TooLarge) else len(entry) if isinstance(entry, bytes) else 0
    return Running(by_queue, unknown, size)


def metric_keys(now: float) -> Iterator[str]:
    """Return the keys of the job metrics of the last full minutes: as 6.5 and 7 name them, and as 8 does."""
    for back in range(1, MINUTES + 1):
        at = datetime.fromtimestamp((now // 60 - back) * 60, UTC)
        yield f"j|{at:%Y%m%d}|{at.hour}:{at.minute}"
        yield f"j|{at:%y%m%d}|{at.hour}:{at:%M}"


def mean_seconds(minutes: Iterable[Mapping[bytes, Reply]]) -> float | None:
    """Return the mean time of jobs that succeeded; fields are class, ``|`` and p (all), f (failed), ms (of successes)."""
    sums = {b"p": 0, b"f": 0, b"ms": 0}
    for each in minutes:
        for field, value in each.items():
            kind = field.rpartition(b"|")[2]
            if kind in sums:
                sums[kind] += counter(value) or 0
    succeeded = sums[b"p"] - sums[b"f"]
    return sums[b"ms"] / 1000 / succeeded if succeeded > 0 else None
