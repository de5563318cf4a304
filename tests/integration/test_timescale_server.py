"""The TimescaleDB server that the tests run on is a real one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.plugins.timescale_server import TimescaleServer
from tests.plugins.trixie import find_trixie
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("timescaledb", "root")

KILLED_RUN = """
from tests.plugins.timescale_server import TimescaleServer
from tests.plugins.trixie import find_trixie
import signal
server = TimescaleServer(find_trixie(), "killed").start()
print(server.pid, server.folder, flush=True)
signal.pause()
"""


def test_a_hypertable_can_be_made_and_the_edition_is_apache(timescale_database: str) -> None:
    with psycopg.connect(timescale_database, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION timescaledb")
        connection.execute("CREATE TABLE t (at timestamptz NOT NULL, v bigint)")
        connection.execute("SELECT create_hypertable('t', by_range('at'))")
        connection.execute("INSERT INTO t SELECT now() - n * interval '1 day', n FROM generate_series(1, 30) n")
        row = connection.execute("SELECT count(*) FROM show_chunks('t')").fetchone()
        assert row is not None
        assert row[0] > 3
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            connection.execute("ALTER TABLE t SET (timescaledb.compress)")


def test_databases_are_fresh_and_dropped(timescale_server_dsn: str, timescale_database: str) -> None:
    with psycopg.connect(timescale_database) as connection:
        row = connection.execute("SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'").fetchone()
    with psycopg.connect(timescale_server_dsn) as admin:
        left = admin.execute("SELECT datname FROM pg_database WHERE datname LIKE 'depthgauge_test_%'").fetchall()
    assert row == (0,)
    assert len(left) == 1


def test_a_server_can_be_frozen_stopped_and_started_again(own_timescale_server: TimescaleServer) -> None:
    server = own_timescale_server
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (v int)")
    server.freeze()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.dsn, connect_timeout=2)
    server.thaw()
    with psycopg.connect(server.dsn) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    server.stop()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.dsn, connect_timeout=2)
    server.start()
    with psycopg.connect(server.dsn) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_the_server_dies_with_a_test_run_that_is_killed() -> None:
    trixie = find_trixie()
    assert trixie is not None
    tests = Path(__file__).resolve().parents[2]
    run = subprocess.Popen([sys.executable, "-c", KILLED_RUN], cwd=tests, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    with run.stdout:
        pid, folder = run.stdout.readline().split()
        server = psutil.Process(int(pid))
        run.send_signal(signal.SIGKILL)
        run.wait(10)
    wait_for(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE, 20, what="the server is gone")
    # The next server that starts removes what the killed run left.
    assert Path(folder).exists()
    other = TimescaleServer(trixie, f"after-{os.getpid()}")
    try:
        other.start()
        assert not Path(folder).exists()
    finally:
        other.remove()
    assert not other.folder.exists()
