"""What stands in replies and in job payloads: numbers, times and JSON, none of them to be trusted."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from depthgauge.errors import ErrorKind
from depthgauge.redis_link import kind_of_code
from depthgauge.resp import Reply, ReplyError, TooLarge

T = TypeVar("T")

MICROSECONDS_FROM: Final = 1e14
MILLISECONDS_FROM: Final = 1e11
"""Times are told apart by magnitude: 1e11 seconds are the year 5138, 1e11 milliseconds are 1973."""
EARLIEST: Final = 1e9
"""2001-09-09: older than every queue system; a smaller number is no unix time."""
MOST_COUNTED: Final = 1 << 53
"""What a number in text may say at the most: more is no count, and a sum of such does not fit into a database's column."""
LATEST_AHEAD: Final = 86_400.0
"""Seconds that a producer's clock may be ahead before its times count as absurd."""


def count(reply: Reply) -> int | None:
    """Return a reply that counts something; None for an error, and for less than nothing, which XINFO may say of a lag."""
    return reply if isinstance(reply, int) and reply >= 0 else None


def total(numbers: Iterable[int | None]) -> int | None:
    """Return the sum of the numbers that are known; None if none is."""
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def items(reply: Reply) -> list[Reply]:
    """Return a reply that is an array; empty for anything else."""
    return reply if isinstance(reply, list) else []


def first_error(replies: Iterable[Reply]) -> str | None:
    """Return the kind of the first error among the replies, one level deep; None without one."""
    for reply in replies:
        if isinstance(reply, ReplyError):
            return kind_of_code(reply.code)
        if isinstance(reply, TooLarge) or (
            isinstance(reply, list) and any(isinstance(item, TooLarge) for item in reply)
        ):
            return ErrorKind.TOO_LARGE
    return None


def gone(reply: Reply) -> bool:
    """Say whether a reply is XINFO's error for a key that does not exist, where other commands answer 0."""
    return isinstance(reply, ReplyError) and reply.message.endswith("no such key")


def number(value: object) -> float | None:
    """Return a number, or text that is one, such as a score; None for anything else, and for what is not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | bytes):
        return None
    try:
        made = float(value)
    except (ValueError, OverflowError):
        return None
    return made if math.isfinite(made) else None


def seconds(value: object) -> float | None:
    """Return a time as unix seconds: a number or numeric text in s, ms or µs, or ISO 8601 text (UTC without a zone).

    None for anything else, and for what is no plausible time.
    """
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    except ValueError:
        number = _iso(str(value))
    if not math.isfinite(number):
        return None
    if number >= MICROSECONDS_FROM:
        number /= 1e6
    elif number >= MILLISECONDS_FROM:
        number /= 1e3
    return number if EARLIEST <= number < MILLISECONDS_FROM else None


def _iso(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
        return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).timestamp()
    except (ValueError, OverflowError):
        return math.nan


def eligible(at: float | None, now: float) -> datetime | None:
    """Return when a job became eligible; not later than now, None if that time is unknown or absurd."""
    if at is None or not EARLIEST <= at <= now + LATEST_AHEAD:
        return None
    return datetime.fromtimestamp(min(at, now), UTC)


def fields(body: bytes, shape: type[T]) -> T | None:
    """Return the fields of a JSON object that ``shape`` (a msgspec Struct) names; None if the body is no such object."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def at_path(body: bytes, path: str) -> Any:
    """Return the value at a dotted path of a JSON object; None where there is none. Only the path's own values are built."""
    raw = msgspec.Raw(body)
    try:
        for step in path.split("."):
            raw = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])[step]
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError):
        return None
