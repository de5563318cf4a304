"""The page of faults: what is written is read again, and a page that tells something else is noticed."""

import re
from dataclasses import replace

import pytest

from tests.plugins.ledger import Account
from tests.plugins.reliability import Flat, Matrix, page_path, with_sections
from tests.plugins.repo import repo_root

EMPTY = """# Page
<!-- fault matrix: written by pytest tests/faults --update-reliability -->
<!-- end of fault matrix -->
between
<!-- endurance: written by pytest tests/faults --update-reliability -->
<!-- end of endurance -->
after
"""


def account(**changes: int) -> Account:
    return replace(
        Account(taken=5, stored=4, counted={"bus_away": 1}, unexplained=0, shared_slots=0, doubled=0, torn=0),
        **changes,  # type: ignore[arg-type]  # the test names fields
    )


@pytest.fixture
def ran() -> Matrix:
    matrix = Matrix(servers={"Redis": "7", "plain": "PostgreSQL 18"})
    matrix.record("a cut", account(), database="plain", told="`a_metric`")
    matrix.record("a cut", account(), database="apache", told="`a_metric`")
    matrix.endurance.append(Flat("sink", (2**20, 2**21), (10, 11)))
    return matrix


def test_a_page_that_was_just_written_is_right(ran: Matrix) -> None:
    page = with_sections(EMPTY, ran.sections())

    assert ran.problems(page) == []
    assert "| a cut | plain | 5 | 4 | bus_away 1 | 0 | 0 | 0 | `a_metric` |" in page
    assert "| sink | 1.0 MiB | 2.0 MiB | 10 | 11 |" in page
    assert page.startswith("# Page")
    assert page.endswith("after\n")
    assert with_sections(page, ran.sections()) == page


def test_figures_may_vary(ran: Matrix) -> None:
    page = with_sections(EMPTY, ran.sections()).replace("| 5 | 4 | bus_away 1 |", "| 7 | 7 | none |")

    assert ran.problems(page) == []


@pytest.mark.parametrize(
    ("old", "new"), [("a cut | plain", "a tear | plain"), ("`a_metric` |", "silence |"), ("| 0 | 0 | `", "| 0 | 1 | `")]
)
def test_another_fault_another_word_or_a_loss_is_noticed(ran: Matrix, old: str, new: str) -> None:
    page = with_sections(EMPTY, ran.sections()).replace(old, new, 1)

    assert len(ran.problems(page)) == 2, "one is not on the page, one is on the page only"


def test_a_row_too_few_or_too_many_is_noticed(ran: Matrix) -> None:
    page = with_sections(EMPTY, ran.sections())
    ran.rows.pop()
    assert len(ran.problems(page)) == 1
    ran.failed = True
    assert ran.problems(page) == [], "a test that failed tells enough by itself"
    assert len(ran.problems(EMPTY)) == 2


@pytest.mark.parametrize("bad", [{"unexplained": 1}, {"doubled": 1}, {"torn": 1}])
def test_no_row_is_written_of_what_is_not_clean(ran: Matrix, bad: dict[str, int]) -> None:
    with pytest.raises(AssertionError):
        ran.record("another", account(**bad), database="plain", told="")


@pytest.mark.needs("source-tree")
def test_every_metric_on_the_page_exists() -> None:
    page = page_path().read_text(encoding="utf-8")
    reference = (repo_root() / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    named = set(re.findall(r"depthgauge_(?:sink|bus|spool|lease|snapshot)_[a-z_]+", page))
    assert named
    assert {name for name in named if name not in reference} == set()
