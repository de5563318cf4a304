"""A real TimescaleDB server (Apache edition, Debian 13's), started once a test run, with a fresh database for each test.

The server runs by chroot in the folder of ``tests/plugins/trixie.py``: it needs no mount, and dies with the test run, even one
that was killed. Where ``DEPTHGAUGE_TEST_TIMESCALE_DSN`` names a server (a superuser's DSN), that one is used instead.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest
from psycopg import conninfo, sql

from tests.plugins.ports import free_port
from tests.plugins.trixie import POSTGRES_BIN, TIMESCALE_DSN, Trixie, find_trixie
from tests.plugins.waiting import wait_for

START_TIMEOUT: Final = 60.0
STOP_TIMEOUT: Final = 20.0

DATA: Final = "srv"
"""Folder inside the chroot under which every run has its own ``depthgauge-<pid of the run>-<name>``."""

ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}

SETTINGS: Final = {
    "shared_preload_libraries": "timescaledb",
    "timescaledb.telemetry_level": "off",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "60",
    "max_worker_processes": "16",
    "shared_buffers": "64MB",
    # POSIX shared memory would want the chroot's /dev/shm mounted.
    "dynamic_shared_memory_type": "mmap",
    # The data lives as long as the test run.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


class TimescaleServer:
    """A server in the chroot: ``dsn`` is its superuser's, ``pid`` its postmaster's (None for a server told by the environment)."""

    def __init__(self, trixie: Trixie, name: str = "shared") -> None:
        self._root = trixie.root
        self._data = f"/{DATA}/depthgauge-{os.getpid()}-{name}"
        self.folder = self._root / self._data.lstrip("/")
        self.port = free_port()
        self._password = secrets.token_hex(16)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def dsn(self) -> str:
        return conninfo.make_conninfo(
            host="127.0.0.1",
            port=self.port,
            user="postgres",
            password=self._password,
            dbname="postgres",
            sslmode="disable",
        )

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server is not started"
        return self._process.pid

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def start(self) -> "TimescaleServer":
        """Make the cluster where there is none yet, start the server and wait until it answers."""
        if not self.folder.exists():
            self._initialise()
        options = [
            word for name, value in {**SETTINGS, "port": str(self.port)}.items() for word in ("-c", f"{name}={value}")
        ]
        with self.log.open("ab") as output:
            # The kernel interrupts the server when this run dies, however it dies: no server is ever left behind.
            self._process = subprocess.Popen(
                self._inside(
                    "setpriv", "--pdeathsig", "QUIT", f"{POSTGRES_BIN}/postgres", "-D", f"{self._data}/pg", *options
                ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=ENVIRONMENT,
            )
        wait_for(self._answers, START_TIMEOUT, what=f"TimescaleDB answers on port {self.port}; its log: {self.log}")
        return self

    def _inside(self, *command: str) -> list[str]:
        as_postgres = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups", "--"]
        return ["chroot", str(self._root), *as_postgres, *command]

    def _initialise(self) -> None:
        remove_left_behind(self._root / DATA)
        self.folder.mkdir(mode=0o755)
        password = self.folder / "password"
        password.write_text(self._password)
        try:
            owner = subprocess.run(
                ["chroot", str(self._root), "id", "-u", "postgres"],
                capture_output=True,
                text=True,
                timeout=20,
                check=True,
            )
            os.chown(self.folder, int(owner.stdout), -1)
            done = subprocess.run(
                self._inside(
                    *(
                        f"{POSTGRES_BIN}/initdb",
                        "-D",
                        f"{self._data}/pg",
                        "--username=postgres",
                        "--auth=scram-sha-256",
                    ),
                    *(f"--pwfile={self._data}/password", "--encoding=UTF8", "--no-sync"),
                    *("--locale-provider=builtin", "--locale=C.UTF-8"),
                ),
                capture_output=True,
                text=True,
                timeout=START_TIMEOUT,
                check=False,
                env=ENVIRONMENT,
            )
            assert done.returncode == 0, f"initdb in {self._root} failed:\n{done.stdout}\n{done.stderr}"
        except BaseException:
            shutil.rmtree(self.folder)
            raise
        password.unlink()

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"TimescaleDB ended while starting:\n{self.log.read_text()[-4000:]}"
        try:
            with psycopg.connect(self.dsn, connect_timeout=5) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def freeze(self) -> None:
        """SIGSTOP the postmaster and its children: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        import psutil

        postmaster = psutil.Process(self.pid)
        for process in (postmaster, *postmaster.children()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def stop(self) -> None:
        """Stop the server, clients or not; the data stay for another ``start`` on the same port."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait(STOP_TIMEOUT)

    def remove(self) -> None:
        """Stop the server and delete its data."""
        self.stop()
        if self.folder.exists():
            shutil.rmtree(self.folder)


def remove_left_behind(folder: Path) -> None:
    """Delete the data of test runs that were killed; those of living runs stay."""
    for data in folder.glob("depthgauge-*"):
        try:
            os.kill(int(data.name.removeprefix("depthgauge-").split("-")[0]), 0)
        except ProcessLookupError:
            shutil.rmtree(data, ignore_errors=True)


@contextlib.contextmanager
def fresh_database(server_dsn: str, purpose: str = "test") -> Iterator[str]:
    """Give the DSN of a new, empty database (no extension in it) on that server; dropped in the end."""
    name = f"depthgauge_{purpose}_{secrets.token_hex(6)}"
    with psycopg.connect(server_dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield conninfo.make_conninfo(server_dsn, dbname=name)
    finally:
        with psycopg.connect(server_dsn, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def timescale_server_dsn() -> Iterator[str]:
    """Give the superuser's DSN of the run's TimescaleDB server; tests that use it are marked ``needs("timescaledb")``."""
    told = os.environ.get(TIMESCALE_DSN)
    if told:
        yield told
        return
    trixie = find_trixie()
    assert trixie is not None, 'no TimescaleDB here: mark this test with @pytest.mark.needs("timescaledb")'
    server = TimescaleServer(trixie)
    try:
        yield server.start().dsn
    finally:
        server.remove()


@pytest.fixture
def timescale_database(timescale_server_dsn: str) -> Iterator[str]:
    """Give the DSN of a fresh, empty database on the run's TimescaleDB server."""
    with fresh_database(timescale_server_dsn) as dsn:
        yield dsn


@pytest.fixture
def own_timescale_server() -> Iterator[TimescaleServer]:
    """Give a TimescaleDB server of the test's own, to freeze, stop and start; needs ``timescaledb`` and ``root``."""
    trixie = find_trixie()
    assert trixie is not None, 'no TimescaleDB here: mark this test with @pytest.mark.needs("timescaledb", "root")'
    server = TimescaleServer(trixie, "own")
    try:
        yield server.start()
    finally:
        server.remove()
