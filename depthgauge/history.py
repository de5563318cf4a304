"""History's contract: the question that the API and ``depthgauge history`` ask, and the answer.

A record is a bucket of ``step`` seconds, counted from 1970 (UTC) and named by its start; it belongs to the range if its start
lies in ``[start, end)``. So ranges that touch share no record and lose none. Each host's number is the last one known in the
bucket; over hosts a backlog is the highest (a fact about a Redis), workers are added up (a fact about a host). Buckets in
which nothing was recorded are left out. ``None`` is unknown, ``0`` is zero.
"""

import base64
import binascii
import hashlib
import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from msgspec import Struct

from depthgauge.errors import DepthgaugeError

DEFAULT_LIMIT: Final = 1440
"""Records a reply has at most unless told otherwise: a day of minutes."""
MOST: Final = 10_000
"""Records that can be asked for at once."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_CURSOR: Final = struct.Struct(">BqqqIB8s")
_CURSOR_VERSION: Final = 1


class BadParameter(DepthgaugeError):  # noqa: N818  it names what is bad; the base says that it is an error
    """A question that cannot be asked; ``parameter`` is what to change."""

    def __init__(self, parameter: str, message: str) -> None:
        self.parameter = parameter
        self.message = message
        super().__init__(f"{parameter}: {message}")


class HistoryUnavailable(DepthgaugeError):  # noqa: N818  see BadParameter
    """History cannot be read now; the text says why and what to do, without secrets."""


class Resolution(StrEnum):
    """Which rows an answer was made of: every slot, or the rollups by five minutes or by hour."""

    RAW = "raw"
    FIVE_MINUTES = "5m"
    HOURS = "1h"

    @property
    def width(self) -> timedelta:
        """How long a time one row stands for; zero for raw rows."""
        return {"raw": timedelta(0), "5m": timedelta(minutes=5), "1h": timedelta(hours=1)}[self.value]

    def fitting(self, step: timedelta) -> timedelta:
        """Return the step that rows of this resolution can serve: the next multiple of their width."""
        return -(-step // self.width) * self.width if self.width else step


class Cursor(Struct, frozen=True, kw_only=True):
    """Where the next page of an answer begins, and what has to stay the same for it."""

    start: datetime
    end: datetime
    position: datetime
    """Start of the next page's first bucket."""
    step: timedelta
    """As it was asked for."""
    resolution: Resolution
    filters: bytes
    """:func:`digest` of the filters."""

    def encode(self) -> str:
        """Return it as a text that is safe in a URL."""
        times = (_microseconds(each) for each in (self.start, self.end, self.position))
        seconds = int(self.step.total_seconds())
        packed = _CURSOR.pack(_CURSOR_VERSION, *times, seconds, list(Resolution).index(self.resolution), self.filters)
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")

    @staticmethod
    def decode(text: str) -> "Cursor":
        """Return the cursor of a text; raise ValueError if it is none. What it says is not judged here."""
        try:
            packed = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
            version, start, end, position, seconds, index, filters = _CURSOR.unpack(packed)
            times = [EPOCH + timedelta(microseconds=each) for each in (start, end, position)]
        except (binascii.Error, struct.error, OverflowError, UnicodeEncodeError) as exc:
            raise ValueError("it is no cursor") from exc
        if version != _CURSOR_VERSION or index >= len(Resolution):
            raise ValueError("it is no cursor of this version")
        return Cursor(
            start=times[0],
            end=times[1],
            position=times[2],
            step=timedelta(seconds=seconds),
            resolution=list(Resolution)[index],
            filters=filters,
        )


class HistoryQuery(Struct, frozen=True, kw_only=True):
    """One question. depthgauge/history_parameters.py makes it, and keeps its bounds."""

    start: datetime
    end: datetime
    """Exclusive; both are aware UTC."""
    step: timedelta
    """Whole seconds; an answer made of rollups may have a longer one, and says so."""
    queue: str | None = None
    """Only queues of this name, in every Redis and system; ``""`` is where a system keeps one number for all of its queues."""
    host: str | None = None
    """Only what this host saw."""
    limit: int = DEFAULT_LIMIT
    cursor: Cursor | None = None


class HistoryRecord(Struct, frozen=True, kw_only=True):
    """What was the case in one bucket, by the names of the table ``queue_metrics``."""

    recorded_at: datetime
    """The bucket's start."""
    active_workers: int | None
    """Worker processes, each once per queue system; with a filter on a queue, those that serve it."""
    workers_by_queue: Mapping[str, int]
    """Processes that serve each queue: one that serves several stands in each."""
    pending_jobs: int | None
    processing_jobs: int | None
    delayed_jobs: int | None
    """Delayed, to be tried again, and blocked ones."""
    failed_jobs: int | None
    """Failed and dead ones that are kept."""
    completed_jobs: int | None
    """Total of the true counters there are."""
    pending_by_queue: Mapping[str, int]
    failed_by_queue: Mapping[str, int]


class HistoryPage(Struct, frozen=True, kw_only=True):
    """An answer, or a part of it; its JSON is the API's reply."""

    data: tuple[HistoryRecord, ...]
    count: int
    step: int
    """Seconds."""
    resolution: Resolution
    truncated: bool
    """Whether there is more: ask again with ``next_cursor``."""
    next_cursor: str | None


class History(Protocol):
    """Something that answers; safe for several threads."""

    def read(self, query: HistoryQuery) -> HistoryPage:
        """Return one page; raise HistoryUnavailable."""

    def close(self) -> None:
        """Let go of what it holds."""


def digest(queue: str | None, host: str | None) -> bytes:
    """Return eight bytes that stand for the filters of a question."""
    told = b"\0".join(b"-" if each is None else b"+" + each.encode() for each in (queue, host))
    return hashlib.blake2b(told, digest_size=8).digest()


def ceiling(moment: datetime, step: timedelta) -> datetime:
    """Return the first start of a bucket that is not before the moment."""
    return EPOCH + -(-(moment - EPOCH) // step) * step


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // _MICROSECOND
