"""Finding RQ's queues (rq/queue.py, rq/worker_registration.py, rq/defaults.py).

``P:queues`` is the set of all queues that ever had a job, ``P:workers`` that of all workers, whose hashes name the queues they
serve: also one that never had a job. P is ``rq``, or what the environment variable RQ_KEY_PREFIX says (since 3.0).
"""

import re
from collections.abc import Collection, Sequence
from typing import Final

from depthgauge.names import clean
from depthgauge.resp import Reply
from exporter.queues.naming import handle_of, parts_of
from exporter.queues.payload import count, items
from exporter.queues.reader import Conversation, Reader
from exporter.queues.sets import walk

DEFAULT_PREFIX: Final = b"rq"
MAX_WORKERS: Final = 5_000
"""Workers asked for the queues they serve; also the members of one queue's set of workers, of which a larger one is not read."""
MAX_SETS: Final = 200
"""Sets remembered, two for each application; those of further ones have to be configured."""

_QUEUES: Final = b":queues"
_WORKERS: Final = b":workers"
_ENDS: Final = (_QUEUES, _WORKERS)
_PREFIX: Final = re.compile(rb"[A-Za-z0-9_.:{}-]+")
"""What RQ allows."""
_ABREAST: Final = 1_000
"""Workers, and names, asked in one round trip."""


class RqNames(Reader):
    """The half of the reader that finds queues. A handle is prefix and name (naming.py).

    Another prefix is met by the key of a set, and believed when its members are as RQ writes them: Sidekiq and Resque also
    call their sets ``…:queues`` and ``…:workers``, but keep bare names there. What :meth:`discover` asks are the sets met so
    far, each by its whole key: they stand in ``prefixes``.
    """

    def __init__(self, prefix: bytes | None) -> None:
        self.own_prefix = prefix
        self.needs_scan = prefix is None
        home = DEFAULT_PREFIX if prefix is None else prefix
        self.prefixes: Sequence[bytes] = (home + _QUEUES, home + _WORKERS)
        self._by_workers: Collection[bytes] = ()

    def discover(self) -> Conversation[Sequence[bytes]]:
        """Return the queues that the sets of all prefixes tell."""
        sets = self.prefixes
        named = dict.fromkeys((yield from walk([key for key in sets if key.endswith(_QUEUES)], _queue)))
        served = yield from self._served([key for key in sets if key.endswith(_WORKERS)])
        others = [handle for handle in served if handle not in named]
        only: set[bytes] = set()
        for start in range(0, len(others), _ABREAST):
            handles = others[start : start + _ABREAST]
            replies = yield [("SCARD", b"%b:workers:%b" % parts_of(handle)) for handle in handles]
            only |= {handle for handle, reply in zip(handles, replies, strict=True) if count(reply)}
        self._by_workers = only
        return (*named, *sorted(only))

    def _served(self, sets: Sequence[bytes]) -> Conversation[Sequence[bytes]]:
        """Return what the workers' hashes may mean by the queues they name: a name may hold the comma that parts two."""
        workers = (yield from walk(sets, _worker))[:MAX_WORKERS]
        handles: dict[bytes, None] = {}
        for start in range(0, len(workers), _ABREAST):
            asked = workers[start : start + _ABREAST]
            replies: list[Reply] = yield [("HMGET", key, "queues") for _, key in asked]
            for (prefix, _), reply in zip(asked, replies, strict=True):
                for text in items(reply):
                    if isinstance(text, bytes):
                        names = (text, *text.split(b","))
                        handles |= dict.fromkeys(handle_of(prefix, name) for name in names if name)
        return tuple(handles)

    def may_own(self, page: Sequence[bytes]) -> Sequence[bytes]:
        """Return the keys that end as RQ's sets of queues and workers do."""
        return [key for key in page if key.endswith(_ENDS)]

    def recognise(self, key: bytes, kind: bytes) -> bytes | None:
        """Remember such a set; its key tells an application and no queue."""
        if (
            kind == b"set"
            and self.own_prefix is None
            and key not in self.prefixes
            and len(self.prefixes) < MAX_SETS
            and _PREFIX.fullmatch(key.rpartition(b":")[0])
        ):
            self.prefixes = (*self.prefixes, key)
        return None

    def name(self, handle: bytes) -> str:
        """Return the queue's name."""
        return clean(parts_of(handle)[1])

    def told_by(self, handle: bytes) -> str:
        """Return the key of the set that tells it: of queues, or of the workers that name it."""
        return clean(parts_of(handle)[0] + (_WORKERS if handle in self._by_workers else _QUEUES))


def _queue(key: bytes, member: bytes) -> bytes | None:
    prefix = key.removesuffix(_QUEUES)
    start = prefix + b":queue:"
    return handle_of(prefix, member.removeprefix(start)) if member.startswith(start) and member != start else None


def _worker(key: bytes, member: bytes) -> tuple[bytes, bytes] | None:
    prefix = key.removesuffix(_WORKERS)
    return (prefix, member) if member.startswith(prefix + b":worker:") else None
