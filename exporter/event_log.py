"""State changes on their way from ``depthgauge listen`` to the exporter: files of JSON lines in the state folder.

For each supervisord, in ``<state_dir>/events``:

* ``<name>-<n>.jsonl``: lines, appended by the listener only. A new file after MAX_BYTES; beyond MAX_FILES the oldest goes.
  The first line of each says how many events were before it, so that a reader knows what it has missed.
* ``<name>.alive``: touched by the listener at its start and at every event that supervisord sends it.
* ``<name>.position``: up to where the exporter has published, see :mod:`exporter.event_reader`.

A change is on the disk before supervisord hears that it was received; what is not, supervisord sends again.
"""

import hashlib
import logging
import os
import re
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, TypeAlias
from urllib.parse import quote

import msgspec
from msgspec import Meta, Struct

from exporter import durable

log = logging.getLogger(__name__)

FOLDER: Final = "events"
MAX_BYTES: Final = 1024 * 1024
"""Of one file; the last write may go beyond it by one batch."""
MAX_FILES: Final = 16
"""Of one supervisord."""
MAX_KEPT: Final = 10_000
"""Events kept in memory while the folder cannot be written to."""
BATCH: Final = 200
"""Lines a write."""
MAX_LINE: Final = 64 * 1024

_WRITE: Final = "write events"
_BEAT: Final = "leave a sign of life"
_MAX_NAME: Final = 100
_MODE: Final = 0o644


_Number: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""What the database can hold."""


class EventLine(Struct, frozen=True, kw_only=True, tag_field="type", tag="event", omit_defaults=True):
    """One state change; names as supervisord tells them, states by its codes."""

    at: Annotated[datetime, Meta(tz=True)]
    """When the listener received it."""
    serial: _Number
    """supervisord's own number of the event; begins anew with it."""
    group: str
    process: str
    from_state: _Number | None = None
    to_state: _Number
    pid: _Number | None = None
    expected: bool | None = None
    tries: _Number | None = None
    late: float | None = None
    """Seconds that it may have waited in supervisord's buffer, where they are many."""


class LostLine(Struct, frozen=True, kw_only=True, tag_field="type", tag="lost"):
    """So many events are missing here: what was kept in memory grew too much."""

    count: _Number


class StartLine(Struct, frozen=True, kw_only=True, tag_field="type", tag="start"):
    """The first line of a file."""

    index: _Number
    """Events in all files before this one: whoever comes from further back has missed the difference."""


Line: TypeAlias = EventLine | LostLine | StartLine

_ENCODE: Final = msgspec.json.Encoder().encode
DECODE: Final = msgspec.json.Decoder(Line).decode


def index_after(line: Line, before: int) -> int:
    """Return how many events there are up to the end of a line."""
    if isinstance(line, StartLine):
        return line.index
    return before + (line.count if isinstance(line, LostLine) else 1)


class LogFolder:
    """Where the files of one supervisord are."""

    def __init__(self, state_dir: Path, supervisor: str) -> None:
        self.state_dir = state_dir
        self.path = state_dir / FOLDER
        name = quote(supervisor, safe="")
        if len(name) > _MAX_NAME:
            name = f"{name[:_MAX_NAME]}~{hashlib.blake2b(supervisor.encode(), digest_size=8).hexdigest()}"
        self._name = name
        self._pattern = re.compile(re.escape(name) + r"-(\d{1,12})\.jsonl")
        self.alive = self.path / f"{name}.alive"
        self.position = self.path / f"{name}.position"

    def numbers(self) -> list[int]:
        """Return the numbers of the files, oldest first; none where there is no folder; raise OSError."""
        try:
            names = [path.name for path in self.path.iterdir()]
        except FileNotFoundError:
            return []
        return sorted(int(found[1]) for name in names if (found := self._pattern.fullmatch(name)))

    def file(self, number: int) -> Path:
        """Return the path of a file."""
        return self.path / f"{self._name}-{number}.jsonl"


class LogWriter:
    """The listener's end. Nothing here raises for what a disk may do: what cannot be written is kept and tried again."""

    def __init__(
        self,
        folder: LogFolder,
        *,
        enter: Callable[[Path], None] = lambda _: None,
        max_bytes: int = MAX_BYTES,
        max_files: int = MAX_FILES,
        max_kept: int = MAX_KEPT,
    ) -> None:
        self._folder = folder
        self._enter = enter
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._max_kept = max_kept
        self._kept: deque[EventLine] = deque()
        self._dropped = 0
        self._troubles: dict[str, str] = {}
        self._first = True

    @property
    def kept(self) -> int:
        """Events that are in memory only."""
        return len(self._kept)

    def add(self, line: EventLine) -> None:
        """Write a line to the disk, after all that were kept; keep it where that fails."""
        if not (self._first and self._is_repeated(line)):
            self._kept.append(line)
        self._first = False
        while len(self._kept) > self._max_kept:
            self._kept.popleft()
            self._dropped += 1
        self.flush()

    def flush(self) -> bool:
        """Try to write what is kept; say whether nothing is left."""
        try:
            while self._kept or self._dropped:
                self._write_batch()
                self._managed(_WRITE)
        except OSError as exc:
            self._failed(_WRITE, exc)
            return False
        return True

    def beat(self) -> None:
        """Say that the listener lives."""
        try:
            self._open_folder()
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(self._folder.alive, flags, _MODE)
            try:
                os.utime(descriptor)
            finally:
                os.close(descriptor)
            self._managed(_BEAT)
        except OSError as exc:
            self._failed(_BEAT, exc)

    def _open_folder(self) -> None:
        self._enter(self._folder.state_dir)
        with suppress(FileExistsError):
            self._folder.path.mkdir()

    def _write_batch(self) -> None:
        self._open_folder()
        lines: list[Line] = []
        number = self._place(lines)
        if self._dropped:
            lines.append(LostLine(count=self._dropped))
        events = [self._kept[index] for index in range(min(BATCH, len(self._kept)))]
        _append(self._folder.file(number), b"".join(_ENCODE(line) + b"\n" for line in (*lines, *events)))
        self._dropped = 0
        for _ in events:
            self._kept.popleft()

    def _place(self, lines: list[Line]) -> int:
        """Return the number of the file to append to; for a new one, make room and put its first line into ``lines``."""
        numbers = self._folder.numbers()
        number = numbers[-1] if numbers else 1
        size = self._folder.file(number).stat().st_size if numbers else 0
        if 0 < size < self._max_bytes:
            return number
        if size:
            number += 1
        else:
            numbers = numbers[:-1]
        index = 0
        for text in self._folder.file(numbers[-1]).read_bytes().splitlines() if numbers else ():
            line = parsed(text)
            index = index_after(line, index) if line is not None else index
        lines.append(StartLine(index=index))
        for old in numbers[: max(0, len(numbers) + 1 - self._max_files)]:
            self._folder.file(old).unlink(missing_ok=True)
            log.warning("gave up %s to make room: nobody has read all of it", self._folder.file(old))
        return number

    def _is_repeated(self, line: EventLine) -> bool:
        """Say whether the first event of this listener is the last one of the listener before it.

        supervisord sends an event again whose listener died before it answered; its line may have been written.
        """
        try:
            numbers = self._folder.numbers()
            lines = self._folder.file(numbers[-1]).read_bytes().splitlines() if numbers else []
        except OSError as exc:
            log.warning("cannot look at what was written last: %s", exc)
            return False
        last = parsed(lines[-1]) if lines else None
        return isinstance(last, EventLine) and _identity(last) == _identity(line)

    def _failed(self, what: str, exc: OSError) -> None:
        text = f"{exc.strerror} ({exc.filename or self._folder.path})"
        if self._troubles.get(what) != text:
            self._troubles[what] = text
            log.error("cannot %s: %s; up to %d events are kept in memory meanwhile", what, text, self._max_kept)

    def _managed(self, what: str) -> None:
        if self._troubles.pop(what, None) is not None:
            log.info("can %s again", what)


def parsed(text: bytes) -> Line | None:
    """Return what a line holds; None where it makes no sense."""
    try:
        return DECODE(text) if len(text) <= MAX_LINE else None
    except (msgspec.MsgspecError, ValueError):
        return None


def _identity(line: EventLine) -> tuple[object, ...]:
    return (line.serial, line.group, line.process, line.from_state, line.to_state, line.pid)


def _append(path: Path, data: bytes) -> None:
    """Append to a file and see it on the disk, or leave it as it was as far as possible; raise OSError."""
    is_new = not path.exists()
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, _MODE)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            # Whoever wrote it was killed in the middle of a line.
            data = b"\n" + data
        try:
            durable.write_all(descriptor, data)
            os.fsync(descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)
    if is_new:
        durable.sync_folder(path.parent)
