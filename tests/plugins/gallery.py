"""What the dashboards' queries returned in this run, kept for the pictures in the docs.

A test that runs a panel's queries records what came: ``gallery.record("depthgauge-queues", 3, [Result(...)])``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pytest


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one target of a panel returned: lines over time, or a table (an instant query is a table, too)."""

    ref_id: str
    lines: Mapping[str, Sequence[tuple[datetime, float | None]]] = field(default_factory=dict)
    """Points by the legend's text, in the order of time; None is a gap."""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[object, ...], ...] = ()


@dataclass
class Gallery:
    """Results by dashboard (its uid) and panel (its id)."""

    results: dict[str, dict[int, tuple[Result, ...]]] = field(default_factory=dict)

    def record(self, dashboard: str, panel: int, results: Sequence[Result]) -> None:
        """Keep what a panel's targets returned."""
        self.results.setdefault(dashboard, {})[panel] = tuple(results)


@pytest.fixture(scope="session")
def gallery() -> Gallery:
    """Give the run's gallery."""
    return Gallery()
