"""Numbers as Grafana writes them, near enough for a picture: by the unit's id."""

from datetime import UTC, datetime
from typing import Final

_DURATIONS: Final = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_BYTES: Final = ((2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B"))
_SHORT: Final = ((1e9, "Bil"), (1e6, "Mil"), (1e3, "K"), (1.0, ""))


def shown(value: float, unit: str) -> str:
    """Return a number's text in a unit: ``shown(90, "s")`` is "1.5 min"; an unknown unit's id is put behind."""
    match unit:
        case "s" | "dtdurations":
            return _scaled(value, _DURATIONS)
        case "ms":
            return _scaled(value / 1000, _DURATIONS)
        case "bytes" | "decbytes":
            return _scaled(value, _BYTES)
        case "percentunit":
            return f"{value * 100:.3g}%"
        case "percent":
            return f"{value:.3g}%"
        case "dateTimeFromNow" | "dateTimeAsIso":
            return datetime.fromtimestamp(value / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        case "short" | "none" | "":
            return _scaled(value, _SHORT)
        case _:
            return f"{_scaled(value, _SHORT)} {_SUFFIXES.get(unit, unit)}"


_SUFFIXES: Final = {"ops": "ops/s", "reqps": "req/s", "cps": "/s"}


def _scaled(value: float, steps: tuple[tuple[float, str], ...]) -> str:
    size, suffix = next((step for step in steps if abs(value) >= step[0]), steps[-1])
    if value == 0:
        size, suffix = next(step for step in steps if step[0] == 1.0)
    return f"{value / size:.3g} {suffix}".rstrip()
