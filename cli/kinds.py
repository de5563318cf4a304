"""Kinds of settings: from what a file, a variable or a flag says to a checked value, or to what is wrong with it.

A kind never puts the value itself into its message when the value may hold a secret.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from depthgauge import redis_url
from depthgauge.secrets import Secret


class Wrong(Exception):  # noqa: N818  it reads as a sentence where it is raised: Wrong("…")
    """A value that cannot be taken; the message says what is wrong and what is allowed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """One kind of value."""

    name: str
    """As the reference shows it."""
    parse: Callable[[Any], Any]
    """From TOML's own types; raises Wrong."""
    from_text: Callable[[str], Any] = lambda text: text
    """From a variable or flag to what ``parse`` takes; raises Wrong."""


_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_DURATION: Final = re.compile(r"(\d{1,9})(ms|s|m|h|d|w|y)")
_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_SIZE: Final = re.compile(r"(\d{1,15})\s*(B|KiB|MiB|GiB)?")
_SIZES: Final = {None: 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+")
MAX_TEXT: Final = 4096


def type_name(value: object) -> str:
    """Return what a value is in TOML, for people."""
    names = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list", dict: "a table"}
    return names.get(type(value), "a date or time")


def text_of(value: object) -> str:
    """Return the value if it is a text without control characters."""
    if not isinstance(value, str):
        raise Wrong(f"is {type_name(value)}, a text in quotes is wanted")
    if not value.strip():
        raise Wrong("is empty; leave it out or give it a value")
    if len(value) > MAX_TEXT:
        raise Wrong(f"has {len(value)} characters, at most {MAX_TEXT} are allowed")
    if _CONTROL.search(value):
        raise Wrong("has control characters in it")
    return value


def _name(value: object) -> str:
    name = text_of(value)
    if name != name.strip() or len(name) > 100:
        raise Wrong("has blanks around it or more than 100 characters")
    return name


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise Wrong(f"is {type_name(value)}, true or false is wanted")
    return value


def _boolean_text(text: str) -> bool:
    known = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if text.lower() not in known:
        raise Wrong("is neither true nor false")
    return known[text.lower()]


def _number(value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Wrong(f"is {type_name(value)}, a number is wanted")
    return value


def _within(value: float, low: float, high: float, unit: str = "") -> None:
    if not math.isfinite(value) or not low <= value <= high:
        shown = f"{value:.15g}" if abs(value) < 1e15 else "far too large"
        raise Wrong(f"is {shown}, {low:g} to {high:g}{unit} is allowed")


def _digits(text: str) -> int | float | str:
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text


def duration_of(value: object) -> timedelta:
    """Return the duration of a text such as ``30d`` or ``1h30m``."""
    if not isinstance(value, str):
        raise Wrong(f'is {type_name(value)}, a duration such as "30d" or "12h" is wanted')
    parts = _DURATION.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        raise Wrong('is no duration; write a number and a unit (s, m, h, d, w, y), such as "30d" or "12h"')
    try:
        return timedelta(seconds=sum(int(number) * _UNITS[unit] for number, unit in parts))
    except OverflowError as exc:
        raise Wrong("is longer than any clock counts") from exc


def integer(low: int, high: int) -> Kind:
    """Return the kind of a whole number."""

    def parse(value: object) -> int:
        number = _number(value)
        if isinstance(number, float):
            raise Wrong("is not a whole number")
        _within(min(number, 10**16), low, high)
        return number

    return Kind(name=f"whole number, {low} to {high}", parse=parse, from_text=_digits)


def seconds(low: float, high: float) -> Kind:
    """Return the kind of a number of seconds, which may also be written as a duration."""

    def parse(value: object) -> float:
        found = duration_of(value).total_seconds() if isinstance(value, str) else _number(value)
        _within(max(min(found, 10**16), -(10**16)), low, high, " seconds")
        return float(found)

    return Kind(name=f'seconds, {low:g} to {high:g} (or a duration: "30s")', parse=parse, from_text=_digits)


def duration(low: timedelta, high: timedelta, shown: str) -> Kind:
    """Return the kind of a duration; ``shown`` says the bounds in words."""

    def parse(value: object) -> timedelta:
        found = duration_of(value)
        if not low <= found <= high:
            raise Wrong(f"is out of bounds, {shown} is allowed")
        return found

    return Kind(name=f'duration such as "30d" or "12h", {shown}', parse=parse)


def size(low: int, high: int) -> Kind:
    """Return the kind of a number of bytes."""

    def parse(value: object) -> int:
        if isinstance(value, str):
            found = _SIZE.fullmatch(value)
            if found is None:
                raise Wrong('is no size; write bytes as a number, or a text such as "64MiB"')
            value = int(found[1]) * _SIZES[found[2]]
        number = _number(value)
        if isinstance(number, float):
            raise Wrong("is not a whole number")
        _within(min(number, 10**16), low, high, " bytes")
        return number

    return Kind(name='bytes, or a text such as "64MiB"', parse=parse, from_text=_digits)


def choice(*allowed: str) -> Kind:
    """Return the kind of a word out of a few."""

    def parse(value: object) -> str:
        word = text_of(value)
        if word not in allowed:
            raise Wrong(f"is {word!r}, allowed are {', '.join(allowed)}")
        return word

    return Kind(name=f"one of {', '.join(allowed)}", parse=parse)


def several(kind: Kind) -> Kind:
    """Return the kind of a list; a variable separates its items by commas."""

    def parse(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise Wrong(f"is {type_name(value)}, a list in [ ] is wanted")
        found = []
        for index, item in enumerate(value, 1):
            try:
                found.append(kind.parse(item))
            except Wrong as exc:
                raise Wrong(f"item {index} {exc}") from exc
        if len(set(found)) != len(found):
            raise Wrong("has an item twice")
        return tuple(found)

    def from_text(text: str) -> list[Any]:
        return [kind.from_text(item.strip()) for item in text.split(",") if item.strip()]

    return Kind(name=f"list of: {kind.name}", parse=parse, from_text=from_text)


def _pattern(value: object) -> re.Pattern[str]:
    try:
        return re.compile(text_of(value))
    except (re.error, RecursionError, OverflowError) as exc:
        raise Wrong(f"is no regular expression: {exc}") from exc


def _address(value: object) -> str:
    address = text_of(value)
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]") and ":" in host
    if not colon or not (bracketed or host == "" or _HOST.fullmatch(host)):
        raise Wrong(f'is {address!r}, write ":10139", "host:port" or "[v6 address]:port"')
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65_535:
        raise Wrong(f"is {address!r}, its port has to be 0 to 65535")
    return address


def _web_path(value: object) -> str:
    path = text_of(value)
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]*", path) or "//" in path:
        raise Wrong(f'is {path!r}, write a path such as "/metrics"')
    if path == "/" or path.startswith(("/-/", "/api/")):
        raise Wrong(f"is {path!r}, where other pages are; choose another path")
    return path


def _supervisor_url(value: object) -> str:
    url = text_of(value)
    wanted = "write unix:///path/to/supervisor.sock or http://host:9001/RPC2"
    if url.startswith("unix://"):
        if not url.startswith("unix:///") or url == "unix:///":
            raise Wrong(f"is no URL of a socket; {wanted}")
        return url
    parts = _split(url, wanted)
    if parts.scheme != "http" or not parts.hostname:
        raise Wrong(f"is no URL of a supervisord; {wanted}")
    if "@" in parts.netloc:
        raise Wrong("holds a user name or password; put them into username and password_file")
    if parts.query or parts.fragment:
        raise Wrong(f"has a ? or # in it; {wanted}")
    return url


def _split(url: str, wanted: str) -> Any:
    try:
        parts = urlsplit(url)
        # Both are worked out, and found wrong, only when asked for.
        _ = parts.port, parts.hostname
    except ValueError as exc:
        raise Wrong(f"cannot be taken apart (percent-encode : / ? # @ in a password); {wanted}") from exc
    return parts


def _redis_url(value: object) -> Secret:
    url = Secret(text_of(value))
    try:
        redis_url.parse(url)
    except redis_url.BadUrl as exc:
        raise Wrong(str(exc)) from None
    return url


def _probe_url(value: object) -> Secret:
    url = text_of(value)
    wanted = "write http://host/path or https://host/path"
    parts = _split(url, wanted)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Wrong(f"is no URL to ask; {wanted}")
    if parts.fragment or " " in url:
        raise Wrong(f"has a # or a blank in it; {wanted}")
    return Secret(url)


def check_dsn(dsn: Secret) -> None:
    """Raise Wrong unless libpq can read the connection string; the message holds nothing of it."""
    import psycopg.conninfo  # noqa: PLC0415  an exporter need not carry it

    try:
        psycopg.conninfo.conninfo_to_dict(dsn.reveal())
    except psycopg.ProgrammingError:
        wanted = "write postgresql://user@host:5432/database or key=value pairs"
        raise Wrong(f"is no connection string that libpq can read; {wanted}") from None


TEXT: Final = Kind(name="text", parse=text_of)
NAME: Final = Kind(name="text", parse=_name)
BOOLEAN: Final = Kind(name="true or false", parse=_boolean, from_text=_boolean_text)
PATTERN: Final = Kind(name="regular expression (Python)", parse=_pattern)
ADDRESS: Final = Kind(name="host:port", parse=_address)
WEB_PATH: Final = Kind(name="path", parse=_web_path)
SUPERVISOR_URL: Final = Kind(name="URL", parse=_supervisor_url)
REDIS_URL: Final = Kind(name="URL", parse=_redis_url)
PROBE_URL: Final = Kind(name="URL", parse=_probe_url)
SECRET: Final = Kind(name="text", parse=lambda value: Secret(text_of(value)))
FILE: Final = Kind(name="path", parse=text_of)
