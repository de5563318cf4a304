"""Running tests in several processes, as ``make test`` does (pytest-xdist): which tests stay together, and which go first.

Those of a file do, for the servers that a module's fixtures start. So do all tests of faults, which make one page together,
and the files that ask a month of history, which costs a while to write. What takes longest goes first, so that all processes
are busy until the end. What plugins tell about a run is gathered from its processes.
"""

import re
from collections.abc import Callable, Generator, Mapping
from typing import Any, Final

import pytest

TOGETHER: Final = {
    "faults": re.compile(r"tests/faults/"),
    "month": re.compile(r"tests/integration/test_grafana_(alerts|sql|values)\.py"),
}
"""Names of groups of files."""

FIRST: Final = (
    "faults",
    "tests/e2e/test_wheel.py",
    "tests/e2e/test_dashboards_prometheus.py",
    "month",
    "tests/e2e/test_sink_frozen.py",
    "tests/e2e/test_spine.py",
)
"""What takes a minute and more."""


def group_of(nodeid: str) -> str:
    """Return the name of the group that a test belongs to: its file, where it is in no other."""
    path = nodeid.partition("::")[0]
    return next((name for name, pattern in TOGETHER.items() if pattern.match(path)), path)


def rank_of(group: str) -> int:
    """Return the place of a group in the order: the long ones, the others with servers, and the quick ones."""
    if group in FIRST:
        return FIRST.index(group)
    return len(FIRST) + group.startswith(("tests/unit/", "tests/contract/"))


def share(config: pytest.Config, name: str, told: Any) -> None:
    """Give what a plugin knows (plain values only) to the process that reports the run, when this is another one."""
    output = getattr(config, "workeroutput", None)
    if output is not None:
        output[name] = told


def shared(node: Any, name: str) -> Any:
    """Return what the plugin gave in another process, which has ended; None where it was killed before."""
    output: Mapping[str, Any] = getattr(node, "workeroutput", {})
    return output.get(name)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Write what cannot be sent from one process to another: half characters in what a test has printed."""
    return _sendable((yield))


def _sendable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_sendable(key): _sendable(each) for key, each in value.items()}
    return type(value)(map(_sendable, value)) if isinstance(value, list | tuple) else value


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put what takes long first, where several processes take their work from one list."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank_of(group_of(item.nodeid)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Callable[..., Any]) -> Any:
    """Hand out whole groups, in their order, and say which of them are done."""
    from xdist.scheduler import LoadScopeScheduling

    seconds: dict[str, float] = {}

    class Groups(LoadScopeScheduling):  # type: ignore[misc,unused-ignore]
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

        def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
            super().mark_test_complete(node, item_index, duration)
            group = group_of(self.registered_collections[node][item_index])
            seconds[group] = seconds.get(group, 0.0) + duration
            tests = self.assigned_work[node][group]
            if all(tests.values()):
                _say(config, f"{node.gateway.id} {group}: {len(tests)} tests in {seconds[group]:.1f} s")

    config.option.loadscopereorder = False
    return Groups(config, log)


def _say(config: pytest.Config, line: str) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if isinstance(reporter, pytest.TerminalReporter):
        begun = reporter._tw.width_of_current_line
        reporter.write_line(f"\n{line}" if begun else line)


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport, config: pytest.Config) -> tuple[str, str, str] | None:
    """Write no dots where there is a line for each group."""
    several = getattr(config.option, "numprocesses", None)
    return ("passed", "", "PASSED") if several and report.passed and report.when == "call" else None
