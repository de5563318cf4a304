"""Numbers in a dashboard's units."""

import pytest

from tests.plugins.units import shown


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "s", "0 s"),
        (0.0042, "s", "4.2 ms"),
        (90, "s", "1.5 min"),
        (7200, "s", "2 h"),
        (250, "ms", "250 ms"),
        (3 * 2**20, "bytes", "3 MiB"),
        (0.256, "percentunit", "25.6%"),
        (1234, "short", "1.23 K"),
        (12, "none", "12"),
        (0.5, "ops", "0.5 ops/s"),
        (5, "furlong", "5 furlong"),
        (1_700_000_000_000, "dateTimeFromNow", "2023-11-14 22:13:20"),
        (-90, "s", "-1.5 min"),
    ],
)
def test_shown(value: float, unit: str, text: str) -> None:
    assert shown(value, unit) == text
