"""Stream entries sorted into what becomes rows and what does not, and why."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from depthgauge import stream
from depthgauge.errors import CorruptEntry, NewerVersion
from sink.inbox import Entry
from sink.rows import Rows, rows_of
from sink.write import FUTURE


@dataclass(frozen=True, slots=True)
class Accepted:
    """An entry that becomes rows."""

    entry: Entry
    rows: Rows


@dataclass(frozen=True, slots=True)
class Rejected:
    """An entry for the quarantine: ``reason`` is a metric's label, ``error`` says what is wrong."""

    entry: Entry
    reason: str
    error: str


@dataclass(slots=True)
class Sorted:
    """A number of entries, sorted."""

    accepted: list[Accepted] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    newer: list[tuple[Entry, str]] = field(default_factory=list)
    """To be left pending, with the reason."""
    too_late: list[Entry] = field(default_factory=list)
    """Older than anything that is kept."""
    vanished: list[Entry] = field(default_factory=list)
    """Pending, but no longer on the stream."""


def sort(entries: Sequence[Entry], *, now: datetime, oldest: datetime) -> Sorted:
    """Sort entries; slots before ``oldest`` are too late."""
    result = Sorted()
    for entry in entries:
        _sort_one(entry, result, now, oldest)
    return result


def _sort_one(entry: Entry, result: Sorted, now: datetime, oldest: datetime) -> None:
    if entry.fields is None:
        result.vanished.append(entry)
        return
    if entry.problem is not None:
        result.rejected.append(Rejected(entry, "corrupt", entry.problem))
        return
    try:
        snapshot = stream.decode(entry.fields)
        rows = rows_of(snapshot)
    except NewerVersion as exc:
        result.newer.append((entry, str(exc)))
    except CorruptEntry as exc:
        result.rejected.append(Rejected(entry, "corrupt", str(exc)))
    except (ValueError, TypeError, OverflowError) as exc:
        # The types were right and the values still made no rows: times beyond the calendar, for instance.
        result.rejected.append(Rejected(entry, "corrupt", f"snapshot makes no rows: {exc!r}"))
    else:
        slot = snapshot.slot.astimezone(UTC)
        if slot < oldest:
            result.too_late.append(entry)
        elif slot > now + FUTURE:
            result.rejected.append(
                Rejected(
                    entry,
                    "future",
                    f"snapshot is for {slot.isoformat()}, more than {FUTURE} ahead of this sink's clock",
                )
            )
        else:
            result.accepted.append(Accepted(entry, rows))
