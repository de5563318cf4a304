"""What the dashboards' queries returned in this run, and the pictures in the docs that are drawn from it.

A test that runs a panel's queries records what came: ``gallery.record("depthgauge-queues", 3, [Result(...)])``.
With ``--update-pictures`` the run ends with a picture of every dashboard whose panels it has run, in ``docs/images``.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from tests.plugins.repo import repo_root


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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-pictures", action="store_true", help="draw the pictures of dashboards in docs/images anew"
    )


@pytest.fixture(scope="session")
def gallery(pytestconfig: pytest.Config) -> Iterator[Gallery]:
    """Give the run's gallery."""
    made = Gallery()
    yield made
    if pytestconfig.getoption("--update-pictures"):
        # Costs a second, and only whoever draws needs it.
        from tests.plugins.pictures import draw

        for board in boards():
            if board["uid"] in made.results:
                draw(board, made.results[board["uid"]], repo_root() / picture_of(board))


def boards() -> list[Mapping[str, Any]]:
    """Return all dashboards as they are committed."""
    return [json.loads(path.read_text()) for path in sorted((repo_root() / "grafana/dashboards").rglob("*.json"))]


def picture_of(board: Mapping[str, Any]) -> str:
    """Return the path of a dashboard's picture in the source tree."""
    return f"docs/images/{board['uid']}.png"
