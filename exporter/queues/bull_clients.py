"""Workers of BullMQ and Bull, which have no registry but the names of their connections in CLIENT LIST.

A worker's blocking connection is named ``P:base64(Q)``, since BullMQ 5 also ``P:base64(Q):w:NAME`` (getWorkers in
classes/queue-getters.ts, lib/worker.js). The list is the whole server's, of all its databases, and about 290 bytes a client:
3 ms of Redis's time for 3,000 clients, which is where it outgrows what is kept of a reply.

For long, workers of BullMQ's port to Python did not name their connections. So a queue has no worker for certain only where no
nameless connection waits for jobs as theirs did.
"""

import base64
import re
from collections import Counter
from collections.abc import Mapping
from typing import Final

from depthgauge.redis_link import CLIENT_NAME
from depthgauge.resp import Reply
from exporter.queues.reader import Conversation

PAUSE: Final = 600.0
"""Seconds without the list after one that was refused or too large."""

_CLIENT: Final = re.compile(rb" name=(\S*) .*? db=(\d+) .*? cmd=(\S+)")
_WAITING: Final = frozenset({b"brpoplpush", b"bzpopmin"})
"""What a worker's connection does, or did last, all the time; BullMQ's does the latter since version 5."""
_OURS: Final = frozenset({b"client", b"client|list"})
_NAMED: Final = b":w:"


class BullClients:
    """The workers of one Redis, asked for once a reading."""

    def __init__(self) -> None:
        self._names: Mapping[bytes, int] | None = None
        self._quiet_until = 0.0

    def ask(self, now: float) -> Conversation[None]:
        """Ask for the list, unless it was refused or too large a short while ago. ``now`` is unix time in seconds."""
        self._names = None
        if now < self._quiet_until <= now + PAUSE:
            return
        (reply,) = yield [("CLIENT", "LIST", "TYPE", "normal")]
        self._names = _names(reply)
        self._quiet_until = 0.0 if isinstance(reply, bytes) else now + PAUSE

    def workers(self, prefix: bytes, name: bytes) -> int | None:
        """Return the living workers of a queue; None where the list is not to be had, or does not tell whether there is one."""
        if self._names is None:
            return None
        known = self._names.get(prefix + b":" + base64.b64encode(name), 0)
        return None if known == 0 and b"" in self._names else known


def _names(reply: Reply) -> Mapping[bytes, int] | None:
    """Return how many connections to our own database bear each name, a worker's own name left off.

    Of those without a name (``b""``) only such count that wait for jobs.

    Our own connection has to be among them under its name: where a proxy or a managed service hides names, nobody having
    one means nothing.
    """
    if not isinstance(reply, bytes):
        return None
    clients = _CLIENT.findall(reply)
    own = {database for name, database, command in clients if name == CLIENT_NAME.encode() and command in _OURS}
    if len(own) != 1:
        return None
    names: Counter[bytes] = Counter()
    for name, database, command in clients:
        if database in own and (name or command in _WAITING):
            names[name] += 1
            at = name.find(_NAMED)
            while at > 0:
                names[name[:at]] += 1
                at = name.find(_NAMED, at + 1)
    return names
