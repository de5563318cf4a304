"""What the source makes of supervisord's words, over ranges that no real supervisord is brought to."""

import random
from datetime import UTC, datetime
from typing import Any

import pytest

from depthgauge.errors import ErrorKind, SourceError
from depthgauge.snapshot import Process, ProcessState, Supervisor
from exporter.settings import SupervisorSettings
from exporter.sources.supervisor import SupervisorSource
from exporter.sources.supervisor_rpc import Timeouts

NOW = datetime(2026, 8, 21, 12, tzinfo=UTC)


class Answers:
    """Stands in for the wire: gives what ``told`` has by method."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {
            "getAllProcessInfo": [],
            "getState": {"statecode": 1, "statename": "RUNNING"},
            "getPID": 77,
            "getSupervisorVersion": "4.3.0",
            "getAPIVersion": "3.0",
            "getIdentification": "supervisor",
        }
        self.source = SupervisorSource(
            SupervisorSettings(name="main", url="unix:///run/s.sock"),
            timeouts=Timeouts(),
            clock=lambda: NOW,
            monotonic=lambda: 0.0,
        )
        self.source._rpc.call = self._call  # type: ignore[method-assign]  # the wire is tested elsewhere

    def _call(self, method: str, *params: Any, within: float | None = None) -> Any:
        assert within is None, "nothing but the reading is asked for"
        assert method == "system.multicall"
        return [self.told[each["methodName"].removeprefix("supervisor.")] for each in params[0]]

    def collect(self, *infos: dict[str, Any]) -> Supervisor:
        self.told["getAllProcessInfo"] = list(infos)
        return self.source.collect()

    def process(self, **fields: Any) -> Process:
        (process,) = self.collect(info(**fields)).processes
        return process

    def error(self) -> SourceError:
        with pytest.raises(SourceError) as caught:
            self.source.collect()
        return caught.value


@pytest.fixture
def answers() -> Answers:
    return Answers()


def info(**fields: Any) -> dict[str, Any]:
    return {
        "name": "worker", "group": "worker", "state": 20, "statename": "RUNNING", "start": 1000, "stop": 0, "now": 2000,
        "pid": 100, "exitstatus": 0, "spawnerr": "", "description": "pid 100, uptime 0:16:40", "logfile": "",
        "stdout_logfile": "", "stderr_logfile": "", **fields,
    }  # fmt: skip


@pytest.mark.parametrize("state", [*ProcessState, 12345])
def test_state_codes_pass_through(answers: Answers, state: int) -> None:
    assert answers.process(state=state).state == state


@pytest.mark.parametrize("status", [-1, 0, 1, 127, 128, 143, 200, 255, 2**31 - 1])
@pytest.mark.parametrize("state", list(ProcessState))
def test_exit_status_over_states_and_range(answers: Answers, state: ProcessState, status: int) -> None:
    over = state in {ProcessState.EXITED, ProcessState.BACKOFF, ProcessState.FATAL, ProcessState.STOPPED}
    assert answers.process(state=state, exitstatus=status).exit_status == (status if over else None)
    assert answers.process(state=state, exitstatus=status, start=0).exit_status is None


def test_exit_status_zero_beside_a_spawn_error_is_a_placeholder_but_for_exited(answers: Answers) -> None:
    error = "Exited too quickly (process log may have details)"
    for state in (ProcessState.BACKOFF, ProcessState.FATAL, ProcessState.STOPPED):
        assert answers.process(state=state, spawnerr=error).exit_status is None
        assert answers.process(state=state, spawnerr=error, exitstatus=3).exit_status == 3
    assert answers.process(state=ProcessState.EXITED, spawnerr="Bad exit code 0").exit_status == 0


def test_zero_times_and_pids_are_none(answers: Answers) -> None:
    process = answers.process(state=0, start=0, stop=0, pid=0)
    assert (process.start, process.stop, process.pid, process.spawn_error) == (None, None, None, None)
    assert answers.process().start == datetime.fromtimestamp(1000, UTC)


def test_now_is_supervisords_clock(answers: Answers) -> None:
    assert answers.collect(info(now=5000), info(name="b", now=5001)).now == datetime.fromtimestamp(5001, UTC)
    assert answers.collect().now == NOW


def test_names_are_cleaned_and_stay_apart(answers: Answers) -> None:
    seen = answers.collect(info(name="a\x85b"), info(name="a\x86b"), info(name="worker", group="x\nz"))
    names = [(each.group, each.name) for each in seen.processes]
    assert len(set(names)) == 3
    assert not any(char in group + name for group, name in names for char in "\x85\x86\n")


def test_old_supervisord_without_the_optional_methods(answers: Answers) -> None:
    for name in ("getPID", "getSupervisorVersion", "getAPIVersion", "getIdentification"):
        answers.told[name] = {"faultCode": 1, "faultString": "UNKNOWN_METHOD"}
    seen = answers.collect(info())
    assert (seen.pid, seen.version, seen.api_version, seen.identification) == (None, None, None, None)
    assert len(seen.processes) == 1


@pytest.mark.parametrize("name", ["getAllProcessInfo", "getState"])
def test_old_supervisord_without_a_needed_method(answers: Answers, name: str) -> None:
    answers.told[name] = {"faultCode": 1, "faultString": "UNKNOWN_METHOD"}
    error = answers.error()
    assert error.kind is ErrorKind.FAULT
    assert f"unix:///run/s.sock: {name} failed: UNKNOWN_METHOD (fault 1)" in str(error)


@pytest.mark.parametrize(
    ("code", "kind"), [(6, ErrorKind.SHUTTING_DOWN), (30, ErrorKind.FAULT), ("x", ErrorKind.FAULT)]
)
def test_fault_of_any_sub_call(answers: Answers, code: object, kind: ErrorKind) -> None:
    for name in tuple(answers.told):
        kept = answers.told[name]
        answers.told[name] = {"faultCode": code, "faultString": "SAID"}
        assert answers.error().kind is kind
        answers.told[name] = kept


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("getAllProcessInfo", "text"),
        ("getAllProcessInfo", [1]),
        ("getAllProcessInfo", [{"name": "x"}]),
        ("getAllProcessInfo", [info(pid="1")]),
        ("getAllProcessInfo", [info(start=10**15)]),
        ("getAllProcessInfo", [info(name=None)]),
        ("getState", 1),
        ("getPID", "77"),
        ("getSupervisorVersion", 4),
    ],
)
def test_nonsense_is_called_garbage(answers: Answers, name: str, value: Any) -> None:
    answers.told[name] = value
    assert answers.error().kind is ErrorKind.GARBAGE


def test_fields_that_supervisord_may_add_are_ignored(answers: Answers) -> None:
    assert answers.process(novelty={"a": 1}).name == "worker"


def restarts(answers: Answers, **fields: Any) -> int:
    return answers.process(**fields).restarts


def test_restarts(answers: Answers) -> None:
    assert restarts(answers, start=0, pid=0, state=0) == 0
    assert restarts(answers, start=100, pid=10) == 0
    assert restarts(answers, start=100, pid=10) == 0
    assert restarts(answers, start=100, pid=0, state=100) == 0
    assert restarts(answers, start=150, pid=11) == 1
    assert restarts(answers, start=160, pid=0, state=30) == 2
    assert restarts(answers, start=160, pid=0, state=200) == 2


def test_restart_within_a_second_shows_in_the_pid(answers: Answers) -> None:
    assert restarts(answers, start=100, pid=10) == 0
    assert restarts(answers, start=100, pid=0, state=0) == 0
    assert restarts(answers, start=100, pid=11) == 1


def test_clock_set_back_is_no_restart_but_a_new_pid_is(answers: Answers) -> None:
    assert restarts(answers, start=10_000, pid=10) == 0
    assert restarts(answers, start=6_400, pid=10) == 0
    assert restarts(answers, start=6_500, pid=11) == 1
    assert restarts(answers, start=2_900, pid=12) == 2


def test_supervisord_that_has_not_started_the_program_again_yet(answers: Answers) -> None:
    assert restarts(answers, start=100, pid=10) == 0
    assert restarts(answers, start=0, pid=0, state=0) == 0
    assert restarts(answers, start=200, pid=20) == 1


def test_restarts_of_a_vanished_program_are_forgotten_and_failures_keep_them(answers: Answers) -> None:
    assert restarts(answers, start=100, pid=10) == 0
    assert restarts(answers, start=200, pid=11) == 1
    answers.told["getState"] = None
    answers.error()
    answers.told["getState"] = {"statecode": 1}
    assert restarts(answers, start=200, pid=11) == 1
    answers.collect()
    assert restarts(answers, start=300, pid=12) == 0


def test_restarts_by_group_and_name_not_by_their_sum(answers: Answers) -> None:
    first = [info(group="a", name="bc", start=100, pid=1), info(group="ab", name="c", start=100, pid=2)]
    answers.collect(*first)
    seen = answers.collect(info(group="a", name="bc", start=200, pid=3), first[1])
    assert [each.restarts for each in seen.processes] == [1, 0]


def test_restarts_never_fall_and_never_exceed_the_true_ones(answers: Answers) -> None:
    chance = random.Random(7)
    start, pid, true, last = 100, 10, 0, 0
    for _ in range(500):
        for _ in range(chance.choice((0, 0, 1, 1, 2))):
            start, pid, true = start + chance.choice((0, 1, 20)), pid + 1, true + 1
        seen = restarts(answers, start=start, pid=pid if chance.random() < 0.7 else 0)
        assert last <= seen <= true
        last = seen
    assert last > true / 3
