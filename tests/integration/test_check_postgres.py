"""What ``depthgauge check`` says of watched databases."""

from typing import Any

import psycopg
import pytest
from psycopg import conninfo

from cli.aspects import postgres
from cli.aspects.finding import Finding, Status
from cli.check import look
from depthgauge.secrets import Secret
from exporter.settings import DatabaseSettings
from tests.plugins.findings import only
from tests.plugins.settings import MakeInputs
from tests.plugins.watched import JOBS, make_failed_jobs, run

pytestmark = pytest.mark.needs("postgres")


def findings(dsn: str, **settings: Any) -> list[Finding]:
    return list(postgres.look(DatabaseSettings(name="app", dsn=Secret(dsn), **settings)))


@pytest.fixture
def database(watched: str) -> str:
    make_failed_jobs(watched, "VALUES ('u', 'redis', 'emails', 'p', 'e', now())")
    return watched


def test_a_database_that_may_be_read_whole(database: str) -> None:
    found = findings(database, failed_jobs=JOBS)
    assert [each.status for each in found] == [Status.OK] * 3, found
    assert "answers: PostgreSQL 18" in found[0].message
    assert "pg_stat_statements is not in this database" in found[1].message
    assert found[2].message == "failed_jobs is readable: 1 failed jobs in 1 queues"
    run(database, "CREATE EXTENSION pg_stat_statements")
    assert "pg_stat_statements is there" in findings(database)[1].message


def test_the_grants_that_it_names_mend_what_it_finds(database: str) -> None:
    run(database, "CREATE ROLE \"Odd role\" LOGIN PASSWORD 'secret-word'")
    dsn = conninfo.make_conninfo(database, user="Odd role", password="secret-word")
    try:
        before = findings(dsn, failed_jobs=JOBS)
        assert "secret-word" not in str(before)
        statuses = [Status.OK, Status.WARNING, Status.OK, Status.ERROR]
        assert [each.status for each in before] == statuses
        hints = [each.hint for each in before if each.hint]
        assert hints == [
            'GRANT pg_monitor TO "Odd role"',
            'GRANT SELECT (connection, queue, failed_at) ON failed_jobs TO "Odd role"',
        ]
        with psycopg.connect(database, autocommit=True) as connection:
            for hint in hints:
                connection.execute(hint.encode())
        assert [each.status for each in findings(dsn, failed_jobs=JOBS)] == [Status.OK] * 3
    finally:
        run(database, 'DROP OWNED BY "Odd role"', 'DROP ROLE "Odd role"')


def test_what_cannot_be_reached_or_found(watched: str) -> None:
    gone = only(findings(conninfo.make_conninfo(watched, dbname="nowhere", password="secret-word")))
    assert (gone.status, gone.hint) == (Status.ERROR, "reason not_found, see docs/postgres.md")
    assert "secret-word" not in gone.message
    *_, no_table = findings(watched, failed_jobs=JOBS)
    assert (no_table.status, no_table.hint) == (Status.ERROR, "reason not_found, see docs/postgres.md")


def test_every_database_is_looked_at_unless_the_collector_is_off(watched: str, make_inputs: MakeInputs) -> None:
    text = f"[[database]]\nname = 'app'\ndsn = '{watched}'\n"
    found, _ = look(make_inputs(text))
    assert {each.target for each in found if each.aspect == "postgres"} == {"app"}
    found, _ = look(make_inputs(f"{text}[collectors]\npostgres = false\n"))
    assert [each for each in found if each.aspect == "postgres"] == []
