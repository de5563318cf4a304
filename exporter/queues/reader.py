"""What a queue system's file has to provide, and how several of them share one pipeline.

A reader does no I/O. It yields commands and is sent their replies, so that the counts of all systems and all queues
travel in one pipeline and the heads in a second, and so that a test needs no server.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from depthgauge.names import clean
from depthgauge.resp import Command, Reply
from depthgauge.snapshot import Queue
from exporter.queues.naming import parts_of

T = TypeVar("T")

Conversation = Generator[Sequence[Command], list[Reply], T]
"""Yields batches of commands, is sent a reply for each, returns a result."""


class QueueReader(Protocol):
    """One queue system, as configured for one Redis.

    A *handle* is what the reader itself needs to find a queue again: the name, the key, or prefix and name (naming.py), as
    raw bytes. Only :attr:`Queue.name` is a cleaned name. Replies that are errors leave out their numbers and set the
    queue's ``error``; they never harm another queue.

    Discovery (:meth:`discover`, :meth:`may_own`, :meth:`recognise`) runs in a thread of its own, beside :meth:`read`: what
    both use is replaced whole, never changed in place.
    """

    @property
    def system(self) -> str:
        """The value of the ``system`` label."""

    @property
    def needs_scan(self) -> bool:
        """Whether walking the keys can find queues, or prefixes, that sets of names do not tell."""

    @property
    def prefixes(self) -> Sequence[bytes]:
        """The key prefixes that :meth:`discover` asks, configured or met by :meth:`recognise`; empty where it asks none.

        When it has grown during a walk, discovery asks once more.
        """

    def discover(self) -> Conversation[Sequence[bytes]]:
        """Ask the system's own sets of names for handles; called in the background, every few minutes."""

    def may_own(self, page: Sequence[bytes]) -> Sequence[bytes]:
        """Return those keys of a page of the background SCAN that look like this system's; their TYPE is asked next.

        Every key of the database passes through it, for every system: it has to be quick and narrow.
        """

    @property
    def meets_streams(self) -> bool:
        """Whether :meth:`recognise` is to be given every stream of the walk, whatever its name."""

    def recognise(self, key: bytes, kind: bytes) -> bytes | None:
        """Return the handle of the queue that a key of this TYPE belongs to, or None if it is not this system's.

        A key that tells a prefix and no queue is remembered in :attr:`prefixes`, and None is returned.
        """

    def bare(self, handle: bytes) -> bytes:
        """Return the queue's bare name as it stands in the keys: what to configure in ``queues``."""

    def name(self, handle: bytes) -> str:
        """Return the queue's bare name, cleaned: what ``include`` and ``exclude`` are matched with."""

    def pins(self, handle: bytes) -> Mapping[str, bytes]:
        """Return the prefixes to configure for the application this queue belongs to, by the section they stand in."""

    def keeps(self, handle: bytes) -> bool:
        """Say whether a handle that an earlier run has found is still to be read: another prefix may be configured now."""

    def told_by(self, handle: bytes) -> str:
        """Return what has told a handle that :meth:`discover` gave, for people; not asked where only keys tell it."""

    def read(self, found: Sequence[bytes], now: float) -> Conversation[Sequence[Queue]]:
        """Read the configured queues, also when their keys are gone, and those found (handles, each once).

        At most three batches, counts first. ``now`` is Redis's own time in unix seconds.
        """

    def rebase(self) -> None:
        """Let derived counters go on from what is read next: another exporter has read this Redis meanwhile."""


class Reader:
    """What most readers have in common: no discovery, no derived counters. A handle is the queue's name."""

    needs_scan = False
    meets_streams = False
    prefixes: Sequence[bytes] = ()
    own_prefix: bytes | None = None
    """The configured prefix, if there is one: the only one that is read."""

    def discover(self) -> Conversation[Sequence[bytes]]:
        """Return nothing: there is no set of names."""
        yield from ()
        return ()

    def may_own(self, page: Sequence[bytes]) -> Sequence[bytes]:  # noqa: ARG002  the protocol's signature
        """Return nothing: keys are not looked at."""
        return ()

    def recognise(self, key: bytes, kind: bytes) -> bytes | None:  # noqa: ARG002  the protocol's signature
        """Return None, see :meth:`may_own`."""
        return None

    def bare(self, handle: bytes) -> bytes:
        """Return the handle, which is the name."""
        return handle

    def name(self, handle: bytes) -> str:
        """Return the name, cleaned."""
        return clean(self.bare(handle))

    def pins(self, handle: bytes) -> Mapping[str, bytes]:  # noqa: ARG002  the protocol's signature
        """Return nothing: there are no prefixes."""
        return {}

    def keeps(self, handle: bytes) -> bool:
        """Say whether the handle is of the configured prefix."""
        return self.own_prefix is None or self.own_prefix in self.pins(handle).values()

    def told_by(self, handle: bytes) -> str:  # noqa: ARG002  the protocol's signature
        """Return nothing: there is no set of names."""
        return ""

    def rebase(self) -> None:
        """Do nothing: no counter is derived."""


def holding(page: Sequence[bytes], mark: bytes) -> list[bytes]:
    """Return the keys that have a mark anywhere. Few pages have one, and one look through all keys at once tells."""
    return [key for key in page if mark in key] if mark in b"\0".join(page) else []


class PrefixReader(Reader, ABC):
    """A reader whose handles are prefix and name (naming.py)."""

    @property
    @abstractmethod
    def system(self) -> str:
        """The value of the ``system`` label."""

    def bare(self, handle: bytes) -> bytes:
        """Return the name."""
        return parts_of(handle)[1]

    def pins(self, handle: bytes) -> Mapping[str, bytes]:
        """Return the prefix, for the system's own section."""
        return {self.system: parts_of(handle)[0]}


def abreast(conversations: Iterable[Conversation[T]]) -> Conversation[list[T]]:
    """Hold the conversations side by side, one batch for each round of all of them, and return their results in order."""
    results: dict[int, T] = {}
    asked: dict[int, tuple[Conversation[T], Sequence[Command]]] = {}
    count = 0
    for conversation in conversations:
        try:
            asked[count] = (conversation, next(conversation))
        except StopIteration as stop:
            results[count] = stop.value
        count += 1
    while asked:
        replies = yield [command for _, commands in asked.values() for command in commands]
        start = 0
        for at, (conversation, commands) in tuple(asked.items()):
            end = start + len(commands)
            try:
                asked[at] = (conversation, conversation.send(replies[start:end]))
            except StopIteration as stop:
                del asked[at]
                results[at] = stop.value
            start = end
    return [results[at] for at in range(count)]


def converse(exchange: Callable[[Sequence[Command]], list[Reply]], conversations: Iterable[Conversation[T]]) -> list[T]:
    """Hold the conversations side by side, one exchange for each round of all of them, and return their results."""
    held = abreast(conversations)
    try:
        commands = next(held)
        while True:
            commands = held.send(exchange(commands))
    except StopIteration as stop:
        return list(stop.value)
