"""What a queue system's file has to provide, and how several of them share one pipeline.

A reader does no I/O. It yields commands and is sent their replies, so that the counts of all systems and all queues
travel in one pipeline and the heads in a second, and so that a test needs no server.
"""

from collections.abc import Callable, Generator, Sequence
from typing import Protocol, TypeVar

from depthgauge.resp import Command, Reply
from depthgauge.snapshot import Queue

T = TypeVar("T")

Conversation = Generator[Sequence[Command], list[Reply], T]
"""Yields batches of commands, is sent a reply for each, returns a result."""


class QueueReader(Protocol):
    """One queue system, as configured for one Redis.

    A *handle* is what the reader itself needs to find a queue again: the name, or the key, as the raw bytes Redis holds.
    Only :attr:`Queue.name` is a cleaned name. Replies that are errors leave out their numbers and set the queue's
    ``error``; they never harm another queue.
    """

    @property
    def system(self) -> str:
        """The value of the ``system`` label."""

    @property
    def needs_scan(self) -> bool:
        """Whether queues can only be found by walking the keys."""

    def discover(self) -> Conversation[Sequence[bytes]]:
        """Ask the system's own sets of names for handles; called in the background, every few minutes."""

    def may_own(self, key: bytes) -> bool:
        """Say whether a key met by the background SCAN looks like this system's; its TYPE is asked next."""

    def recognise(self, key: bytes, kind: bytes) -> bytes | None:
        """Return the handle of the queue that a key of this TYPE belongs to, or None if it is not this system's."""

    def read(self, found: Sequence[bytes], now: float) -> Conversation[Sequence[Queue]]:
        """Read the configured queues, also when their keys are gone, and those found (handles, each once).

        At most three batches, counts first. ``now`` is Redis's own time in unix seconds.
        """


class CommandLine(Protocol):
    """Tells from a worker's command line which queues it serves."""

    @property
    def system(self) -> str:
        """The value of the ``system`` label."""

    def serves(self, argv: Sequence[str]) -> "Sequence[str] | None":
        """Return the queues served by a process with this command line.

        None if it is no worker of this system, or if its command line does not tell the queues.
        """


def converse(exchange: Callable[[Sequence[Command]], list[Reply]], conversations: Sequence[Conversation[T]]) -> list[T]:
    """Run the conversations side by side, one exchange for each round of all of them, and return their results."""
    results: dict[int, T] = {}
    waiting: dict[int, Sequence[Command]] = {}

    def advance(index: int, replies: list[Reply] | None) -> None:
        conversation = conversations[index]
        try:
            waiting[index] = next(conversation) if replies is None else conversation.send(replies)
        except StopIteration as stop:
            results[index] = stop.value

    for index in range(len(conversations)):
        advance(index, None)
    while waiting:
        asked = dict(waiting)
        waiting.clear()
        replies = exchange([command for commands in asked.values() for command in commands])
        start = 0
        for index, commands in asked.items():
            advance(index, replies[start : start + len(commands)])
            start += len(commands)
    return [results[index] for index in range(len(conversations))]
