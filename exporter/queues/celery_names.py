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
from exporter.queues.naming import handle_of, parts_of
from exporter.queues.reader import Conversation, Reader, holding
from exporter.queues.sets import walk

MAX_TABLES: Final = 10_000
"""Tables of bindings asked in one walk; Celery makes one for each queue unless it is told to use one exchange."""

_TABLE: Final = b"_kombu.binding."
_PLUMBING: Final = re.compile(
    rb"(?:.*\.)?pidbox"  # celery.pidbox, reply.celery.pidbox, worker@host.celery.pidbox: orders to workers
    rb"|celeryev(?:\..*)?"  # events
    rb"|bcast\.[0-9a-f-]{36}"  # a worker's own name for a broadcast queue: fanout goes by PUBLISH, not by lists
    rb"|amq\.gen-.*",  # queues that were given no name
    re.DOTALL,
)


class CeleryNames(Reader):
    """The half of the reader that finds queues. A handle is prefix and name (naming.py).

    What :meth:`discover` asks are the tables of bindings met in this walk, each by its whole key: they stand in ``prefixes``.
    """

    needs_scan = True

    def __init__(self, prefix: bytes | None, separator: bytes) -> None:
        self.own_prefix = prefix
        self._separator = separator
        self._met: dict[bytes, None] = {}
        self._told: Mapping[bytes, bytes] = {}

    @property
    def prefixes(self) -> Sequence[bytes]:  # type: ignore[override]  # read only here
        """The tables that :meth:`discover` asks."""
        return tuple(self._met)

    def may_own(self, page: Sequence[bytes]) -> Sequence[bytes]:
        """Return the keys of tables of bindings, those under the configured prefix if there is one."""
        if self.own_prefix is None:
            return holding(page, _TABLE)
        start = self.own_prefix + _TABLE
        return [key for key in page if key.startswith(start)]

    def recognise(self, key: bytes, kind: bytes) -> bytes | None:
        """Remember the table; the names of its queues are its members."""
        prefix, exchange = self._split(key)
        if kind == b"set" and len(self._met) < MAX_TABLES and b"\0" not in prefix and not _PLUMBING.fullmatch(exchange):
            self._met[key] = None
        return None

    def discover(self) -> Conversation[Sequence[bytes]]:
        """Return the queues that the tables name."""
        met, self._met = tuple(self._met), {}
        told: dict[bytes, bytes] = {}
        for handle, table in (yield from walk(met, self._bound)):
            told.setdefault(handle, table)
        self._told = told
        return tuple(told)

    def name(self, handle: bytes) -> str:
        """Return the queue's name."""
        return clean(parts_of(handle)[1])

    def told_by(self, handle: bytes) -> str:
        """Return the key of the table of bindings."""
        return clean(self._told.get(handle, b""))

    def _split(self, table: bytes) -> tuple[bytes, bytes]:
        """Return prefix and exchange of a table's key."""
        if self.own_prefix is not None:
            return self.own_prefix, table.removeprefix(self.own_prefix + _TABLE)
        prefix, _, exchange = table.partition(_TABLE)
        return prefix, exchange

    def _bound(self, table: bytes, member: bytes) -> tuple[bytes, bytes] | None:
        parts = member.split(self._separator)
        if len(parts) != 3 or not parts[2] or _PLUMBING.fullmatch(parts[2]):
            return None
        return handle_of(self._split(table)[0], parts[2]), table
