"""The mark ``needs``: missing parts are named, and nothing is skipped where everything is required."""

import pytest

pytest_plugins = ["pytester"]

CONFTEST = """
import pytest
from tests.plugins import needs
from tests.plugins.parts import Part

FAKES = {
    "promtool": Part(name="promtool", find=lambda: "2.42.0", how="install prometheus"),
    "redis-server": Part(name="redis-server", find=lambda: None, how="install redis-server"),
}

@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    config.addinivalue_line("markers", "needs(*parts)")
    config.stash[needs.INVENTORY].parts = FAKES
"""

TESTS = """
import pytest

@pytest.fixture
def server():
    raise AssertionError("fixtures must not start for a test whose part is missing")

@pytest.mark.needs("promtool")
def test_there():
    pass

@pytest.mark.needs("redis-server", "promtool")
def test_missing(server):
    pass
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.delenv("DEPTHGAUGE_TEST_REQUIRE", raising=False)
    pytester.makeconftest(CONFTEST)
    return pytester


def results(run: pytest.Pytester) -> pytest.RunResult:
    return run.runpytest_inprocess("-p", "no:hypothesispytest", "-p", "tests.plugins.needs", "-ra")


def test_a_missing_part_is_skipped_by_name_with_the_way_to_get_it(run: pytest.Pytester) -> None:
    run.makepyfile(TESTS)
    result = results(run)
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["*SKIPPED*redis-server is missing: install redis-server"])
    result.stdout.fnmatch_lines(["promtool *2 tests*2.42.0", "redis-server *1 tests*MISSING*install redis-server"])


@pytest.mark.parametrize("required", ["all", "redis-server", "promtool,redis-server"])
def test_a_missing_part_fails_where_it_is_required(
    run: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, required: str
) -> None:
    monkeypatch.setenv("DEPTHGAUGE_TEST_REQUIRE", required)
    run.makepyfile(TESTS)
    result = results(run)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    # A failure before the test's body counts as an error.
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        [f"*redis-server is missing: install redis-server (DEPTHGAUGE_TEST_REQUIRE={required})*"]
    )


def test_a_part_that_is_not_required_is_still_skipped(run: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPTHGAUGE_TEST_REQUIRE", "promtool")
    run.makepyfile(TESTS)
    results(run).assert_outcomes(passed=1, skipped=1)


@pytest.mark.parametrize(
    "source",
    [
        "import pytest\ndef test_it(): pytest.skip('no reason')",
        "import pytest\n@pytest.mark.skip\ndef test_it(): pass",
        "import pytest\n@pytest.mark.skipif(True, reason='no reason')\ndef test_it(): pass",
        "import pytest\n@pytest.fixture\ndef f(): pytest.skip('no reason')\ndef test_it(f): pass",
        "import pytest\npytest.importorskip('no_such_module')\ndef test_it(): pass",
        "import unittest\nclass TestIt(unittest.TestCase):\n    @unittest.skip('no reason')\n    def test_it(self): pass",
    ],
    ids=["call", "mark", "condition", "fixture", "import", "unittest"],
)
def test_every_other_skip_fails_where_everything_is_required(
    run: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    run.makepyfile(test_good="def test_good(): pass", test_skips=source)
    results(run).assert_outcomes(passed=1, skipped=1)
    monkeypatch.setenv("DEPTHGAUGE_TEST_REQUIRE", "all")
    result = results(run)
    assert result.ret not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    result.stdout.fnmatch_lines(["*skipped, which DEPTHGAUGE_TEST_REQUIRE=all forbids*"])


def test_an_unknown_part_is_a_usage_error(run: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    run.makepyfile("import pytest\n@pytest.mark.needs('promtol')\ndef test_it(): pass")
    result = results(run)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*test_it needs 'promtol'*"])
    monkeypatch.setenv("DEPTHGAUGE_TEST_REQUIRE", "al")
    result = results(run)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*DEPTHGAUGE_TEST_REQUIRE names unknown parts: al *"])
