"""The supervisor source against real supervisords: what it tells of every kind of process."""

import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from depthgauge.secrets import Secret
from depthgauge.snapshot import Process, ProcessState, Supervisor
from exporter.settings import SupervisorSettings
from exporter.sources.supervisor import SupervisorSource
from exporter.sources.supervisor_rpc import Timeouts
from tests.plugins.supervisord import MakeSupervisord, Program, Supervisord, python, running_supervisord
from tests.plugins.waiting import wait_for

SLEEP = "sleep 600"
TIMEOUTS = Timeouts(connect=2, read=10, total=20)


def source(
    url: str, *, name: str = "main", username: str | None = None, password: str | None = None
) -> SupervisorSource:
    settings = SupervisorSettings(
        name=name, url=url, username=username, password=None if password is None else Secret(password)
    )
    return SupervisorSource(settings, timeouts=TIMEOUTS, clock=lambda: datetime.now(UTC), monotonic=time.monotonic)


def process(supervisor: Supervisor, group: str, name: str | None = None) -> Process:
    (found,) = (each for each in supervisor.processes if (each.group, each.name) == (group, name or group))
    return found


PROGRAMS = (
    Program("steady", SLEEP),
    Program("done", "true", options={"startsecs": "0"}),
    Program("two-hundred", python("import sys; sys.exit(200)")),
    Program("killed", SLEEP),
    Program("nowhere", "/nonexistent/program", options={"startretries": "0"}),
    Program("hasty", "false", options={"startsecs": "1", "startretries": "1000"}),
    Program("stillborn", "false", options={"startsecs": "1", "startretries": "0"}),
    Program("never", SLEEP, options={"autostart": "false"}),
    Program("stopped", SLEEP),
    Program("polite", python("import signal, sys, time; signal.signal(15, lambda *_: sys.exit(143)); time.sleep(600)")),
    Program("slow-start", SLEEP, options={"startsecs": "600"}),
    Program("stubborn", "bash -c 'trap \"\" TERM; while :; do sleep 1; done'", options={"stopwaitsecs": "600"}),
    Program("a-worker", SLEEP, group="a", process="worker"),
    Program("b-worker", SLEEP, group="b", process="worker"),
    Program("many", SLEEP, options={"numprocs": "20", "process_name": "many-%(process_num)02d"}),
)


@pytest.fixture(scope="module")
def zoo() -> Iterator[Supervisord]:
    """Give one supervisord that has a process in every state."""
    with running_supervisord(PROGRAMS, identifier="the zoo") as daemon:
        daemon.wait_for_state("steady", "RUNNING")
        os.kill(daemon.info("killed")["pid"], signal.SIGKILL)
        daemon.rpc.stopProcess("stopped")
        wait_for(lambda: "polite" in daemon.log(), what="polite runs")
        daemon.rpc.stopProcess("stubborn", False)
        for name, state in (("done", "EXITED"), ("two-hundred", "EXITED"), ("killed", "EXITED")):
            daemon.wait_for_state(name, state)
        for name, state in (("nowhere", "FATAL"), ("stillborn", "FATAL"), ("stubborn", "STOPPING")):
            daemon.wait_for_state(name, state)
        daemon.wait_for_state("hasty", "BACKOFF")
        yield daemon


@pytest.fixture(scope="module")
def seen(zoo: Supervisord) -> Supervisor:
    return source(zoo.unix_url).collect()


def test_it_tells_about_supervisord_itself(zoo: Supervisord, seen: Supervisor) -> None:
    import supervisor.options

    assert seen.name == "main"
    assert seen.state == 1
    assert seen.pid == zoo.pid
    assert seen.version == supervisor.options.VERSION
    assert seen.api_version == "3.0"
    assert seen.identification == "the zoo"
    assert abs(seen.now - seen.observed_at) < timedelta(seconds=3)
    assert seen.now.tzinfo is not None


def test_no_process_is_missing(zoo: Supervisord, seen: Supervisor) -> None:
    assert len(seen.processes) == len(PROGRAMS) + 19
    assert len({(each.group, each.name) for each in seen.processes}) == len(seen.processes)


@pytest.mark.parametrize(
    ("group", "state"),
    [
        ("never", ProcessState.STOPPED),
        ("slow-start", ProcessState.STARTING),
        ("steady", ProcessState.RUNNING),
        ("hasty", ProcessState.BACKOFF),
        ("stubborn", ProcessState.STOPPING),
        ("done", ProcessState.EXITED),
        ("nowhere", ProcessState.FATAL),
    ],
)
def test_states_are_supervisords_codes(zoo: Supervisord, group: str, state: ProcessState) -> None:
    wait_for(lambda: process(source(zoo.unix_url).collect(), group).state == state, what=f"{group} is {state.name}")


@pytest.mark.parametrize(
    ("group", "status"),
    [
        ("done", 0),
        ("two-hundred", 200),
        ("killed", -1),
        ("stopped", -1),
        ("steady", None),
        ("slow-start", None),
        ("stubborn", None),
        ("never", None),
        ("nowhere", None),
        ("stillborn", None),
    ],
)
def test_exit_status_only_where_it_means_something(seen: Supervisor, group: str, status: int | None) -> None:
    assert process(seen, group).exit_status == status


def test_exit_status_of_a_stopped_program_that_has_one(zoo: Supervisord) -> None:
    wait_for(lambda: zoo.info("polite")["state"] == ProcessState.RUNNING)
    pid = zoo.info("polite")["pid"]
    # Python has installed its handler once SIGTERM stands in the mask of caught signals.
    wait_for(lambda: _catches(pid, signal.SIGTERM), what="polite is ready for SIGTERM")
    zoo.rpc.stopProcess("polite")
    polite = process(source(zoo.unix_url).collect(), "polite")
    assert (polite.state, polite.exit_status) == (ProcessState.STOPPED, 143)


def _catches(pid: int, number: signal.Signals) -> bool:
    with Path(f"/proc/{pid}/status").open() as status:
        (line,) = (line for line in status if line.startswith("SigCgt:"))
    return bool(int(line.split()[1], 16) >> (number - 1) & 1)


def test_spawn_errors_are_told_and_absent_where_there_is_none(seen: Supervisor) -> None:
    assert process(seen, "nowhere").spawn_error == "can't find command '/nonexistent/program'"
    assert "too quickly" in (process(seen, "stillborn").spawn_error or "")
    assert process(seen, "steady").spawn_error is None
    assert process(seen, "done").spawn_error is None


def test_times_and_pids_are_absent_where_there_are_none(zoo: Supervisord, seen: Supervisor) -> None:
    never = process(seen, "never")
    assert (never.start, never.stop, never.pid) == (None, None, None)
    steady = process(seen, "steady")
    assert steady.start == datetime.fromtimestamp(zoo.info("steady")["start"], UTC)
    assert steady.stop is None
    assert steady.pid == zoo.info("steady")["pid"]
    done = process(seen, "done")
    assert done.pid is None
    assert done.stop is not None


def test_programs_of_one_name_in_two_groups_stay_two(zoo: Supervisord, seen: Supervisor) -> None:
    assert process(seen, "a", "worker").pid == zoo.info("a:worker")["pid"]
    assert process(seen, "b", "worker").pid == zoo.info("b:worker")["pid"]
    assert process(seen, "a", "worker").pid != process(seen, "b", "worker").pid


def test_the_peer_of_a_unix_socket_is_known(zoo: Supervisord) -> None:
    reader = source(zoo.unix_url)
    assert reader.peer_pid is None
    reader.collect()
    assert reader.peer_pid == zoo.pid


def test_several_supervisords_at_once_by_socket_and_by_tcp_with_a_password(make_supervisord: MakeSupervisord) -> None:
    login = {"username": "watcher", "password": "p:ä s%s"}
    one = make_supervisord([Program("one", SLEEP)], tcp=True, unix=False, **login)
    two = make_supervisord([Program("two", SLEEP)], tcp=True, **login)
    three = make_supervisord()
    sources = [
        source(one.tcp_url, name="one", **login),
        source(two.tcp_url, name="two-tcp", **login),
        source(two.unix_url, name="two-unix", **login),
        source(three.unix_url, name="three"),
    ]
    seen = [each.collect() for each in sources]
    assert [[p.name for p in each.processes] for each in seen] == [["one"], ["two"], ["two"], []]
    assert [each.pid for each in seen] == [one.pid, two.pid, two.pid, three.pid]
    assert [each.peer_pid for each in sources] == [None, None, two.pid, three.pid]
    assert seen[3].now == seen[3].observed_at


def test_restarts_are_counted_from_the_first_start_seen(make_supervisord: MakeSupervisord) -> None:
    daemon = make_supervisord([Program("worker", SLEEP), Program("later", SLEEP, options={"autostart": "false"})])
    daemon.wait_for_state("worker", "RUNNING")
    reader = source(daemon.unix_url)

    def restarts() -> tuple[int, int]:
        seen = reader.collect()
        return process(seen, "worker").restarts, process(seen, "later").restarts

    assert restarts() == (0, 0)
    assert restarts() == (0, 0)
    daemon.rpc.startProcess("later")
    assert restarts() == (0, 0)
    for _ in range(2):
        daemon.rpc.stopProcess("worker")
        daemon.rpc.startProcess("worker")
    assert restarts() == (1, 0)
    daemon.rpc.stopProcess("later")
    assert restarts() == (1, 0)
    daemon.rpc.startProcess("later")
    assert restarts() == (1, 1)


def test_a_restarted_supervisord_starts_every_program_once_more(make_supervisord: MakeSupervisord) -> None:
    daemon = make_supervisord([Program("worker", SLEEP)])
    reader = source(daemon.unix_url)
    daemon.wait_for_state("worker", "RUNNING")
    assert process(reader.collect(), "worker").restarts == 0
    daemon.stop()
    daemon.start()
    daemon.wait_for_state("worker", "RUNNING")
    assert process(reader.collect(), "worker").restarts == 1


def test_a_control_character_in_a_name_is_replaced(make_supervisord: MakeSupervisord) -> None:
    daemon = make_supervisord([Program("bell\x07", SLEEP), Program("größe", SLEEP)])
    names = sorted(each.name for each in source(daemon.unix_url).collect().processes)
    assert names == ["bell\ufffd", "größe"]
