"""Which questions about history can be asked, and what is said to the others."""

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthgauge.history import EPOCH, BadParameter, Cursor, HistoryQuery, Resolution, ceiling, digest
from depthgauge.history_parameters import MOST_BUCKETS, NAMES, default_step, parse

NOW = datetime(2026, 11, 24, 12, 34, 56, tzinfo=UTC)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def asked(**told: str) -> HistoryQuery:
    return parse(told.items(), NOW)


def refused(**told: str) -> tuple[str, str]:
    with pytest.raises(BadParameter) as caught:
        parse(told.items(), NOW)
    return caught.value.parameter, caught.value.message


def cursor_of(query: HistoryQuery, **changes: datetime) -> str:
    values = {"start": query.start, "end": query.end, "position": query.start + MINUTE, **changes}
    return Cursor(
        **values, step=query.step, resolution=Resolution.RAW, filters=digest(query.queue, query.host)
    ).encode()


def test_nothing_asks_for_the_last_day_by_minutes() -> None:
    query = asked()
    assert (query.start, query.end, query.step, query.limit) == (NOW - DAY, NOW, MINUTE, 1440)
    assert (query.queue, query.host, query.cursor) == (None, None, None)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-24", datetime(2026, 11, 24, tzinfo=UTC)),
        ("2026-11-24T10:00", datetime(2026, 11, 24, 10, tzinfo=UTC)),
        ("2026-11-24 10:00:30", datetime(2026, 11, 24, 10, 0, 30, tzinfo=UTC)),
        ("2026-11-24T10:00:00Z", datetime(2026, 11, 24, 10, tzinfo=UTC)),
        ("2026-11-24T10:00:00+02:00", datetime(2026, 11, 24, 8, tzinfo=UTC)),
        ("2026-11-24T10:00:00 02:00", datetime(2026, 11, 24, 8, tzinfo=UTC)),  # a + that nobody escaped
        ("2026-11-24T10:00:00.25-0530", datetime(2026, 11, 24, 15, 30, 0, 250_000, tzinfo=UTC)),
    ],
)
def test_times_are_utc_unless_they_say_otherwise(text: str, moment: datetime) -> None:
    query = asked(start_date=text, end_date="2026-11-25")
    assert (query.start, query.start.tzinfo) == (moment, UTC)
    assert query.end == datetime(2026, 11, 25, tzinfo=UTC), "a date alone is that day's start"


def test_a_range_without_a_start_is_the_day_before_its_end() -> None:
    assert asked(end_date="2026-11-20").start == datetime(2026, 11, 19, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2026-13-01", "2026-11-24T25:00", "1969-12-31", "2300-01-01", "0001-01-01T00:00+05:00", "\u0661"],
)
def test_what_is_no_time_is_refused_by_name(text: str) -> None:
    assert refused(start_date=text)[0] == "start_date"
    assert refused(end_date=text)[0] == "end_date"


def test_a_range_goes_forward_and_has_an_end() -> None:
    assert refused(start_date="2026-11-24", end_date="2026-11-24") == ("start_date", "the range ends before it begins")
    assert refused(start_date="2027-01-01")[0] == "start_date"
    assert refused(start_date="1990-01-01")[1] == "the range is longer than 3660 days; ask for a shorter one"


@pytest.mark.parametrize(
    ("text", "seconds"), [("1", 1), ("90", 90), ("30s", 30), ("5m", 300), ("1h", 3600), ("1d", 86_400), ("060", 60)]
)
def test_steps(text: str, seconds: int) -> None:
    assert asked(step=text).step == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "0", "-5", "1.5", "5 m", "1w", "1e3", "\u0663", "86401", "2d", "99999999", "nan"])
def test_absurd_steps_are_refused(text: str) -> None:
    assert refused(step=text)[0] == "step"


def test_a_step_fits_into_the_range_and_the_range_is_not_cut_to_dust() -> None:
    told = {"start_date": "2026-11-24T00:00", "end_date": "2026-11-24T00:30"}
    assert refused(**told, step="1h") == ("step", "it is longer than the whole range")
    name, message = refused(start_date="2026-01-01", end_date="2026-11-24", step="60")
    assert name == "step"
    assert f"more than {MOST_BUCKETS} records" in message
    least = int(message.split("a step of ")[1].split()[0])
    assert asked(start_date="2026-01-01", end_date="2026-11-24", step=str(least)).step.total_seconds() == least
    assert refused(start_date="2026-01-01", end_date="2026-11-24", step=str(least - 2))[0] == "step"


@pytest.mark.parametrize(
    ("days", "seconds"),
    [(0.5, 60), (1, 60), (30, 60), (69, 60), (70, 300), (347, 300), (348, 3600), (3660, 3600)],
)
def test_the_step_that_nobody_asked_for_is_a_minute_if_it_can_be(days: float, seconds: int) -> None:
    assert default_step(timedelta(days=days)).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "0", "-1", "10001", "1.0", "ten", "²", "00000001"])
def test_limits_are_bounded(text: str) -> None:
    assert refused(limit=text)[0] == "limit"
    assert asked(limit="10000").limit == 10_000


def test_names() -> None:
    assert asked(queue="", host="web-1").queue == "", "where a system keeps one number for all of its queues"
    assert refused(host="")[0] == "host"
    for name in ("queue", "host"):
        assert refused(**{name: "a\0b"})[0] == name
        assert refused(**{name: "a\ud800"})[0] == name
        assert refused(**{name: "x" * 260})[0] == name


def test_unknown_and_repeated_parameters_are_named() -> None:
    assert refused(queues="a") == ("queues", f"there is no such parameter; there are {', '.join(NAMES)}")
    with pytest.raises(BadParameter, match="step: it is given more than once"):
        parse([("step", "60"), ("step", "60")], NOW)
    assert refused(**{"x\n" * 50: ""})[0] == "x?" * 20


def test_a_cursor_goes_on_with_the_same_question_only() -> None:
    first = asked(queue="mail", step="5m")
    text = cursor_of(first)
    # The range of the last day has moved on meanwhile: the cursor's counts.
    later = parse([("queue", "mail"), ("step", "300"), ("cursor", text)], NOW + timedelta(hours=1))
    assert (later.start, later.end, later.step) == (first.start, first.end, first.step)
    assert later.cursor is not None
    assert later.cursor.position == first.start + MINUTE
    for other in ({"queue": "post"}, {}, {"queue": "mail", "host": "web-1"}, {"queue": "mail", "step": "1h"}):
        assert refused(**other, cursor=text)[0] == "cursor"
    assert refused(queue="mail", end_date="2026-11-24", cursor=text)[0] == "cursor"


def test_a_cursor_that_was_tampered_with_is_none() -> None:
    query = asked()
    good = cursor_of(query)
    assert asked(cursor=good).cursor is not None
    for bad in ("", "x", good[:-1], good + "A", good.replace(good[3], "!"), "é", good[:-4] + "\ud800"):
        assert refused(cursor=bad)[0] == "cursor"
    outside = cursor_of(query, position=query.end)
    assert refused(cursor=outside)[0] == "cursor"
    backwards = cursor_of(query, end=query.start - DAY)
    assert refused(cursor=backwards)[0] == "cursor"


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.text(max_size=60)), max_size=4))
def test_whatever_is_given_is_a_question_or_refused(told: list[tuple[str, str]]) -> None:
    with contextlib.suppress(BadParameter):
        query = parse(told, NOW)
        assert query.start < query.end


@given(st.timedeltas(timedelta(0), timedelta(days=80_000)), st.integers(1, 86_400))
def test_ranges_that_touch_share_no_bucket_and_lose_none(since: timedelta, seconds: int) -> None:
    step, moment = timedelta(seconds=seconds), EPOCH + since
    start = ceiling(moment, step)
    assert timedelta(0) <= start - moment < step
    assert ceiling(start, step) == start
