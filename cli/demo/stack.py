"""Starts the demo's supervisord and what runs under it, step by step, and stops all of it."""

import contextlib
import ctypes
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import xmlrpc.client
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import psutil
import psycopg
import psycopg.sql
import redis
from supervisor.xmlrpc import SupervisorTransport

from cli.demo.folder import READER, Folder, make_folder
from depthgauge.secrets import Secret
from sink.migrate import migrate

_PR_SET_PDEATHSIG: Final = 1
STOP_SECONDS: Final = 15.0


class DemoError(Exception):
    """The demo cannot go on; the message says why and where to look."""


class Stack:
    """Everything the demo runs; a context manager that leaves no process and no folder behind."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._process: subprocess.Popen[bytes] | None = None
        self.folder: Folder

    def __enter__(self) -> Self:
        self._say("preparing a folder and an empty database")
        self.folder = make_folder()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, deadline: float) -> None:
        """Start everything; raise DemoError when something is not up by ``deadline`` (monotonic)."""
        self._say("starting supervisord with Valkey and PostgreSQL")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.folder.path / "supervisord.conf")],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509  no threads run here yet
            cwd=self.folder.path,
        )
        self._until(self._supervisord_answers, "supervisord answers", deadline)
        self._until(self._valkey_answers, "Valkey answers", deadline)
        self._until(self._postgres_answers, "PostgreSQL answers", deadline)
        self._say("creating the tables (depthgauge migrate)")
        migrate(Secret(self.folder.dsn))
        self._make_reader()
        self._say("starting exporter, sink, RQ workers, a producer and a program that crashes")
        for program in ("exporter", "sink", "mail-worker:*", "report-worker", "producer", "crash-loop"):
            self._start_program(program)
        self._until(self._exporter_is_ready, "the exporter is ready", deadline)

    def stop(self) -> None:
        """Stop everything and remove the folder; a second Ctrl-C does not keep it from doing so."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        process, self._process = self._process, None
        if process is not None:
            self._say("stopping everything")
            family = _family(process.pid)
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            for left in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    left.kill()
            psutil.wait_procs(family, timeout=5)
            process.wait(5)
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder.path, ignore_errors=True)

    def log_of(self, program: str) -> str:
        """Return the end of a program's log, for an error message."""
        lines = []
        for path in sorted((self.folder.path / "log").glob(f"{program}*")):
            lines += path.read_text(errors="replace").splitlines()[-15:]
        return "\n".join(lines)

    def _until(self, condition: Callable[[], bool], what: str, deadline: float) -> None:
        while not condition():
            if self._process is None or self._process.poll() is not None:
                raise DemoError(f"supervisord ended while waiting until {what}:\n{self.log_of('supervisord')}")
            if time.monotonic() > deadline:
                raise DemoError(f"gave up waiting until {what}; the logs say:\n{self._all_logs()}")
            time.sleep(0.1)

    def _all_logs(self) -> str:
        return "\n".join(
            f"{name}: {self.log_of(name)}" for name in ("supervisord", "valkey", "postgres", "exporter", "sink")
        )

    def _supervisor(self) -> xmlrpc.client.ServerProxy:
        transport = SupervisorTransport(None, None, f"unix://{self.folder.socket}")
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport)

    def _start_program(self, name: str) -> None:
        group = name.removesuffix(":*")
        proxy = self._supervisor()
        try:
            if name.endswith(":*"):
                proxy.supervisor.startProcessGroup(group, False)
            else:
                proxy.supervisor.startProcess(name, False)
        except xmlrpc.client.Fault as exc:
            raise DemoError(f"supervisord cannot start {group}: {exc.faultString}\n{self.log_of(group)}") from exc

    def _supervisord_answers(self) -> bool:
        try:
            return bool(self._supervisor().supervisor.getState())
        except (OSError, xmlrpc.client.Error):
            return False

    def _valkey_answers(self) -> bool:
        try:
            with redis.Redis(port=self.folder.valkey_port, socket_timeout=1) as client:
                return bool(client.ping())
        except redis.exceptions.RedisError:
            return False

    def _postgres_answers(self) -> bool:
        try:
            psycopg.connect(self.folder.dsn, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _make_reader(self) -> None:
        with psycopg.connect(self.folder.dsn, autocommit=True) as connection:
            connection.execute(psycopg.sql.SQL("CREATE ROLE {} LOGIN").format(psycopg.sql.Identifier(READER)))
            connection.execute("SELECT depthgauge.grant_reader(%s)", (READER,))

    def _exporter_is_ready(self) -> bool:
        return fetch(f"http://127.0.0.1:{self.folder.exporter_port}/-/ready") is not None


def fetch(url: str) -> str | None:
    """GET a page of our own; None when it is not there (yet)."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  a loopback URL made by us
            return str(answer.read().decode())
    except (urllib.error.URLError, OSError):
        return None


def _family(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _die_with_parent() -> None:
    """Ask the kernel to end supervisord, and so everything, should the demo itself be killed."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
