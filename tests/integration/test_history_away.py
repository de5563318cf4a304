"""History while its database is away, frozen, restarted, behind, closed to the reader, or busy."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import psycopg.conninfo
import pytest

from depthgauge.history import HistoryUnavailable
from depthgauge.history_parameters import parse
from depthgauge.secrets import Secret
from sink.history import CONNECTIONS, WAITING, HistoryReader, history_reader
from sink.migrate import migrate
from tests.plugins.history import DAY
from tests.plugins.past import fill
from tests.plugins.pgbouncer import MakePgBouncer
from tests.plugins.ports import free_port
from tests.plugins.postgres import PostgresServer
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("postgres")

QUESTION = parse([], datetime.now(UTC))


def refusal(reader: HistoryReader) -> str:
    with pytest.raises(HistoryUnavailable) as caught:
        reader.read(QUESTION)
    return str(caught.value)


def answers(reader: HistoryReader) -> bool:
    try:
        reader.read(QUESTION)
    except HistoryUnavailable:
        return False
    return True


@pytest.fixture
def filled(postgres_database: str) -> str:
    migrate(Secret(postgres_database))
    fill(postgres_database, datetime.now(UTC) - DAY / 2, days=1, queues=2, interval=300)
    return postgres_database


@pytest.fixture
def role(filled: str) -> Iterator[str]:
    """Give the DSN of a role that may connect and nothing else."""
    with psycopg.connect(filled, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS history_reader")
        admin.execute("CREATE ROLE history_reader LOGIN PASSWORD 'hunter2'")
        try:
            yield psycopg.conninfo.make_conninfo(filled, user="history_reader", password="hunter2")
        finally:
            admin.execute("DROP OWNED BY history_reader")
            admin.execute("DROP ROLE history_reader")


def test_a_hundred_callers_of_a_database_that_is_not_there(caplog: pytest.LogCaptureFixture) -> None:
    threads = threading.active_count()
    with history_reader(Secret(f"postgresql://u:hunter2@127.0.0.1:{free_port()}/x")) as reader:
        caplog.set_level(logging.INFO)

        def call(_: int) -> tuple[float, str]:
            began = time.monotonic()
            return time.monotonic() - began, refusal(reader)

        with ThreadPoolExecutor(100) as pool:
            told = list(pool.map(call, range(100)))
            assert max(seconds for seconds, _ in told) < 4
        assert threading.active_count() <= threads + 4, "no thread is left behind"
        reasons = Counter(text for _, text in told)
        assert all("refused" in text or "others wait" in text for text in reasons), reasons
        # While it is known to be away, nobody waits at all.
        began = time.monotonic()
        for _ in range(50):
            assert "refused" in refusal(reader)
        assert time.monotonic() - began < 1
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1, warnings
    assert "hunter2" not in caplog.text + str(reasons)


def test_a_server_that_is_restarted(own_postgres_server: PostgresServer) -> None:
    migrate(Secret(own_postgres_server.dsn))
    with history_reader(Secret(own_postgres_server.dsn)) as reader:
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            assert all(pool.map(lambda _: answers(reader), range(40))), "all connections are made and used"
        own_postgres_server.stop()
        own_postgres_server.start()
        # The old connections are found broken one by one, within one call.
        assert reader.read(QUESTION).data == ()
        own_postgres_server.stop()
        assert "connect" in refusal(reader)
        own_postgres_server.start()
        wait_for(lambda: answers(reader), 10, what="the reader finds the server again")


def test_a_frozen_server_is_cut_off(own_postgres_server: PostgresServer) -> None:
    migrate(Secret(own_postgres_server.dsn))
    reader = HistoryReader(Secret(own_postgres_server.dsn), deadline=1.0)
    try:
        assert reader.read(QUESTION).data == ()
        with psycopg.connect(own_postgres_server.dsn) as connection:
            row = connection.execute(
                "SELECT array_agg(pid) FROM pg_stat_activity WHERE application_name = 'depthgauge-history'"
            )
            (pids,) = row.fetchone() or ([],)
        own_postgres_server.freeze(own_postgres_server.pid, *pids)
        began = time.monotonic()
        assert refusal(reader) == "the database did not answer within 1 s"
        assert time.monotonic() - began < 3
        began = time.monotonic()
        assert "database" in refusal(reader)
        assert time.monotonic() - began < 5
        own_postgres_server.resume(own_postgres_server.pid, *pids)
        wait_for(lambda: answers(reader), 10, what="the reader finds the server again")
    finally:
        reader.close()


def test_more_callers_than_may_wait(filled: str) -> None:
    with history_reader(Secret(filled)) as reader, psycopg.connect(filled) as other:
        assert answers(reader)
        other.execute("LOCK TABLE depthgauge.series IN ACCESS EXCLUSIVE MODE")
        with ThreadPoolExecutor(40) as pool:
            told = list(pool.map(lambda _: refusal(reader), range(40)))
        other.rollback()
        kinds = Counter(text.split(";")[0] for text in told)
        assert kinds[f"{WAITING} others wait for the database already"] >= 40 - CONNECTIONS - WAITING - CONNECTIONS
        assert answers(reader)


def test_a_reader_that_may_only_read(filled: str, role: str) -> None:
    with psycopg.connect(filled, autocommit=True) as admin, history_reader(Secret(role)) as reader:
        assert refusal(reader).endswith("as the owner of the schema: SELECT depthgauge.grant_reader('history_reader')")
        admin.execute("SELECT depthgauge.grant_reader('history_reader')")
        assert reader.read(QUESTION).count > 0


def test_nothing_can_be_written_through_it(filled: str) -> None:
    with history_reader(Secret(filled)) as reader:
        assert answers(reader)
        with (
            reader._pool.connection() as connection,
            connection.transaction(force_rollback=True),
            pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
        ):
            connection.execute("DELETE FROM depthgauge.series")


@pytest.mark.needs("pgbouncer")
def test_behind_a_pooler_that_has_one_connection(filled: str, make_pgbouncer: MakePgBouncer) -> None:
    pooler = make_pgbouncer(filled, pool_size=1)
    with history_reader(Secret(filled)) as reader:
        wanted = reader.read(QUESTION)
    with history_reader(Secret(pooler.dsn)) as reader, ThreadPoolExecutor(8) as pool:
        assert all(page == wanted for page in pool.map(lambda _: reader.read(QUESTION), range(16)))


def test_a_schema_that_is_not_ours(filled: str) -> None:
    def with_version(number: str) -> str:
        with psycopg.connect(filled, autocommit=True) as admin:
            admin.execute(f"UPDATE depthgauge.installation SET schema_version = {number}")
        with history_reader(Secret(filled)) as reader:
            return refusal(reader)

    assert "run `depthgauge migrate`" in with_version("1")
    assert "made by a newer depthgauge" in with_version("99")


def test_an_empty_database(postgres_database: str) -> None:
    with history_reader(Secret(postgres_database)) as reader:
        assert "has no depthgauge schema yet" in refusal(reader)
        migrate(Secret(postgres_database))
        assert reader.read(QUESTION).data == (), "it looks again"


def test_a_reader_that_is_closed(filled: str) -> None:
    with history_reader(Secret(filled)) as reader:
        assert answers(reader)
    assert refusal(reader) == "history is being closed"
