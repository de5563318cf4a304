"""What BullMQ and Bull have in common: keys ``P:Q:part``, by default under the same prefix.

Whose a queue is: BullMQ's where the hash ``meta`` has one of its fields (its Queue writes them, and since 4.0 its scripts)
or where there is a stream ``events`` (Bull publishes instead); else Bull's where there is the counter ``id``. Bull itself
writes a hash ``meta`` while a queue is paused.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import ClassVar, Final, NamedTuple, TypeVar

from depthgauge.names import clean
from depthgauge.resp import Command, Reply
from depthgauge.snapshot import Queue
from exporter.queues.bull_clients import BullClients
from exporter.queues.bull_jobs import RecentJobs
from exporter.queues.heads import HeadMemory
from exporter.queues.naming import handle_of, labels, parts_of
from exporter.queues.payload import items
from exporter.queues.reader import Conversation, PrefixReader, abreast
from exporter.settings import PrefixSettings

T = TypeVar("T")

DEFAULT_PREFIX: Final = b"bull"
MOST_CANDIDATES: Final = 20_000
"""Keys whose prefix is not known that one walk looks into."""

_DEFAULTS: Final = (b"bull:", b"{bull}:")
"""What keys begin with unless told otherwise; in a cluster the prefix has to carry a hash tag."""
_CHUNK: Final = 500


class Target(NamedTuple):
    """One queue to read."""

    prefix: bytes
    name: bytes
    label: str

    @property
    def base(self) -> bytes:
        """Return what all keys of the queue begin with."""
        return self.prefix + b":" + self.name

    def key(self, part: bytes) -> bytes:
        """Return a key of the queue."""
        return b":".join((self.prefix, self.name, part))


class BullKeysReader(PrefixReader):
    """Finds queues by their keys, and reads them side by side. A handle is prefix and name."""

    needs_scan = True
    marks: ClassVar[Mapping[bytes, bytes]]
    """Endings of the keys that tell a queue, with their TYPE."""

    def __init__(self, settings: PrefixSettings, names: Sequence[str]) -> None:
        self._homes = _DEFAULTS if settings.prefix is None else (settings.prefix.encode() + b":",)
        self.own_prefix = None if settings.prefix is None else settings.prefix.encode()
        self._told = settings.prefix is not None
        self._names = tuple(name.encode() for name in names)
        self._endings = tuple(self.marks)
        self._candidates: dict[bytes, None] = {}
        self._found: Sequence[bytes] | None = None
        self._targets: tuple[Target, ...] = ()
        self.heads = HeadMemory()
        self.recent = RecentJobs()
        self.clients = BullClients()

    @property
    def prefixes(self) -> Sequence[bytes]:  # type: ignore[override]  # read only here
        """What the walk has met and :meth:`discover` has not yet looked into: prefix and name each."""
        return tuple(self._candidates)

    def may_own(self, page: Sequence[bytes]) -> Sequence[bytes]:
        """Return the keys that end like one that tells a queue; under unknown prefixes only so many are looked into."""
        keys = [key for key in page if key.endswith(self._endings)]
        if not self._told and len(self._candidates) < MOST_CANDIDATES:
            return keys
        return [key for key in keys if key.startswith(self._homes)]

    def recognise(self, key: bytes, kind: bytes) -> bytes | None:
        """Remember the key as a candidate: whose it is only other keys tell, see :meth:`discover`."""
        base, _, part = key.rpartition(b":")
        if kind == self.marks.get(b":" + part) and self._split(base) is not None:
            self._candidates[base] = None
        return None

    def discover(self) -> Conversation[Sequence[bytes]]:
        """Look into the candidates and return the handles of those that are this system's queues."""
        candidates, self._candidates = list(self._candidates), {}
        found: list[bytes] = []
        for start in range(0, len(candidates), _CHUNK):
            chunk = candidates[start : start + _CHUNK]
            replies: list[Reply] = yield [command for base in chunk for command in self.evidence(base)]
            rest = iter(replies)
            for base in chunk:
                told = list(islice(rest, len(self.evidence(base))))
                parts = self._split(base)
                if parts is not None and self.is_ours(told, home=base.startswith(self._homes)):
                    found.append(handle_of(*parts))
        return tuple(found)

    def told_by(self, handle: bytes) -> str:
        """Return which keys have told a queue: more than one."""
        return f"keys {clean(b':'.join(parts_of(handle)))}:…"

    def evidence(self, base: bytes) -> tuple[Command, ...]:
        """Return what to ask about prefix and name."""
        return (meta_of(base), ("EXISTS", base + b":events"), ("EXISTS", base + b":id"))

    @abstractmethod
    def is_ours(self, replies: Sequence[Reply], *, home: bool) -> bool:
        """Say whether the replies to :meth:`evidence` show a queue of this system; ``home`` if the prefix is known."""

    def read(self, found: Sequence[bytes], now: float) -> Conversation[Sequence[Queue]]:
        """Read all queues in two batches, three where the next job is a paused or a prioritized one."""
        if found is not self._found:
            self._targets = self._group(found)
            self._found = found
        if not self._targets:
            return ()
        each = yield from abreast([self.clients.ask(now), *(self.read_queue(target, now) for target in self._targets)])
        return [queue for queue in each if queue is not None]

    @abstractmethod
    def read_queue(self, target: Target, now: float) -> Conversation[Queue | None]:
        """Read one queue; None if it is the other system's."""

    def _split(self, base: bytes) -> tuple[bytes, bytes] | None:
        """Return prefix and name: names have had no colon since BullMQ 5, those before are known by a known prefix."""
        for home in self._homes:
            if base.startswith(home) and len(base) > len(home):
                return home[:-1], base[len(home) :]
        prefix, sign, name = base.rpartition(b":")
        return None if self._told or not sign or not prefix or not name else (prefix, name)

    def _group(self, found: Sequence[bytes]) -> tuple[Target, ...]:
        """Return what to read, configured names first: where they were found, else under the default prefix.

        The first prefix that was found stands for the default one if nothing was found there.
        """
        known = [parts_of(handle) for handle in found]
        owners: dict[bytes, list[bytes]] = {}
        for prefix, name in known:
            owners.setdefault(name, []).append(prefix)
        home = self._homes[0][:-1]
        if not self._told and known and all(prefix != home for prefix, _ in known):
            home = known[0][0]
        configured = [(prefix, name) for name in self._names for prefix in owners.get(name, [home])]
        return tuple(Target(prefix, name, label) for (prefix, name), label in labels((*configured, *known)).items())


def meta_of(base: bytes) -> Command:
    """Return the command that asks for what both systems keep in ``meta``."""
    return ("HMGET", base + b":meta", "paused", "opts.maxLenEvents", "version")


def has_bullmq_fields(meta: Reply) -> bool:
    """Say whether the reply to :func:`meta_of` shows fields that only BullMQ writes."""
    return any(isinstance(value, bytes) for value in items(meta)[1:])


def totals(completed: Reply, failed: Reply) -> tuple[int | None, int | None]:
    """Return both totals out of ``metrics:completed`` and ``metrics:failed``; None where workers keep none.

    Each hash appears with its first job; where only one is there the other total is 0.
    """
    known = [_first_number(reply) for reply in (completed, failed)]
    if known == [None, None]:
        return None, None
    return tuple(  # type: ignore[return-value]  # two of them
        0 if number is None and items(reply) == [None] else number
        for number, reply in zip(known, (completed, failed), strict=True)
    )


def _first_number(reply: Reply) -> int | None:
    value = next(iter(items(reply)), None)
    return int(value) if isinstance(value, bytes) and value.isdigit() and len(value) < 19 else None
