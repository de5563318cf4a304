"""The database of a watched application on a real PostgreSQL, and sources that read it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, LiteralString, TypeAlias

import psycopg
import pytest

from depthgauge.secrets import Secret
from exporter.settings import DatabaseSettings, FailedJobsSettings
from exporter.sources.postgres import PostgresSource
from tests.plugins.postgres import PostgresServer
from tests.plugins.timescale_server import fresh_database

FAILED_JOBS: Final = """
CREATE TABLE {} (
    id bigserial PRIMARY KEY NOT NULL, uuid varchar(255) NOT NULL, connection text NOT NULL, queue text NOT NULL,
    payload text NOT NULL, exception text NOT NULL, failed_at timestamp(0) DEFAULT CURRENT_TIMESTAMP NOT NULL
)
"""
"""As Laravel's migration makes it."""

JOBS: Final = FailedJobsSettings(redis="default")

MakeDatabaseSource: TypeAlias = Callable[..., PostgresSource]


@pytest.fixture(scope="session")
def watched_server() -> Iterator[PostgresServer]:
    """Give a PostgreSQL with pg_stat_statements; tests that use it are marked ``needs("postgres")``."""
    server = PostgresServer(shared_preload_libraries="pg_stat_statements", deadlock_timeout="100ms")
    try:
        yield server.start()
    finally:
        server.remove()


@pytest.fixture
def watched(watched_server: PostgresServer) -> Iterator[str]:
    """Give the DSN of a fresh database on it, its superuser's."""
    with fresh_database(watched_server.dsn) as dsn:
        yield dsn


@pytest.fixture
def make_database_source() -> Iterator[MakeDatabaseSource]:
    """Give a function that makes sources: ``make_database_source(dsn, failed_jobs=JOBS, timeout=5.0)``."""
    made: list[PostgresSource] = []

    def make(dsn: str, *, timeout: float = 10.0, interval: float = 15.0, **settings: Any) -> PostgresSource:
        database = DatabaseSettings(name="app", dsn=Secret(dsn), **settings)
        made.append(PostgresSource(database, clock=lambda: datetime.now(UTC), timeout=timeout, interval=interval))
        return made[-1]

    yield make
    for source in made:
        source.close()


def run(dsn: str, *statements: LiteralString) -> list[tuple[Any, ...]]:
    """Run statements, each for itself, and return the rows of the last one if it has any."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        rows: list[tuple[Any, ...]] = []
        for statement in statements:
            cursor = connection.execute(statement)
            rows = cursor.fetchall() if cursor.description else []
        return rows


def make_failed_jobs(dsn: str, rows: str = "", *, table: str = "failed_jobs") -> None:
    """Make Laravel's table of failed jobs, with the rows that a query gives (uuid to failed_at)."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(FAILED_JOBS.format(table).encode())
        if rows:
            columns = "uuid, connection, queue, payload, exception, failed_at"
            connection.execute(f"INSERT INTO {table} ({columns}) {rows}".encode())
