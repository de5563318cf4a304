"""Several conversations within one: a reader whose queues each have steps of their own."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from depthgauge.resp import Command
from exporter.queues.reader import Conversation

T = TypeVar("T")


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
