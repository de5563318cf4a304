"""Times in rules: seconds to Prometheus's durations and back."""

import re
from typing import Final

_UNITS: Final = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_TEXT: Final = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?")


def short(seconds: float) -> str:
    """Return a duration as Prometheus writes it; whole seconds, days at the most: ``1h30m``."""
    left = round(seconds)
    parts = []
    for unit, size in _UNITS.items():
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def seconds_of(text: str) -> float | None:
    """Return the seconds of ``600``, ``10m`` or ``1h30m``; None for anything else."""
    found = _TEXT.fullmatch(text)
    if found is not None and text:
        return float(sum(int(part or 0) * size for part, size in zip(found.groups(), _UNITS.values(), strict=True)))
    return float(text) if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text) else None
