"""``depthgauge listen`` as the event listener of a real supervisord: exact, whatever is away."""

import contextlib
import os
import pwd
import re
import signal
import subprocess
import sys
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from exporter.event_log import LogFolder
from tests.plugins.listeners import NAME, Listened
from tests.plugins.repo import repo_root
from tests.plugins.supervisord import MakeSupervisord, Program, python
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("supervisord")

MANUAL = {"autostart": "false", "startsecs": "0", "startretries": "0"}


def program(name: str, command: str, **options: str) -> Program:
    return Program(name, command, options={**MANUAL, **options})


PROGRAMS = (
    program("steady", "sleep 600"),
    program("done", "true"),
    program("three", python("raise SystemExit(3)")),
    program("hopeless", "false", startsecs="1", startretries="1"),
    program("nowhere", "/nonexistent/program"),
    program("revived", "sleep 600", autorestart="true"),
    program("other", "sleep 600"),
)


@pytest.fixture
def listened(make_supervisord: MakeSupervisord, tmp_path: Path) -> Listened:
    made = Listened(make_supervisord, PROGRAMS, tmp_path)
    wait_for(made.is_alive, what=f"the listener is there; {made.supervisord.log()}")
    return made


@pytest.mark.needs("source-tree")
def test_the_documented_section_works(make_supervisord: MakeSupervisord, tmp_path: Path) -> None:
    page = (repo_root() / "docs" / "supervisor.md").read_text(encoding="utf-8")
    (section,) = re.findall(r"^\[eventlistener:depthgauge\]\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    told = section.replace("/opt/depthgauge/bin/depthgauge", f"{sys.executable} -m cli.main")
    told = told.replace("/var/lib/depthgauge", str(tmp_path)).replace("user=depthgauge\n", "")
    assert str(tmp_path) in told
    supervisord = make_supervisord(PROGRAMS, listener=told)
    folder = LogFolder(tmp_path, "main")
    wait_for(lambda: folder.file(1).exists(), what=f"it has written; {supervisord.log()}")
    assert supervisord.info(NAME)["statename"] == "RUNNING"


def test_each_change_is_told_once_and_in_order(listened: Listened) -> None:
    rpc = listened.supervisord.rpc
    for name in ("steady", "done", "three", "hopeless", "revived"):
        # One that ends at once may have ended before supervisord answers, and then it says so.
        with contextlib.suppress(xmlrpc.client.Fault) if name == "hopeless" else contextlib.nullcontext():
            rpc.startProcess(name, False)
    with pytest.raises(xmlrpc.client.Fault, match="NO_FILE"):
        rpc.startProcess("nowhere", False)
    revived = listened.supervisord.wait_for_state("revived", "RUNNING")["pid"]
    os.kill(revived, signal.SIGKILL)

    done = listened.wait_for_states("done", "STARTING", "RUNNING", "EXITED")
    three = listened.wait_for_states("three", "STARTING", "RUNNING", "EXITED")
    assert (done[-1].expected, three[-1].expected) == (True, False)
    listened.wait_for_states("revived", "STARTING", "RUNNING", "EXITED", "STARTING", "RUNNING")
    listened.wait_for_states("steady", "STARTING", "RUNNING")
    steady = listened.supervisord.info("steady")
    rpc.stopProcess("steady")
    stopped = listened.wait_for_states("steady", "STARTING", "RUNNING", "STOPPING", "STOPPED")
    assert {line.pid for line in stopped[1:]} == {steady["pid"]}
    assert abs(stopped[0].at.timestamp() - steady["start"]) < 3
    hopeless = listened.wait_for_states("hopeless", "STARTING", "BACKOFF", "STARTING", "BACKOFF", "FATAL")
    assert [line.tries for line in hopeless] == [0, 1, 1, 2, None]
    assert [line.serial for line in listened.lines()] == sorted({line.serial for line in listened.lines()})
    assert listened.text.count("level=error") == 0, listened.text


def test_killed_or_stopped_it_misses_nothing(listened: Listened) -> None:
    rpc = listened.supervisord.rpc
    pid = listened.pid
    os.kill(pid, signal.SIGSTOP)
    rpc.startProcess("steady", True)
    rpc.stopProcess("steady", True)
    assert listened.lines("steady") == []
    # Killed with an event in its hands that it has not answered.
    os.kill(pid, signal.SIGKILL)
    rpc.startProcess("other", True)
    listened.wait_for_states("steady", "STARTING", "RUNNING", "STOPPING", "STOPPED")
    listened.wait_for_states("other", "STARTING", "RUNNING")

    pid = listened.pid
    os.kill(pid, signal.SIGSTOP)
    rpc.stopProcess("other", True)
    rpc.startProcess("other", True)
    assert len(listened.lines("other")) == 2
    os.kill(pid, signal.SIGCONT)
    listened.wait_for_states("other", "STARTING", "RUNNING", "STOPPING", "STOPPED", "STARTING", "RUNNING")
    # It tells its own end, too.
    assert listened.states(NAME)[-3:] == ["EXITED", "STARTING", "RUNNING"]


def test_it_ends_at_once_when_told_to(listened: Listened) -> None:
    rpc = listened.supervisord.rpc
    process = psutil.Process(listened.pid)
    rpc.stopProcess(NAME, False)
    wait_for(lambda: not process.is_running(), 2, what="the listener has ended")
    info = listened.supervisord.wait_for_state(NAME, "STOPPED")
    assert info["exitstatus"] == 0
    # And with supervisord, whose last words it hears.
    rpc.startProcess(NAME, True)
    rpc.startProcess("steady", True)
    wait_for(lambda: "RUNNING" in listened.states("steady"))
    family = listened.supervisord.family()
    family[0].terminate()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    assert listened.states("steady") == ["STARTING", "RUNNING", "STOPPING", "STOPPED"]


def test_when_supervisord_is_killed_it_goes_too(listened: Listened) -> None:
    process = psutil.Process(listened.pid)
    os.kill(listened.supervisord.pid, signal.SIGKILL)
    wait_for(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, what="it hears the end")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 64 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.needs("root")
def test_a_full_disk_delays_and_loses_nothing(make_supervisord: MakeSupervisord, small_disk: Path) -> None:
    filler = small_disk / "filler"
    listened = Listened(make_supervisord, PROGRAMS, small_disk)
    wait_for(listened.is_alive)
    wait_for(lambda: listened.lines(NAME), what="its own start")
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(bytes(64 * 1024))
    # What is left of the last page of its file may take some; the rest has to wait.
    rpc = listened.supervisord.rpc
    for _ in range(9):
        rpc.startProcess("steady", True)
        rpc.stopProcess("steady", True)
    wait_for(lambda: "No space left on device" in listened.text, what=f"it says so: {listened.text}")
    assert len(listened.lines("steady")) < 36
    filler.unlink()
    wait_for(lambda: len(listened.lines("steady")) == 36, what="with the next tick all are there")
    assert listened.states("steady") == ["STARTING", "RUNNING", "STOPPING", "STOPPED"] * 9
    assert listened.text.count("level=error") == 1, listened.text
    wait_for(lambda: "can write events again" in listened.text, what="it says so")


@pytest.mark.needs("root")
def test_started_as_root_it_becomes_the_owner_of_the_folder(make_supervisord: MakeSupervisord, tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    # A folder that it can reach, of another user.
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o055)
    state_dir = tmp_path / "state"
    state_dir.mkdir()
    os.chown(state_dir, nobody.pw_uid, nobody.pw_gid)
    listened = Listened(make_supervisord, PROGRAMS, state_dir)
    wait_for(listened.is_alive, what=f"it runs: {listened.text}")
    wait_for(lambda: listened.lines(NAME), what="its own start")
    assert psutil.Process(listened.pid).uids() == (nobody.pw_uid,) * 3
    assert listened.folder.file(1).stat().st_uid == nobody.pw_uid
    # It cannot write any more; supervisord is served all the same.
    listened.folder.path.chmod(0o555)
    listened.folder.file(1).chmod(0o444)
    rpc = listened.supervisord.rpc
    rpc.startProcess("steady", True)
    wait_for(lambda: "Permission denied" in listened.text, what=f"it says so: {listened.text}")
    assert listened.states("steady") == []
    listened.folder.path.chmod(0o755)
    listened.folder.file(1).chmod(0o644)
    listened.wait_for_states("steady", "STARTING", "RUNNING")


def listen(*arguments: str, text: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DEPTHGAUGE_")}
    return subprocess.run(
        [sys.executable, "-m", "cli.main", "listen", *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**clean, **environ},
    )


def test_by_hand_it_says_what_it_is_for(tmp_path: Path) -> None:
    done = listen("--supervisor", "main", "--state-dir", str(tmp_path), text="hello\n")
    assert done.returncode == 1
    assert "is started by supervisord, as an [eventlistener:x]" in done.stderr
    assert done.stdout == "READY\n"


def test_it_takes_name_and_folder_from_the_configuration(tmp_path: Path) -> None:
    config = tmp_path / "depthgauge.toml"
    config.write_text(f'[exporter]\nstate_dir = "{tmp_path}"\n[[supervisor]]\nname = "jobs"\nurl = "unix:///s.sock"\n')
    done = listen("--config.file", str(config))
    assert (done.returncode, done.stdout) == (0, "READY\n"), done.stderr
    assert LogFolder(tmp_path, "jobs").alive.exists()
    done = listen("--config.file", str(config), "--supervisor", "web")
    assert "no [[supervisor]] has the name 'web'" in done.stderr

    with config.open("a") as file:
        file.write('[[supervisor]]\nname = "web"\nurl = "unix:///t.sock"\n')
    done = listen("--config.file", str(config))
    assert done.returncode == 1
    assert "--supervisor jobs or web" in done.stderr

    config.write_text("supervisor = 3\n")
    done = listen("--config.file", str(config), "--supervisor", "web")
    assert done.returncode == 1
    done = listen("--config.file", str(config), "--supervisor", "web", "--state-dir", str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "READY\n"), done.stderr
    assert "level=warn" in done.stderr

    done = listen("--config.file", os.devnull)
    assert done.returncode == 1
    assert "set state_dir in [exporter], or --state-dir" in done.stderr
