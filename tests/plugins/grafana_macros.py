"""What Grafana makes of a statement before PostgreSQL sees it: variables, the interval, and the data source's macros.

As its plugin does it (grafana-postgresql-datasource), in the same order and with the same traps: an argument of a macro has no
``)`` and no comma in it, and ``$__timeGroup`` with a comma right behind it gets an alias.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

_MACRO: Final = re.compile(r"\$([_a-zA-Z0-9]+)\(([^)]*)\)")
_VARIABLE: Final = re.compile(r"\$\{(\w+)(?::(\w+))?\}")
_LENGTH: Final = re.compile(r"(\d+)(ms|s|m|h|d|w)")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}

POINTS: Final = 1000
"""Points that a wide panel wants: its width in pixels."""
_NICE: Final = (
    *((1.5, 1), (3.5, 2), (7.5, 5), (12.5, 10), (17.5, 15), (25, 20), (45, 30), (90, 60), (210, 120), (450, 300)),
    *((750, 600), (1050, 900), (1500, 1200), (2700, 1800), (5400, 3600), (9000, 7200), (16_200, 10_800)),
    *((32_400, 21_600), (86_400, 43_200), (604_800, 86_400)),
)
"""Grafana's round intervals, in seconds, each with the length from which on the next one is taken."""


class MacroError(ValueError):
    """Grafana would refuse the statement."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a panel is asked for."""

    start: datetime
    end: datetime
    timescaledb: bool
    """The data source's setting."""
    interval: timedelta | None = None
    """What ``$__interval`` is; None for what Grafana would choose."""
    variables: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Chosen values; "All" is all of them."""

    @property
    def step(self) -> timedelta:
        """Return what ``$__interval`` is."""
        return self.interval or interval_for(self.end - self.start)


def interval_for(length: timedelta, *, points: int = POINTS, least: timedelta = timedelta(seconds=15)) -> timedelta:
    """Return the interval that Grafana chooses for a range, given the data source's ``timeInterval``."""
    wanted = length.total_seconds() / points
    nice = next((seconds for limit, seconds in _NICE if wanted < limit), 604_800)
    return max(timedelta(seconds=nice), least)


def expand(text: str, asked: Asked) -> str:
    """Return the statement as it goes to the database."""
    text = _VARIABLE.sub(lambda found: _chosen(found[1], found[2], asked), text)
    seconds = asked.step.total_seconds()
    text = text.replace("$__interval_ms", str(int(seconds * 1000))).replace("$__interval", _short(seconds))
    text = text.replace("$__unixEpochFrom()", str(int(asked.start.timestamp())))
    text = text.replace("$__unixEpochTo()", str(int(asked.end.timestamp())))

    def put(found: re.Match[str]) -> str:
        name = found[1]
        first = text.find(found[0]) + len(found[0])
        if name == "__timeGroup" and text[first : first + 1] == ",":
            name = "__timeGroupAlias"
        return _expanded(name, [argument.strip(" ") for argument in found[2].split(",")], asked)

    return _MACRO.sub(put, text)


def _chosen(name: str, form: str | None, asked: Asked) -> str:
    if name not in asked.variables:
        raise MacroError(f"there is no variable {name!r}")
    values = asked.variables[name]
    if form == "sqlstring":
        return ",".join("'" + value.replace("'", "''") + "'" for value in values)
    if form is None and len(values) == 1:
        return values[0]
    raise MacroError(f"{name}: Grafana would put several values in as they are; write ${{{name}:sqlstring}}")


def _expanded(name: str, arguments: Sequence[str], asked: Asked) -> str:
    column = arguments[0]
    match name:
        case "__time":
            return f'{column} AS "time"'
        case "__timeEpoch":
            return f'extract(epoch from {column}) as "time"'
        case "__timeFilter":
            return f"{column} BETWEEN '{_moment(asked.start)}' AND '{_moment(asked.end)}'"
        case "__timeFrom":
            return f"'{_moment(asked.start)}'"
        case "__timeTo":
            return f"'{_moment(asked.end)}'"
        case "__timeGroup":
            return _grouped(name, arguments, asked)
        case "__timeGroupAlias":
            return f'{_grouped(name, arguments, asked)} AS "time"'
        case "__unixEpochFilter":
            return f"{column} >= {int(asked.start.timestamp())} AND {column} <= {int(asked.end.timestamp())}"
        case "__unixEpochGroup":
            length = _go(_seconds(arguments[1]))
            return f"floor(({column})/{length})*{length}"
    raise MacroError(f"unknown macro {name!r}")


def _grouped(name: str, arguments: Sequence[str], asked: Asked) -> str:
    if len(arguments) < 2:
        raise MacroError(f"macro {name} needs time column and interval and optional fill value")
    seconds = _seconds(arguments[1])
    if asked.timescaledb:
        return f"time_bucket('{seconds:.3f}s',{arguments[0]})"
    return f"floor(extract(epoch from {arguments[0]})/{_go(seconds)})*{_go(seconds)}"


def _seconds(text: str) -> float:
    found = _LENGTH.fullmatch(text.strip("'"))
    if found is None:
        raise MacroError(f"error parsing interval {text}")
    return int(found[1]) * _UNITS[found[2]]


def _short(seconds: float) -> str:
    for unit in ("d", "h", "m", "s"):
        if seconds >= _UNITS[unit]:
            return f"{int(seconds // _UNITS[unit])}{unit}"
    return f"{int(seconds * 1000)}ms"


def _go(seconds: float) -> str:
    return str(int(seconds)) if seconds == int(seconds) else repr(seconds)


def _moment(moment: datetime) -> str:
    """Return a time as Go's RFC3339Nano has it, which leaves zeros at the end of a fraction out."""
    text = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{moment.microsecond:06}".rstrip("0")
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"
