"""Which rows answer a question about history."""

from datetime import UTC, datetime, timedelta

import pytest

from depthgauge.history import Resolution
from sink.history import resolution_for

START = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)
LATER = START + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("days", "step", "gone", "resolution", "served"),
    [
        (1, 60, "", "raw", 60),
        (2, 3600, "", "raw", 3600),
        (3, 60, "", "raw", 60),
        (3, 300, "", "5m", 300),
        (3, 900, "", "5m", 900),
        (3, 3600, "", "1h", 3600),
        (3, 21_600, "", "1h", 21_600),
        (3, 90, "", "raw", 90),
        (1, 60, "raw", "5m", 300),
        (1, 420, "raw", "5m", 600),
        (1, 3600, "raw", "1h", 3600),
        (1, 60, "raw 5m", "1h", 3600),
        (1, 5400, "raw 5m", "1h", 7200),
        (1, 60, "raw 5m 1h", "1h", 3600),
        (3, 300, "5m", "raw", 300),
    ],
)
def test_by_range_step_and_age(days: int, step: int, gone: str, resolution: str, served: int) -> None:
    dropped = {each: LATER if each.value in gone.split() else START for each in Resolution}
    wanted = timedelta(seconds=step)
    found = resolution_for(START, START + days * DAY, wanted, dropped)
    assert found == resolution
    assert found.fitting(wanted).total_seconds() == served


def test_where_nothing_was_ever_dropped() -> None:
    assert resolution_for(START, START + DAY, timedelta(minutes=1), {}) is Resolution.RAW
    assert resolution_for(START, START + DAY, timedelta(minutes=1), dict.fromkeys(Resolution)) is Resolution.RAW
