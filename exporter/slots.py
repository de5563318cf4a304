"""Aligned times: every exporter with the same interval collects for the same slots."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def slot_of(now: datetime, interval: float) -> datetime:
    """Return the start of the slot that ``now`` lies in: the greatest whole multiple of ``interval`` since the epoch."""
    span = timedelta(seconds=interval)
    return EPOCH + (now - EPOCH) // span * span


@dataclass(frozen=True, slots=True)
class Step:
    """What the loop has to do now: wait so many seconds, or collect for this slot."""

    wait: float
    slot: datetime | None = None
    skipped: int = 0
    """Slots that passed since the last one collected for."""


def next_step(now: datetime, last: datetime, interval: float) -> Step:
    """Decide what to do at ``now`` when ``last`` was the last slot collected for.

    A clock set back by less than an interval is waited out; one set back further starts a new line of slots, because
    waiting for the old time to return could take hours.
    """
    slot = slot_of(now, interval)
    span = timedelta(seconds=interval)
    if slot > last:
        return Step(wait=0.0, slot=slot, skipped=max(0, round((slot - last) / span) - 1))
    if slot < last - span:
        return Step(wait=0.0, slot=slot)
    return Step(wait=min(interval, (last + span - now).total_seconds()))
