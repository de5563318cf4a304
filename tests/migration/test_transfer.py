"""From one database to another: by ``migrate --copy-from-file`` between editions, by pg_dump within one version."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import conninfo

from depthgauge import stream
from depthgauge.secrets import Secret
from sink import transfer as transfers
from sink.migrate import migrate
from sink.transfer import transfer
from tests.plugins.history import contents, maintain
from tests.plugins.recount import assert_rollups_are_recounts
from tests.plugins.redis_server import RedisServer
from tests.plugins.sinks import MakeSink, make_snapshot, publish, select
from tests.plugins.timescale_server import ENVIRONMENT, TimescaleServer
from tests.plugins.trixie import POSTGRES_BIN
from tests.plugins.waiting import wait_for

pytestmark = [pytest.mark.needs("redis-server", "timescaledb")]

NOW = datetime.now(UTC).replace(second=0, microsecond=0)


def feed(make_sink: MakeSink, bus: RedisServer, dsn: str, seqs: range) -> None:
    """Let a sink write snapshots of some days."""
    client = bus.client()
    publish(client, *(make_snapshot(seq, base=NOW, slot=NOW - timedelta(minutes=45 * (150 - seq))) for seq in seqs))
    sink = make_sink(dsn, bus.url, batch_rows=200, maintain_every=timedelta(0))
    wait_for(lambda: client.xlen(stream.STREAM) == 0, 60)
    sink.stop()


@pytest.fixture
def apache(make_sink: MakeSink, redis_server: RedisServer, timescale_database: str) -> str:
    """A database of the Apache edition with some days in it, the newest hours not rolled up yet."""
    migrate(Secret(timescale_database))
    feed(make_sink, redis_server, timescale_database, range(1, 121))
    maintain(timescale_database)
    feed(make_sink, redis_server, timescale_database, range(121, 131))
    with psycopg.connect(timescale_database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO depthgauge.performance_metrics (host, kind, target, recorded_at, response_sum, response_histogram)"
            " VALUES ('h', 'probe', 'site', %s, 0.1, '{1,2,3}'), ('h', 'probe', 'tiny', %s, 1e-300, NULL)",
            (NOW - timedelta(days=1), NOW - timedelta(days=1)),
        )
        connection.execute(
            "UPDATE depthgauge.series SET dropped_before = %s WHERE class = 'raw'", (NOW - timedelta(days=20),)
        )
    return timescale_database


@pytest.mark.needs("community")
def test_from_apache_to_community_by_the_command(
    make_sink: MakeSink, redis_server: RedisServer, apache: str, community_database: str, tmp_path: Path
) -> None:
    before = contents(apache)
    source, config = tmp_path / "old.dsn", tmp_path / "depthgauge.toml"
    source.write_text(f"{apache}\n")
    config.write_text(f'[sink]\ndsn = "{community_database}"\n')
    command = [
        sys.executable,
        "-m",
        "cli.main",
        "migrate",
        "--config.file",
        str(config),
        "--copy-from-file",
        str(source),
    ]

    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)

    assert done.returncode == 0, done.stderr
    assert "copied 130 rows of snapshots" in done.stdout
    assert contents(community_database) == before
    assert select(community_database, "SELECT count(*) FROM depthgauge.series WHERE dropped_before IS NOT NULL") == [
        (5,)
    ]
    again = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert "copied 0 rows in all" in again.stdout, again.stderr
    # What was marked is rolled up there, old days go into the columnstore, and the sink goes on.
    maintain(community_database)
    assert select(
        community_database, "SELECT count(*) > 0 FROM timescaledb_information.chunks WHERE is_compressed"
    ) == [(True,)]
    feed(make_sink, redis_server, community_database, range(125, 151))
    maintain(community_database)
    assert select(community_database, "SELECT count(*), max(seq) FROM depthgauge.snapshots") == [(150, 150)]
    with psycopg.connect(community_database, autocommit=True) as connection:
        connection.execute("DELETE FROM depthgauge.performance_metrics")
    assert_rollups_are_recounts(community_database)


@pytest.mark.needs("postgres")
def test_from_plain_to_timescaledb_on_another_server_and_a_cut_is_made_good(
    make_sink: MakeSink,
    redis_server: RedisServer,
    postgres_database: str,
    timescale_database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    migrate(Secret(postgres_database))
    feed(make_sink, redis_server, postgres_database, range(1, 151))
    maintain(postgres_database)
    migrate(Secret(timescale_database))
    copy_day = transfers._copy_day
    days: list[Any] = []

    def fail(old: Any, new: Any, *where: Any) -> int:
        if len(days) == 8:
            new.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        days.append(where)
        return copy_day(old, new, *where)

    monkeypatch.setattr(transfers, "_copy_day", fail)
    with pytest.raises(psycopg.OperationalError):
        transfer(Secret(postgres_database), Secret(timescale_database), lambda _: None)
    monkeypatch.undo()
    told: list[str] = []
    transfer(Secret(postgres_database), Secret(timescale_database), told.append)

    assert contents(timescale_database) == contents(postgres_database)
    assert len(told) == len(contents(postgres_database))
    maintain(timescale_database)
    assert_rollups_are_recounts(timescale_database)


@pytest.mark.needs("root")
def test_dump_and_restore_within_one_version(
    make_sink: MakeSink, redis_server: RedisServer, own_timescale_server: TimescaleServer
) -> None:
    """As docs/database.md says it, with the real pg_dump and pg_restore."""
    server = own_timescale_server
    old, new = (conninfo.make_conninfo(server.dsn, dbname=name) for name in ("old", "new"))
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute("CREATE DATABASE old")
        admin.execute("CREATE DATABASE new")
    migrate(Secret(old))
    feed(make_sink, redis_server, old, range(1, 131))
    maintain(old)
    before = contents(old)

    def run(tool: str, *args: str) -> None:
        done = subprocess.run(
            server._inside(f"{POSTGRES_BIN}/{tool}", *args),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            env=ENVIRONMENT,
        )
        assert done.returncode == 0, done.stderr

    dump = f"{server._data}/history.dump"
    run("pg_dump", "--format=custom", f"--file={dump}", f"--dbname={old}")
    with psycopg.connect(new, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION timescaledb")
        connection.execute("SELECT timescaledb_pre_restore()")
    run("pg_restore", "--no-owner", f"--dbname={new}", dump)
    with psycopg.connect(new, autocommit=True) as connection:
        connection.execute("SELECT timescaledb_post_restore()")
    migrate(Secret(new))

    assert contents(new) == before
    feed(make_sink, redis_server, new, range(125, 151))
    maintain(new)
    assert select(new, "SELECT count(*), max(seq) FROM depthgauge.snapshots") == [(150, 150)]
    assert_rollups_are_recounts(new)
