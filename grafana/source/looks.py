"""How numbers look: units, thresholds, texts and colours for values, told once for all dashboards."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard

Steps: TypeAlias = tuple[tuple[float | None, str], ...]
"""Colours from a value on; the first one has None, for all that is below."""

GOOD: Final = "green"
WARN: Final = "orange"
BAD: Final = "red"
CALM: Final = "blue"
DULL: Final = "text"

PLAIN: Final[Steps] = ((None, DULL),)
"""No judgement."""
NONE_IS_GOOD: Final[Steps] = ((None, GOOD), (1, BAD))
NONE_IS_BAD: Final[Steps] = ((None, BAD), (1, GOOD))
WAIT: Final[Steps] = ((None, GOOD), (60, WARN), (600, BAD))
"""Seconds that the oldest job has waited: a minute is worth a look, ten are late."""
FULL: Final[Steps] = ((None, GOOD), (0.8, WARN), (0.9, BAD))
"""Of a ratio that must not reach 1."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a value is and how it is shown. ``unit`` is one of Grafana's unit ids."""

    unit: str = "short"
    steps: Steps = PLAIN
    texts: tuple[dashboard.ValueMapping, ...] = ()
    decimals: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    absent: str = "-"
    """What stands where there is no value."""


def texts(values: Mapping[int, tuple[str, str]] | Mapping[str, tuple[str, str]]) -> tuple[dashboard.ValueMapping, ...]:
    """Return the mapping of values to a text and a colour."""
    return (
        dashboard.ValueMap(
            options={
                str(value): dashboard.ValueMappingResult(text=text, color=color, index=index)
                for index, (value, (text, color)) in enumerate(values.items())
            }
        ),
    )


def thresholds(steps: Steps) -> builders.ThresholdsConfig:
    """Return thresholds as the SDK wants them."""
    return (
        builders.ThresholdsConfig()
        .mode(dashboard.ThresholdsMode.ABSOLUTE)
        .steps([dashboard.Threshold(value=value, color=color) for value, color in steps])
    )


PROCESS_STATES: Final = {
    0: ("STOPPED", "#8e8e8e"),
    10: ("STARTING", "#5794f2"),
    20: ("RUNNING", "#56a64b"),
    30: ("BACKOFF", "#ff9830"),
    40: ("STOPPING", "#8ab8ff"),
    100: ("EXITED", "#b877d9"),
    200: ("FATAL", "#e02f44"),
    1000: ("UNKNOWN", "#fade2a"),
}
"""Supervisord's codes of the states of a process."""

COUNT: Final = Look(minimum=0, decimals=0)
SECONDS: Final = Look(unit="s", minimum=0)
BYTES: Final = Look(unit="bytes", minimum=0)
RATIO: Final = Look(unit="percentunit", minimum=0, maximum=1)
PER_SECOND: Final = Look(unit="ops", minimum=0)
CPU: Final = Look(unit="percentunit", minimum=0)
"""CPU seconds a second: one whole CPU is 100 %, so there is no maximum."""
WAITING: Final = Look(unit="s", steps=WAIT, minimum=0)
STALE: Final = Look(unit="s", minimum=0, steps=((None, GOOD), (60, WARN), (300, BAD)), absent="unknown")
"""The age of what should be made anew every few seconds."""
TROUBLE: Final = Look(steps=NONE_IS_GOOD, minimum=0, decimals=0)
UP: Final = Look(steps=NONE_IS_BAD, texts=texts({0: ("down", BAD), 1: ("up", GOOD)}), absent="unknown")
STATE: Final = Look(texts=texts(PROCESS_STATES), absent="unknown")
STATE_WORDS: Final = Look(
    texts=texts({text: (text, color) for text, color in PROCESS_STATES.values()}), absent="unknown"
)
"""The same for queries that give the state's name."""
SINCE: Final = Look(unit="dateTimeFromNow")
"""A time in milliseconds, shown as how long ago it was."""
