"""Two conversations as one: what a reader and its helper ask travels in the same batches."""

from collections.abc import Sequence
from typing import Any, TypeVar

from depthgauge.resp import Command, Reply
from exporter.queues.reader import Conversation

A = TypeVar("A")
B = TypeVar("B")


def together(one: Conversation[A], other: Conversation[B]) -> Conversation[tuple[A, B]]:
    """Yield both conversations' batches as one, as long as either asks; return both results."""
    speakers: tuple[Conversation[Any], ...] = (one, other)
    results: dict[int, Any] = {}
    asked: dict[int, Sequence[Command]] = {}
    answers: dict[int, list[Reply] | None] = dict.fromkeys(range(len(speakers)))
    while answers:
        asked = {}
        for index, replies in answers.items():
            try:
                asked[index] = next(speakers[index]) if replies is None else speakers[index].send(replies)
            except StopIteration as stop:
                results[index] = stop.value
        if not asked:
            break
        received = yield [command for commands in asked.values() for command in commands]
        start = 0
        answers = {}
        for index, commands in asked.items():
            answers[index] = received[start : start + len(commands)]
            start += len(commands)
    return results[0], results[1]
