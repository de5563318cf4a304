"""From the parameters of a request, or of a command, to a question about history: pure, and strict about every one of them."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from depthgauge.history import DEFAULT_LIMIT, EPOCH, MOST, BadParameter, Cursor, HistoryQuery, digest
from depthgauge.names import MAX_LENGTH

NAMES: Final = ("start_date", "end_date", "step", "queue", "host", "limit", "cursor")

DEFAULT_RANGE: Final = timedelta(days=1)
LONGEST_RANGE: Final = timedelta(days=3660)
LONGEST_STEP: Final = timedelta(days=1)
MOST_BUCKETS: Final = 100_000
"""Records that all pages of an answer may have together."""
STEPS: Final = tuple(timedelta(seconds=each) for each in (60, 300, 3600))
"""What is chosen from where no step is given: a minute, unless an answer would have too many records then."""

LONGEST_NAME: Final = MAX_LENGTH + 9
"""Characters: a name is cut at MAX_LENGTH and then marked."""

_LAST: Final = datetime(2200, 1, 1, tzinfo=UTC)
_STEP: Final = re.compile(r"([0-9]{1,7})(s|m|h|d)?")
_UNITS: Final = {None: 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_LIMIT: Final = re.compile(r"[0-9]{1,7}")
_SPOILT_ZONE: Final = re.compile(r"([0-9-]+[T ][0-9:.,]+) ([0-9]{2}:?[0-9]{2})")
"""A ``+`` that nobody escaped is a blank in a query."""
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def parse(given: Iterable[tuple[str, str]], now: datetime) -> HistoryQuery:
    """Return the question of these parameters (name and text, unquoted); raise BadParameter, which names one of them.

    Times are ISO 8601, UTC where they name no zone; a date alone is that day's start. Without ``end_date`` the range ends
    now, without ``start_date`` it begins 24 hours before its end. A step is a number of seconds, or one with a unit (``5m``).
    """
    told = _once(given)
    cursor = _cursor(told)
    end = _moment(told, "end_date") or (cursor.end if cursor else now.astimezone(UTC))
    start = _moment(told, "start_date") or (cursor.start if cursor else end - DEFAULT_RANGE)
    if start >= end:
        raise BadParameter("start_date" if "start_date" in told else "end_date", "the range ends before it begins")
    if end - start > LONGEST_RANGE:
        raise BadParameter("start_date", f"the range is longer than {LONGEST_RANGE.days} days; ask for a shorter one")
    step = _step(told) or (cursor.step if cursor else default_step(end - start))
    if step > end - start and "step" in told:
        raise BadParameter("step", "it is longer than the whole range")
    if (end - start) / step > MOST_BUCKETS:
        least = -(-(end - start) // MOST_BUCKETS) // timedelta(seconds=1) + 1
        raise BadParameter(
            "step",
            f"the range has more than {MOST_BUCKETS} records of it; ask for a shorter range, or a step of {least} s or more",
        )
    query = HistoryQuery(
        start=start,
        end=end,
        step=step,
        queue=_name(told, "queue"),
        host=_name(told, "host"),
        limit=_limit(told),
        cursor=cursor,
    )
    _check_cursor(query)
    return query


def default_step(span: timedelta) -> timedelta:
    """Return the step of a range for which none was asked: a minute up to 69 days, five minutes up to 347, then an hour."""
    return next((step for step in STEPS if span <= step * MOST_BUCKETS), STEPS[-1])


def _once(given: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    told: dict[str, str] = {}
    for name, text in given:
        if name not in NAMES:
            shown = _CONTROL.sub("?", name[:40])
            raise BadParameter(shown, f"there is no such parameter; there are {', '.join(NAMES)}")
        if name in told:
            raise BadParameter(name, "it is given more than once")
        told[name] = text
    return told


def _moment(told: Mapping[str, str], name: str) -> datetime | None:
    text = told.get(name)
    if text is None:
        return None
    spoilt = _SPOILT_ZONE.fullmatch(text)
    try:
        found = datetime.fromisoformat(f"{spoilt[1]}+{spoilt[2]}" if spoilt else text)
        moment = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadParameter(
            name, "it is no date or time; write 2026-11-24, 2026-11-24T10:00Z or 2026-11-24T10:00:00+01:00"
        ) from None
    if not EPOCH <= moment <= _LAST:
        raise BadParameter(name, f"it lies outside {EPOCH.year} to {_LAST.year}")
    return moment


def _step(told: Mapping[str, str]) -> timedelta | None:
    if "step" not in told:
        return None
    found = _STEP.fullmatch(told["step"])
    if found is None:
        raise BadParameter("step", "it is no step; write seconds, or a number with a unit: 30s, 5m, 1h, 1d")
    seconds = int(found[1]) * _UNITS[found[2]]
    if not 1 <= seconds <= LONGEST_STEP.total_seconds():
        raise BadParameter("step", "it has to be at least a second and at most a day")
    return timedelta(seconds=seconds)


def _limit(told: Mapping[str, str]) -> int:
    if "limit" not in told:
        return DEFAULT_LIMIT
    if not _LIMIT.fullmatch(told["limit"]) or not 1 <= int(told["limit"]) <= MOST:
        raise BadParameter("limit", f"it has to be a whole number from 1 to {MOST}")
    return int(told["limit"])


def _name(told: Mapping[str, str], name: str) -> str | None:
    text = told.get(name)
    if text is None:
        return None
    if len(text) > LONGEST_NAME or _CONTROL.search(text):
        raise BadParameter(
            name, f"it has control characters or more than {LONGEST_NAME} characters: no {name} is called that"
        )
    if not text and name == "host":
        raise BadParameter(name, "it is empty; leave it out to ask about all hosts")
    return text


def _cursor(told: Mapping[str, str]) -> Cursor | None:
    if "cursor" not in told:
        return None
    try:
        cursor = Cursor.decode(told["cursor"])
    except ValueError:
        raise _bad_cursor() from None
    sound = EPOCH <= cursor.start < cursor.end <= _LAST and cursor.start <= cursor.position < cursor.end
    if not sound or not timedelta(seconds=1) <= cursor.step <= LONGEST_STEP:
        raise _bad_cursor()
    return cursor


def _check_cursor(query: HistoryQuery) -> None:
    cursor = query.cursor
    if cursor is None:
        return
    same = (cursor.start, cursor.end, cursor.step) == (query.start, query.end, query.step)
    if not same or cursor.filters != digest(query.queue, query.host):
        raise BadParameter("cursor", "it belongs to another question; repeat the parameters it came with")


def _bad_cursor() -> BadParameter:
    return BadParameter("cursor", "it is none that an answer gave; begin again without it")
