"""``migrate`` on real servers, plain and TimescaleDB."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import conninfo, sql

from depthgauge.errors import SchemaError
from depthgauge.secrets import Secret
from sink.migrate import migrate
from sink.schema import Edition, Layout, Migration, available, check_schema

WRITTEN = (
    "performance_metrics",
    "process_events",
    "process_snapshots",
    "queue_metrics",
    "snapshots",
    "system_health_metrics",
    "worker_snapshots",
)
ROLLUPS = (
    "performance_metrics_1h",
    "queue_metrics_1h",
    "queue_metrics_5m",
    "system_health_metrics_1h",
    "worker_snapshots_1h",
    "worker_snapshots_5m",
)
TABLES = tuple(sorted((*WRITTEN, *ROLLUPS)))

KNOWN = len(available())
EXTRA_NAME = f"{KNOWN + 1:04}_extra.sql"
EXTRA = Migration(EXTRA_NAME, "CREATE TABLE depthgauge.extra (only_row bigint PRIMARY KEY);")


def fetch(dsn: str, query: str, *values: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(query, values).fetchall()


def edition_of(dsn: str) -> Edition:
    return Edition.APACHE if fetch(dsn, "SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'") else Edition.PLAIN


def test_first_migrate_makes_everything_and_the_second_nothing(empty_database: str) -> None:
    first = migrate(Secret(empty_database))
    second = migrate(Secret(empty_database))

    assert first.applied == tuple(migration.name for migration in available())
    assert (first.before, first.after) == (0, len(available()))
    assert second.applied == ()
    assert second.before == second.after == first.after
    recorded = fetch(empty_database, "SELECT name, sha256, edition FROM depthgauge.migrations")
    assert recorded == [(migration.name, migration.sha256, first.edition) for migration in available()]
    with psycopg.connect(empty_database) as connection:
        assert check_schema(connection).schema_version == first.after


def test_tables_are_hypertables_where_timescaledb_is_and_native_partitions_elsewhere(database: str) -> None:
    if edition_of(database) is Edition.APACHE:
        found = fetch(
            database,
            "SELECT hypertable_name FROM timescaledb_information.hypertables"
            " WHERE hypertable_schema = 'depthgauge' ORDER BY 1",
        )
        days = fetch(
            database,
            "SELECT DISTINCT time_interval FROM timescaledb_information.dimensions WHERE hypertable_schema = 'depthgauge'",
        )
        assert {days for (days,) in days} == {timedelta(days=1), timedelta(days=7), timedelta(days=28)}
    else:
        found = fetch(
            database,
            "SELECT relname FROM pg_class WHERE relkind = 'p' AND relnamespace = 'depthgauge'::regnamespace ORDER BY 1",
        )
    assert tuple(name for (name,) in found) == TABLES


def test_types_are_wide_and_each_table_has_one_unique_index(database: str) -> None:
    types = fetch(
        database,
        "SELECT DISTINCT data_type FROM information_schema.columns WHERE table_schema = 'depthgauge' AND table_name = ANY(%s)",
        list(TABLES),
    )
    assert {name for (name,) in types} == {
        *("ARRAY", "bigint", "boolean", "double precision", "jsonb", "text", "timestamp with time zone"),
    }
    indexes = fetch(
        database,
        "SELECT tablename, count(*) FROM pg_indexes WHERE schemaname = 'depthgauge' AND tablename = ANY(%s) GROUP BY 1 ORDER BY 1",
        list(TABLES),
    )
    assert indexes == [(name, 1) for name in TABLES]


def test_dry_run_tells_and_changes_nothing(empty_database: str) -> None:
    report = migrate(Secret(empty_database), dry_run=True)

    assert report.dry_run
    assert report.applied == tuple(migration.name for migration in available())
    assert fetch(empty_database, "SELECT 1 FROM pg_namespace WHERE nspname = 'depthgauge'") == []
    assert edition_of(empty_database) is Edition.PLAIN


def test_dry_run_names_only_what_is_pending(database: str) -> None:
    report = migrate(Secret(database), dry_run=True, known=(*available(), EXTRA))

    assert report.applied == (EXTRA.name,)
    assert migrate(Secret(database), dry_run=True).applied == ()


def test_a_failing_migration_leaves_no_trace_and_a_later_run_goes_on(empty_database: str) -> None:
    broken = Migration(EXTRA_NAME, f"{EXTRA.text} SELECT 1 / 0;")

    with pytest.raises(SchemaError, match=rf"{EXTRA_NAME} failed: division by zero"):
        migrate(Secret(empty_database), known=(*available(), broken))

    assert fetch(empty_database, "SELECT to_regclass('depthgauge.extra') IS NULL") == [(True,)]
    with psycopg.connect(empty_database) as connection, pytest.raises(SchemaError, match=r"run `depthgauge migrate`"):
        check_schema(connection)
    assert migrate(Secret(empty_database), known=(*available(), EXTRA)).applied == (EXTRA.name,)


def test_an_edited_migration_stops_migrate(database: str) -> None:
    first, *rest = available()
    edited = Migration(first.name, f"{first.text}\n-- edited")

    with pytest.raises(SchemaError, match=f"{first.name} was applied with hash"):
        migrate(Secret(database), known=(edited, *rest))


def test_a_daemon_refuses_a_schema_that_is_behind_missing_or_from_the_future(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        with pytest.raises(SchemaError, match=r"has no depthgauge schema yet.* run `depthgauge migrate`"):
            check_schema(connection)
        migrate(Secret(empty_database))
        monkeypatch.setattr("sink.schema.available", lambda: (*available(), EXTRA))
        with pytest.raises(
            SchemaError, match=rf"schema version {KNOWN}, .*needs version {KNOWN + 1}: run `depthgauge migrate`"
        ):
            check_schema(connection)
        monkeypatch.undo()
        migrate(Secret(empty_database), known=(*available(), EXTRA))
        with pytest.raises(SchemaError, match=r"made by a newer depthgauge.*upgrade"):
            check_schema(connection)
    with pytest.raises(SchemaError, match=rf"{EXTRA_NAME}, which this depthgauge does not know"):
        migrate(Secret(empty_database))


def test_many_migrates_at_once_apply_everything_once(empty_database: str) -> None:
    known = (*available(), EXTRA)
    together = threading.Barrier(4)

    def run() -> tuple[str, ...]:
        together.wait(10)
        return migrate(Secret(empty_database), known=known).applied

    with ThreadPoolExecutor(4) as pool:
        applied = [name for future in [pool.submit(run) for _ in range(4)] for name in future.result()]

    assert sorted(applied) == [migration.name for migration in known]


def test_two_processes_at_once(empty_database: str) -> None:
    script = "import sys; from depthgauge.secrets import Secret; from sink.migrate import migrate; print(migrate(Secret(sys.argv[1])).applied)"
    running = [
        subprocess.Popen([sys.executable, "-c", script, empty_database], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=60)[0] for process in running]

    assert [process.returncode for process in running] == [0, 0]
    assert sum(said_by.count("0001_") for said_by in said) == 1


def test_migrate_waits_for_locks_and_says_when_it_gives_up(database: str) -> None:
    with psycopg.connect(database) as other:
        other.execute("LOCK TABLE depthgauge.installation IN ACCESS EXCLUSIVE MODE")
        waiting = threading.Timer(6.5, other.rollback)  # longer than one lock_timeout
        waiting.start()
        assert migrate(Secret(database), lock_wait=60).applied == ()
        waiting.join()
        other.execute("LOCK TABLE depthgauge.migrations IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(SchemaError, match=r"gave up waiting for locks"):
            migrate(Secret(database), lock_wait=0.1)


def add_role(dsn: str, name: str) -> str:
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(sql.Identifier(name)))
    return conninfo.make_conninfo(dsn, user=name, password="secret")


@pytest.fixture
def roles(database: str) -> Any:
    """Roles belong to the server, not to the database: take them away again."""
    names: list[str] = []

    def make(name: str) -> str:
        names.append(name)
        return add_role(database, name)

    yield make
    with psycopg.connect(database, autocommit=True) as admin:
        for name in names:
            admin.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


LEDGER = "INSERT INTO depthgauge.snapshots VALUES ('h', 'r', 1, %s, %s, '{}', NULL)"


def test_reader_reads_and_writer_adds_and_neither_more(database: str, roles: Any) -> None:
    reader, writer = roles("Mr. Reader"), roles("writer-1")
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("SELECT depthgauge.grant_reader('Mr. Reader'), depthgauge.grant_writer('writer-1')")
    now = datetime.now(UTC)

    with psycopg.connect(writer, autocommit=True) as connection:
        if check_schema(connection).layout is Layout.PARTITIONS:
            connection.execute("SELECT depthgauge.ensure_partitions(ARRAY[%s]::date[])", (now.date(),))
        connection.execute(LEDGER, (now, now))
        for forbidden in (
            "DELETE FROM depthgauge.snapshots",
            "UPDATE depthgauge.snapshots SET seq = 2",
            "INSERT INTO depthgauge.migrations VALUES ('x', 'x', now(), 'x', 'x')",
            "CREATE TABLE depthgauge.mine ()",
            "SELECT depthgauge.grant_writer('Mr. Reader')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(forbidden)
    with psycopg.connect(reader, autocommit=True) as connection:
        check_schema(connection)
        assert connection.execute("SELECT host FROM depthgauge.snapshots").fetchall() == [("h",)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(LEDGER, (now, now))
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedFunction)):
            connection.execute("SELECT depthgauge.ensure_partitions(ARRAY[current_date])")


def test_what_a_later_migrate_makes_is_granted_to_the_same_roles(database: str, roles: Any) -> None:
    reader = roles("later_reader")
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("SELECT depthgauge.grant_reader('later_reader')")

    migrate(Secret(database), known=(*available(), EXTRA))

    assert fetch(reader, "SELECT count(*) FROM depthgauge.extra") == [(0,)]


@pytest.mark.needs("timescaledb")
def test_migrate_creates_the_extension_where_the_server_has_it(timescale_database: str) -> None:
    assert migrate(Secret(timescale_database), dry_run=True).notes == ("would create the extension timescaledb",)

    report = migrate(Secret(timescale_database))

    assert (report.edition, report.layout) == (Edition.APACHE, Layout.HYPERTABLES)
    assert report.notes == ("created the extension timescaledb",)


@pytest.mark.needs("timescaledb")
def test_plain_partitions_may_be_asked_for_and_stay(timescale_database: str) -> None:
    report = migrate(Secret(timescale_database), layout=Layout.PARTITIONS)
    with psycopg.connect(timescale_database, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION timescaledb")

    again = migrate(Secret(timescale_database))

    assert (report.layout, report.edition) == (Layout.PARTITIONS, Edition.PLAIN)
    assert (again.layout, again.edition) == (Layout.PARTITIONS, Edition.APACHE)
    assert any("stay" in note and "--layout hypertables" in note for note in again.notes)


@pytest.mark.needs("postgres")
def test_hypertables_cannot_be_had_without_timescaledb(postgres_database: str) -> None:
    with pytest.raises(SchemaError, match=r"no TimescaleDB"):
        migrate(Secret(postgres_database), layout=Layout.HYPERTABLES)


@pytest.mark.needs("timescaledb")
def test_a_drop_in_edition_is_an_error(timescale_database: str) -> None:
    migrate(Secret(timescale_database))
    with psycopg.connect(timescale_database, autocommit=True) as connection:
        connection.execute("UPDATE depthgauge.installation SET edition = 'community'")
        with pytest.raises(SchemaError, match=r"restore that edition"):
            check_schema(connection)
    with pytest.raises(SchemaError, match=r"restore that edition"):
        migrate(Secret(timescale_database))


@pytest.mark.needs("timescaledb")
def test_an_owner_without_superuser_rights_can_migrate(timescale_database: str) -> None:
    owner = add_role(timescale_database, "plain_owner")
    with psycopg.connect(timescale_database, autocommit=True) as admin:
        admin.execute("CREATE EXTENSION timescaledb")
        admin.execute("CREATE SCHEMA depthgauge AUTHORIZATION plain_owner")
    try:
        assert migrate(Secret(owner)).layout is Layout.HYPERTABLES
        assert migrate(Secret(owner)).applied == ()
        old = datetime.now(UTC) - timedelta(days=40)
        with psycopg.connect(owner, autocommit=True) as connection:
            connection.execute(LEDGER, (old, old))
            connection.execute("CALL depthgauge.maintain()")
            assert connection.execute("SELECT count(*) FROM depthgauge.snapshots").fetchone() == (0,)
    finally:
        with psycopg.connect(timescale_database, autocommit=True) as admin:
            admin.execute("DROP OWNED BY plain_owner CASCADE")
            admin.execute("DROP ROLE plain_owner")
