"""The fault matrix: one row a test in tests/faults, and docs/reliability.md, which shows them all.

``pytest tests/faults --update-reliability`` writes the tables of that page. A whole run of the folder fails unless the page
has exactly the rows that ran: faults, databases and how each was told. Figures are those of the run that wrote the page.
"""

import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from tests.plugins.ledger import Account
from tests.plugins.repo import repo_root

PAGE: Final = "docs/reliability.md"
FOLDER: Final = "tests/faults"
LAST: Final = "test_document.py"
"""The file that compares; its tests run after all others."""

_BEGIN: Final = "<!-- {}: written by pytest tests/faults --update-reliability -->"
_END: Final = "<!-- end of {} -->"
_HEAD: Final = (
    "fault",
    "database",
    "taken",
    "in the ledger",
    "counted by name",
    "collisions",
    "doubled",
    "unexplained",
    "how it is told",
)
_COMPARED: Final = ("fault", "database", "doubled", "unexplained", "how it is told")
_ENDURANCE_HEAD: Final = (
    "process",
    "memory, second third",
    "memory, last third",
    "descriptors, second third",
    "descriptors, last third",
)


@dataclass(frozen=True)
class Row:
    """What one test has shown."""

    fault: str
    database: str
    account: Account
    collisions: int
    told: str

    def cells(self) -> tuple[str, ...]:
        """Return the texts of the row."""
        counted = ", ".join(f"{name} {number}" for name, number in sorted(self.account.counted.items()))
        numbers = (self.account.taken, self.account.stored, counted or "none", self.collisions)
        ends = (self.account.doubled, self.account.unexplained, self.told)
        return (self.fault, self.database, *map(str, numbers), *map(str, ends))


@dataclass(frozen=True)
class Flat:
    """Medians of one process's memory (bytes) and file descriptors, in the second and in the last third of the hour."""

    process: str
    memory: tuple[int, int]
    descriptors: tuple[int, int]

    def cells(self) -> tuple[str, ...]:
        """Return the texts of the row."""
        memory = [f"{value / 2**20:.1f} MiB" for value in self.memory]
        return (self.process, *memory, *map(str, self.descriptors))


@dataclass
class Matrix:
    """The rows of this run, in the order they came."""

    rows: list[Row] = field(default_factory=list)
    endurance: list[Flat] = field(default_factory=list)
    servers: dict[str, str] = field(default_factory=dict)
    """Versions of what the faults were done to."""
    whole: bool = False
    """Whether every test of the folder was asked for."""
    picked: bool = False
    """Whether some of them were left out (-k, -m …)."""
    failed: bool = False
    """Whether a test of the folder failed or was skipped."""

    def record(self, fault: str, account: Account, *, database: str, told: str, collisions: int = 0) -> None:
        """Note what a test has shown; fail unless its account is clean."""
        account.check()
        assert all("|" not in text for text in (fault, database, told)), "a bar would end the cell"
        row = Row(fault, database, account, collisions, told)
        assert not any((each.fault, each.database) == (fault, database) for each in self.rows), "told twice"
        self.rows.append(row)

    def sections(self) -> Mapping[str, str]:
        """Return the generated parts of the page."""
        servers = ", ".join(f"{name} {version}" for name, version in sorted(self.servers.items()))
        return {
            "fault matrix": f"Servers: {servers}.\n\n{_table(_HEAD, [row.cells() for row in self.rows])}",
            "endurance": _table(_ENDURANCE_HEAD, [flat.cells() for flat in self.endurance]),
        }

    def problems(self, page: str) -> list[str]:
        """Say what the page has and this run has not, and the other way round."""
        have = _rows(section_of(page, "fault matrix"), _HEAD, _COMPARED)
        ran = _rows(self.sections()["fault matrix"], _HEAD, _COMPARED)
        processes = _rows(section_of(page, "endurance"), _ENDURANCE_HEAD, ("process",))
        told = _rows(self.sections()["endurance"], _ENDURANCE_HEAD, ("process",))
        missing = [f"not on the page: {row}" for row in (*ran, *told) if row not in (*have, *processes)]
        if self.failed:
            return missing
        return missing + [f"on the page only: {row}" for row in (*have, *processes) if row not in (*ran, *told)]


def section_of(page: str, name: str) -> str:
    """Return the generated part of the page of that name."""
    return page.partition(_BEGIN.format(name))[2].partition(_END.format(name))[0]


def with_sections(page: str, sections: Mapping[str, str]) -> str:
    """Return the page with its generated parts replaced."""
    for name, text in sections.items():
        begin, end = _BEGIN.format(name), _END.format(name)
        assert begin in page, f"{PAGE} has no line {begin!r}"
        assert end in page, f"{PAGE} has no line {end!r}"
        page = f"{page.partition(begin)[0]}{begin}\n\n{text}\n\n{end}{page.partition(end)[2]}"
    return page


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = (head, ["---"] * len(head), *rows)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _rows(text: str, head: Sequence[str], columns: Sequence[str]) -> list[tuple[str, ...]]:
    lines = [line for line in text.splitlines() if line.startswith("| ")][2:]
    cells = [re.split(r" \| ", line.removeprefix("| ").removesuffix(" |")) for line in lines]
    return [tuple(row[head.index(column)] for column in columns) for row in cells]


MATRIX: Final = pytest.StashKey[Matrix]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-reliability", action="store_true", help=f"write the tables of {PAGE} instead of comparing with them"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[MATRIX] = Matrix()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the comparison behind all that it compares."""
    items.sort(key=lambda item: item.path.name == LAST)


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if _is_fault(item):
            item.config.stash[MATRIX].picked = True


def pytest_collection_finish(session: pytest.Session) -> None:
    """Find out whether the whole folder was asked for."""
    folder = Path(__file__).resolve().parents[1] / "faults"
    asked = [Path(session.config.invocation_params.dir, each).resolve() for each in session.config.args]
    session.config.stash[MATRIX].whole = any(folder == each or folder.is_relative_to(each) for each in asked)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note tests that failed or were skipped."""
    report = yield
    if _is_fault(item) and not report.passed:
        item.config.stash[MATRIX].failed = True
    return report


def _is_fault(item: pytest.Item) -> bool:
    return item.path.parent.name == "faults" and item.path.name != LAST


@pytest.fixture
def matrix(pytestconfig: pytest.Config) -> Matrix:
    """Give the run's fault matrix."""
    return pytestconfig.stash[MATRIX]


def page_path() -> Path:
    """Return the page's file."""
    return repo_root() / PAGE
