"""Where everything is required, a test against running daemons that fails is tried once more, and that is told.

Those tests share two cores with the servers they start, so one in some thousand runs meets a pause of the machine that nothing
in the product causes. The first failure is printed whole at the end; more than ``LIMIT`` of them fail the run. On a developer's
machine, and in the quick tests, nothing is tried twice.
"""

from typing import Final

import pytest

from tests.plugins.needs import ALL, INVENTORY

FOLDERS: Final = ("faults", "integration", "migration", "e2e")
LIMIT: Final = 3
"""Tests a run may have that pass at the second try only."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that have a second try."""
    if ALL in config.stash[INVENTORY].required:
        for item in items:
            if item.path.parent.name in FOLDERS:
                item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that needed too many of them."""
    if session.exitstatus == pytest.ExitCode.OK and len(_first_failures(session.config)) > LIMIT:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show what failed at the first try."""
    failures = _first_failures(config)
    if not failures:
        return
    terminalreporter.section(f"failed at the first try: {len(failures)} (more than {LIMIT} fail the run)")
    for report in failures:
        terminalreporter.write_sep("_", report.nodeid)
        report.toterminal(terminalreporter._tw)


def _first_failures(config: pytest.Config) -> list[pytest.TestReport]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    found = reporter.stats.get("rerun", []) if isinstance(reporter, pytest.TerminalReporter) else []
    return [report for report in found if isinstance(report, pytest.TestReport)]
