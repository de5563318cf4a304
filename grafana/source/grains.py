"""Raw rows or a rollup, chosen by the range that a dashboard shows and by what has been dropped already.

A question is written once, with places for what differs, and asked of each resolution, with ``UNION ALL`` between and a
condition that holds for one of them only. The range's length is a constant, so that the planner leaves the others out; what has
been dropped is looked up once, before a row is read. Columns are named by what a rollup's row says of them (sql/README.md).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import dedent, indent
from typing import Final

SPAN: Final = "$__unixEpochTo() - $__unixEpochFrom()"
"""How long the range is, in seconds."""
RAW_UP_TO: Final = 6 * 3600
"""Up to this long a range is answered from raw rows."""
RAW_HEALTH_UP_TO: Final = 86_400
"""The same of health and performance, which have few rows a slot, and no rollup by five minutes."""
FIVE_MINUTES_UP_TO: Final = 3 * 86_400
"""Up to this long a range is answered from rollups by five minutes, where there are such."""

_PLACE: Final = re.compile(r"<(\w+)(?::(\w+))?>")


@dataclass(frozen=True, kw_only=True)
class Grain:
    """One resolution of a family of tables."""

    table: str
    moment: str
    """The column of time."""
    width: int
    """Seconds that one row stands for; of a raw row the usual interval."""
    up_to: int | None
    """The longest range that it is for, in seconds; None for the coarsest, which is for all."""

    @property
    def is_raw(self) -> bool:
        """Whether these are the rows of every slot."""
        return self.moment != "bucket"

    @property
    def is_gone(self) -> str:
        """SQL: whether what the range begins with has been dropped."""
        named = f"SELECT FROM depthgauge.series WHERE name = '{self.table}'"
        return f"EXISTS ({named} AND dropped_before > $__timeFrom())"

    def fill(self, question: str) -> str:
        """Put in what stands at the places of a question, all but ``<when>``.

        ``<table>``, ``<moment>``, ``<width>`` and ``<samples>`` (how many slots a row stands for) are this resolution's own.
        ``<max:column>`` and ``<min:column>`` are the highest and lowest value known, ``<sum:column>`` and ``<count:column>``
        what a mean is made of.
        """
        own = {
            "table": f"depthgauge.{self.table}",
            "moment": self.moment,
            "width": str(self.width),
            "samples": "1" if self.is_raw else "samples",
        }

        def put(place: re.Match[str]) -> str:
            name, column = place.groups()
            if name == "when":
                return place[0]
            if column is None:
                return own[name]
            if not self.is_raw:
                return f"{column}_{name}"
            return f"num_nonnulls({column})" if name == "count" else str(column)

        return _PLACE.sub(put, question)


def _raw(table: str, up_to: int = RAW_UP_TO) -> Grain:
    return Grain(table=table, moment="recorded_at", width=15, up_to=up_to)


def _five_minutes(table: str) -> Grain:
    return Grain(table=f"{table}_5m", moment="bucket", width=300, up_to=FIVE_MINUTES_UP_TO)


def _hours(table: str) -> Grain:
    return Grain(table=f"{table}_1h", moment="bucket", width=3600, up_to=None)


Family = tuple[Grain, ...]
"""Tables that hold the same, the finest first."""

QUEUES: Final[Family] = (_raw("worker_snapshots"), _five_minutes("worker_snapshots"), _hours("worker_snapshots"))
HOSTS: Final[Family] = (_raw("queue_metrics"), _five_minutes("queue_metrics"), _hours("queue_metrics"))
HEALTH: Final[Family] = (_raw("system_health_metrics", RAW_HEALTH_UP_TO), _hours("system_health_metrics"))
PERFORMANCE: Final[Family] = (_raw("performance_metrics", RAW_HEALTH_UP_TO), _hours("performance_metrics"))
RESPONSES: Final[Family] = (_raw("performance_metrics"), _hours("performance_metrics"))
"""For what adds up histograms, which takes its time."""


def conditions(family: Sequence[Grain]) -> list[str]:
    """Return for each resolution when it is the one to ask: exactly one of them holds."""
    found = []
    finer = ""
    for grain in family:
        own = [f"({finer})"] if finer else []
        if grain.up_to is not None:
            own.append(f"{SPAN} <= {grain.up_to} AND NOT {grain.is_gone}")
            unfit = f"{SPAN} > {grain.up_to} OR {grain.is_gone}"
            finer = f"({finer}) AND ({unfit})" if finer else unfit
        found.append(" AND ".join(own))
    return found


def each(family: Sequence[Grain], question: str) -> str:
    """Return a question asked of every resolution; ``<when>`` in it is where the condition stands."""
    text = dedent(question).strip()
    asked = [grain.fill(text).replace("<when>", when) for grain, when in zip(family, conditions(family), strict=True)]
    return "\nUNION ALL\n".join(asked)


def nested(text: str, depth: int = 1) -> str:
    """Return a text further to the right, to stand within brackets."""
    return indent(text, "  " * depth)
