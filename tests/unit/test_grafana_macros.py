"""Macros become what Grafana's documentation and its plugin's own tests say they do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.plugins.grafana_macros import Asked, MacroError, expand, interval_for

START = datetime(2018, 4, 12, 18, 0, tzinfo=UTC)
ASKED = Asked(
    start=START,
    end=START + timedelta(minutes=5),
    timescaledb=False,
    interval=timedelta(minutes=1),
    variables={"queue": ("mail", "o'brien"), "host": ("web-1",), "probe": ()},
)
BETWEEN = "BETWEEN '2018-04-12T18:00:00Z' AND '2018-04-12T18:05:00Z'"


@pytest.mark.parametrize(
    ("text", "plain", "timescaledb"),
    [
        ("select $__time(at)", 'select at AS "time"', None),
        ("select $__timeEpoch(at)", 'select extract(epoch from at) as "time"', None),
        ("WHERE $__timeFilter(at)", f"WHERE at {BETWEEN}", None),
        ("WHERE $__timeFilter( at )", f"WHERE at {BETWEEN}", None),
        ("$__timeFrom()::timestamptz", "'2018-04-12T18:00:00Z'::timestamptz", None),
        ("$__timeTo()", "'2018-04-12T18:05:00Z'", None),
        ("$__unixEpochFilter(s)", "s >= 1523556000 AND s <= 1523556300", None),
        ("$__unixEpochTo() - $__unixEpochFrom()", "1523556300 - 1523556000", None),
        ("$__unixEpochGroup(s,'5m')", "floor((s)/300)*300", None),
        (
            "GROUP BY $__timeGroup(at,'5m')",
            "GROUP BY floor(extract(epoch from at)/300)*300",
            "GROUP BY time_bucket('300.000s',at)",
        ),
        (
            "GROUP BY $__timeGroup(at , '5m')",
            "GROUP BY floor(extract(epoch from at)/300)*300",
            "GROUP BY time_bucket('300.000s',at)",
        ),
        (
            "SELECT $__timeGroup(at,$__interval), queue",
            'SELECT floor(extract(epoch from at)/60)*60 AS "time", queue',
            "SELECT time_bucket('60.000s',at) AS \"time\", queue",
        ),
        (
            "SELECT $__timeGroupAlias(at,'500ms', NULL), queue",
            'SELECT floor(extract(epoch from at)/0.5)*0.5 AS "time", queue',
            "SELECT time_bucket('0.500s',at) AS \"time\", queue",
        ),
        ("$__interval_ms / 1000", "60000 / 1000", None),
        ("queue IN (${queue:sqlstring})", "queue IN ('mail','o''brien')", None),
        ("ARRAY[${probe:sqlstring}]", "ARRAY[]", None),
        ("host = '${host}'", "host = 'web-1'", None),
        ("price in $ (all)", "price in $ (all)", None),
    ],
)
def test_what_becomes_of_a_macro(text: str, plain: str, timescaledb: str | None) -> None:
    assert expand(text, ASKED) == plain
    assert expand(text, replace(ASKED, timescaledb=True)) == (timescaledb or plain)


def test_a_bracket_in_an_argument_ends_it() -> None:
    # Grafana cuts there, too, and the database then refuses what is left.
    assert expand("$__timeFilter(coalesce(a,b))", ASKED) == f"coalesce(a {BETWEEN})"


@pytest.mark.parametrize(
    "text", ["$__timeGroup(at)", "$__timeGroup(at,'five')", "$__timeGap(at)", "IN (${none:sqlstring})", "IN (${queue})"]
)
def test_what_grafana_would_refuse(text: str) -> None:
    with pytest.raises(MacroError):
        expand(text, ASKED)


def test_moments_have_their_fractions() -> None:
    odd = replace(ASKED, start=START + timedelta(milliseconds=120))
    assert expand("$__timeFrom()", odd) == "'2018-04-12T18:00:00.12Z'"


@pytest.mark.parametrize(
    ("length", "interval"),
    [
        (timedelta(hours=1), timedelta(seconds=15)),
        (timedelta(hours=6), timedelta(seconds=20)),
        (timedelta(days=1), timedelta(minutes=1)),
        (timedelta(days=7), timedelta(minutes=10)),
        (timedelta(days=30), timedelta(minutes=30)),
    ],
)
def test_the_interval_that_grafana_chooses(length: timedelta, interval: timedelta) -> None:
    assert interval_for(length) == interval
