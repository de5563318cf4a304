"""Aligned slots."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.slots import Step, next_step, slot_of

T0 = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


@pytest.mark.parametrize(("now", "slot"), [(0, 0), (0.001, 0), (14.999999, 0), (15, 15), (31, 30)])
def test_slot_is_the_multiple_below(now: float, slot: float) -> None:
    assert slot_of(at(now), 15.0) == at(slot)


@given(
    now=st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  hypothesis wants naive bounds
    interval=st.floats(min_value=0.5, max_value=3600).map(lambda value: round(value, 3)),
)
def test_slot_holds_now_and_is_exact(now: datetime, interval: float) -> None:
    slot = slot_of(now, interval)

    assert slot <= now < slot + timedelta(seconds=interval)
    assert slot_of(slot, interval) == slot


def test_waits_for_the_next_slot() -> None:
    assert next_step(at(5), at(0), 15.0) == Step(wait=10.0)


def test_collects_in_the_next_slot() -> None:
    assert next_step(at(16), at(0), 15.0) == Step(wait=0.0, slot=at(15))


def test_counts_slots_that_passed() -> None:
    assert next_step(at(61), at(0), 15.0) == Step(wait=0.0, slot=at(60), skipped=3)


def test_waits_out_a_clock_set_back_a_little() -> None:
    step = next_step(at(-5), at(0), 15.0)

    assert step.slot is None
    assert 0 < step.wait <= 15.0


def test_follows_a_clock_set_back_far() -> None:
    assert next_step(at(-3600), at(0), 15.0) == Step(wait=0.0, slot=at(-3600))
