"""``@pytest.mark.needs("promtool", …)``: a test whose real part is missing is skipped by name, or fails where CI demands it.

``DEPTHGAUGE_TEST_REQUIRE`` holds ``all`` or names with commas between: a missing part that is required fails the test instead
of skipping it. Under ``all`` every other skip fails as well, so that a green run is a whole run.
"""

import os
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from tests.plugins.parts import PARTS, Part
from tests.plugins.side_by_side import share, shared

REQUIRE: Final = "DEPTHGAUGE_TEST_REQUIRE"
ALL: Final = "all"


@dataclass(slots=True)
class Inventory:
    """What this run requires, what it has found, and how many tests asked for each part."""

    parts: Mapping[str, Part]
    required: frozenset[str]
    found: dict[str, str | None] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)

    def look(self, name: str) -> str | None:
        """Return the part's version, looked up once a run; None where it is missing."""
        if name not in self.found:
            self.found[name] = self.parts[name].find()
        return self.found[name]

    def requires(self, name: str) -> bool:
        """Whether a missing part is a failure."""
        return ALL in self.required or name in self.required

    def sentence(self, name: str) -> str:
        """Say that a part is missing and how to get it."""
        return f"{name} is missing: {self.parts[name].how}"


INVENTORY: Final = pytest.StashKey[Inventory]()


def pytest_configure(config: pytest.Config) -> None:
    """Read what is required."""
    required = frozenset(filter(None, (name.strip() for name in os.environ.get(REQUIRE, "").split(","))))
    unknown = required - {ALL} - set(PARTS)
    if unknown:
        raise pytest.UsageError(
            f"{REQUIRE} names unknown parts: {', '.join(sorted(unknown))} (known: {', '.join(PARTS)})"
        )
    config.stash[INVENTORY] = Inventory(parts=PARTS, required=required)


def _needs(item: pytest.Item) -> tuple[str, ...]:
    names = (name for mark in item.iter_markers("needs") for name in mark.args)
    return tuple(dict.fromkeys(str(name) for name in names))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse a mark that names a part nobody knows."""
    known = config.stash[INVENTORY].parts
    wrong = [f"{item.nodeid} needs {name!r}" for item in items for name in _needs(item) if name not in known]
    if wrong:
        raise pytest.UsageError(f"unknown parts (see tests/plugins/parts.py): {'; '.join(wrong)}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail a test before its fixtures start, when a part is missing."""
    inventory = item.config.stash[INVENTORY]
    names = _needs(item)
    for name in names:
        inventory.asked[name] = inventory.asked.get(name, 0) + 1
    missing = [name for name in names if inventory.look(name) is None]
    if not missing:
        return
    reason = "; ".join(inventory.sentence(name) for name in missing)
    if any(inventory.requires(name) for name in missing):
        pytest.fail(f"{reason} ({REQUIRE}={os.environ.get(REQUIRE)})", pytrace=False)
    pytest.skip(reason)


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport, config: pytest.Config) -> None:
    if report.skipped and ALL in config.stash[INVENTORY].required and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"skipped, which {REQUIRE}={ALL} forbids: {reason}"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip of any other origin into a failure where everything is required."""
    report = yield
    _refuse_skip(report, item.config)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn a skip of a whole file into a failure where everything is required."""
    report = yield
    _refuse_skip(report, collector.config)
    return report


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell what this process has found, where another one reports the run."""
    inventory = session.config.stash[INVENTORY]
    share(session.config, "parts", {"found": inventory.found, "asked": inventory.asked})


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add what another process of this run has found."""
    inventory = node.config.stash[INVENTORY]
    told = shared(node, "parts") or {"found": {}, "asked": {}}
    inventory.found.update(told["found"])
    for name, count in told["asked"].items():
        inventory.asked[name] = inventory.asked.get(name, 0) + count


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """List the real parts this run asked for."""
    inventory = config.stash[INVENTORY]
    if not inventory.asked:
        return
    terminalreporter.section("real parts")
    for name, count in sorted(inventory.asked.items()):
        version = inventory.look(name)
        state = f"{version}" if version else f"MISSING; to get it: {inventory.parts[name].how}"
        terminalreporter.write_line(f"{name:<13} {count:>4} tests  {state}")
