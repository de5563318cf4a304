"""From rows to records of history: pure, and by whole columns, because a day has a hundred thousand numbers.

Which slots count: of each host and bucket the last one. Where that one read less than an earlier one of the same bucket (a
Redis or a supervisord did not answer just then, or the lease went to another exporter), all slots of the bucket count, and of
each number the last that is known. What was read in full is told by the host's row in ``queue_metrics``.
"""

import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Final, NamedTuple, TypeAlias

from depthgauge.history import EPOCH, HistoryRecord

Moment: TypeAlias = int
"""Microseconds since 1970, as the database gives them."""
Line: TypeAlias = Sequence[int | None]
"""A number over the buckets of an answer."""
_Key: TypeAlias = tuple[str, str, str]
"""A queue in the fleet: redis, system, queue."""

_MICROSECOND: Final = timedelta(microseconds=1)


class Slots(NamedTuple):
    """What one host wrote, in the order of time."""

    host: str
    moments: Sequence[Moment]
    read: Sequence[bool]
    """Whether every backlog was read in this slot."""
    manned: Sequence[bool]
    """Whether every supervisord was read, and some process serves a queue."""
    failed: Sequence[bool]
    """Whether all that tells of failed jobs was read: Redis, and databases of applications."""
    bare: Sequence[bool]
    """Whether every backlog was read, and there was no queue."""
    active_workers: Line


class Numbers(NamedTuple):
    """What is known of one queue."""

    workers: Line
    pending: Line
    processing: Line
    delayed: Line
    failed: Line
    completed: Line


class Series(NamedTuple):
    """One queue as one host saw it, by moments in any order."""

    host: str
    key: _Key
    moments: Sequence[Moment]
    numbers: Numbers

    @classmethod
    def of(cls, row: Sequence[object]) -> "Series":
        """Return the series of a row as the database gives it."""
        host, redis, system, queue, moments, *numbers = row
        return cls(host, (redis, system, queue), moments, Numbers(*numbers))  # type: ignore[arg-type]  # by the statement


def chosen(slots: Slots, step: timedelta) -> frozenset[Moment]:
    """Return the moments that count."""
    width = step // _MICROSECOND
    last = {moment // width: index for index, moment in enumerate(slots.moments)}
    counted = {slots.moments[index] for index in last.values()}
    for flags in (slots.read, slots.manned, slots.failed):
        if True in flags and False in flags:
            lacking = {bucket for bucket, index in last.items() if not flags[index]}
            fuller = {m // width for m, flag in zip(slots.moments, flags, strict=True) if flag} & lacking
            counted.update(moment for moment in slots.moments if moment // width in fuller)
    return frozenset(counted)


def array_of(counted: Iterable[Iterable[Moment]]) -> str:
    """Return all of these moments as PostgreSQL writes an array of times."""
    times = (EPOCH + timedelta(microseconds=each) for each in sorted(set().union(*counted)))
    return f"{{{','.join(map(str, times))}}}"


def records(
    series: Iterable[Series],
    slots: Sequence[Slots],
    counted: Mapping[str, frozenset[Moment]],
    *,
    step: timedelta,
    one_queue: bool,
) -> tuple[HistoryRecord, ...]:
    """Return the records in the order of time, merged over hosts, then added up by the queues' names.

    ``counted`` holds the chosen moments of each host; rows at others are passed over. With ``one_queue`` active workers are
    those that serve it, else each process stands once.
    """
    width = step // _MICROSECOND
    kept = [_kept(each, counted[each.host]) for each in series if each.host in counted]
    empty = set() if one_queue else {bucket for each in slots for bucket in _bare(each, width)}
    axis = _Axis(width, (each.moments for each in kept), empty)
    fleet = _merged(kept, axis)
    if not axis.buckets:
        return ()
    queues: dict[str, list[Numbers]] = {}
    for (_, _, queue), numbers in sorted(fleet.items(), key=lambda item: item[0][2]):
        queues.setdefault(queue, []).append(numbers)
    by_queue = {
        queue: Numbers(*(total(column) for column in zip(*several, strict=True))) for queue, several in queues.items()
    }
    totals = (
        Numbers(*(total(column) for column in zip(*by_queue.values(), strict=True))) if by_queue else axis.nothing()
    )
    failed = {queue: each.failed for queue, each in by_queue.items()}
    unknown = set() if one_queue else {bucket for each in slots for bucket in _unknown(each, width)}
    if unknown:
        totals = totals._replace(failed=axis.without(totals.failed, unknown))
        failed = {queue: axis.without(line, unknown) for queue, line in failed.items()}
    if empty:
        totals = totals._replace(
            pending=axis.with_zeros(totals.pending, empty),
            processing=axis.with_zeros(totals.processing, empty),
            delayed=axis.with_zeros(totals.delayed, empty),
            failed=axis.with_zeros(totals.failed, empty - unknown),
        )
    hosts = [axis.line(each.moments, each.active_workers) for each in slots]
    active = totals.workers if one_queue else total(hosts)
    columns = (
        [EPOCH + bucket * step for bucket in axis.buckets],
        active,
        _maps({queue: each.workers for queue, each in by_queue.items()}, len(axis.buckets)),
        *totals[1:],
        _maps({queue: each.pending for queue, each in by_queue.items()}, len(axis.buckets)),
        _maps(failed, len(axis.buckets)),
    )
    return tuple(
        HistoryRecord(
            recorded_at=moment,
            active_workers=workers,
            workers_by_queue=served,
            pending_jobs=pending,
            processing_jobs=processing,
            delayed_jobs=delayed,
            failed_jobs=failed,
            completed_jobs=completed,
            pending_by_queue=waiting,
            failed_by_queue=dead,
        )
        for moment, workers, served, pending, processing, delayed, failed, completed, waiting, dead in zip(
            *columns, strict=True
        )
    )


def _bare(slots: Slots, width: int) -> Iterable[int]:
    """Return the buckets whose last slot in which backlogs were read found no queue."""
    told = zip(slots.moments, slots.read, slots.bare, strict=True)
    last = {moment // width: bare for moment, read, bare in told if read}
    return (bucket for bucket, bare in last.items() if bare)


def _read(slots: Slots, width: int) -> set[int]:
    return {moment // width for moment, read in zip(slots.moments, slots.read, strict=True) if read}


def _unknown(slots: Slots, width: int) -> set[int]:
    """Return the buckets in which all that is known of this host's failed jobs is a part."""
    known = {moment // width for moment, failed in zip(slots.moments, slots.failed, strict=True) if failed}
    return _read(slots, width) - known


class _Axis:
    """The buckets of an answer: those in which any queue has a row, and those in which there was no queue to have one."""

    def __init__(self, width: int, moments: Iterable[Sequence[Moment]], empty: Iterable[int] = ()) -> None:
        self._width = width
        # Most series have the very same moments.
        self._known: dict[tuple[Moment, ...], list[int]] = {}
        seen = set(empty)
        for each in moments:
            seen.update(self._numbers(each))
        self.buckets = sorted(seen)
        self._index = {bucket: index for index, bucket in enumerate(self.buckets)}

    def _numbers(self, moments: Sequence[Moment]) -> list[int]:
        key = tuple(moments)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = [moment // self._width for moment in moments]
        return found

    def nothing(self) -> Numbers:
        """Return numbers of which none is known."""
        line: Line = [None] * len(self.buckets)
        return Numbers(line, line, line, line, line, line)

    def without(self, line: Line, buckets: Collection[int]) -> Line:
        """Return a line that is unknown in some buckets."""
        return [None if bucket in buckets else value for bucket, value in zip(self.buckets, line, strict=True)]

    def with_zeros(self, line: Line, buckets: Collection[int]) -> Line:
        """Return a line that is 0 instead of unknown in some buckets."""
        return [
            0 if value is None and bucket in buckets else value
            for bucket, value in zip(self.buckets, line, strict=True)
        ]

    def line(self, moments: Sequence[Moment], values: Line) -> Line:
        """Return the last known number of each bucket; moments stand in order."""
        numbers = self._numbers(moments)
        if numbers == self.buckets:
            return values
        line: list[int | None] = [None] * len(self.buckets)
        for bucket, value in zip(numbers, values, strict=True):
            index = self._index.get(bucket)
            if value is not None and index is not None:
                line[index] = value
        return line


def _kept(one: Series, counted: frozenset[Moment]) -> Series:
    """Return the rows whose moments count, in the order of time."""
    moments = one.moments
    if counted.issuperset(moments) and all(map(operator.lt, moments, moments[1:])):
        return one
    order = sorted((index for index, each in enumerate(moments) if each in counted), key=moments.__getitem__)
    numbers = Numbers(*([column[index] for index in order] for column in one.numbers))
    return one._replace(moments=[moments[index] for index in order], numbers=numbers)


def _merged(series: Iterable[Series], axis: _Axis) -> dict[_Key, Numbers]:
    """Merge what hosts saw of a queue: workers are added, of backlogs and counters the highest counts."""
    seen: dict[_Key, list[Numbers]] = {}
    for each in series:
        numbers = Numbers(*(axis.line(each.moments, column) for column in each.numbers))
        seen.setdefault(each.key, []).append(numbers)
    fleet = {}
    for key, several in seen.items():
        workers, *backlog = zip(*several, strict=True)
        fleet[key] = Numbers(total(workers), *map(highest, backlog))
    return fleet


def total(lines: Sequence[Line]) -> Line:
    """Add what is known, bucket by bucket; None where nothing is."""
    return lines[0] if len(lines) == 1 else _combined(sum, lines)


def highest(lines: Sequence[Line]) -> Line:
    """Return the highest of what is known, bucket by bucket; None where nothing is."""
    return lines[0] if len(lines) == 1 else _combined(max, lines)


def _combined(combine: Callable[[Iterable[int]], int], lines: Sequence[Line]) -> Line:
    rows = zip(*lines, strict=True)
    if not any(None in line for line in lines):
        return list(map(combine, rows))
    known = ([value for value in row if value is not None] for row in rows)
    return [combine(values) if values else None for values in known]


def _maps(lines: Mapping[str, Line], buckets: int) -> Iterable[dict[str, int]]:
    """Return for each bucket what is known, by name."""
    names = tuple(lines)
    if not names:
        return [{} for _ in range(buckets)]
    rows = zip(*lines.values(), strict=True)
    if any(None in line for line in lines.values()):
        return [{name: value for name, value in zip(names, row, strict=True) if value is not None} for row in rows]
    return [dict(zip(names, row, strict=True)) for row in rows]
