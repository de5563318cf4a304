"""docs/reliability.md shows what has run: its tables are written by ``pytest tests/faults --update-reliability``."""

import pytest

from tests.plugins.reliability import FOLDER, PAGE, Matrix, page_path, with_sections


@pytest.mark.needs("source-tree")
def test_the_page_has_the_rows_that_ran(matrix: Matrix, pytestconfig: pytest.Config) -> None:
    update = pytestconfig.getoption("--update-reliability")
    complete = matrix.whole and not matrix.picked
    assert complete or not update, f"only a whole run writes {PAGE}: pytest {FOLDER} --update-reliability"
    if not complete:
        # Some rows are nothing to compare a page with.
        return
    page = page_path().read_text(encoding="utf-8")
    if update:
        page = with_sections(page, matrix.sections())
        page_path().write_text(page, encoding="utf-8")
    assert matrix.problems(page) == [], f"if that is meant: pytest {FOLDER} --update-reliability"
