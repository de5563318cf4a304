"""When supervisord is asked for its programs' commands, and what becomes of the answers."""

import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from depthgauge.errors import ErrorKind, SourceError
from exporter.settings import SupervisorSettings
from exporter.sources.supervisor import SupervisorSource
from exporter.sources.supervisor_config import AFTER_STARTS, SOONEST
from exporter.sources.supervisor_rpc import NOT_HERE, Timeouts

NOW = datetime(2026, 8, 21, 12, tzinfo=UTC)
CONFIG = {"inuse": True, "autostart": True, "uid": "none"}


def info(name: str) -> dict[str, Any]:
    return {"name": name, "group": name, "state": 20, "start": 1000, "now": 2000, "pid": 100}


class Daemon:
    """Stands in for the wire: a supervisord whose programs and settings the test says."""

    def __init__(self, *names: str) -> None:
        self.now = 1000.0
        self.pid: int | None = 77
        self.infos = [info(name) for name in names]
        self.answer: Any = None
        self.error: Exception | None = None
        self.lasts = 0.0
        """Seconds that the reading itself takes."""
        self.asked: list[float] = []
        """Seconds that each question for the commands was given."""
        self.source = SupervisorSource(
            SupervisorSettings(name="main", url="unix:///run/s.sock"),
            timeouts=Timeouts(total=10.0),
            clock=lambda: NOW,
            monotonic=lambda: self.now,
        )
        self.source.wants_commands = True
        self.source._rpc.call = self._call  # type: ignore[method-assign]  # the wire is tested elsewhere

    def _call(self, method: str, *params: Any, within: float | None = None) -> Any:
        (calls,) = params
        assert method == "system.multicall"
        names = [each["methodName"].removeprefix("supervisor.") for each in calls]
        if names != ["getAllConfigInfo"]:
            self.now += self.lasts
            told = {"getAllProcessInfo": self.infos, "getState": {"statecode": 1}, "getPID": self.pid}
            return [told.get(name, "4.3.0") for name in names]
        assert within is not None
        self.asked.append(within)
        if self.error is not None:
            raise self.error
        if self.answer is not None:
            return self.answer
        return [
            [
                {"name": each["name"], "group": each["group"], "command": f"run {each['name']}", **CONFIG}
                for each in self.infos
            ]
        ]

    def collect(self, *, after: float = 0.0) -> int:
        """Read after so many seconds more; return how often the commands were asked for."""
        self.now += after
        before = len(self.asked)
        assert len(self.source.collect().processes) == len(self.infos)
        return len(self.asked) - before

    @property
    def commands(self) -> dict[tuple[str, str], str]:
        return dict(self.source.commands)


def test_asked_once_for_one_set_of_programs() -> None:
    daemon = Daemon("a", "b")
    assert [daemon.collect(after=15) for _ in range(100)] == [1] + [0] * 99
    assert daemon.commands == {("a", "a"): "run a", ("b", "b"): "run b"}


def test_asked_again_for_another_set_and_another_supervisord_but_not_at_once() -> None:
    daemon = Daemon("a")
    daemon.collect()
    daemon.infos.append(info("b"))
    assert daemon.collect(after=SOONEST / 2) == 0
    assert daemon.collect(after=SOONEST / 2) == 1
    assert set(daemon.commands) == {("a", "a"), ("b", "b")}
    del daemon.infos[0]
    assert daemon.collect(after=SOONEST) == 1
    assert set(daemon.commands) == {("b", "b")}
    daemon.pid = 78
    assert daemon.collect(after=SOONEST) == 1
    assert daemon.collect(after=SOONEST) == 0


def test_asked_again_a_while_after_a_start_because_update_may_have_changed_the_command() -> None:
    daemon = Daemon("a")
    daemon.collect()
    daemon.infos[0]["start"] += 5
    assert daemon.collect(after=AFTER_STARTS - 1) == 0
    assert daemon.collect(after=1) == 1
    assert daemon.collect(after=AFTER_STARTS) == 0


def test_not_asked_where_nobody_needs_it() -> None:
    daemon = Daemon("a")
    daemon.source.wants_commands = False
    assert daemon.collect() == 0
    daemon.source.wants_commands = None
    assert daemon.collect() == 0
    daemon.source._rpc.peer_pid = NOT_HERE
    assert daemon.collect() == 1, "a supervisord on another host needs it from the start"


def test_asked_within_what_the_reading_has_left() -> None:
    daemon = Daemon("a")
    daemon.lasts = 9.9
    assert daemon.collect() == 0, "there is no time left"
    daemon.lasts = 4.0
    assert daemon.collect() == 1
    assert daemon.asked == [pytest.approx(6.0)]


def test_supervisord_that_does_not_know_the_method_is_not_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    daemon = Daemon("a")
    daemon.answer = [{"faultCode": 1, "faultString": "UNKNOWN_METHOD"}]
    with caplog.at_level(logging.WARNING):
        assert [daemon.collect(after=AFTER_STARTS) for _ in range(3)] == [1, 0, 0]
    daemon.infos.append(info("b"))
    assert daemon.collect(after=AFTER_STARTS) == 0
    assert (daemon.commands, caplog.records) == ({}, [])
    daemon.pid, daemon.answer = 78, None
    assert daemon.collect(after=SOONEST) == 1
    assert ("a", "a") in daemon.commands


def test_old_supervisord_that_tells_no_commands_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    daemon = Daemon("a")
    daemon.answer = [[{"name": "a", "group": "a", "inuse": True}]]
    assert [daemon.collect(after=AFTER_STARTS) for _ in range(2)] == [1, 0]
    assert (daemon.commands, caplog.records) == ({}, [])


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (None, SourceError(ErrorKind.TIMEOUT, "supervisord at x: no answer in time")),
        ([{"faultCode": 30, "faultString": "BAD\nLUCK"}], None),
        ("text", None),
        ([[{"name": 5}]], None),
        ([[], []], None),
    ],
)
def test_failure_harms_no_reading_is_told_once_and_tried_again_later(
    answer: Any, error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    daemon = Daemon("a")
    daemon.collect()
    daemon.answer, daemon.error = answer, error
    daemon.infos[0]["start"] += 5
    with caplog.at_level(logging.WARNING):
        assert [daemon.collect(after=AFTER_STARTS / 2) for _ in range(6)] == [0, 1, 0, 1, 0, 1]
    (record,) = caplog.records
    assert record.getMessage().startswith("supervisor main does not tell the commands of its programs: ")
    assert "\n" not in record.getMessage()
    assert daemon.commands == {("a", "a"): "run a"}, "what was told before holds"
    daemon.answer = daemon.error = None
    assert daemon.collect(after=AFTER_STARTS) == 1
    assert daemon.collect(after=AFTER_STARTS) == 0


def test_names_are_cleaned_as_those_of_processes_are() -> None:
    daemon = Daemon("a\x85b")
    daemon.collect()
    (process,) = daemon.source.collect().processes
    assert daemon.commands == {(process.group, process.name): "run a\x85b"}
