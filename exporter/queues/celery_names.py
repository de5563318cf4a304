"""Finding Celery's queues: the tables of bindings that kombu's Redis transport keeps (kombu/transport/redis.py).

``P_kombu.binding.EXCHANGE`` is a set with a member for each queue bound to that exchange: routing key, pattern and queue, parted by
the separator. P is ``global_keyprefix``. Producers write it too, and it stays when a queue is empty and its workers are gone.
Direct, topic and fanout exchanges all write the same. (``_kombu.binding_permanent.…`` and ``_kombu.binding_deadlines`` are
other keys, of kombu 5.7, and repeat what stands there.)
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from depthgauge.names import clean
from exporter.queues.naming import handle_of
from exporter.queues.reader import Conversation, PrefixReader
from exporter.queues.sets import walk

MAX_TABLES: Final = 10_000
"""Tables of bindings remembered; Celery makes one for each queue unless it is told to use one exchange."""

_TABLE: Final = b"_kombu.binding."
_PLUMBING: Final = re.compile(
    rb"(?:.*\.)?pidbox"  # celery.pidbox, reply.celery.pidbox, worker@host.celery.pidbox: orders to workers
    rb"|celeryev(?:\..*)?"  # events
    rb"|bcast\.[0-9a-f-]{36}"  # a worker's own name for a broadcast queue: fanout goes by PUBLISH, not by lists
    rb"|amq\.gen-.*",  # queues that were given no name
    re.DOTALL,
)


class CeleryNames(PrefixReader):
    """The half of the reader that finds queues. A handle is prefix and name (naming.py).

    What :meth:`discover` asks are the tables of bindings met so far, each by its whole key: they stand in ``prefixes``.
    """

    needs_scan = True

    def __init__(self, prefix: bytes | None, separator: bytes) -> None:
        self._own = prefix
        self._separator = separator
        self.prefixes: list[bytes] = []
        self._known: set[bytes] = set()
        self._told: Mapping[bytes, bytes] = {}

    def may_own(self, key: bytes) -> bool:
        """Say whether the key is that of a table of bindings, under the configured prefix if there is one."""
        return _TABLE in key if self._own is None else key.startswith(self._own + _TABLE)

    def recognise(self, key: bytes, kind: bytes) -> bytes | None:
        """Remember the table; the names of its queues are its members."""
        prefix, exchange = self._split(key)
        if (
            kind == b"set"
            and key not in self._known
            and len(self._known) < MAX_TABLES
            and b"\0" not in prefix
            and not _PLUMBING.fullmatch(exchange)
        ):
            self._known.add(key)
            self.prefixes.append(key)
        return None

    def discover(self) -> Conversation[Sequence[bytes]]:
        """Return the queues that the tables name."""
        told: dict[bytes, bytes] = {}
        for handle, table in (yield from walk(tuple(self.prefixes), self._bound)):
            told.setdefault(handle, table)
        self._told = told
        return tuple(told)

    def told_by(self, handle: bytes) -> str:
        """Return the table of bindings."""
        return f"named in {clean(self._told.get(handle, b''))}"

    def _split(self, table: bytes) -> tuple[bytes, bytes]:
        """Return prefix and exchange of a table's key."""
        if self._own is not None:
            return self._own, table.removeprefix(self._own + _TABLE)
        prefix, _, exchange = table.partition(_TABLE)
        return prefix, exchange

    def _bound(self, table: bytes, member: bytes) -> tuple[bytes, bytes] | None:
        parts = member.split(self._separator)
        if len(parts) != 3 or not parts[2] or _PLUMBING.fullmatch(parts[2]):
            return None
        return handle_of(self._split(table)[0], parts[2]), table
