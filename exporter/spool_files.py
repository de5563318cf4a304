"""What the spool is on disk: numbered frames in segments, a file that is replaced whole, and a lock.

A frame is ``magic, number, slot, length, crc`` and the body. Numbers rise by one from frame to frame, across segments
too, so what is missing can be counted. A segment is written by one run of the exporter and is never appended to by
another; its name says the number of its first frame and the run, and survives whatever happens to what is in it.
"""

import fcntl
import os
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from exporter.durable import sync_folder

MAGIC: Final = b"DGs1"
_HEAD: Final = struct.Struct(">4sQdII")
_NAME: Final = re.compile(r"(\d{20})-([A-Za-z0-9_-]{1,64})\.segment")
SUFFIX: Final = ".segment"


class Frame(NamedTuple):
    """One record as it is read; ``slot`` is its unix time."""

    number: int
    slot: float
    body: bytes


class Parsed(NamedTuple):
    """What could be read of a segment."""

    frames: list[Frame]
    """In rising order of their numbers."""
    damaged: int
    """Records behind the last good frame that were written whole and cannot be read."""
    torn: bool
    """Whether it ends within a frame: an append that was never said to have been done."""
    good: int
    """Bytes up to the end of the last good frame."""


@dataclass(slots=True)
class Segment:
    """One file."""

    path: Path
    run_id: str
    first: int
    """The number of its first frame."""
    end: int
    """The number behind its last frame."""
    size: int = 0
    """Bytes that count; anything behind them is the rest of a failed append."""
    oldest: float | None = None
    """The slot of its first frame, None where that cannot be read."""


def segment_name(first: int, run_id: str) -> str:
    """Return a segment's file name; raise ValueError for a run id that is none."""
    name = f"{first:020d}-{run_id}{SUFFIX}"
    if not _NAME.fullmatch(name):
        raise ValueError(f"{run_id!r} cannot be part of a file name")
    return name


def frame(number: int, slot: float, body: bytes) -> bytes:
    """Return a record as it is written."""
    crc = _crc(number, slot, body)
    return _HEAD.pack(MAGIC, number, slot, len(body), crc) + body


def _crc(number: int, slot: float, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(_HEAD.pack(MAGIC, number, slot, len(body), 0)))


def parse(data: bytes) -> Parsed:
    """Return every frame that is whole; what is damaged is skipped up to the next frame that is good."""
    frames: list[Frame] = []
    damaged, torn, at, good_end = 0, False, 0, 0
    last = -1
    while at < len(data):
        good, end = _read(data, at)
        if good is not None:
            if good.number > last:
                frames.append(good)
                last = good.number
            damaged, torn, at = 0, False, end
            good_end = end
            continue
        torn = end > len(data)
        damaged += not torn
        following = data.find(MAGIC, at + 1)
        at = following if following >= 0 else len(data)
    return Parsed(frames, damaged, torn, good_end)


def _read(data: bytes, at: int) -> tuple[Frame | None, int]:
    """Return the frame at this place, None if it is not good, and where it ends by its own account."""
    if len(data) - at < _HEAD.size:
        return None, len(data) + 1
    magic, number, slot, length, crc = _HEAD.unpack_from(data, at)
    if magic != MAGIC:
        # Zeros are what a power cut leaves of an append that was under way.
        return None, len(data) + (not any(data[at:]))
    start = at + _HEAD.size
    end = start + length
    if end > len(data):
        return None, end
    body = data[start:end]
    return (Frame(number, slot, body) if crc == _crc(number, slot, body) else None), end


class Found(NamedTuple):
    """What there is in a folder."""

    segments: list[Segment]
    """In the order of their records; one without any has been deleted."""
    torn: bool
    """Whether the last append was cut off."""


def survey(folder: Path) -> Found:
    """Read all segments of the folder, and tell what they hold."""
    paths = [(named, path) for path in folder.iterdir() if (named := _NAME.fullmatch(path.name)) is not None]
    # Of two with one number the first is what a crash left of a segment before anything was in it.
    paths.sort(key=lambda each: (each[0][1], each[1].stat().st_size))
    firsts = [int(named[1]) for named, _ in paths]
    found: list[Segment] = []
    torn = False
    for at, (named, path) in enumerate(paths):
        first = firsts[at]
        following = firsts[at + 1] if at + 1 < len(firsts) else None
        size = path.stat().st_size
        parsed = parse(read(path, 0, size))
        torn = parsed.torn
        if following is None:
            end = (parsed.frames[-1].number + 1 if parsed.frames else first) + parsed.damaged
            if torn and not parsed.damaged:
                # So that it takes no room that is counted.
                size = parsed.good
                os.truncate(path, size)
        else:
            # All up to the next segment's first were synced, whether they can be read or not.
            end = following
        if end == first:
            path.unlink(missing_ok=True)
            continue
        oldest = parsed.frames[0].slot if parsed.frames else None
        found.append(Segment(path=path, run_id=named[2], first=first, end=end, size=size, oldest=oldest))
    return Found(found, torn)


def read(path: Path, start: int, end: int) -> bytes:
    """Return these bytes of a file, fewer where it is shorter."""
    with path.open("rb") as file:
        file.seek(start)
        return file.read(end - start)


def create(path: Path) -> int:
    """Make an empty file, for its owner only, whose name survives a power cut; return its descriptor."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        sync_folder(path.parent)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def lock(path: Path, *, create: bool = True) -> int:
    """Lock the file for this process alone and return its descriptor; raise BlockingIOError if another has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
