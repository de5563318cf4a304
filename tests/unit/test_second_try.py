"""A second try for tests against daemons: told, bounded, and nowhere else."""

import pytest

from tests.plugins.second_try import LIMIT

pytest_plugins = ["pytester"]

CONFTEST = """
import pytest

@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    config.addinivalue_line("markers", "needs(*parts)")
"""

TWICE = """
import pytest

seen = []

@pytest.mark.parametrize("each", range({tests}))
def test_late(each):
    seen.append(each)
    assert seen.count(each) > {failures}, "the words of the first failure"
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("DEPTHGAUGE_TEST_REQUIRE", "all")
    pytester.makeconftest(CONFTEST)
    return pytester


def results(run: pytest.Pytester, folder: str, *, tests: int, failures: int) -> pytest.RunResult:
    (run.mkdir(folder) / "test_it.py").write_text(TWICE.format(tests=tests, failures=failures))
    plugins = ("no:hypothesispytest", "tests.plugins.needs", "tests.plugins.second_try")
    return run.runpytest_inprocess(*(word for name in plugins for word in ("-p", name)))


@pytest.mark.parametrize("folder", ["faults", "integration", "migration", "e2e"])
def test_one_failure_is_told_and_forgiven(run: pytest.Pytester, folder: str) -> None:
    result = results(run, folder, tests=LIMIT, failures=1)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*failed at the first try: 3*", "*AssertionError: the words of the first failure*"])


def test_too_many_fail_the_run(run: pytest.Pytester) -> None:
    result = results(run, "faults", tests=LIMIT + 1, failures=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*failed at the first try: 4*"])


def test_twice_is_a_failure(run: pytest.Pytester) -> None:
    result = results(run, "faults", tests=1, failures=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(failed=1)


@pytest.mark.parametrize(("folder", "required"), [("unit", "all"), ("contract", "all"), ("faults", "promtool")])
def test_elsewhere_nothing_is_tried_twice(
    run: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, folder: str, required: str
) -> None:
    monkeypatch.setenv("DEPTHGAUGE_TEST_REQUIRE", required)
    result = results(run, folder, tests=1, failures=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.no_fnmatch_line("*first try*")
