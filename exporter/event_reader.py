"""The exporter's end of the listener's files: what is new in them, and up to where it has been published.

The position is kept on disk only when the snapshot that carries the events is settled: taken by the stream, in the spool,
or dropped and counted. An exporter that is killed before reads them again; they are the same rows of the database, which
takes them once.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from depthgauge.names import clean
from depthgauge.snapshot import ProcessEvent
from exporter import durable
from exporter.event_log import MAX_LINE, EventLine, LogFolder, LostLine, StartLine, index_after, parsed
from exporter.events import LISTENER

log = logging.getLogger(__name__)

ALIVE: Final = timedelta(seconds=15)
"""A listener that has not been touched for three ticks of supervisord is not alive."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the files."""

    file: int
    offset: int = 0
    index: int | None = 0
    """Events before it, of all files that there ever were; None where that cannot be told."""


_NOWHERE: Final = Position(0, index=None)
"""Before everything, where it is not known what was read."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was new."""

    events: Sequence[ProcessEvent] = ()
    more: bool = False
    """There are further events, for the next time."""
    lost: int = 0
    """Events that the listener had to give up."""
    unreadable: int = 0
    """Lines that make no sense."""


class LogReader:
    """Reads what one supervisord's listener has written. One thread reads, one may :meth:`keep`."""

    def __init__(self, folder: LogFolder, supervisor: str) -> None:
        self._folder = folder
        self._supervisor = supervisor
        self._loaded = False
        self._position: Position | None = None
        self._trouble: str | None = None
        self.failures = 0
        """Attempts to read, or to keep the position, that failed."""

    @property
    def position(self) -> Position | None:
        """Up to where has been read; None while there was nothing yet."""
        return self._position

    def is_alive(self, now: datetime) -> bool | None:
        """Say whether the listener lives; None where there has never been one."""
        try:
            touched = datetime.fromtimestamp(self._folder.alive.stat().st_mtime, UTC)
        except FileNotFoundError:
            return None
        except OSError as exc:
            self._failed("look for the listener's sign of life", exc)
            return False
        # Both ways: a clock that was set back makes a dead listener's last touch a future one.
        return abs(now - touched) <= ALIVE

    def read(self, most: int) -> Reading:
        """Return at most so many of the lines that are new."""
        try:
            self._load()
            return self._read(most)
        except OSError as exc:
            self._failed("read events", exc)
            return Reading()

    def keep(self, position: Position) -> None:
        """Put a position on the disk, and delete the files before it, but never the newest."""
        try:
            durable.replace(self._folder.position, msgspec.json.encode(position), mode=0o644)
            numbers = self._folder.numbers()
            for number in numbers[:-1]:
                if number < position.file or (number == position.file and position.offset >= self._size(number)):
                    with suppress(FileNotFoundError):
                        self._folder.file(number).unlink()
        except OSError as exc:
            self._failed("keep the place up to where events are published", exc)

    def _load(self) -> None:
        if self._loaded:
            return
        try:
            self._position = msgspec.json.decode(self._folder.position.read_bytes(), type=Position)
        except FileNotFoundError:
            self._position = None
        except msgspec.MsgspecError as exc:
            self.failures += 1
            text = f"{self._folder.position} makes no sense ({exc}): reading all events of {self._supervisor} again"
            log.error(text)  # noqa: TRY400  the sentence says it all
            self._position = _NOWHERE
        self._loaded = True

    def _read(self, most: int) -> Reading:
        numbers = self._folder.numbers()
        if not numbers:
            return Reading()
        position = self._start(numbers)
        events: list[ProcessEvent] = []
        lost = unreadable = taken = 0
        more = False
        for text, where in self._lines(position, numbers):
            line, index = parsed(text), position.index
            if taken == most:
                more = True
                break
            taken += not isinstance(line, StartLine)
            if line is None:
                unreadable += 1
            elif isinstance(line, StartLine):
                lost += max(0, line.index - index) if index is not None else 0
                index = line.index
            else:
                index = index_after(line, index) if index is not None else None
                if isinstance(line, LostLine):
                    lost += line.count
                else:
                    events.append(event_of(self._supervisor, line))
            position = replace(where, index=index)
        self._position = position
        self._recovered()
        return Reading(events=events, more=more, lost=lost, unreadable=unreadable)

    def _start(self, numbers: Sequence[int]) -> Position:
        position = self._position
        if position is None:
            return Position(numbers[0])
        if position.file > numbers[-1] or (position.file in numbers and position.offset > self._size(position.file)):
            log.warning("the event files of %s are not those of before: reading them from the start", self._supervisor)
            return _NOWHERE
        return position

    def _lines(self, position: Position, numbers: Sequence[int]) -> Iterator[tuple[bytes, Position]]:
        """Give the lines from a position on, each with the place behind it."""
        for number in numbers:
            if number < position.file:
                continue
            try:
                file = self._folder.file(number).open("rb")
            except FileNotFoundError:
                # The listener has just given it up, and will say so.
                continue
            with file:
                file.seek(position.offset if number == position.file else 0)
                while text := file.readline(MAX_LINE + 1):
                    is_torn = not text.endswith(b"\n") and len(text) <= MAX_LINE
                    if is_torn and number == numbers[-1]:
                        # Still being written, or a listener was killed in the middle of it: the next one ends it.
                        break
                    yield text.rstrip(b"\n"), Position(number, file.tell())

    def _size(self, number: int) -> int:
        return self._folder.file(number).stat().st_size

    def _failed(self, what: str, exc: OSError) -> None:
        self.failures += 1
        text = f"{what} of {self._supervisor}: {exc.strerror} ({exc.filename or self._folder.path})"
        if self._trouble != text:
            self._trouble = text
            log.error("cannot %s; trying again", text)

    def _recovered(self) -> None:
        if self._trouble is not None:
            self._trouble = None
            log.info("events of %s are read again", self._supervisor)


def event_of(supervisor: str, line: EventLine) -> ProcessEvent:
    """Return the event that a line tells."""
    details = [
        f"pid {line.pid}" if line.pid else None,
        f"tries {line.tries}" if line.tries else None,
        f"received up to {line.late:.0f} s late" if line.late else None,
    ]
    return ProcessEvent(
        supervisor=supervisor,
        group=clean(line.group),
        process=clean(line.process),
        occurred_at=line.at.astimezone(UTC),
        number=line.serial,
        from_state=line.from_state,
        to_state=line.to_state,
        expected=line.expected,
        source=LISTENER,
        detail="; ".join(filter(None, details)) or None,
    )
