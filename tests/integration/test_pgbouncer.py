"""Sinks behind PgBouncer in transaction mode: no session is theirs, and it goes away in between."""

import logging
from datetime import timedelta

import psycopg
import pytest

from depthgauge import stream
from depthgauge.secrets import Secret
from sink.retention import Horizon
from sink.rows import rows_of
from sink.verdict import Verdict, reason, verdict
from sink.write import Writer
from tests.plugins.pgbouncer import MakePgBouncer
from tests.plugins.redis_server import RedisServer
from tests.plugins.sinks import MakeSink, make_snapshot, publish, recent_slot, select, sequence
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("redis-server", "pgbouncer")


@pytest.mark.parametrize("pool_size", [1, 2])
def test_two_sinks_write_each_snapshot_once(
    *,
    pool_size: int,
    make_sink: MakeSink,
    make_pgbouncer: MakePgBouncer,
    redis_server: RedisServer,
    database: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    pooler = make_pgbouncer(database, pool_size=pool_size)
    base = recent_slot(back=120)
    bus = redis_server.client()
    # Small batches: far more transactions than it takes until a statement would be prepared.
    sinks = [
        make_sink(pooler.dsn, redis_server.url, consumer=name, batch_rows=8, batch_seconds=0.02, claim_after=5.0)
        for name in "ab"
    ]
    publish(bus, *(make_snapshot(seq, base=base) for seq in range(1, 201)))
    wait_for(lambda: len(sequence(database)) >= 60, 30)
    pooler.stop()
    wait_for(lambda: all(sink.count("database_up") == 0 for sink in sinks), 30)
    publish(bus, *(make_snapshot(seq, base=base) for seq in range(201, 401)))
    pooler.start()
    wait_for(lambda: bus.xlen(stream.STREAM) == 0, 60, what="the sinks have drained the stream")

    assert sequence(database) == list(range(1, 401))
    assert select(database, "SELECT count(*), sum(pending) FROM depthgauge.worker_snapshots") == [
        (400, sum(range(1, 401)))
    ]
    assert sum(sink.count("snapshots_committed_total") for sink in sinks) == 400
    assert all(sink.count("snapshots_committed_total") > 0 for sink in sinks)
    assert all(sink.count("retries_total", reason="prepared") == 0 for sink in sinks)
    assert caplog.text.count("reached through a pooler") == 2


def test_nothing_is_left_in_a_session(
    make_sink: MakeSink, make_pgbouncer: MakePgBouncer, redis_server: RedisServer, database: str
) -> None:
    pooler = make_pgbouncer(database, pool_size=1)
    settings = (
        "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), current_setting('timezone')"
    )
    untouched = select(database, settings)
    publish(redis_server.client(), *(make_snapshot(seq, base=recent_slot()) for seq in range(1, 11)))
    sink = make_sink(pooler.dsn, redis_server.url, maintain_every=timedelta(seconds=0.2))
    wait_for(lambda: sink.count("snapshots_committed_total") == 10, 20)
    # The upkeep commits within its CALL, which keeps its session until it is through.
    wait_for(lambda: select(database, "SELECT sum(samples) FROM depthgauge.queue_metrics_1h") == [(10,)], 20)
    wait_for(lambda: sink.count("maintenance_last_success_timestamp_seconds", step="all") > 0, 20)

    with psycopg.connect(pooler.dsn) as other:
        # The pool has one session: this is the one that the sink has used.
        assert other.execute(settings).fetchall() == untouched
        assert other.execute("SELECT count(*) FROM pg_prepared_statements").fetchall() == [(0,)]


def test_a_transaction_has_its_time_outs_unless_the_role_has_its_own(database: str) -> None:
    from sink.connect import connect, transaction

    shown = "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), current_setting('timezone')"
    with connect(Secret(database)) as connection:
        with transaction(connection):
            assert connection.execute(shown).fetchone() == ("30s", "5s", "UTC")
        connection.execute("SET statement_timeout = '7s'")
        with transaction(connection):
            assert connection.execute(shown).fetchone() == ("7s", "5s", "UTC")


def test_a_pooler_that_hides_itself_costs_one_retry(database: str, caplog: pytest.LogCaptureFixture) -> None:
    """Another session under prepared statements is made by taking them away behind psycopg's back."""
    caplog.set_level(logging.INFO)
    writer = Writer(Secret(database), Horizon(timedelta(days=30)), deadline=10)
    base = recent_slot()
    for seq in range(1, 9):
        writer.commit([rows_of(make_snapshot(seq, base=base))])
    connection = writer.open()
    assert connection.execute("SELECT count(*) > 0 FROM pg_prepared_statements").fetchone() == (True,)
    connection.pgconn.exec_(b"DEALLOCATE ALL")
    with pytest.raises(psycopg.Error) as caught:
        writer.commit([rows_of(make_snapshot(9, base=base))])
    assert (verdict(caught.value), reason(caught.value)) == (Verdict.RECONNECT, "prepared")
    writer.close()
    for seq in range(9, 20):
        writer.commit([rows_of(make_snapshot(seq, base=base))])

    assert writer.open().execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
    assert caplog.text.count("statements are not prepared") == 1
    writer.close()
    assert sequence(database) == list(range(1, 20))
