"""A real supervisord with programs of the test's choice, in a short-named folder of its own."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import xmlrpc.client
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import psutil
import pytest
from supervisor.xmlrpc import SupervisorTransport

from tests.plugins.ports import free_port
from tests.plugins.waiting import wait_for

TIMEOUT = 20.0


@dataclass(frozen=True)
class Program:
    """One [program:x] section. ``group`` puts it into that [group:x], where ``process`` may name it anew."""

    name: str
    command: str
    group: str | None = None
    process: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """Return the group and the name that supervisord tells."""
        return self.group or self.name, self.process or self.name


def python(code: str) -> str:
    """Return a command line for supervisord.conf that runs this Python code."""
    quoted = code.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'{sys.executable} -c "{quoted}"'


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


class Supervisord:
    """One supervisord: ``unix_url``, ``tcp_url`` (where asked for), ``pid``, ``rpc`` for what a test does to it."""

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        tcp: bool = False,
        unix: bool = True,
        username: str | None = None,
        password: str | None = None,
        identifier: str = "supervisor",
        daemonize: bool = False,
        listener: str | None = None,
        sections: str = "",
    ) -> None:
        # pytest's own folders may be longer than the 107 bytes a unix socket's path may have.
        self.folder = Path(tempfile.mkdtemp(prefix="depthgauge-supervisord-"))
        self.programs = tuple(programs)
        self.port = free_port() if tcp else None
        self.username, self.password = username, password
        self._unix = unix
        self._identifier = identifier
        self._daemonize = daemonize
        self._listener = listener
        self._sections = sections
        self._process: subprocess.Popen[bytes] | None = None
        self._transports: list[Any] = []
        self._pid: int | None = None

    @property
    def socket_path(self) -> Path:
        return self.folder / "s.sock"

    @property
    def unix_url(self) -> str:
        assert self._unix, "this supervisord has no unix socket"
        return f"unix://{self.socket_path}"

    @property
    def tcp_url(self) -> str:
        assert self.port is not None, "this supervisord has no TCP port: tcp=True"
        return f"http://127.0.0.1:{self.port}/RPC2"

    @property
    def pid(self) -> int:
        assert self._pid is not None, "supervisord is not started"
        return self._pid

    @property
    def rpc(self) -> Any:
        """Return the ``supervisor`` namespace: ``rpc.startProcess("name")``, ``rpc.stopProcess("group:name")`` …."""
        url = self.unix_url if self._unix else self.tcp_url.removesuffix("/RPC2")
        transport = SupervisorTransport(self.username, self.password, url)
        self._transports.append(transport)
        return xmlrpc.client.ServerProxy("http://127.0.0.1/RPC2", transport=transport).supervisor

    def info(self, program: str) -> dict[str, Any]:
        """Return what supervisord tells of one process, ``name`` or ``group:name``."""
        answer: dict[str, Any] = self.rpc.getProcessInfo(program)
        return answer

    def wait_for_state(self, program: str, state: str, timeout: float = TIMEOUT) -> dict[str, Any]:
        """Wait until a process is in the state of this name (``RUNNING``, ``FATAL`` …), return its info."""
        wait_for(lambda: self.info(program)["statename"] == state, timeout, what=f"{program} is {state}")
        return self.info(program)

    def start(self) -> "Supervisord":
        """Start supervisord and wait until it answers."""
        (self.folder / "s.conf").write_text(self._config())
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.folder / "s.conf")],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                env={key: value for key, value in os.environ.items() if not key.startswith("SUPERVISOR_")},
            )
        self._pid = wait_for(self._answers, TIMEOUT, what=f"supervisord answers; {self.log()}")
        return self

    def _answers(self) -> int:
        assert self._process is not None
        assert self._daemonize or self._process.poll() is None, f"supervisord ended at once: {self.log()}"
        with contextlib.suppress(OSError, xmlrpc.client.ProtocolError):
            return int(self.rpc.getPID())
        return 0

    def log(self) -> str:
        """Return the end of supervisord's log and output."""
        files = [self.folder / name for name in ("output", "s.log")]
        return "".join(file.read_text()[-2000:] for file in files if file.exists())

    def _config(self) -> str:
        login = ""
        if self.username is not None:
            login = f"username={self.username}\npassword={(self.password or '').replace('%', '%%')}\n"
        parts = [
            f"[supervisord]\nnodaemon={'false' if self._daemonize else 'true'}\nidentifier={self._identifier}",
            f"logfile={self.folder}/s.log\npidfile={self.folder}/s.pid\nchildlogdir={self.folder}\nloglevel=info",
            "[rpcinterface:supervisor]",
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        ]
        if self._unix:
            parts.append(f"[unix_http_server]\nfile={self.socket_path}\nchmod=0700\n{login}")
        if self.port is not None:
            parts.append(f"[inet_http_server]\nport=127.0.0.1:{self.port}\n{login}")
        groups: dict[str, list[str]] = {}
        for program in self.programs:
            options = {
                "command": program.command,
                "startsecs": "0",
                "autorestart": "false",
                "stopwaitsecs": "2",
                "stopasgroup": "true",
                "stdout_logfile": "NONE",
                "redirect_stderr": "true",
                **({"process_name": program.process} if program.process else {}),
                **program.options,
            }
            parts.append(f"[program:{program.name}]\n" + "".join(f"{key}={value}\n" for key, value in options.items()))
            if program.group is not None:
                groups.setdefault(program.group, []).append(program.name)
        parts.extend(f"[group:{group}]\nprograms={','.join(names)}\n" for group, names in groups.items())
        if self._listener is not None:
            parts.append(f"[eventlistener:depthgauge]\n{self._listener}\nstderr_logfile={self.listener_log}\n")
        return "\n".join([*parts, self._sections])

    @property
    def listener_log(self) -> Path:
        return self.folder / "listener.log"

    def family(self) -> list[psutil.Process]:
        """Return supervisord and everything below it that is alive."""
        if self._pid is None:
            return []  # psutil takes None for this very process
        try:
            root = psutil.Process(self._pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def stop(self, patience: float = 5.0) -> None:
        """End supervisord as an operator would, by SIGTERM, so that programs may finish; after ``patience`` seconds kill."""
        family = self.family()
        if family:
            family[0].send_signal(signal.SIGCONT)
            family[0].terminate()
            psutil.wait_procs(family[:1], timeout=patience)
        self.kill(family)

    def kill(self, known: Sequence[psutil.Process] = ()) -> None:
        """End supervisord and everything it started by SIGKILL; ``known`` are processes that may have lost their parent."""
        if self._pid is not None:
            # A stopped supervisord starts nothing anew while its programs are being killed.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGSTOP)
        family = {*known, *self.family()}
        for process in sorted(family, key=lambda each: each.pid == self._pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if self._process is not None:
            self._process.wait(10)
        wait_for(lambda: not any(_is_alive(process) for process in family), what=f"all of {family} are gone")
        self._process = self._pid = None

    def pause(self) -> None:
        """Freeze supervisord: it accepts connections (by the kernel's backlog) and never answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen supervisord go on."""
        os.kill(self.pid, signal.SIGCONT)

    def clean_up(self) -> None:
        """Kill what is left, and remove the folder."""
        self.kill()
        for transport in self._transports:
            transport.close()
        shutil.rmtree(self.folder)


MakeSupervisord: TypeAlias = Callable[..., Supervisord]


@contextlib.contextmanager
def running_supervisord(programs: Sequence[Program], **options: Any) -> Iterator[Supervisord]:
    """Give a started supervisord, for fixtures of a wider scope than a test."""
    made = Supervisord(programs, **options)
    try:
        yield made.start()
    finally:
        made.clean_up()


@pytest.fixture
def make_supervisord() -> Iterator[MakeSupervisord]:
    """Give a function that starts supervisords: ``make_supervisord([Program(…)], tcp=True, username=…, password=…)``."""
    with contextlib.ExitStack() as stack:
        yield lambda programs=(), **options: stack.enter_context(running_supervisord(programs, **options))
