"""Taskiq on Redis (taskiq-redis 1.x: taskiq_redis/redis_broker.py; taskiq/message.py, taskiq/receiver).

The key is the broker's ``queue_name`` as it stands, ``taskiq`` unless told otherwise; its TYPE tells the broker.

=========  ===========================================================  =======================================
state      from                                                         note
=========  ===========================================================  =======================================
waiting    LLEN of the list, or of the stream's group ``taskiq`` what   groups.py has how that is known
           was not delivered
active     the group's ``pending``                                      up to 100 entries a worker has fetched
                                                                        ahead; unknown with lists: BRPOP forgets
delayed    unknown                                                      schedules are in sources of their own
retry      unknown                                                      a retry is sent as a new message
blocked    unknown
others     unknown                                                      results expire or stay as single keys
=========  ===========================================================  =======================================

A PubSubBroker stores nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from depthgauge.errors import ErrorKind
from depthgauge.names import clean
from depthgauge.resp import Command, Reply, ReplyError, TooLarge
from depthgauge.snapshot import LiveJobs, Queue
from exporter.queues.groups import COMMANDS as GROUP_COMMANDS
from exporter.queues.groups import MAX_MET, Budget, GroupReader, counting, groups_met
from exporter.queues.heads import HeadMemory
from exporter.queues.payload import count, fields, first_error
from exporter.queues.reader import Conversation, Reader, abreast
from exporter.settings import StreamSettings

SYSTEM: Final = "taskiq"
GROUP: Final = b"taskiq"
"""The consumer group's name, unless the application says otherwise: what tells Taskiq's streams from others."""
COMMANDS: Final = GROUP_COMMANDS | {"llen", "lindex"}
"""The commands that reading sends."""
DEFAULT: Final = b"taskiq"
"""The key of the default queue: the only list that is sure to be Taskiq's."""

_LIST: Final = b"list"
_STREAM: Final = b"stream"
_KINDS: Final = (_LIST, _STREAM)


class _Message(msgspec.Struct):
    """The fields of a message that tell one from the next; a retry keeps the id."""

    task_id: str
    labels: dict[str, Any] = {}


class TaskiqReader(Reader):
    """Reads Taskiq's queues. A handle is the key of a list or a stream."""

    system: Final = SYSTEM
    needs_scan = True
    meets_streams = True

    def __init__(self, names: Sequence[str], streams: Sequence[StreamSettings] = ()) -> None:
        self.prefixes: list[bytes] = []
        """Streams met in this walk; only discovery uses it."""
        self._names = tuple(name.encode() for name in names)
        # A group that is configured as a stream's is shown as that.
        self._others = frozenset(each.key.encode() for each in streams if each.group == GROUP.decode())
        self._told: Mapping[bytes, bytes] = {}
        """TYPE of what the last walk has found; discovery replaces it."""
        self._kinds: dict[bytes, bytes] = {}
        """TYPE of what was read; only reading uses it."""
        self._groups = GroupReader(SYSTEM)
        self._heads = HeadMemory()

    def may_own(self, page: Sequence[bytes]) -> Sequence[bytes]:
        """Return the keys of the default queue and of configured ones, which may be lists."""
        return [key for key in page if key == DEFAULT or key in self._names]

    def recognise(self, key: bytes, kind: bytes) -> bytes | None:
        """Return the key of the default queue or a configured one; remember a stream, whose groups are asked later."""
        if kind == _STREAM and key and len(self.prefixes) < MAX_MET:
            self.prefixes.append(key)
        return key if kind == _LIST and (key == DEFAULT or key in self._names) else None

    def discover(self) -> Conversation[Sequence[bytes]]:
        """Return those of the streams met that have Taskiq's group."""
        met, self.prefixes = tuple(dict.fromkeys(self.prefixes)), []
        groups = yield from groups_met(met)
        found = [key for key, names in groups if GROUP in names and key not in self._others]
        self._told = dict.fromkeys(found, _STREAM)
        return found

    def told_by(self, handle: bytes) -> str:
        """Return the stream, whose group has told it."""
        return f"group {GROUP.decode()} of the stream {clean(handle)}"

    def read(self, found: Sequence[bytes], now: float) -> Conversation[Sequence[Queue]]:
        """Read all queues in three batches."""
        budget = Budget()
        keys = [key for key in dict.fromkeys((*self._names, *found)) if key not in self._others]
        queues = yield from abreast(self._queue(key, now, budget) for key in keys)
        if len(self._kinds) > len(keys):
            self._kinds = {key: self._kinds[key] for key in keys if key in self._kinds}
        return queues

    def rebase(self) -> None:
        """Let the totals go on from what is read next."""
        self._groups.rebase()

    def _queue(self, key: bytes, now: float, budget: Budget) -> Conversation[Queue]:
        """Read one queue by the TYPE that is known of it; by its answer where that is another one, at the cost of a batch."""
        known = self._kinds.get(key) or self._told.get(key)
        kind, *replies = yield [("TYPE", key), *_counting(key, known)]
        if isinstance(kind, ReplyError) and known is None:
            return Queue(system=SYSTEM, name=clean(key), error=first_error([kind]))
        if known is not None and (kind == known or isinstance(kind, ReplyError)):
            self._kinds[key] = known
            return (yield from self._counted(key, known, replies, now, budget))
        if isinstance(kind, bytes) and kind in _KINDS:
            self._kinds[key] = kind
            replies = yield _counting(key, kind)
            return (yield from self._counted(key, kind, replies, now, None))
        if kind == b"none":
            active = None if known != _STREAM else 0
            return Queue(system=SYSTEM, name=clean(key), live=LiveJobs(waiting=0, active=active))
        return Queue(system=SYSTEM, name=clean(key), error=ErrorKind.WRONG_TYPE)

    def _counted(
        self, key: bytes, kind: bytes, counts: Sequence[Reply], now: float, budget: Budget | None
    ) -> Conversation[Queue]:
        if kind == _STREAM:
            queues = yield from self._groups.read(
                key,
                counts,
                label=lambda group: clean(key) if group == GROUP else None,
                expected={GROUP: clean(key)},
                now=now,
                budget=budget,
            )
            return queues[GROUP]
        waiting = count(counts[0])
        head: Reply = None
        if waiting and self._heads.readable(key, now):
            (head,) = yield [("LINDEX", key, -1)]
        error = first_error((*counts, head))
        if isinstance(head, TooLarge):
            self._heads.pause(key, now)
        if waiting and not self._heads.readable(key, now):
            error = error or ErrorKind.TOO_LARGE
        return Queue(
            system=SYSTEM,
            name=clean(key),
            live=LiveJobs(waiting=waiting),
            head_first_seen_at=self._heads.first_seen(key, _mark(head), now) if isinstance(head, bytes) else None,
            error=error,
        )


def _counting(key: bytes, kind: bytes | None) -> tuple[Command, ...]:
    """Return the commands that count a queue of this TYPE; none where it is not known."""
    if kind == _STREAM:
        return counting(key)
    return (("LLEN", key),) if kind == _LIST else ()


def _mark(body: bytes) -> bytes:
    """Return what tells this message from the next: its id and try; all of it where the serializer is not JSON."""
    message = fields(body, _Message)
    if message is None:
        return body
    return f"{message.task_id} {message.labels.get('_retries')}".encode("utf-8", "replace")
