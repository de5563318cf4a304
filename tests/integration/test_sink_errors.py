"""What a human has to mend in the database: the log says what it is and what to do, and no snapshot is lost meanwhile."""

import contextlib
import logging
import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo, sql

from depthgauge import stream
from depthgauge.secrets import Secret
from sink.migrate import migrate
from tests.plugins.postgres import SYSTEM_USER, PostgresServer
from tests.plugins.redis_server import RedisServer
from tests.plugins.sinks import MakeSink, RunningSink, make_snapshot, publish, recent_slot, select, sequence
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("redis-server", "postgres")


@pytest.fixture
def server(own_postgres_server: PostgresServer) -> PostgresServer:
    """A migrated PostgreSQL of the test's own."""
    migrate(Secret(own_postgres_server.dsn))
    return own_postgres_server


def drained(bus_server: RedisServer) -> None:
    bus = bus_server.client()
    wait_for(lambda: bus.xlen(stream.STREAM) == 0, 60, what="the sink has drained the stream")


class Story:
    """A sink that has written snapshot 1, then meets something wrong with 2, and writes both once that is mended."""

    def __init__(self, sink: RunningSink, bus_server: RedisServer, dsn: str, log: pytest.LogCaptureFixture) -> None:
        self.sink = sink
        self._bus_server = bus_server
        self._dsn = dsn
        self._log = log
        self._base = recent_slot()
        publish(bus_server.client(), make_snapshot(1, base=self._base))
        wait_for(lambda: sink.count("snapshots_committed_total") == 1, 20)
        log.clear()

    def goes_wrong(self, *, reason: str, words: str, stopped: bool) -> None:
        """Publish, and expect the sink to say so."""
        publish(self._bus_server.client(), make_snapshot(2, base=self._base))
        wait_for(lambda: self.sink.count("retries_total", reason=reason) >= 1, 20, what=f"a retry for {reason}")
        wait_for(lambda: words in self._log.text, what=f"the log says {words!r}")
        wait_for(lambda: self.sink.count("stopped") == stopped, what=f"stopped is {stopped}")
        assert self.sink.count("database_up") == 0
        assert self.sink.running

    def is_mended(self) -> None:
        """Expect that nothing was lost."""
        drained(self._bus_server)
        assert sequence(self._dsn) == [1, 2]
        assert self.sink.count("stopped") == 0
        assert self._bus_server.client().xlen(stream.QUARANTINE) == 0


def test_a_server_that_has_become_read_only(
    make_sink: MakeSink, redis_server: RedisServer, server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    story = Story(make_sink(server.dsn, redis_server.url), redis_server, server.dsn, caplog)
    with psycopg.connect(server.dsn, autocommit=True) as owner:
        owner.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        owner.execute("SELECT pg_reload_conf()")
        story.goes_wrong(reason="read_only", words="name all servers in sink.dsn", stopped=False)
        owner.execute("ALTER SYSTEM RESET default_transaction_read_only")
        owner.execute("SELECT pg_reload_conf()")
    story.is_mended()


def test_a_table_that_is_gone(
    make_sink: MakeSink, redis_server: RedisServer, server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    story = Story(make_sink(server.dsn, redis_server.url), redis_server, server.dsn, caplog)
    with psycopg.connect(server.dsn, autocommit=True) as owner:
        # Away with it, but so that it can come back as from a backup.
        owner.execute("ALTER TABLE depthgauge.worker_snapshots SET SCHEMA public")
        story.goes_wrong(reason="schema", words="run `depthgauge migrate`", stopped=True)
        assert "has to come from a backup" in caplog.text
        owner.execute("ALTER TABLE public.worker_snapshots SET SCHEMA depthgauge")
    story.is_mended()


def test_a_right_that_was_revoked(
    make_sink: MakeSink, redis_server: RedisServer, server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as owner:
        owner.execute("CREATE ROLE writer LOGIN")
        owner.execute("SELECT depthgauge.grant_writer('writer')")
        dsn = server.dsn.replace("postgres@", "writer@")
        story = Story(make_sink(dsn, redis_server.url), redis_server, server.dsn, caplog)
        owner.execute("REVOKE INSERT ON depthgauge.queue_metrics FROM writer")
        story.goes_wrong(reason="privileges", words="depthgauge.grant_writer(", stopped=True)
        owner.execute("SELECT depthgauge.grant_writer('writer')")
    story.is_mended()


def test_a_schema_from_the_future(
    make_sink: MakeSink, redis_server: RedisServer, server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody runs a newer migrate while the sink runs, with its connection open."""
    story = Story(make_sink(server.dsn, redis_server.url), redis_server, server.dsn, caplog)
    with psycopg.connect(server.dsn, autocommit=True) as owner:
        owner.execute("UPDATE depthgauge.installation SET schema_version = schema_version + 900")
        story.goes_wrong(reason="schema", words="upgrade it", stopped=True)
        assert sequence(server.dsn) == [1]
        owner.execute("UPDATE depthgauge.installation SET schema_version = schema_version - 900")
    story.is_mended()


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """Give a folder of 64 MiB that the server may write to."""
    # Not below the run's own temporary folder, which the server's user cannot enter.
    folder = Path(f"/mnt/depthgauge-{os.getpid()}")
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=777", "tmpfs", folder], check=True, timeout=20)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True, timeout=20)
        folder.rmdir()


def fill(file: Path) -> None:
    """Write until the disk is full."""
    with file.open("wb", buffering=0) as into, contextlib.suppress(OSError):
        while True:
            into.write(b"x" * 4096)
    assert os.statvfs(file).f_bavail == 0


@pytest.mark.needs("root", "tmpfs")
def test_a_disk_that_is_full(
    make_sink: MakeSink,
    redis_server: RedisServer,
    own_postgres_server: PostgresServer,
    small_disk: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    dsn = own_postgres_server.dsn
    place = small_disk / "data"
    place.mkdir()
    owner = pwd.getpwnam(SYSTEM_USER)
    os.chown(place, owner.pw_uid, owner.pw_gid)
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE TABLESPACE small LOCATION {}").format(str(place)))
        admin.execute("ALTER DATABASE postgres SET default_tablespace = small")
    migrate(Secret(dsn))
    bus = redis_server.client()
    base = recent_slot(back=200)
    sink = make_sink(dsn, redis_server.url)
    publish(bus, make_snapshot(1, base=base))
    wait_for(lambda: sink.count("snapshots_committed_total") == 1, 20)
    filler = small_disk / "filler"
    fill(filler)
    publish(bus, *(make_snapshot(seq, base=base) for seq in range(2, 502)))
    wait_for(lambda: sink.count("retries_total", reason="disk_full") >= 1, 30)
    wait_for(lambda: "make room on the database's disk" in caplog.text)
    filler.unlink()
    drained(redis_server)

    assert sequence(dsn) == list(range(1, 502))
    assert sink.count("snapshots_quarantined_total", reason="refused") == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dbname": "nowhere"}, 'database "nowhere" does not exist'),
        ({"user": "nobody_there"}, 'role "nobody_there" does not exist'),
        ({"host": "no-such-host.invalid"}, "no-such-host.invalid"),
        ({"port": "1"}, "refused"),
    ],
)
def test_no_connection_says_what_the_server_or_the_resolver_says(
    *,
    change: dict[str, str],
    words: str,
    make_sink: MakeSink,
    redis_server: RedisServer,
    postgres_database: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink = make_sink(conninfo.make_conninfo(postgres_database, **change), redis_server.url)
    wait_for(lambda: sink.count("retries_total", reason="connect") >= 1, 20)

    assert words in caplog.text
    assert "user, password and database in sink.dsn" in caplog.text
    assert sink.running


@pytest.mark.needs("timescaledb")
def test_a_wrong_password_is_told_and_not_shown(
    make_sink: MakeSink, redis_server: RedisServer, timescale_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    sink = make_sink(conninfo.make_conninfo(timescale_database, password="hunter2"), redis_server.url)
    wait_for(lambda: sink.count("retries_total", reason="connect") >= 1, 20)

    assert "password authentication failed" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_role_without_a_connection_left(
    make_sink: MakeSink, redis_server: RedisServer, server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as owner:
        owner.execute("CREATE ROLE writer LOGIN CONNECTION LIMIT 0")
        owner.execute("SELECT depthgauge.grant_writer('writer')")
        publish(redis_server.client(), make_snapshot(1, base=recent_slot()))
        sink = make_sink(server.dsn.replace("postgres@", "writer@"), redis_server.url)
        wait_for(lambda: sink.count("retries_total", reason="connect") >= 1, 20)
        assert "too many connections for role" in caplog.text
        owner.execute("ALTER ROLE writer CONNECTION LIMIT 5")
    drained(redis_server)

    assert select(server.dsn, "SELECT count(*) FROM depthgauge.snapshots") == [(1,)]


@pytest.mark.parametrize("slot", ["the same", "rows without their ledger"])
def test_rows_that_are_there_already_are_never_doubled(
    slot: str, make_sink: MakeSink, redis_server: RedisServer, database: str
) -> None:
    """Whoever deletes rows by hand leaves others behind: they are written around, not stumbled over."""
    base = recent_slot()
    sink = make_sink(database, redis_server.url)
    publish(redis_server.client(), make_snapshot(4, base=base))
    drained(redis_server)
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("DELETE FROM depthgauge.snapshots")
        if slot == "rows without their ledger":
            owner.execute("DELETE FROM depthgauge.queue_metrics")
    publish(redis_server.client(), make_snapshot(4, base=base, run_id="r2"), make_snapshot(5, base=base, run_id="r2"))
    drained(redis_server)

    assert sequence(database) == [4, 5]
    assert select(database, "SELECT count(*) FROM depthgauge.worker_snapshots") == [(2,)]
    assert select(database, "SELECT count(*) FROM depthgauge.queue_metrics") == [(2,)]
    assert sink.count("snapshots_collided_total") == (1 if slot == "the same" else 0)
    assert sink.count("snapshots_quarantined_total", reason="refused") == 0
