"""Plain lists and sorted sets used as queues, as configured: there is nothing to discover.

``list``

=========  ===========================================================  =======================================
state      from                                                         note
=========  ===========================================================  =======================================
waiting    LLEN of the list
active     LLEN of the processing list                                  where one is configured (LMOVE)
others     unknown
=========  ===========================================================  =======================================

``zset``

=========  ===========================================================  =======================================
state      from                                                         note
=========  ===========================================================  =======================================
waiting    scores that are due; all of them where they are priorities   each score in the unit of its magnitude
delayed    the rest of ZCARD                                            unknown where scores are priorities
others     unknown
=========  ===========================================================  =======================================
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from depthgauge.errors import ErrorKind
from depthgauge.names import clean
from depthgauge.resp import Command, Reply, TooLarge
from depthgauge.snapshot import LiveJobs, Queue
from exporter.queues.heads import HeadMemory
from exporter.queues.payload import (
    MICROSECONDS_FROM,
    MILLISECONDS_FROM,
    at_path,
    count,
    eligible,
    first_error,
    items,
    seconds,
)
from exporter.queues.reader import Conversation, Reader
from exporter.settings import ListSettings, SortedSetSettings

LIST: Final = "list"
ZSET: Final = "zset"

LIST_COMMANDS: Final = frozenset({"llen", "lindex"})
ZSET_COMMANDS: Final = frozenset({"zcard", "zcount", "zrange"})
"""The commands that reading sends."""

_COLUMNS: Final = 4


def named(names: Sequence[str], told: Sequence[ListSettings]) -> list[ListSettings]:
    """Return the lists that ``queues`` names and no table of the configuration has: what that says goes first."""
    known = {each.name for each in told}
    return [ListSettings(key=name, name=name) for name in names if name not in known]


def sets_named(names: Sequence[str], told: Sequence[SortedSetSettings]) -> list[SortedSetSettings]:
    """Return the sorted sets that ``queues`` names and no table of the configuration has."""
    known = {each.name for each in told}
    return [SortedSetSettings(key=name, name=name) for name in names if name not in known]


class ListReader(Reader):
    """Reads plain lists."""

    system: Final = LIST

    def __init__(self, settings: Sequence[ListSettings]) -> None:
        self._lists = tuple(settings)
        self._heads = HeadMemory()

    def read(self, found: Sequence[bytes], now: float) -> Conversation[Sequence[Queue]]:  # noqa: ARG002  lists are configured, never found
        """Read all lists in two batches."""
        if not self._lists:
            return ()
        commands: list[Command] = []
        for each in self._lists:
            commands.append(("LLEN", each.key))
            if each.processing is not None:
                commands.append(("LLEN", each.processing))
        counted = iter((yield commands))
        counts = [[next(counted) for _ in range(1 if each.processing is None else 2)] for each in self._lists]
        asked = {
            at: ("LINDEX", each.key, 0 if each.take == "left" else -1)
            for at, each in enumerate(self._lists)
            if count(counts[at][0]) and self._heads.readable(each.key.encode(), now)
        }
        replies: list[Reply] = (yield list(asked.values())) if asked else []
        heads = dict(zip(asked, replies, strict=True))
        return [self._queue(each, counts[at], heads.get(at), now) for at, each in enumerate(self._lists)]

    def _queue(self, settings: ListSettings, counts: Sequence[Reply], head: Reply, now: float) -> Queue:
        key = settings.key.encode()
        waiting = count(counts[0])
        error = first_error((*counts, head))
        if waiting and not self._heads.readable(key, now):
            error = error or ErrorKind.TOO_LARGE
        if isinstance(head, TooLarge):
            self._heads.pause(key, now)
        at = seen = None
        if isinstance(head, bytes):
            if settings.time_field is not None:
                at = eligible(seconds(at_path(head, settings.time_field)), now)
            if at is None:
                seen = self._heads.first_seen(key, head, now)
        return Queue(
            system=LIST,
            name=clean(settings.name),
            live=LiveJobs(waiting=waiting, active=count(counts[1]) if len(counts) > 1 else None),
            head_eligible_at=at,
            head_first_seen_at=seen,
            error=error,
        )


class SortedSetReader(Reader):
    """Reads sorted sets whose scores are due times or priorities."""

    system: Final = ZSET

    def __init__(self, settings: Sequence[SortedSetSettings]) -> None:
        self._sets = tuple(settings)
        self._heads = HeadMemory()

    def read(self, found: Sequence[bytes], now: float) -> Conversation[Sequence[Queue]]:  # noqa: ARG002  lists are configured, never found
        """Read all sorted sets in two batches."""
        if not self._sets:
            return ()
        counts: list[Reply] = yield [command for each in self._sets for command in _counting(each.key, now)]
        rows = [counts[_COLUMNS * at : _COLUMNS * (at + 1)] for at in range(len(self._sets))]
        asked = {
            at: _first(each)
            for at, each in enumerate(self._sets)
            if _ready(each, rows[at]) and self._heads.readable(each.key.encode(), now)
        }
        replies: list[Reply] = (yield list(asked.values())) if asked else []
        heads = dict(zip(asked, replies, strict=True))
        return [self._queue(each, rows[at], heads.get(at), now) for at, each in enumerate(self._sets)]

    def _queue(self, settings: SortedSetSettings, counts: Sequence[Reply], head: Reply, now: float) -> Queue:
        key = settings.key.encode()
        everything, due = count(counts[0]), _due(counts)
        waiting = _ready(settings, counts)
        error = first_error((*counts, head))
        if error == ErrorKind.TOO_LARGE:
            self._heads.pause(key, now)
        if waiting and not self._heads.readable(key, now):
            error = error or ErrorKind.TOO_LARGE
        delayed = None
        if settings.score == "due" and everything is not None and due is not None:
            delayed = max(0, everything - due)
        at, seen = self._head(settings, items(head), now) if error is None else (None, None)
        return Queue(
            system=ZSET,
            name=clean(settings.name),
            live=LiveJobs(waiting=waiting, delayed=delayed),
            head_eligible_at=at,
            head_first_seen_at=seen,
            error=error,
        )

    def _head(
        self, settings: SortedSetSettings, head: Sequence[Reply], now: float
    ) -> tuple[datetime | None, datetime | None]:
        """Return eligible and first-seen time of the member that is taken next."""
        if settings.score == "due":
            return (eligible(seconds(head[1]), now) if len(head) == 2 else None), None
        if not head or not isinstance(head[0], bytes):
            return None, None
        at = None
        if settings.time_field is not None:
            at = eligible(seconds(at_path(head[0], settings.time_field)), now)
        return at, None if at is not None else self._heads.first_seen(settings.key.encode(), head[0], now)


def _first(settings: SortedSetSettings) -> Command:
    """Return the command for the member that is taken next: with its score where that is a time."""
    if settings.score == "due":
        return ("ZRANGE", settings.key, 0, 0, "WITHSCORES")
    rank = 0 if settings.take == "min" else -1
    return ("ZRANGE", settings.key, rank, rank)


def _ready(settings: SortedSetSettings, counts: Sequence[Reply]) -> int | None:
    """Return how many members wait: those that are due, or all where scores are priorities."""
    return _due(counts) if settings.score == "due" else count(counts[0])


def _counting(key: str, now: float) -> tuple[Command, ...]:
    """Count everything, then what is due: each band of magnitude against now in its own unit, so that no unit is guessed."""
    return (
        ("ZCARD", key),
        ("ZCOUNT", key, "-inf", now),
        ("ZCOUNT", key, MILLISECONDS_FROM, now * 1e3),
        ("ZCOUNT", key, MICROSECONDS_FROM, now * 1e6),
    )


def _due(counts: Sequence[Reply]) -> int | None:
    """Return how many scores are due: the bands do not overlap. None if one of them is unknown."""
    bands = [count(reply) for reply in counts[1:]]
    known = [band for band in bands if band is not None]
    return sum(known) if len(known) == len(bands) else None
