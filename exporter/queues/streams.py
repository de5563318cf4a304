"""Redis Streams with consumer groups: each group of a stream is a queue (redis: t_stream.c; the commands' own pages).

=========  ===========================================================  =======================================
state      from                                                         note
=========  ===========================================================  =======================================
waiting    XINFO GROUPS ``lag``, checked or counted (groups.py)         not delivered to the group
active     XINFO GROUPS ``pending``                                     delivered, not acknowledged; also those
                                                                        deleted from the stream meanwhile
delayed    unknown
retry      unknown                                                      an entry that is claimed stays active
blocked    unknown
others     unknown                                                      acknowledged entries just stay
=========  ===========================================================  =======================================

A group named ``taskiq`` is Taskiq's (taskiq.py) unless it is configured here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from depthgauge.names import clean
from depthgauge.resp import Reply
from depthgauge.snapshot import Queue
from depthgauge.stream import QUARANTINE, STREAM
from exporter.queues.group_rows import groups_of
from exporter.queues.groups import COMMANDS as GROUP_COMMANDS
from exporter.queues.groups import MAX_MET, Budget, GroupReader, counting, groups_met
from exporter.queues.payload import gone
from exporter.queues.reader import Conversation, Reader, abreast
from exporter.queues.taskiq import GROUP as TASKIQ_GROUP
from exporter.settings import StreamSettings

SYSTEM: Final = "stream"
COMMANDS: Final = GROUP_COMMANDS
"""The commands that reading sends."""

_OURS: Final = (STREAM.encode(), QUARANTINE.encode())
_RESULTS: Final = b"rq:results:"
"""RQ keeps results in streams of their own, one a job."""
_REMEMBERED: Final = 20_000


class StreamReader(Reader):
    """Reads consumer groups. A handle is the key of a stream that has one."""

    system: Final = SYSTEM
    needs_scan = True
    meets_streams = True

    def __init__(self, settings: Sequence[StreamSettings], names: Sequence[str]) -> None:
        self.prefixes: list[bytes] = []
        """Streams met in this walk; only discovery uses it."""
        self._groups = GroupReader(SYSTEM)
        self._known: dict[bytes, tuple[bytes, ...]] = {}
        self._wanted: dict[bytes, dict[bytes | None, str]] = {}
        for each in settings:
            group = None if each.group is None else each.group.encode()
            self._wanted.setdefault(each.key.encode(), {}).setdefault(group, each.name)
        for name in names:
            key, slash, rest = name.rpartition("/")
            target, own = (key, rest.encode()) if slash and key and rest else (name, None)
            self._wanted.setdefault(target.encode(), {}).setdefault(own, name)

    def recognise(self, key: bytes, kind: bytes) -> bytes | None:
        """Remember a stream; whether it has groups is asked later, and nothing is found until then."""
        if kind == b"stream" and key and key not in _OURS and _RESULTS not in key and len(self.prefixes) < MAX_MET:
            self.prefixes.append(key)
        return None

    def discover(self) -> Conversation[Sequence[bytes]]:
        """Return those of the streams met that have a group."""
        met, self.prefixes = tuple(dict.fromkeys(self.prefixes)), []
        found: list[bytes] = []
        for key, names in (yield from groups_met(met)):
            if any(name != TASKIQ_GROUP for name in names):
                found.append(key)
        return found

    def told_by(self, handle: bytes) -> str:
        """Return the stream, which has a group."""
        return f"groups of the stream {clean(handle)}"

    def read(self, found: Sequence[bytes], now: float) -> Conversation[Sequence[Queue]]:
        """Read all groups in three batches, the third only where Redis does not tell a backlog."""
        budget = Budget()
        shown = set(found)
        queues = yield from abreast(
            self._stream(key, now, found=key in shown, budget=budget) for key in dict.fromkeys((*self._wanted, *found))
        )
        return [queue for each in queues for queue in each]

    def rebase(self) -> None:
        """Let the totals go on from what is read next."""
        self._groups.rebase()

    def _stream(self, key: bytes, now: float, *, found: bool, budget: Budget) -> Conversation[Sequence[Queue]]:
        wanted = self._wanted.get(key, {})
        every = wanted.get(None)

        def label(group: bytes) -> str | None:
            if group in wanted:
                return wanted[group]
            if group == TASKIQ_GROUP or (every is None and not found):
                return None
            return clean((key if every is None else every.encode()) + b"/" + group)

        replies: list[Reply] = yield counting(key)
        expected = self._expected(key, replies[1], label)
        queues = yield from self._groups.read(key, replies, label=label, expected=expected, now=now, budget=budget)
        return tuple(queues.values())

    def _expected(self, key: bytes, reply: Reply, label: Callable[[bytes], str | None]) -> Mapping[bytes, str]:
        """Return the groups to be shown though the reply to XINFO GROUPS may not tell them, with their labels.

        Those configured; and where the stream is gone or cannot be asked, those it had before. A stream that is configured
        without a group and has none is shown by its own label.
        """
        wanted = self._wanted.get(key, {})
        answered = isinstance(reply, list)
        if answered:
            self._remember(key, tuple(group.name for group in groups_of(reply)))
        names = self._known.get(key, ())
        labels = {name: text for name in names if (text := label(name)) is not None}
        expected = ({} if answered else labels) | {name: text for name, text in wanted.items() if name is not None}
        if not labels and not expected and (None in wanted or not (answered or gone(reply))):
            expected = {b"": wanted.get(None, clean(key))}
        return expected

    def _remember(self, key: bytes, groups: tuple[bytes, ...]) -> None:
        self._known.pop(key, None)
        if len(self._known) >= _REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[key] = groups
