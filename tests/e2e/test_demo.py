"""The demo as a user runs it."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from tests.plugins.browser import Browser
from tests.plugins.waiting import wait_for

pytestmark = [pytest.mark.needs("postgres", "valkey", "rq"), pytest.mark.timeout(180)]

COMMAND = (sys.executable, "-m", "cli.main", "demo")
NOBODY = "65534"


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder for temporary files, with a path short enough for sockets; nothing may be left in it or run from it."""
    room = Path(tempfile.mkdtemp(prefix="dg-", dir="/tmp"))
    room.chmod(0o1777)
    yield room
    left = [path.name for path in room.iterdir() if path.name.startswith("depthgauge-")]
    running = running_from(room)
    shutil.rmtree(room)
    assert left == []
    assert running == []


def running_from(folder: Path) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        if f"{folder}/depthgauge-" in line:
            found.append(line)
    return found


def run(command: Sequence[str], room: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TMPDIR": str(room), "HOME": str(room), "COVERAGE_PROCESS_START": ""}
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, env=environment, cwd=room)


def assert_saw_everything(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout + done.stderr
    assert "jobqueue_jobs{" in done.stdout
    assert re.search(r"cache +snapshot \d+ of host demo", done.stdout)
    stored = re.search(r"database +(\d+) snapshots", done.stdout)
    assert stored is not None
    assert int(stored[1]) >= 1
    assert re.search(r"crash-loop +\w+", done.stdout)


def test_check_sees_a_snapshot_everywhere(room: Path) -> None:
    started = time.monotonic()

    assert_saw_everything(run([*COMMAND, "--check"], room))

    assert time.monotonic() - started < 90


@pytest.mark.needs("root")
def test_check_as_an_ordinary_user(room: Path) -> None:
    as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *COMMAND, "--check"]

    assert_saw_everything(run(opened_for_all(as_nobody, room), room))


def opened_for_all(command: Sequence[str], room: Path) -> list[str]:
    """Return a command that runs ``command`` where our Python can be reached by everybody.

    A Python below root's home is out of others' reach. In a mount namespace of its own, the closed folder is replaced by
    one that holds only what is needed.
    """
    needed = {sys.base_prefix, sys.prefix, sysconfig.get_paths()["purelib"], str(Path(__file__).parents[2])}
    closed = {
        parent for path in needed for parent in (Path(path), *Path(path).parents) if not parent.stat().st_mode & 0o001
    }
    script = ["set -e"]
    for number, folder in enumerate(sorted(closed, key=lambda each: len(each.parts))[:1]):
        stand_in = room / f"open-{number}"
        for path in (Path(each) for each in needed if Path(each).is_relative_to(folder)):
            target = stand_in / path.relative_to(folder)
            script += [
                f"mkdir -p {shlex.quote(str(target))}",
                f"mount --rbind {shlex.quote(str(path))} {shlex.quote(str(target))}",
            ]
        script.append(f"mount --rbind {shlex.quote(str(stand_in))} {shlex.quote(str(folder))}")
    return ["unshare", "--mount", "sh", "-c", "\n".join([*script, f"exec {shlex.join(command)}"])]


def assert_tells_what_is_wrong(browser: Browser, address: str) -> None:
    """A new user opens the address: within ten seconds the page says which queue is in trouble and why, and shows history."""
    began = time.monotonic()
    browser.open(address)
    told = browser.wait_text("#troubles", "nobody works on it", 10)
    assert time.monotonic() - began < 10
    assert re.search(r"invoices: \d+ jobs? waits?, nobody works on it", told), told
    assert "#" not in browser.driver.current_url
    assert browser.shown("#sign-in") == []
    browser.find("#charts canvas")
    assert browser.console() == []
    assert browser.violations() == []


@pytest.mark.needs("chromium")
def test_ctrl_c_leaves_nothing_behind(room: Path, browser: Browser) -> None:
    output = room / "output"
    with output.open("wb") as out:
        demo = subprocess.Popen(
            # A shell's background job is born with SIGINT ignored, and so would be all that it starts, this run included.
            ["env", "--default-signal=INT", *COMMAND],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=room,
            env={**os.environ, "TMPDIR": str(room)},
        )
    try:
        wait_for(lambda: "snapshots in the database" in output.read_text(), 90, what=output.read_text())
        shown = output.read_text()
        status = re.search(r"^status +(http://127\.0\.0\.1:\d+/#token=\S+)", shown, re.MULTILINE)
        assert status is not None, shown
        assert_tells_what_is_wrong(browser, status[1])
        demo.send_signal(signal.SIGINT)
        wait_for(lambda: "stopping everything" in output.read_text(), 10)
        demo.send_signal(signal.SIGINT)  # impatience must not leave anything behind
        assert demo.wait(30) == 0, output.read_text()
    finally:
        if demo.poll() is None:
            demo.kill()
            demo.wait()

    assert re.search(r"^queue +waiting +active", shown, re.MULTILINE)
    assert re.search(r"^metrics +http://127\.0\.0\.1:\d+/metrics", shown, re.MULTILINE)


def test_a_killed_demo_takes_its_supervisord_with_it(room: Path) -> None:
    demo = subprocess.Popen(
        COMMAND,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=room,
        env={**os.environ, "TMPDIR": str(room)},
    )
    wait_for(lambda: any("supervisord" in line for line in running_from(room)), 60)
    demo.kill()
    demo.wait()

    wait_for(lambda: running_from(room) == [], 30, what="everything has ended")
    for folder in room.glob("depthgauge-demo-*"):
        subprocess.run(["rm", "-rf", str(folder)], check=True)
