"""A real PgBouncer before a server, in transaction mode, with fewer sessions than clients."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

import psycopg
import pytest
from psycopg import conninfo

from tests.plugins.ports import free_port
from tests.plugins.waiting import wait_for

SYSTEM_USER: Final = "nobody"
"""Whom it runs as when the tests are run by root: it refuses to be root."""
START_TIMEOUT: Final = 20.0


class PgBouncer:
    """One pooler: ``dsn`` leads through it to the database of the DSN it was made with."""

    def __init__(self, server_dsn: str, *, pool_size: int) -> None:
        self._server = conninfo.conninfo_to_dict(server_dsn)
        self._user = SYSTEM_USER if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="depthgauge-pgbouncer-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.dsn = conninfo.make_conninfo(server_dsn, host="127.0.0.1", port=self.port, password=None)
        self._config = self._folder / "pgbouncer.ini"
        database = " ".join(
            f"{key}={self._server[key]}" for key in ("host", "port", "user", "password") if key in self._server
        )
        self._config.write_text(
            f"[databases]\n* = {database}\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            "auth_type = any\npool_mode = transaction\n"
            f"default_pool_size = {pool_size}\nmin_pool_size = 0\nmax_client_conn = 50\n"
        )
        if self._user is not None:
            entry = pwd.getpwnam(self._user)
            for path in (self._folder, self._config):
                os.chown(path, entry.pw_uid, entry.pw_gid)

    def start(self) -> "PgBouncer":
        """Start it and wait until it answers."""
        assert self._process is None, "the pooler is already started"
        log = self._folder / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                ["pgbouncer", str(self._config)],
                user=self._user,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin"},
            )
        wait_for(self._answers, START_TIMEOUT, what=f"PgBouncer answers; its log: {log}")
        return self

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"PgBouncer ended at once: {(self._folder / 'log').read_text()[-2000:]}"
        try:
            psycopg.connect(self.dsn, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """End it at once, clients or not."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            process.wait(START_TIMEOUT)

    def remove(self) -> None:
        """End it and delete its folder."""
        self.stop()
        shutil.rmtree(self._folder)


MakePgBouncer: TypeAlias = Callable[..., PgBouncer]


@pytest.fixture
def make_pgbouncer() -> Iterator[MakePgBouncer]:
    """Give a function that starts poolers: ``make_pgbouncer(dsn, pool_size=2)``."""
    made: list[PgBouncer] = []

    def make(server_dsn: str, *, pool_size: int) -> PgBouncer:
        made.append(PgBouncer(server_dsn, pool_size=pool_size))
        return made[-1].start()

    yield make
    for pooler in made:
        pooler.remove()
