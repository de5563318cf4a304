"""Stream entries sorted into what becomes rows and what does not, and why."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

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

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.accepted or self.rejected or self.newer or self.too_late or self.vanished)

    def entries(self) -> Iterator[Entry]:
        """Give all entries."""
        yield from (each.entry for each in self.accepted)
        yield from (each.entry for each in self.rejected)
        yield from (entry for entry, _ in self.newer)
        yield from self.too_late
        yield from self.vanished

    def add(self, entry: Entry, *, now: datetime, oldest: datetime) -> None:
        """Sort one more entry; a snapshot for a slot before ``oldest`` (aware) is too late."""
        if entry.fields is None:
            self.vanished.append(entry)
            return
        if entry.problem is not None:
            self.rejected.append(Rejected(entry, "corrupt", entry.problem))
            return
        try:
            snapshot = stream.decode(entry.fields)
            rows = rows_of(snapshot)
        except NewerVersion as exc:
            self.newer.append((entry, str(exc)))
        except CorruptEntry as exc:
            self.rejected.append(Rejected(entry, "corrupt", str(exc)))
        except (ValueError, TypeError, OverflowError) as exc:
            # The types were right and the values still made no rows: times beyond the calendar, for instance.
            self.rejected.append(Rejected(entry, "corrupt", f"snapshot makes no rows: {exc!r}"))
        else:
            self._place(Accepted(entry, rows), now, oldest)

    def _place(self, accepted: Accepted, now: datetime, oldest: datetime) -> None:
        slot = accepted.rows.ledger.recorded_at
        if slot < oldest:
            self.too_late.append(accepted.entry)
        elif slot > now + FUTURE:
            text = f"snapshot is for {slot.isoformat()}, more than {FUTURE} ahead of this sink's clock"
            self.rejected.append(Rejected(accepted.entry, "future", text))
        else:
            self.accepted.append(accepted)


def sort(entries: Iterable[Entry], *, now: datetime, oldest: datetime) -> Sorted:
    """Sort entries: pure but for the times it is given, both aware."""
    result = Sorted()
    for entry in entries:
        result.add(entry, now=now, oldest=oldest)
    return result
