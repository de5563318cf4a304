"""What some queues come to: the one definition of pending, processing, delayed, failed and completed. Pure.

A total is the sum over the queues that have the number: 0 where there is no queue at all, None where no queue has it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from depthgauge.snapshot import LiveJobs, Queue

HORIZON: Final = "horizon"
"""The system whose kept jobs are Laravel's, listed once more."""


class Totals(Struct, frozen=True, kw_only=True):
    """Numbers of jobs."""

    pending: int | None
    """Waiting."""
    processing: int | None
    """Active."""
    delayed: int | None
    """Delayed, to be tried again, or blocked."""
    failed: int | None
    """Kept as failed or dead."""
    completed: int | None
    """From true counters only."""
    pending_by_queue: Mapping[str, int]
    """By the queue's bare name, over all Redis and systems; queues without the number are left out."""
    failed_by_queue: Mapping[str, int]


def totals_of(queues: Iterable[Queue] | None, *, tables: bool = False) -> Totals:
    """Return the totals of queues, each of which is there once; None is for queues that nobody could read.

    Where applications' tables of failed jobs are read (``tables``), Horizon's own list of the same jobs does not count.
    """
    if queues is None:
        return Totals(
            pending=None,
            processing=None,
            delayed=None,
            failed=None,
            completed=None,
            pending_by_queue={},
            failed_by_queue={},
        )
    each = list(queues)
    waiting = [queue.live.waiting for queue in each]
    failed = [
        None if tables and queue.system == HORIZON else _plus(queue.kept.failed, queue.kept.dead) for queue in each
    ]
    names = [queue.name for queue in each]
    return Totals(
        pending=_total(waiting),
        processing=_total([queue.live.active for queue in each]),
        delayed=_total([_delayed(queue.live) for queue in each]),
        failed=_total(failed),
        completed=_known([queue.completed_total for queue in each]),
        pending_by_queue=by_name(zip(names, waiting, strict=True)),
        failed_by_queue=by_name(zip(names, failed, strict=True)),
    )


def by_name(numbers: Iterable[tuple[str, int | None]]) -> dict[str, int]:
    """Add up what is known by name, in the order of the names."""
    found: dict[str, int] = {}
    for name, number in numbers:
        if number is not None:
            found[name] = found.get(name, 0) + number
    return dict(sorted(found.items()))


def _delayed(live: LiveJobs) -> int | None:
    return _plus(_plus(live.delayed, live.retry), live.blocked)


def _plus(one: int | None, other: int | None) -> int | None:
    """Add what is known; None where nothing is."""
    if other is None:
        return one
    return other if one is None else one + other


def _total(numbers: Sequence[int | None]) -> int | None:
    return _known(numbers) if numbers else 0


def _known(numbers: Iterable[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None
