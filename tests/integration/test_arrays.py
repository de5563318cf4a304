"""Arrays of our own packing, as a real server reads them."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest
from psycopg import sql

from depthgauge.secrets import Secret
from sink import arrays
from sink.connect import connect

pytestmark = pytest.mark.needs("postgres")

COLUMNS: dict[str, list[Any]] = {
    "text": ["", "a", None, "a", "näme 队列", 'it\'s \\ {x,y} "q"', "n" * 100_000],
    "bigint": [0, None, -1, 1, 2**63 - 1, -(2**63), 1],
    "float8": [0.0, None, -1.5, float("inf"), 1e300, 5, 2.5e-310],
    "boolean": [True, None, False, True],
    "timestamptz": [
        datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC),
        None,
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2026, 11, 24, 14, 0, tzinfo=timezone(timedelta(hours=2))),
        datetime(9999, 12, 31, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=UTC),
    ],
    "jsonb": [{}, None, {"a": 1, 'q"': None}, {"队列": {"x": 2**60}}],
}


def read_back(dsn: str, kind: str, column: list[Any]) -> list[Any]:
    """Send a column beside one that numbers it, and return what the server has made of it."""
    with connect(Secret(dsn)) as connection:
        arrays.register(connection)
        connection.execute("SET timezone = 'UTC'")
        query = sql.SQL("SELECT value FROM unnest(%b::bigint[], %b::{}[]) AS t (place, value) ORDER BY place")
        packed = [arrays.pack("bigint", range(len(column))), arrays.pack(kind, column)]
        return [row[0] for row in connection.execute(query.format(sql.SQL(kind)), packed)]


@pytest.mark.parametrize("kind", arrays.KINDS)
def test_values_arrive_as_they_are(kind: str, postgres_database: str) -> None:
    assert read_back(postgres_database, kind, COLUMNS[kind]) == COLUMNS[kind]


@pytest.mark.parametrize("kind", arrays.KINDS)
def test_a_column_without_values_is_null_all_over(kind: str, postgres_database: str) -> None:
    assert read_back(postgres_database, kind, [None, None, None]) == [None, None, None]


@pytest.mark.parametrize(
    ("kind", "value", "error"),
    [
        ("bigint", 2**63, OverflowError),
        ("bigint", "1", OverflowError),
        ("text", "\ud800", ValueError),
        ("timestamptz", datetime(2026, 11, 24), TypeError),  # noqa: DTZ001  a time without a zone is what it is about
        ("jsonb", {"a": "\ud800"}, ValueError),
    ],
)
def test_what_no_column_can_hold_is_refused_before_it_is_sent(kind: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        arrays.pack(kind, [value])


@pytest.mark.parametrize(("kind", "value"), [("text", "NUL\x00"), ("jsonb", {"NUL\x00": 1})])
def test_what_the_server_refuses_it_refuses_as_data(kind: str, value: Any, postgres_database: str) -> None:
    with pytest.raises(psycopg.DataError):
        read_back(postgres_database, kind, [value])
