"""Running in several processes: whole groups, the long ones first, and one report of all."""

import re
from pathlib import Path

import pytest

from tests.plugins.second_try import LIMIT
from tests.plugins.side_by_side import FIRST, TOGETHER, group_of, rank_of

pytest_plugins = ["pytester"]

CONFTEST = """
import pytest
from tests.plugins import needs
from tests.plugins.parts import Part

FAKES = {"make": Part(name="make", find=lambda: "4.3", how="install make")}

@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    config.addinivalue_line("markers", "needs(*parts)")
    config.stash[needs.INVENTORY].parts = FAKES
"""

GROUPS = ("faults/test_faults.py", "integration/test_integration.py")

TESTS = """
import os
import pytest

seen = []

@pytest.mark.needs("make")
@pytest.mark.parametrize("each", range({tests}))
def test_late(each):
    seen.append(each)
    assert seen.count(each) > 1, f"first failure in process {{os.getpid()}}, half a character: \\udcff"
"""


def test_what_processes_found_is_one_report(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPTHGAUGE_TEST_REQUIRE", "all")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    tests = LIMIT // 2 + 1
    assert tests <= LIMIT < 2 * tests, "neither file alone has too many second tries"
    pytester.makeconftest(CONFTEST)
    for folder in ("faults", "integration"):
        (pytester.mkdir(folder) / f"test_{folder}.py").write_text(TESTS.format(tests=tests))

    own = tuple(f"tests.plugins.{name}" for name in ("side_by_side", "needs", "second_try"))
    names = ("xdist.plugin", "pytest_rerunfailures", *own)
    result = pytester.runpytest_inprocess("-n2", *(word for name in names for word in ("-p", name)))

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=2 * tests)
    result.stdout.fnmatch_lines([f"*failed at the first try: {2 * tests}*", f"make *{4 * tests} tests*4.3"])
    told = re.findall(r"AssertionError: first failure in process (\d+), half a character: \\udcff", result.stdout.str())
    result.stdout.re_match_lines_random([rf"gw\d {group}: {tests} tests in .* s" for group in GROUPS])
    assert len(set(told)) == 2, "each file stayed in one process"


def test_what_goes_first_is_there() -> None:
    top = Path(__file__).resolve().parents[2]
    found = {group_of(str(path.relative_to(top))) for path in (top / "tests").glob("*/test_*.py")}
    assert found >= {*FIRST, *TOGETHER}
    assert [rank_of(group) for group in FIRST] == list(range(len(FIRST)))
    assert rank_of("tests/e2e/test_x.py") < rank_of("tests/unit/test_x.py")
