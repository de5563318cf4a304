"""Errors that a Redis gives for single commands, told once each in the log."""

import logging
from collections.abc import Sequence
from typing import Final

from depthgauge.errors import ErrorKind
from depthgauge.names import clean
from depthgauge.redis_link import is_unanswered, kind_of_code
from depthgauge.resp import Command, Reply, ReplyError
from exporter.queues.payload import gone

log = logging.getLogger(__name__)

_ADVICE: Final = {
    ErrorKind.ACL_DENIED: "grant it to this user, docs/redis.md has the line",
    ErrorKind.WRONG_TYPE: "the key holds something else than a queue keeps there",
}


OF_THE_SERVER: Final = frozenset({ErrorKind.BUSY, ErrorKind.LOADING, ErrorKind.UNAUTHORIZED})
"""Kinds that every command meets alike: the source fails with them as a whole."""


def out_of_reach(reply: ReplyError) -> bool:
    """Say whether a user may run the command, but not on this key."""
    return kind_of_code(reply.code) is ErrorKind.ACL_DENIED and " run the " not in reply.message


class Refusals:
    """Which commands of one Redis failed, by command and error code."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._told: set[tuple[str, str]] = set()

    def watch(self, commands: Sequence[Command], replies: Sequence[Reply]) -> None:
        """Log each kind of error once for each command, with the first key it met."""
        for command, reply in zip(commands, replies, strict=True):
            # A node of a cluster that does not answer has refused nothing: its link tells of it.
            if isinstance(reply, ReplyError) and not gone(reply) and not is_unanswered(reply):
                self._tell(command, reply)

    def _tell(self, command: Command, reply: ReplyError) -> None:
        words = 2 if command[0] == "XINFO" else 1
        name = " ".join(str(word) for word in command[:words])
        kind = kind_of_code(reply.code)
        if (name, reply.code) in self._told or kind in OF_THE_SERVER:
            return
        self._told.add((name, reply.code))
        advice = _ADVICE.get(kind, "")
        if reply.code == "MOVED":
            advice = "it is a node of a cluster: write redis+cluster:// in its URL"
        key = command[words] if len(command) > words else b""
        log.log(
            # Who sends it does without: the documented rights leave it out.
            logging.INFO if name == "CLIENT" else logging.WARNING,
            "redis %s refuses %s %s: %s%s",
            self._target,
            name,
            clean(key if isinstance(key, bytes) else str(key)),
            clean(reply.message),
            f" ({advice})" if advice else "",
            extra={"reason": kind.value},
        )
