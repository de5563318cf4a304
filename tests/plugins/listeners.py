"""A supervisord with ``depthgauge listen`` as its event listener, and what it has written."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from depthgauge.snapshot import ProcessState
from exporter.event_log import EventLine, LogFolder, parsed
from tests.plugins.supervisord import MakeSupervisord, Program, Supervisord
from tests.plugins.waiting import wait_for

NAME = "depthgauge"


def listener_config(state_dir: Path, *, name: str = "main") -> str:
    """Return the lines of the [eventlistener] section."""
    command = f"{sys.executable} -m cli.main listen --supervisor {name} --state-dir {state_dir}"
    return (
        f"command={command}\nevents=PROCESS_STATE,TICK_5\nbuffer_size=1000\nautorestart=true\n"
        "startsecs=0\nstdout_logfile=NONE\nstopwaitsecs=5"
    )


class Listened:
    """One such supervisord."""

    def __init__(self, make_supervisord: MakeSupervisord, programs: Sequence[Program], state_dir: Path) -> None:
        self.folder = LogFolder(state_dir, "main")
        self.supervisord: Supervisord = make_supervisord(programs, listener=listener_config(state_dir))

    @property
    def pid(self) -> int:
        """The listener's."""
        return int(self.supervisord.wait_for_state(NAME, "RUNNING")["pid"])

    @property
    def text(self) -> str:
        """What it has logged."""
        log = self.supervisord.listener_log
        return log.read_text() if log.exists() else ""

    def is_alive(self) -> bool:
        """Say whether it has left its sign."""
        return self.folder.alive.exists()

    def lines(self, process: str | None = None) -> list[EventLine]:
        """Return the events in all files that are there, of one process or of all programs but the listener.

        What has no end of line yet is being written, or about to be taken back for want of room.
        """
        found = [
            parsed(text)
            for number in self.folder.numbers()
            for text in self.folder.file(number).read_bytes().split(b"\n")[:-1]
        ]
        assert None not in found, found
        return [
            line
            for line in found
            if isinstance(line, EventLine) and (line.process == process if process else line.process != NAME)
        ]

    def states(self, process: str) -> list[str]:
        """Return the states that a process has gone through."""
        return [ProcessState(line.to_state).name for line in self.lines(process)]

    def wait_for_states(self, process: str, *states: str) -> list[EventLine]:
        """Wait until a process has gone through these states and no others; return its events."""
        wait_for(lambda: self.states(process) == list(states), 10, what=f"{states}, not {self.states(process)}")
        lines = self.lines(process)
        assert [line.from_state for line in lines[1:]] == [line.to_state for line in lines[:-1]]
        return lines

    def kill(self) -> None:
        """End the listener by SIGKILL, and wait for the next one."""
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: self.supervisord.info(NAME)["pid"] not in {0, pid}, what="another listener")
