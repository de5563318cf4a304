"""How long the dashboards' queries took in this run: medians by board, edition and range, printed at its end.

``--update-query-times``, given to one of the test files named below, writes them into its page.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from tests.plugins.repo import repo_root
from tests.plugins.side_by_side import share, shared

PROMETHEUS: Final = "Prometheus"
"""What stands for an edition where it is no database that is asked."""
PAGES: Final = {
    "docs/dashboards-sql.md": "tests/integration/test_grafana_sql.py",
    "docs/dashboards.md": "tests/e2e/test_dashboards_prometheus.py",
}
_BEGIN: Final = "<!-- query times: written by pytest {} --update-query-times -->"
_END: Final = "<!-- end of query times -->"


@dataclass
class Medians:
    """Seconds of every query, by board, edition and range, in the order they came."""

    taken: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)

    def record(self, board: str, edition: str, length: str, seconds: float) -> None:
        """Note what a query took."""
        self.taken.setdefault((board, edition, length), []).append(seconds)

    def of(self, board: str, edition: str) -> Sequence[float]:
        """Return what all queries of a board took, over all ranges."""
        return [each for key, taken in self.taken.items() if key[:2] == (board, edition) for each in taken]

    def table(self, *, prometheus: bool) -> str | None:
        """Return a row for each board and edition: the median and the longest of its queries, in milliseconds, by range."""
        keys = [key for key in self.taken if (key[1] == PROMETHEUS) == prometheus]
        if not keys:
            return None
        lengths = list(dict.fromkeys(length for _, _, length in keys))
        rows = [["board", "edition", *lengths], ["---"] * (2 + len(lengths))]
        for board, edition in dict.fromkeys(key[:2] for key in keys):
            cells = [self.taken.get((board, edition, length), []) for length in lengths]
            rows.append([f"`{board}`", edition, *map(_cell, cells)])
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(taken: Sequence[float]) -> str:
    return f"{statistics.median(taken) * 1e3:.0f} · {max(taken) * 1e3:.0f}" if taken else "-"


MEDIANS: Final = pytest.StashKey[Medians]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-query-times", action="store_true", help="write the tables of query times into their pages"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[MEDIANS] = Medians()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell what queries took in this process, where another one reports the run."""
    share(session.config, "medians", session.config.stash[MEDIANS].taken)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add what queries took in another process of this run."""
    taken = node.config.stash[MEDIANS].taken
    for key, seconds in (shared(node, "medians") or {}).items():
        taken.setdefault(key, []).extend(seconds)


@pytest.fixture
def medians(pytestconfig: pytest.Config) -> Medians:
    """Give the run's medians."""
    return pytestconfig.stash[MEDIANS]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table; write it where that is asked for."""
    found = config.stash[MEDIANS]
    if found.taken:
        terminalreporter.section("dashboards' queries, ms: median · longest")
    for page, test in PAGES.items():
        table = found.table(prometheus="prometheus" in test)
        if table is None:
            continue
        terminalreporter.write_line(table)
        if config.getoption("--update-query-times"):
            _write(repo_root() / page, _BEGIN.format(test), table)


def _write(page: Path, begin: str, table: str) -> None:
    before, _, rest = page.read_text().partition(begin)
    assert rest, f"{page} has no line {begin!r}"
    page.write_text(f"{before}{begin}\n\n{table}\n\n{_END}{rest.partition(_END)[2]}")
