"""What is read of a watched PostgreSQL, beside PostgreSQL itself."""

import contextlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg import conninfo, sql

from depthgauge.errors import ErrorKind, SourceError
from depthgauge.health import Database
from depthgauge.secrets import Secret
from exporter.settings import FailedJobsSettings
from exporter.sources import failed_jobs
from exporter.sources.postgres_link import PostgresLink
from tests.plugins.pgbouncer import MakePgBouncer
from tests.plugins.repo import repo_root
from tests.plugins.waiting import wait_for
from tests.plugins.watched import JOBS, MakeDatabaseSource, make_failed_jobs, run

pytestmark = pytest.mark.needs("postgres")


@contextlib.contextmanager
def at_work(dsn: str, statement: str) -> Iterator[int]:
    """Run a statement on a connection of its own until the block ends; give its process id."""
    with psycopg.connect(dsn, autocommit=True) as connection:

        def work() -> None:
            with contextlib.suppress(psycopg.errors.QueryCanceled):
                connection.execute(statement.encode())

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield connection.info.backend_pid
        finally:
            connection.cancel_safe(timeout=5)
            thread.join(10)


def role(dsn: str, name: str) -> str:
    return conninfo.make_conninfo(dsn, user=name, password="PASSWORD")


# Sessions and statements


def test_sessions_are_counted_by_state_and_our_own_are_not(
    watched: str, make_database_source: MakeDatabaseSource
) -> None:
    source = make_database_source(watched, slow_query=0.2)
    source.start()
    source.collect()
    wait_for(lambda: source.samples.responses.take().total.count, what="the second connection is there")
    # A session that was closed a moment ago may still be there.
    empty = wait_for(lambda: (part := source.collect()).connections == {} and part)
    assert (empty.active_queries, empty.longest_query_seconds) == (0, 0.0)
    with (
        psycopg.connect(watched),
        psycopg.connect(watched) as open_one,
        at_work(watched, "SELECT pg_sleep(60)"),
    ):
        open_one.execute("SELECT 1")

        def one_is_slow() -> Database | None:
            part = source.collect()
            return part if part.slow_queries == 1 else None

        part = wait_for(one_is_slow)
        assert part.connections == {"idle": 1, "idle in transaction": 1, "active": 1}
        assert (part.active_queries, part.max_connections) == (1, 60)
        assert part.longest_query_seconds is not None
        assert 0.2 <= part.longest_query_seconds < 10


def test_the_server_is_told_as_it_is(watched: str, make_database_source: MakeDatabaseSource) -> None:
    part = make_database_source(watched).collect()
    ((version, started, size),) = run(
        watched,
        "SELECT current_setting('server_version'), pg_postmaster_start_time(), pg_database_size(current_database())",
    )
    assert (part.version, part.started_at, part.in_recovery) == (version.split()[0], started, False)
    assert part.size_bytes == size
    assert abs((datetime.now(UTC) - part.observed_at).total_seconds()) < 10


def test_transactions_and_deadlocks_are_counted(watched: str, make_database_source: MakeDatabaseSource) -> None:
    run(watched, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)")
    source = make_database_source(watched)
    before = source.collect()
    with psycopg.connect(watched) as one, psycopg.connect(watched) as two:
        one.execute("SELECT FROM t WHERE id = 1 FOR UPDATE")
        two.execute("SELECT FROM t WHERE id = 2 FOR UPDATE")

        def cross(connection: psycopg.Connection, number: int) -> None:
            with contextlib.suppress(psycopg.errors.DeadlockDetected):
                connection.execute("SELECT FROM t WHERE id = %s FOR UPDATE", (number,))
            connection.rollback()

        threads = [threading.Thread(target=cross, args=pair) for pair in ((one, 2), (two, 1))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert (before.deadlocks_total, before.commits_total is None, before.rollbacks_total is None) == (0, False, False)
    after = wait_for(lambda: (part := source.collect()).deadlocks_total == 1 and part)
    assert (after.rollbacks_total or 0) - (before.rollbacks_total or 0) >= 2
    assert (after.commits_total or 0) > (before.commits_total or 0)


def test_totals_of_statements_where_the_extension_is(watched: str, make_database_source: MakeDatabaseSource) -> None:
    source = make_database_source(watched, slow_query=0.25)
    assert source.collect().statements is None, "no extension, no error"
    run(watched, 'CREATE SCHEMA "Odd one"', 'CREATE EXTENSION pg_stat_statements SCHEMA "Odd one"')
    run(watched, 'SELECT "Odd one".pg_stat_statements_reset()')
    run(watched, "SELECT pg_sleep(0.3)", "SELECT 1", "SELECT 2")
    statements = source.collect().statements
    assert statements is not None
    assert statements.calls_total >= 3
    assert statements.seconds_total >= 0.3
    assert statements.slow == 1


def test_reading_leaves_few_texts_in_pg_stat_statements(watched: str, make_database_source: MakeDatabaseSource) -> None:
    run(watched, "CREATE EXTENSION pg_stat_statements")
    make_failed_jobs(watched, "VALUES ('u', 'redis', 'a', '', '', now())")
    for timeout in (3.0, 4.0, 5.0, 6.0):
        make_database_source(watched, timeout=timeout, failed_jobs=JOBS).collect()
    ((texts,),) = run(
        watched,
        "SELECT count(*) FROM pg_stat_statements JOIN pg_database ON dbid = pg_database.oid"
        " WHERE datname = current_database() AND query LIKE '%set_config%'",
    )
    assert texts == 1


# Rights


def docs_sql() -> list[str]:
    page = (repo_root() / "docs" / "postgres.md").read_text(encoding="utf-8")
    block = page.split("```sql\n")[1].split("```")[0]
    return [line.rstrip(";") for line in block.splitlines()]


@pytest.fixture
def documented(watched: str) -> Iterator[str]:
    """The DSN of the role that docs/postgres.md makes, by exactly its SQL."""
    make_failed_jobs(watched, "VALUES ('u', 'redis', 'emails', 'p', 'e', '2026-01-02 03:04:05'::timestamp)")
    with psycopg.connect(watched, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION pg_stat_statements")
        for line in docs_sql():
            connection.execute(line.encode())
    yield role(watched, "depthgauge")
    with psycopg.connect(watched, autocommit=True) as connection:
        connection.execute("DROP OWNED BY depthgauge")
        connection.execute("DROP ROLE depthgauge")


@pytest.mark.needs("source-tree")
def test_the_role_of_the_docs_reads_everything(
    watched: str, documented: str, make_database_source: MakeDatabaseSource
) -> None:
    source = make_database_source(documented, failed_jobs=JOBS)
    with psycopg.connect(watched), at_work(watched, "SELECT pg_sleep(60)"):
        part = wait_for(lambda: (part := source.collect()).active_queries == 1 and part)
    assert part.connections == {"idle": 1, "active": 1}
    assert part.statements is not None
    assert part.size_bytes
    (failed,) = part.failed_jobs or ()
    assert (failed.queue, failed.count) == ("emails", 1)
    assert failed.newest_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    with psycopg.connect(documented) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT payload FROM failed_jobs")


@pytest.mark.needs("source-tree")
def test_without_pg_monitor_what_may_not_be_seen_is_unknown(
    watched: str, documented: str, make_database_source: MakeDatabaseSource
) -> None:
    run(watched, "REVOKE pg_monitor FROM depthgauge")
    source = make_database_source(documented, failed_jobs=JOBS, slow_query=0.01)
    with (
        psycopg.connect(watched),
        at_work(watched, "SELECT pg_sleep(60)"),
        psycopg.connect(documented, application_name="psql"),
    ):
        part = wait_for(lambda: "idle" in (part := source.collect()).connections and part)
    assert part.connections == {"unknown": 2, "idle": 1}
    assert (part.active_queries, part.slow_queries) == (0, 0)
    assert part.failed_jobs
    assert part.commits_total
    assert part.size_bytes


def test_nothing_can_be_written(watched: str) -> None:
    link = PostgresLink(Secret(watched))
    with pytest.raises(SourceError) as failed:
        link.ask(sql.SQL("CREATE TABLE t ()"), seconds=5)
    assert failed.value.kind is ErrorKind.READ_ONLY
    link.close()


# Failed jobs


def test_failed_jobs_of_one_connection_in_an_odd_table(watched: str, make_database_source: MakeDatabaseSource) -> None:
    run(watched, 'CREATE SCHEMA "My App"')
    make_failed_jobs(
        watched,
        "SELECT 'u', c, q, '', '', t::timestamp FROM (VALUES ('redis', 'a', '2026-01-01'), ('redis', 'a', '2026-01-03'),"
        " ('redis', E'b\\x01', '2026-01-02'), ('sqs', 'c', '2026-01-04')) AS v (c, q, t)",
        table='"My App"."failed ""jobs"""',
    )
    settings = FailedJobsSettings(redis="r", table='My App.failed "jobs"', connection="redis")
    found = make_database_source(watched, failed_jobs=settings).collect().failed_jobs or ()
    assert [(each.redis, each.count, each.newest_at) for each in found] == [
        ("r", 2, datetime(2026, 1, 3, tzinfo=UTC)),
        ("r", 1, datetime(2026, 1, 2, tzinfo=UTC)),
    ]
    assert found[0].queue == "a"
    assert found[1].queue.startswith("b\ufffd~")


def test_the_queues_with_few_failed_jobs_are_summed_up_beyond_a_thousand(
    watched: str, make_database_source: MakeDatabaseSource
) -> None:
    make_failed_jobs(
        watched,
        "SELECT 'u', 'redis', 'many', '', '', now() FROM generate_series(1, 5)"
        " UNION ALL SELECT 'u', 'redis', 'q' || n, '', '', now() FROM generate_series(1, 1200) n",
    )
    found = {
        each.queue: each.count for each in make_database_source(watched, failed_jobs=JOBS).collect().failed_jobs or ()
    }
    assert len(found) == failed_jobs.MAX_QUEUES + 1
    assert (found["many"], found[""]) == (5, 201)
    assert sum(found.values()) == 1205


# Older servers


@pytest.mark.needs("timescaledb")
def test_postgresql_17_is_read_as_18_is(timescale_database: str, make_database_source: MakeDatabaseSource) -> None:
    make_failed_jobs(timescale_database, "VALUES ('u', 'redis', 'a', '', '', now())")
    part = make_database_source(timescale_database, failed_jobs=JOBS).collect()
    assert (part.version or "").startswith("17.")
    assert part.failed_jobs
    assert part.size_bytes


# Behind a pooler


@pytest.mark.needs("pgbouncer")
def test_behind_pgbouncer_in_transaction_mode(
    watched: str, make_pgbouncer: MakePgBouncer, make_database_source: MakeDatabaseSource
) -> None:
    run(watched, "CREATE EXTENSION pg_stat_statements")
    make_failed_jobs(watched, "VALUES ('u', 'redis', 'a', '', '', now())")
    pooler = make_pgbouncer(watched, pool_size=1)
    source = make_database_source(pooler.dsn, failed_jobs=JOBS)
    source.start()
    for _ in range(3):
        part = source.collect()
        assert part.statements is not None
        assert part.failed_jobs
    wait_for(lambda: source.samples.responses.take().total.count >= 2, what="response times through the pooler")
    # The one session behind the pooler is anybody's: nothing of ours stays on it.
    ((reads_only, limit, prepared),) = run(
        pooler.dsn,
        "SELECT current_setting('transaction_read_only'), current_setting('statement_timeout'),"
        " (SELECT count(*) FROM pg_prepared_statements)",
    )
    assert (reads_only, limit, prepared) == ("off", "0", 0)


# Sampling


def test_nothing_is_sampled_where_nobody_reads(watched: str, make_database_source: MakeDatabaseSource) -> None:
    source = make_database_source(watched, interval=0.5)
    source.start()
    sessions = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'depthgauge' AND datname = current_database()"
    )
    source.collect()
    wait_for(lambda: run(watched, sessions) == [(2,)], what="both connections are there")
    wait_for(lambda: run(watched, sessions) == [(1,)], what="three intervals later sampling rests")
    source.collect()
    wait_for(lambda: run(watched, sessions) == [(2,)], what="and goes on with the next reading")
