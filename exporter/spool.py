"""The spool: snapshots on disk, in order, while the bus does not take them.

What is promised: a record that :meth:`Spool.append` has taken is synced to disk. It is read until the stream has it, by
this run of the exporter or a later one, or it is counted under the run that it belongs to *before* it is deleted.
A crash between the stream's yes and the new read position sends a few records again: the sink's ledger makes nothing of it.

Not for several threads at once, but for the properties, which only look.
"""

import contextlib
import errno
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from depthgauge.errors import DepthgaugeError
from exporter import durable, spool_files, spool_state
from exporter.bus_check import DropReason
from exporter.spool_files import Frame, Segment
from exporter.spool_state import State

SPOOL: Final = "spool"
"""Its folder's name in the state_dir."""
LOCK: Final = "lock"
STATE: Final = "state"
MIN_SEGMENT: Final = 16 << 10
MAX_SEGMENT: Final = 1 << 20
SEGMENTS: Final = 64
"""Parts of the whole: when it is full, the oldest of them goes."""
_GONE: Final = frozenset({errno.ENOENT, errno.EIO})
"""What will not be there the next time either."""


class SpoolHeld(DepthgaugeError):  # noqa: N818  it says what is the matter with it
    """Another exporter uses the folder."""


class Record(NamedTuple):
    """A stream entry to be kept; ``slot`` is its unix time, from which its age is counted."""

    slot: float
    fields: Mapping[str, bytes]


class Stored(NamedTuple):
    """A record that was read."""

    number: int
    fields: dict[str, bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much is kept, and for how long."""

    max_bytes: int = 256 << 20
    max_age: timedelta = timedelta(hours=24)


class Stats(NamedTuple):
    """The spool in numbers, for metrics."""

    bytes: int
    snapshots: int
    oldest: float | None
    """Unix time of the oldest record's slot; None where nothing is kept."""


_DECODER: Final = msgspec.msgpack.Decoder(dict[str, bytes])


class Spool:
    """The records in ``folder``, oldest first.

    ``trouble`` is told of each thing that went wrong and was lived with, by a word: ``corrupt``, ``torn``, ``state``.
    Raises OSError where the disk refuses, and SpoolHeld.
    """

    def __init__(
        self,
        folder: Path,
        *,
        run_id: str,
        limits: Limits,
        clock: Callable[[], datetime],
        trouble: Callable[[str], None],
    ) -> None:
        self.folder = folder
        self.run_id = run_id
        self.limits = limits
        self._clock = clock
        self._trouble = trouble
        self._segment_bytes = min(limits.max_bytes, max(MIN_SEGMENT, min(MAX_SEGMENT, limits.max_bytes // SEGMENTS)))
        self._segments: deque[Segment] = deque()
        self._bytes = 0
        self._tail: int | None = None
        self._head: deque[Frame] = deque()
        self._loaded = 0
        self._next = self._end = 1
        self._losses: spool_state.Losses = {}
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        durable.sync_folder(folder.parent)
        try:
            self._lock = spool_files.lock(folder / LOCK)
        except BlockingIOError as exc:
            raise SpoolHeld(
                f"the spool {folder} is in use by another exporter: give each its own exporter.state_dir"
            ) from exc
        try:
            self._recover()
        except BaseException:
            os.close(self._lock)
            raise

    # What is in it.

    @property
    def stats(self) -> Stats:
        """Return the numbers."""
        oldest: float | None = None
        with contextlib.suppress(IndexError):  # both may be emptied meanwhile
            oldest = self._head[0].slot if self._head else self._segments[0].oldest
        return Stats(self._bytes, self._end - self._next, oldest)

    @property
    def busy(self) -> bool:
        """Say whether there are records to be read."""
        return self._next < self._end

    @property
    def drops(self) -> Mapping[str, int]:
        """What of this run was dropped here, by reason."""
        own = self._losses.get(self.run_id)
        return own.drops if own is not None else {}

    @property
    def earlier_drops(self) -> Mapping[str, Mapping[str, int]]:
        """What of earlier runs was dropped, by run and by reason."""
        return {run: lost.drops for run, lost in self._losses.items() if run != self.run_id}

    # Writing.

    def append(self, records: Sequence[Record]) -> int:
        """Keep the first few of the records: at least one, as many as are written at once; return how many are synced.

        What is in the way is dropped, the oldest first, and counted before. A record larger than the whole spool is
        counted as dropped itself.
        """
        data, count = bytearray(), 0
        for record in records:
            body = msgspec.msgpack.encode(record.fields)
            more = spool_files.frame(self._end + count, record.slot, body)
            if count and len(data) + len(more) > self._segment_bytes:
                break
            data += more
            count += 1
        if len(data) > self.limits.max_bytes:
            self._commit(self._next, self._with(self.run_id, {DropReason.SPOOL_FULL: 1}))
            return 1
        self._make_room(len(data))
        segment, descriptor = self._tail_for(len(data), records[0].slot)
        try:
            durable.write_all(descriptor, data)
            os.fsync(descriptor)
        except OSError:
            self._retreat(segment, descriptor)
            raise
        segment.size += len(data)
        segment.end = self._end = self._end + count
        self._bytes += len(data)
        return count

    def _make_room(self, needed: int) -> None:
        while self._segments and self._bytes + needed > self.limits.max_bytes:
            oldest = self._segments[0]
            lost = oldest.end - max(self._next, oldest.first)
            self._commit(oldest.end, self._with(oldest.run_id, {DropReason.SPOOL_FULL: lost}))
            self._delete_read()

    def _tail_for(self, needed: int, slot: float) -> tuple[Segment, int]:
        if self._tail is not None and self._segments[-1].size + needed <= self._segment_bytes:
            return self._segments[-1], self._tail
        self._seal()
        path = self.folder / spool_files.segment_name(self._end, self.run_id)
        self._tail = spool_files.create(path)
        self._segments.append(Segment(path=path, run_id=self.run_id, first=self._end, end=self._end, oldest=slot))
        return self._segments[-1], self._tail

    def _retreat(self, segment: Segment, descriptor: int) -> None:
        """Take back what a failed append left; where even that fails, the segment's known size keeps it out."""
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, segment.size)
        self._seal()
        if segment.size == 0:
            self._segments.remove(segment)
            with contextlib.suppress(OSError):
                segment.path.unlink()

    def _seal(self) -> None:
        if self._tail is not None:
            descriptor, self._tail = self._tail, None
            os.close(descriptor)

    # Reading.

    def peek(self, count: int, max_bytes: int) -> list[Stored]:
        """Return the oldest records: at most so many, at least one where there is one; they stay where they are."""
        found: list[Stored] = []
        size = 0
        while self._fill():
            for each in self._head:
                if found and (len(found) == count or size + len(each.body) > max_bytes):
                    break
                with contextlib.suppress(msgspec.MsgspecError):  # what is missing in the numbers is counted
                    found.append(Stored(each.number, _DECODER.decode(each.body)))
                    size += len(each.body)
            if found:
                return found
            self._head.clear()
        return found

    def advance(self, taken: Sequence[Stored]) -> None:
        """Note that the stream has these, the first ones that were peeked at."""
        self._pass(taken[-1].number + 1, kept=len(taken))
        self._remember()
        self._delete_read()

    def expire(self) -> None:
        """Drop what is too old, and count it first."""
        limit = (self._clock() - self.limits.max_age).timestamp()
        while self._fill() and self._head[0].slot < limit:
            old = 0
            while old < len(self._head) and self._head[old].slot < limit:
                old += 1
            end = self._head[old - 1].number + 1
            lost = {DropReason.SPOOL_EXPIRED: old, DropReason.SPOOL_CORRUPT: end - self._next - old}
            self._commit(end, self._with(self._segments[0].run_id, lost))
            self._delete_read()

    def _fill(self) -> bool:
        """See to it that the oldest records are in memory; return whether there are any."""
        while not self._head and self._segments:
            segment = self._segments[0]
            if self._loaded < segment.size:
                data = self._read(segment)
                self._loaded = segment.size
                self._head.extend(
                    each for each in spool_files.parse(data).frames if self._next <= each.number < segment.end
                )
            else:
                self._pass(segment.end, kept=0)
                self._remember()
                self._delete_read()
        return bool(self._head)

    def _read(self, segment: Segment) -> bytes:
        try:
            return spool_files.read(segment.path, self._loaded, segment.size)
        except OSError as exc:
            if exc.errno not in _GONE:
                raise
            return b""

    def _pass(self, end: int, *, kept: int) -> None:
        """Move the position on; numbers that nobody has seen on the way were damaged."""
        lost = end - self._next - kept
        if lost > 0:
            self._trouble("corrupt")
            self._losses = self._with(self._segments[0].run_id, {DropReason.SPOOL_CORRUPT: lost})
        self._next = end
        while self._head and self._head[0].number < end:
            self._head.popleft()

    def _delete_read(self) -> None:
        """Delete the segments that lie behind the position; the drops in them are on disk by now."""
        while self._segments and self._segments[0].end <= self._next:
            segment = self._segments.popleft()
            if not self._segments:
                self._seal()
            self._bytes -= segment.size
            self._head.clear()
            self._loaded = 0
            segment.path.unlink(missing_ok=True)

    # Remembering.

    def note(self, totals: Mapping[str, int]) -> None:
        """Remember what was dropped of this run elsewhere, so that a later run can tell it, should this one be killed."""
        self._commit(self._next, spool_state.with_totals(self._losses, self.run_id, totals, now=self._now()))

    def close(self) -> None:
        """Let go of the folder."""
        self._seal()
        os.close(self._lock)

    def _with(self, run_id: str, drops: Mapping[DropReason, int]) -> spool_state.Losses:
        counts = {reason.value: count for reason, count in drops.items()}
        return spool_state.with_drops(self._losses, run_id, counts, now=self._now())

    def _now(self) -> float:
        return self._clock().timestamp()

    def _commit(self, position: int, losses: spool_state.Losses) -> None:
        """Make this the state, on disk first: nothing may be deleted whose loss is not written down."""
        if (position, losses) == (self._next, self._losses):
            return
        self._save(position, losses)
        self._next, self._losses = position, losses
        while self._head and self._head[0].number < position:
            self._head.popleft()

    def _remember(self) -> None:
        """Save the state if that can be done: what the stream has may be sent again, and a full disk must be emptied."""
        try:
            self._save(self._next, self._losses)
        except OSError:
            self._trouble("state")

    def _save(self, position: int, losses: spool_state.Losses) -> None:
        kept = spool_state.pruned(losses, own=self.run_id, now=self._now())
        durable.replace(self.folder / STATE, spool_state.encode(State(next=position, runs=kept)))

    def _recover(self) -> None:
        """Take up what an earlier run left."""
        found = spool_files.survey(self.folder)
        if found.torn:
            self._trouble("torn")
        state = spool_state.load(self.folder / STATE)
        if state is None:
            self._trouble("state")
            state = State()
        self._losses = spool_state.pruned(state.runs, own=self.run_id, now=self._now())
        self._segments.extend(found.segments)
        self._bytes = sum(segment.size for segment in found.segments)
        first = self._segments[0].first if self._segments else 1
        self._next = max(state.next, first)
        self._end = max(self._next, self._segments[-1].end if self._segments else 1)
        self._delete_read()
