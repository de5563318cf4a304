"""Upkeep beside everything else: other sessions, other sinks, ordinary roles, a database that is away."""

import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import conninfo

from depthgauge import stream
from depthgauge.secrets import Secret
from sink.migrate import migrate
from sink.settings import Retention
from tests.plugins.postgres import PostgresServer
from tests.plugins.recount import assert_rollups_are_recounts
from tests.plugins.redis_server import RedisServer
from tests.plugins.sinks import MakeSink, RunningSink, make_snapshot, publish, recent_slot, select
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("redis-server")

SECOND = timedelta(seconds=1)

ROW = (
    "INSERT INTO depthgauge.queue_metrics (host, recorded_at, pending_jobs) VALUES ('web-1', %s, %s);"
    "INSERT INTO depthgauge.dirty_buckets (rollup, bucket) VALUES ('queue_metrics_5m', date_bin('5 minutes', %s, 'epoch'))"
)


def rows(connection: psycopg.Connection[Any], moment: datetime, number: int) -> None:
    """Add a row and its mark, in the transaction that is open."""
    first, second = ROW.split(";")
    connection.execute(first.encode(), (moment, number))
    connection.execute(second.encode(), (moment,))


def ready(dsn: str, moment: datetime) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        if connection.execute("SELECT layout FROM depthgauge.installation").fetchone() == ("partitions",):
            connection.execute("SELECT depthgauge.ensure_partitions(%s)", ([moment.date()],))


def test_a_row_that_is_not_committed_yet_keeps_its_mark(database: str) -> None:
    """The mark of an earlier row of the same bucket is worked off while a second row waits for its commit."""
    moment = recent_slot()
    ready(database, moment)
    with psycopg.connect(database) as early, psycopg.connect(database) as late:
        rows(early, moment, 1)
        early.commit()
        rows(late, moment + SECOND, 2)
        with psycopg.connect(database, autocommit=True) as other:
            other.execute("CALL depthgauge.maintain()")
            assert other.execute("SELECT pending_jobs_sum FROM depthgauge.queue_metrics_5m").fetchall() == [(1,)]
            late.commit()
            other.execute("CALL depthgauge.maintain()")
            assert other.execute("SELECT pending_jobs_sum, samples FROM depthgauge.queue_metrics_5m").fetchall() == [
                (3, 2)
            ]
            assert other.execute("SELECT pending_jobs_sum FROM depthgauge.queue_metrics_1h").fetchall() == [(3,)]


def test_many_at_once_while_sinks_write(make_sink: MakeSink, redis_server: RedisServer, database: str) -> None:
    base = recent_slot(back=60)
    bus = redis_server.client()
    sinks = [
        make_sink(database, redis_server.url, consumer=name, batch_rows=15, maintain_every=SECOND / 10) for name in "ab"
    ]
    done = threading.Event()
    failures: list[BaseException] = []

    def maintain() -> None:
        try:
            with psycopg.connect(database, autocommit=True) as connection:
                while not done.is_set():
                    connection.execute("CALL depthgauge.maintain()")
        except psycopg.Error as exc:
            failures.append(exc)

    threads = [threading.Thread(target=maintain, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for seq in range(1, 301):
        publish(bus, make_snapshot(seq, base=base, host=f"web-{seq % 3}"))
    wait_for(lambda: bus.xlen(stream.STREAM) == 0, 60)
    done.set()
    for thread in threads:
        thread.join(30)
    assert failures == []
    for sink in sinks:
        assert (
            sink.sink.telemetry.registry.get_sample_value("depthgauge_sink_retries_total", {"reason": "serialization"})
            == 0
        )
        sink.stop()
    with psycopg.connect(database, autocommit=True) as connection:

        def done_with_all() -> bool:
            # A session that a sink has cut off may be at its last step still: a call beside it does nothing.
            connection.execute("CALL depthgauge.maintain()")
            return connection.execute("SELECT count(*) FROM depthgauge.dirty_buckets").fetchone() == (0,)

        wait_for(done_with_all, 20)
    assert assert_rollups_are_recounts(database)["worker_snapshots_5m"] > 0
    assert select(database, "SELECT sum(samples) FROM depthgauge.queue_metrics_5m") == [(300,)]


def test_a_partition_that_somebody_reads_is_dropped_next_time(database: str) -> None:
    old = datetime.now(UTC) - timedelta(days=40)
    ready(database, old)
    with psycopg.connect(database) as connection:
        rows(connection, old, 1)
    with psycopg.connect(database) as reader, psycopg.connect(database, autocommit=True) as other:
        reader.execute("SELECT count(*) FROM depthgauge.queue_metrics")
        other.execute("SET lock_timeout = '200ms'")
        told: list[str] = []
        other.add_notice_handler(lambda notice: told.append(str(notice.message_primary)))
        other.execute("CALL depthgauge.maintain()")
        assert any("queue_metrics is in use by somebody else" in text for text in told)
        assert other.execute("SELECT count(*) FROM depthgauge.queue_metrics").fetchall() == [(1,)]
        reader.rollback()
        other.execute("CALL depthgauge.maintain()")
        assert other.execute("SELECT count(*) FROM depthgauge.queue_metrics").fetchall() == [(0,)]
        assert other.execute("SELECT sum(pending_jobs_sum) FROM depthgauge.queue_metrics_1h").fetchall() == [(1,)]


def test_the_budget_leaves_the_rest_to_the_next_call(database: str) -> None:
    moment = recent_slot()
    ready(database, moment)
    with psycopg.connect(database, autocommit=True) as connection:
        rows(connection, moment, 1)
        connection.execute("CALL depthgauge.maintain(0)")
        assert connection.execute("SELECT count(*) FROM depthgauge.maintenance").fetchall() == [(0,)]
        assert connection.execute("SELECT count(*) FROM depthgauge.queue_metrics_5m").fetchall() == [(1,)]
        connection.execute(
            "INSERT INTO depthgauge.dirty_buckets (rollup, bucket) VALUES ('of an older version', %s)", (moment,)
        )
        connection.execute("CALL depthgauge.maintain()")
        assert connection.execute("SELECT count(*) FROM depthgauge.queue_metrics_1h").fetchall() == [(1,)]
        assert connection.execute("SELECT count(*) FROM depthgauge.dirty_buckets").fetchall() == [(0,)]


def seen(sink: RunningSink, name: str, **labels: str) -> float | None:
    return sink.sink.telemetry.registry.get_sample_value(f"depthgauge_sink_{name}", labels)


def test_a_sink_with_the_writers_rights_does_the_upkeep_and_tells(
    make_sink: MakeSink, redis_server: RedisServer, database: str
) -> None:
    base = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("CREATE ROLE upkeep_writer LOGIN PASSWORD 'secret'")
        owner.execute("SELECT depthgauge.grant_writer('upkeep_writer')")
    try:
        dsn = conninfo.make_conninfo(database, user="upkeep_writer", password="secret")
        publish(redis_server.client(), *(make_snapshot(seq, base=base) for seq in (1, 2, 3, 6, 7)))
        sink = make_sink(dsn, redis_server.url, maintain_every=SECOND / 2)
        wait_for(lambda: select(database, "SELECT sum(samples) FROM depthgauge.queue_metrics_1h") == [(5,)], 20)
        wait_for(lambda: seen(sink, "dirty_buckets") == 0)
        assert seen(sink, "maintenance_last_success_timestamp_seconds", step="all") == pytest.approx(
            datetime.now(UTC).timestamp(), abs=20
        )
        wait_for(lambda: (seen(sink, "chunks", table="queue_metrics", storage="row") or 0) >= 1)
        assert seen(sink, "columnstore_due_chunks") == 0
        assert (
            sum(seen(sink, "maintenance_failures_total", reason=kind) or 0 for kind in ("schema", "data", "other")) == 0
        )
        sink.stop()
        again = make_sink(dsn, redis_server.url, maintain_every=SECOND / 2)
        wait_for(lambda: seen(again, "gap_snapshots", state="open") == 2, 20)
        assert seen(again, "gap_snapshots", state="lost") == 0
        again.stop()
        with psycopg.connect(dsn, autocommit=True) as writer:
            for forbidden in (
                "DELETE FROM depthgauge.queue_metrics_1h",
                "SELECT depthgauge.drop_before('snapshots', now())",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    writer.execute(forbidden.encode())
    finally:
        with psycopg.connect(database, autocommit=True) as owner:
            owner.execute("DROP OWNED BY upkeep_writer")
            owner.execute("DROP ROLE upkeep_writer")


def test_one_sink_of_several_calls_it(make_sink: MakeSink, redis_server: RedisServer, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("CALL depthgauge.maintain()")
        finished = owner.execute("SELECT finished_at FROM depthgauge.maintenance WHERE step = 'all'").fetchone()
    sinks = [make_sink(database, redis_server.url, consumer=name, maintain_every=timedelta(hours=1)) for name in "ab"]
    for sink in sinks:
        wait_for(lambda: seen(sink, "maintenance_last_success_timestamp_seconds", step="all") is not None, 20)  # noqa: B023  used at once
    assert [finished] == select(database, "SELECT finished_at FROM depthgauge.maintenance WHERE step = 'all'")


def test_a_retention_that_migrate_was_not_told_is_named(
    make_sink: MakeSink, redis_server: RedisServer, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    make_sink(database, redis_server.url, retention=Retention(raw=timedelta(days=3)))
    wait_for(lambda: "keeps raw for another time" in caplog.text and "depthgauge migrate" in caplog.text)


@pytest.mark.needs("postgres")
def test_upkeep_that_fails_is_counted_and_snapshots_go_on(
    make_sink: MakeSink,
    redis_server: RedisServer,
    own_postgres_server: PostgresServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    dsn = own_postgres_server.dsn
    migrate(Secret(dsn))
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("ALTER FUNCTION depthgauge.roll_up_some(bigint) RENAME TO roll_up_none")
        sink = make_sink(dsn, redis_server.url, maintain_every=SECOND / 5)
        publish(redis_server.client(), make_snapshot(1, base=recent_slot()))
        wait_for(lambda: sink.count("snapshots_committed_total") == 1)
        wait_for(lambda: (seen(sink, "maintenance_failures_total", reason="schema") or 0) >= 2)
        assert caplog.text.count("upkeep of the database failed") == 1
        owner.execute("ALTER FUNCTION depthgauge.roll_up_none(bigint) RENAME TO roll_up_some")
    wait_for(lambda: select(dsn, "SELECT sum(samples) FROM depthgauge.queue_metrics_1h") == [(1,)])
    wait_for(lambda: "upkeep of the database works again" in caplog.text)


@pytest.mark.needs("postgres")
def test_upkeep_on_a_frozen_server_holds_up_nothing(
    make_sink: MakeSink, redis_server: RedisServer, own_postgres_server: PostgresServer
) -> None:
    dsn = own_postgres_server.dsn
    migrate(Secret(dsn))
    with psycopg.connect(dsn) as blocker:
        blocker.execute("LOCK TABLE depthgauge.maintenance IN ACCESS EXCLUSIVE MODE")
        sink = make_sink(dsn, redis_server.url, maintain_every=SECOND / 5)
        publish(redis_server.client(), make_snapshot(1, base=recent_slot()))
        wait_for(lambda: sink.count("snapshots_committed_total") == 1)
        started = datetime.now(UTC)
        sink.stop()
        assert datetime.now(UTC) - started < 2 * SECOND
