"""From native partitions to hypertables, in place, with sinks at work: nothing lost, nothing doubled."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from depthgauge import stream
from depthgauge.errors import SchemaError
from depthgauge.secrets import Secret
from sink import convert
from sink.migrate import migrate
from sink.schema import Layout
from tests.plugins.history import contents
from tests.plugins.recount import assert_rollups_are_recounts
from tests.plugins.redis_server import RedisServer
from tests.plugins.sinks import MakeSink, make_snapshot, publish, select
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("redis-server", "timescaledb")

SERIES = "SELECT name FROM depthgauge.series ORDER BY name"


@pytest.fixture
def partitions(make_sink: MakeSink, redis_server: RedisServer, timescale_database: str) -> str:
    """A database with native partitions, filled for some days, rolled up."""
    migrate(Secret(timescale_database), layout=Layout.PARTITIONS)
    bus = redis_server.client()
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    for seq in range(1, 151):
        publish(bus, make_snapshot(seq, base=now, slot=now - timedelta(minutes=45 * (151 - seq))))
    sink = make_sink(timescale_database, redis_server.url, maintain_every=timedelta(0))
    wait_for(lambda: bus.xlen(stream.STREAM) == 0, 60)
    sink.stop()
    with psycopg.connect(timescale_database, autocommit=True) as connection:
        connection.execute("CALL depthgauge.maintain()")
        connection.execute("CREATE ROLE convert_reader")
        connection.execute("SELECT depthgauge.grant_reader('convert_reader')")
        connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    return timescale_database


@pytest.fixture(autouse=True)
def role(timescale_database: str) -> Any:
    """Roles belong to the server, not to the database."""
    yield
    with psycopg.connect(timescale_database, autocommit=True) as admin:
        if admin.execute("SELECT 1 FROM pg_roles WHERE rolname = 'convert_reader'").fetchone():
            admin.execute("DROP OWNED BY convert_reader")
            admin.execute("DROP ROLE convert_reader")


def test_all_rows_comments_and_grants_come_along(partitions: str) -> None:
    before = contents(partitions)
    assert len(before["snapshots"]) == 150
    assert len(before["worker_snapshots_1h"]) > 50

    told = migrate(Secret(partitions), layout=Layout.HYPERTABLES, dry_run=True)
    assert "turning partitions into hypertables" in told.notes
    assert select(partitions, "SELECT layout FROM depthgauge.installation") == [("partitions",)]
    report = migrate(Secret(partitions), layout=Layout.HYPERTABLES)

    assert report.layout is Layout.HYPERTABLES
    assert "copied 150 rows of snapshots" in report.notes
    assert contents(partitions) == before
    hypertables = select(partitions, "SELECT hypertable_name FROM timescaledb_information.hypertables ORDER BY 1")
    assert hypertables == select(partitions, SERIES)
    left = (
        "SELECT count(*) FROM pg_class WHERE relname LIKE '%partitions%' AND relnamespace = 'depthgauge'::regnamespace"
    )
    assert select(partitions, left) == [(0,)]
    assert select(
        partitions, "SELECT has_table_privilege('convert_reader', 'depthgauge.queue_metrics_1h', 'SELECT')"
    ) == [(True,)]
    assert select(partitions, "SELECT obj_description('depthgauge.snapshots'::regclass) LIKE 'Ledger:%'") == [(True,)]
    assert migrate(Secret(partitions)).notes == ()
    with pytest.raises(SchemaError, match=r"do not turn back"):
        migrate(Secret(partitions), layout=Layout.PARTITIONS)


def test_a_conversion_that_was_cut_off_goes_on_and_upkeep_waits_for_it(
    partitions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(partitions)
    copy_one = convert._copy_one
    copied: list[str] = []

    def fail_late(connection: psycopg.Connection[Any], name: str) -> int:
        if len(copied) == 7:
            connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        copied.append(name)
        return copy_one(connection, name)

    monkeypatch.setattr(convert, "_copy_one", fail_late)
    with pytest.raises(psycopg.OperationalError):
        migrate(Secret(partitions), layout=Layout.HYPERTABLES)
    monkeypatch.undo()
    with psycopg.connect(partitions, autocommit=True) as connection:
        connection.execute("TRUNCATE depthgauge.maintenance")
        connection.execute("CALL depthgauge.maintain()")
        assert connection.execute("SELECT count(*) FROM depthgauge.maintenance").fetchone() == (0,)
    # No flag: what has been begun is finished by any migrate.
    migrate(Secret(partitions))

    assert contents(partitions) == before
    with psycopg.connect(partitions, autocommit=True) as connection:
        connection.execute("CALL depthgauge.maintain()")
    assert contents(partitions) == before
    assert_rollups_are_recounts(partitions)


def test_sinks_go_on_while_it_converts(make_sink: MakeSink, redis_server: RedisServer, partitions: str) -> None:
    bus = redis_server.client()
    base = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=2)
    sink = make_sink(partitions, redis_server.url, batch_rows=10, maintain_every=timedelta(seconds=0.1))
    stop = threading.Event()
    sent: list[int] = []

    def feed() -> None:
        seq = 1000
        while not stop.wait(0.01):
            seq += 1
            # Some twice: the ledger may be among what is not copied yet.
            snapshot = make_snapshot(seq, base=base, slot=base + timedelta(seconds=7 * (seq - 1000)), run_id="second")
            publish(bus, *([snapshot] * (1 + seq % 2)))
            sent.append(seq)

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    wait_for(lambda: len(sent) > 30)
    migrate(Secret(partitions), layout=Layout.HYPERTABLES)
    enough = len(sent) + 50
    wait_for(lambda: len(sent) > enough)
    stop.set()
    feeder.join(10)
    wait_for(lambda: bus.xlen(stream.STREAM) == 0, 60)
    sink.stop()

    ledger = select(partitions, "SELECT run_id, seq FROM depthgauge.snapshots ORDER BY 1, 2")
    assert ledger == [("r1", seq) for seq in range(1, 151)] + [("second", seq) for seq in sent]
    assert select(partitions, "SELECT count(*) FROM depthgauge.queue_metrics") == [(150 + len(sent),)]

    def rolled_up() -> bool:
        with psycopg.connect(partitions, autocommit=True) as connection:
            connection.execute("CALL depthgauge.maintain()")
            return connection.execute("SELECT count(*) FROM depthgauge.dirty_buckets").fetchone() == (0,)

    wait_for(rolled_up, 20)
    assert_rollups_are_recounts(partitions)


def test_a_step_of_upkeep_that_has_begun_is_waited_for(
    make_sink: MakeSink, redis_server: RedisServer, partitions: str
) -> None:
    bus = redis_server.client()
    base = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=2)
    publish(bus, *(make_snapshot(seq, base=base, slot=base + timedelta(seconds=seq)) for seq in range(151, 161)))
    sink = make_sink(partitions, redis_server.url, maintain_every=timedelta(0))
    wait_for(lambda: bus.xlen(stream.STREAM) == 0, 60)
    sink.stop()
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    turning = threading.Thread(target=migrate, args=(Secret(partitions),), kwargs={"layout": Layout.HYPERTABLES})
    with psycopg.connect(partitions) as upkeep:
        assert upkeep.execute("SELECT depthgauge.take_turn()").fetchone() == (True,)
        turning.start()
        wait_for(lambda: select(partitions, waiting) == [(1,)], 20, what="migrate waits for the step's end")
        # The same transaction: it takes the marks of rows that would be in the tables set aside by now.
        assert upkeep.execute("SELECT depthgauge.roll_up_some(1000) > 0").fetchone() == (True,)
    turning.join(60)
    assert select(partitions, "SELECT layout FROM depthgauge.installation") == [("hypertables",)]
    with psycopg.connect(partitions, autocommit=True) as connection:
        connection.execute("CALL depthgauge.maintain()")
    assert_rollups_are_recounts(partitions)
