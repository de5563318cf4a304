"""The sink when the bus or the database is down, frozen or wrong."""

import os
import signal
import time
import urllib.request

import psycopg
import pytest

from depthgauge import stream
from depthgauge.secrets import Secret
from sink.migrate import migrate
from tests.plugins.postgres import PostgresServer
from tests.plugins.redis_server import RedisServer
from tests.plugins.sinks import MakeSink, make_snapshot, publish, recent_slot, select, sequence
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("redis-server", "postgres")


@pytest.fixture
def server(own_postgres_server: PostgresServer) -> PostgresServer:
    """A migrated PostgreSQL of the test's own."""
    migrate(Secret(own_postgres_server.dsn))
    return own_postgres_server


def backends(dsn: str) -> list[int]:
    return [
        row[0] for row in select(dsn, "SELECT pid FROM pg_stat_activity WHERE application_name = 'depthgauge-sink'")
    ]


def test_a_database_that_is_down_at_the_start_is_waited_for(
    make_sink: MakeSink, redis_server: RedisServer, server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.stop()
    publish(redis_server.client(), make_snapshot(1, base=recent_slot()))
    sink = make_sink(server.dsn, redis_server.url)
    wait_for(lambda: "cannot write to the database, will try again" in caplog.text)
    assert sink.running
    assert sink.count("database_up") == 0

    server.start()
    wait_for(lambda: sink.count("snapshots_committed_total") == 1, 40)
    assert sequence(server.dsn) == [1]


def test_a_database_that_goes_away_and_returns_loses_nothing(
    make_sink: MakeSink, redis_server: RedisServer, server: PostgresServer
) -> None:
    base = recent_slot()
    bus = redis_server.client()
    publish(bus, make_snapshot(1, base=base))
    sink = make_sink(server.dsn, redis_server.url)
    wait_for(lambda: sink.count("snapshots_committed_total") == 1)
    server.stop()
    publish(bus, *(make_snapshot(seq, base=base) for seq in range(2, 31)))
    wait_for(lambda: sink.count("database_up") == 0)
    server.start()
    wait_for(lambda: bus.xlen(stream.STREAM) == 0, 60)

    assert sequence(server.dsn) == list(range(1, 31))


def test_a_frozen_database_freezes_neither_metrics_nor_the_stop(
    make_sink: MakeSink, redis_server: RedisServer, server: PostgresServer
) -> None:
    base = recent_slot()
    bus = redis_server.client()
    publish(bus, make_snapshot(1, base=base))
    sink = make_sink(server.dsn, redis_server.url, database_deadline=1.0)
    wait_for(lambda: sink.count("snapshots_committed_total") == 1)
    [backend] = backends(server.dsn)
    server.freeze(server.pid, backend)
    try:
        publish(bus, make_snapshot(2, base=base))
        wait_for(lambda: sink.count("database_up") == 0, 10, what="the deadline cuts the connection")
        [url] = sink.sink.server.urls
        with urllib.request.urlopen(f"{url}/metrics", timeout=2) as answer:
            assert b"depthgauge_sink_database_up 0.0" in answer.read()
        started = time.monotonic()
        sink.stop()
        assert time.monotonic() - started < 2.0
    finally:
        server.resume(server.pid)
        os.kill(backend, signal.SIGCONT)
    again = make_sink(server.dsn, redis_server.url)
    wait_for(lambda: bus.xlen(stream.STREAM) == 0, 30)

    assert sequence(server.dsn) == [1, 2]
    assert again.count("snapshots_committed_total") + again.count("snapshots_duplicate_total") == 1


def test_a_stop_in_a_frozen_call_ends_in_time(
    make_sink: MakeSink, redis_server: RedisServer, server: PostgresServer
) -> None:
    """The call is in flight, with a deadline of a minute: the stop itself has to cut it."""
    base = recent_slot()
    bus = redis_server.client()
    publish(bus, make_snapshot(1, base=base))
    sink = make_sink(server.dsn, redis_server.url, database_deadline=60.0)
    wait_for(lambda: sink.count("snapshots_committed_total") == 1)
    [backend] = backends(server.dsn)
    server.freeze(backend)
    try:
        publish(bus, make_snapshot(2, base=base))
        wait_for(lambda: bus.xpending(stream.STREAM, stream.GROUP)["pending"] == 1)
        started = time.monotonic()
        sink.stop()
        assert time.monotonic() - started < 2.0
    finally:
        server.resume(backend)


def test_a_terminated_session_is_replaced(
    make_sink: MakeSink, redis_server: RedisServer, server: PostgresServer
) -> None:
    base = recent_slot()
    bus = redis_server.client()
    publish(bus, make_snapshot(1, base=base))
    sink = make_sink(server.dsn, redis_server.url)
    wait_for(lambda: sink.count("snapshots_committed_total") == 1)
    select(
        server.dsn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'depthgauge-sink'"
    )
    publish(bus, make_snapshot(2, base=base))
    wait_for(lambda: bus.xlen(stream.STREAM) == 0, 30)

    assert sequence(server.dsn) == [1, 2]
    assert sink.count("retries_total", reason="shutdown") == 1


def test_a_revoked_right_is_told_and_nothing_is_lost(
    make_sink: MakeSink, redis_server: RedisServer, server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    base = recent_slot()
    bus = redis_server.client()
    with psycopg.connect(server.dsn, autocommit=True) as owner:
        owner.execute("CREATE ROLE writer LOGIN")
        owner.execute("SELECT depthgauge.grant_writer('writer')")
        sink = make_sink(server.dsn.replace("postgres@", "writer@"), redis_server.url)
        publish(bus, make_snapshot(1, base=base))
        wait_for(lambda: sink.count("snapshots_committed_total") == 1)
        owner.execute("REVOKE INSERT ON depthgauge.snapshots FROM writer")
        publish(bus, make_snapshot(2, base=base))
        wait_for(lambda: sink.count("stopped") == 1)
        assert "permission denied" in caplog.text
        owner.execute("GRANT INSERT ON depthgauge.snapshots TO writer")
        wait_for(lambda: bus.xlen(stream.STREAM) == 0, 60)

    assert sequence(server.dsn) == [1, 2]
    assert sink.count("stopped") == 0


def test_a_read_only_database_is_retried(
    make_sink: MakeSink, redis_server: RedisServer, server: PostgresServer
) -> None:
    base = recent_slot()
    bus = redis_server.client()
    sink = make_sink(server.dsn, redis_server.url)
    publish(bus, make_snapshot(1, base=base))
    wait_for(lambda: sink.count("snapshots_committed_total") == 1)
    with psycopg.connect(server.dsn, autocommit=True) as owner:
        owner.execute("ALTER DATABASE postgres SET default_transaction_read_only = on")
        select(
            server.dsn,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'depthgauge-sink'",
        )
        publish(bus, make_snapshot(2, base=base))
        wait_for(lambda: sink.count("database_up") == 0)
        owner.execute("SET default_transaction_read_only = off")
        owner.execute("ALTER DATABASE postgres RESET default_transaction_read_only")
    wait_for(lambda: bus.xlen(stream.STREAM) == 0, 60)

    assert sequence(server.dsn) == [1, 2]


def test_a_bus_that_is_down_at_the_start_is_waited_for(
    make_sink: MakeSink, redis_server: RedisServer, server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    redis_server.stop()
    sink = make_sink(server.dsn, redis_server.url)
    wait_for(lambda: "cannot use the bus, will try again" in caplog.text)
    assert sink.running
    redis_server.start()
    publish(redis_server.client(), make_snapshot(1, base=recent_slot()))
    wait_for(lambda: sink.count("snapshots_committed_total") == 1, 40)


def test_a_paused_bus_does_not_hold_up_the_stop(
    make_sink: MakeSink, redis_server: RedisServer, server: PostgresServer
) -> None:
    sink = make_sink(server.dsn, redis_server.url)
    wait_for(lambda: sink.count("bus_up") == 1)
    redis_server.pause()
    try:
        wait_for(lambda: sink.count("bus_errors_total", reason="timeout") >= 1, 20)
        started = time.monotonic()
        sink.stop()
        assert time.monotonic() - started < 2.0
    finally:
        redis_server.resume()
