"""A standby of a plain PostgreSQL, for failovers: a copy of its data that follows it, and takes over when promoted."""

import subprocess
from collections.abc import Callable, Iterator
from typing import TypeAlias

import psutil
import psycopg
import pytest

from tests.plugins.postgres import START_TIMEOUT, PostgresServer, binaries
from tests.plugins.waiting import wait_for


class Standby(PostgresServer):
    """Follows ``primary``, which waits for it with every commit that asks for that; read-only until promoted."""

    def __init__(self, primary: PostgresServer) -> None:
        super().__init__()
        subprocess.run(
            [
                *(binaries(self._top) / "pg_basebackup", "--pgdata", self._data, "--dbname", primary.dsn),
                *("--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"),
            ],
            user=self._user,
            cwd=self._top,
            check=True,
            capture_output=True,
            timeout=START_TIMEOUT,
        )
        self.start()
        with psycopg.connect(primary.dsn, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
            wait_for(
                lambda: connection.execute("SELECT sync_state FROM pg_stat_replication").fetchall() == [("sync",)],
                START_TIMEOUT,
                what="the standby follows",
            )

    def promote(self) -> None:
        """Make it the primary."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            # Nobody follows this one, so nobody is waited for.
            connection.execute("SELECT pg_promote()")
            connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
            connection.execute("SELECT pg_reload_conf()")


def kill(server: PostgresServer) -> None:
    """Kill -9 all of a server's processes; it may be started again."""
    postmaster = psutil.Process(server.pid)
    processes = [postmaster, *postmaster.children()]
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, timeout=10)
    server.stop()


def start_demoted(server: PostgresServer) -> None:
    """Start a former primary as a server that takes no writes."""
    (server._data / "standby.signal").touch()
    server.start()


MakeStandby: TypeAlias = Callable[[PostgresServer], Standby]


@pytest.fixture
def make_standby() -> Iterator[MakeStandby]:
    """Give a function that makes standbys of servers."""
    made: list[Standby] = []

    def make(primary: PostgresServer) -> Standby:
        made.append(Standby(primary))
        return made[-1]

    yield make
    for standby in made:
        standby.remove()
