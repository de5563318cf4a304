"""A watched PostgreSQL that is down, frozen, locked or refuses: what is told, and how long it takes."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import conninfo

from depthgauge.errors import ErrorKind, SourceError
from exporter.sources.postgres import PostgresSource
from tests.plugins.postgres import PostgresServer
from tests.plugins.waiting import wait_for
from tests.plugins.watched import JOBS, MakeDatabaseSource, make_failed_jobs, run

pytestmark = pytest.mark.needs("postgres")


def failure(source: PostgresSource) -> SourceError:
    with pytest.raises(SourceError) as failed:
        source.collect()
    return failed.value


def backends(dsn: str) -> list[int]:
    return [row[0] for row in run(dsn, "SELECT pid FROM pg_stat_activity WHERE application_name = 'depthgauge'")]


@contextlib.contextmanager
def stopped(server: PostgresServer) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


@contextlib.contextmanager
def frozen(server: PostgresServer) -> Iterator[None]:
    processes = (server.pid, *backends(server.dsn))
    server.freeze(*processes)
    try:
        yield
    finally:
        server.resume(*processes)


# The server


def test_a_server_that_stops_and_comes_back(
    watched_server: PostgresServer, make_database_source: MakeDatabaseSource
) -> None:
    source = make_database_source(watched_server.dsn)
    first = source.collect()
    with stopped(watched_server):
        assert failure(source).kind is ErrorKind.REFUSED
    again = source.collect()
    assert again.started_at is not None
    assert first.started_at is not None
    assert again.started_at > first.started_at


def test_a_restart_between_two_readings_is_no_failure(
    watched_server: PostgresServer, make_database_source: MakeDatabaseSource
) -> None:
    source = make_database_source(watched_server.dsn)
    source.collect()
    with stopped(watched_server):
        pass
    source.collect()


def test_a_frozen_server_costs_the_deadline_and_no_more(
    watched_server: PostgresServer, make_database_source: MakeDatabaseSource
) -> None:
    source = make_database_source(watched_server.dsn, timeout=1.0)
    source.collect()
    with frozen(watched_server):
        for longest in (1.5, 3.0):  # the second has to connect, where libpq waits two seconds at least
            started = time.monotonic()
            assert failure(source).kind is ErrorKind.TIMEOUT
            assert time.monotonic() - started < longest
    wait_for(lambda: source.collect().version)


def test_a_frozen_server_is_a_failed_attempt_and_no_response_time(
    watched_server: PostgresServer, make_database_source: MakeDatabaseSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.sources.postgres_samples.LIMIT", 0.5)
    source = make_database_source(watched_server.dsn)
    source.collect()
    source.start()
    taken = wait_for(lambda: (answer := source.samples.responses.take()).total.count > 0 and answer)
    assert taken.failures == 0
    with frozen(watched_server):
        wait_for(lambda: source.samples.responses.take().failures, what="the deadline passed")
    source.collect()
    before = source.samples.responses.take().total.count
    wait_for(lambda: source.samples.responses.take().total.count > before, 20, what="sampling goes on")
    longest = source.samples.responses.take().max
    assert longest is not None
    assert longest < 0.5


# What the server says


@pytest.fixture
def login(watched: str) -> Iterator[Callable[[str], str]]:
    """A function from the options of a role to the DSN that logs in as this role."""

    def make(options: str) -> str:
        with psycopg.connect(watched, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE faulty {options}".encode())
        return conninfo.make_conninfo(watched, user="faulty", password="secret-password")

    yield make
    run(watched, "DROP OWNED BY faulty", "DROP ROLE faulty")


def test_no_such_database(watched: str, make_database_source: MakeDatabaseSource) -> None:
    error = failure(make_database_source(conninfo.make_conninfo(watched, dbname="nowhere")))
    assert error.kind is ErrorKind.NOT_FOUND
    assert "check the names" in str(error)


def test_no_connection_left(
    watched: str, login: Callable[[str], str], make_database_source: MakeDatabaseSource
) -> None:
    error = failure(make_database_source(login("LOGIN CONNECTION LIMIT 0")))
    assert error.kind is ErrorKind.TOO_MANY_CONNECTIONS


def test_a_role_that_may_not_connect(
    watched: str, login: Callable[[str], str], make_database_source: MakeDatabaseSource
) -> None:
    name = conninfo.conninfo_to_dict(watched)["dbname"]
    with psycopg.connect(watched, autocommit=True) as connection:
        connection.execute(f"REVOKE CONNECT ON DATABASE {name} FROM public".encode())
    assert failure(make_database_source(login("LOGIN"))).kind is ErrorKind.PERMISSION_DENIED


def test_wrong_passwords(watched_server: PostgresServer, make_database_source: MakeDatabaseSource) -> None:
    run(watched_server.dsn, "CREATE ROLE careful LOGIN PASSWORD 'right'")
    rules = watched_server.data / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text("host all careful 127.0.0.1/32 scram-sha-256\n" + before)
    run(watched_server.dsn, "SELECT pg_reload_conf()")

    def dsn(**other: str) -> str:
        return conninfo.make_conninfo(watched_server.dsn, user="careful", **other)

    def lets_in() -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(dsn(), connect_timeout=5).close()
            return True
        return False

    try:
        wait_for(lambda: not lets_in(), what="passwords are asked for")
        error = failure(make_database_source(dsn(password="wrong-secret")))
        assert error.kind is ErrorKind.UNAUTHORIZED
        assert "wrong-secret" not in str(error)
        assert failure(make_database_source(dsn())).kind is ErrorKind.UNAUTHORIZED, "none given"
        assert make_database_source(dsn(password="right")).collect().version
    finally:
        rules.write_text(before)
        run(watched_server.dsn, "SELECT pg_reload_conf()", "DROP ROLE careful")


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"sslmode": "require"}, ErrorKind.TLS),
        ({"host": "nowhere.invalid"}, ErrorKind.DNS),
        ({"host": "/nowhere"}, ErrorKind.SOCKET_MISSING),
    ],
)
def test_wrong_addresses(
    watched: str, make_database_source: MakeDatabaseSource, changed: dict[str, str], kind: ErrorKind
) -> None:
    assert failure(make_database_source(conninfo.make_conninfo(watched, **changed))).kind is kind


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (
            b"SFATAL\0VFATAL\0C57P03\0Mdas Datenbanksystem startet\0\0",
            ErrorKind.LOADING,
        ),
        (b'SSCHWERWIEGEND\0VFATAL\0C57P01\0M C "28P01" C28P01\0\0', ErrorKind.SHUTTING_DOWN),
        (b"", ErrorKind.CLOSED),
        (None, ErrorKind.CLOSED),
    ],
)
def test_what_a_server_says_before_it_lets_us_in(
    make_database_source: MakeDatabaseSource, answer: bytes | None, kind: ErrorKind
) -> None:
    """A server that starts or stops for as long as a test needs cannot be had: these are its words, in its own language."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client:
                    client.settimeout(5)
                    if not client.recv(4096):
                        continue
                    if answer is None:
                        continue
                    client.sendall(
                        b"E" + (len(answer) + 4).to_bytes(4, "big") + answer if answer else b"HTTP/1.1 400 \r\n\r\n"
                    )

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        source = make_database_source(
            f"host=127.0.0.1 port={listener.getsockname()[1]} sslmode=disable gssencmode=disable"
        )
        assert failure(source).kind is kind
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


# Failed jobs


@pytest.fixture
def with_jobs(watched: str) -> str:
    """A database with a failed job."""
    make_failed_jobs(watched, "VALUES ('u', 'redis', 'emails', 'p', 'e', now())")
    return watched


def test_a_right_that_is_revoked_and_granted_again(
    with_jobs: str,
    login: Callable[[str], str],
    make_database_source: MakeDatabaseSource,
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = make_database_source(login("LOGIN"), failed_jobs=JOBS)
    first = source.collect()
    assert (first.failed_jobs, first.failed_jobs_error) == (None, "permission_denied")
    assert "GRANT SELECT (connection, queue, failed_at) ON failed_jobs TO" in caplog.text
    assert first.version
    run(with_jobs, "GRANT SELECT (connection, queue, failed_at) ON failed_jobs TO faulty")
    again = wait_for(lambda: (part := source.collect()).failed_jobs is not None and part)
    assert again.failed_jobs_error is None
    source.collect()
    assert caplog.text.count("cannot read failed jobs") == 1
    run(with_jobs, "REVOKE SELECT (connection, queue, failed_at) ON failed_jobs FROM faulty")
    wait_for(lambda: source.collect().failed_jobs_error == "permission_denied")


def test_a_table_that_is_locked(with_jobs: str, make_database_source: MakeDatabaseSource) -> None:
    source = make_database_source(with_jobs, failed_jobs=JOBS, timeout=3.0)
    with psycopg.connect(with_jobs) as locker:
        locker.execute("LOCK TABLE failed_jobs")
        started = time.monotonic()
        part = source.collect()
        assert time.monotonic() - started < 1.5
        assert (part.failed_jobs, part.failed_jobs_error) == (None, "busy")
        assert part.connections["idle in transaction"] == 1


def test_a_table_that_takes_too_long_is_asked_seldom(
    watched: str, make_database_source: MakeDatabaseSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.sources.failed_jobs.LIMIT", 0.4)
    run(
        watched,
        "CREATE VIEW failed_jobs AS SELECT 'redis' AS connection, 'a' AS queue, now() AS failed_at FROM pg_sleep(60)",
    )
    source = make_database_source(watched, failed_jobs=JOBS)
    for longest in (1.5, 0.3):
        started = time.monotonic()
        part = source.collect()
        assert time.monotonic() - started < longest
        assert (part.failed_jobs, part.failed_jobs_error) == (None, "timeout")
        assert part.size_bytes


def test_no_such_table(watched: str, make_database_source: MakeDatabaseSource) -> None:
    part = make_database_source(watched, failed_jobs=JOBS).collect()
    assert (part.failed_jobs, part.failed_jobs_error) == (None, "not_found")
