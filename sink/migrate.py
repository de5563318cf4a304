"""Bring the database's schema up to date: numbered files once each, the rest re-applied, one migrate at a time."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import psycopg

from depthgauge import __version__
from depthgauge.backoff import Backoff
from depthgauge.errors import SchemaError
from depthgauge.secrets import Secret
from sink import convert, queries
from sink.connect import connect
from sink.retention import changes, tell
from sink.schema import Connection as _Connection
from sink.schema import (
    Edition,
    Installation,
    Layout,
    Migration,
    Script,
    Server,
    available,
    check_edition,
    installation,
    scripts,
    server,
    table_exists,
)
from sink.settings import Retention

T = TypeVar("T")

LOCK_WAIT: Final = 120.0
"""Seconds that one transaction waits for other sessions' locks."""
_LOCK_TIMEOUT: Final = "5s"
_RETRIED: Final = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What migrate did, or would do."""

    dry_run: bool
    edition: Edition
    layout: Layout
    timescaledb_version: str | None
    before: int
    """Schema version found; 0 for none."""
    after: int
    applied: tuple[str, ...]
    """Migrations applied by this call, in order."""
    reapplied: tuple[str, ...]
    """Scripts applied on every call."""
    notes: tuple[str, ...] = field(default=())


def plan(applied: Sequence[tuple[str, str]], known: Sequence[Migration]) -> tuple[Migration, ...]:
    """Return the migrations to apply, in order.

    ``applied`` are name and hash of those in the database. Raise SchemaError if one of them has been edited since, if the
    database has one that this program does not know, or if an older one was left out.
    """
    hashes = {migration.name: migration.sha256 for migration in known}
    for name, digest in applied:
        if name not in hashes:
            raise SchemaError(
                f"the database has migration {name}, which this depthgauge does not know: upgrade depthgauge"
            )
        if hashes[name] != digest:
            raise SchemaError(
                f"migration {name} was applied with hash {digest[:12]}…, but this depthgauge has it as {hashes[name][:12]}…: "
                "an applied migration must not change; install an unmodified depthgauge"
            )
    done = {name for name, _ in applied}
    pending = tuple(migration for migration in known if migration.name not in done)
    newest = max(done, default="")
    for migration in pending:
        if migration.name < newest:
            raise SchemaError(
                f"migration {migration.name} was never applied, though {newest} was: the bookkeeping in depthgauge.migrations "
                "is damaged; restore it from a backup"
            )
    return pending


def migrate(
    dsn: Secret,
    *,
    dry_run: bool = False,
    layout: Layout | None = None,
    retention: Retention | None = None,
    lock_wait: float = LOCK_WAIT,
    known: Sequence[Migration] | None = None,
) -> Report:
    """Apply what is missing and return what was done; with ``dry_run`` only look.

    ``layout`` decides about the tables of a new database against the default (hypertables where TimescaleDB is there).
    ``retention`` is told to the database; None leaves what it has been told.
    Safe to call from several processes at once. Raise SchemaError for anything that needs a human, psycopg.Error for a
    server that cannot be reached or a privilege that is missing.
    """
    run = _Run(tuple(known if known is not None else available()), layout, retention, lock_wait)
    with connect(dsn, application="depthgauge-migrate") as connection:
        connection.execute("SET timezone = 'UTC'")
        connection.execute("SET client_min_messages = warning")
        if dry_run:
            # For the transaction: a pooler would hand a session's setting on.
            connection.read_only = True
            with connection.transaction():
                return run.look(connection)
        return run.apply(connection, dsn)


class _Run:
    def __init__(
        self, known: tuple[Migration, ...], wish: Layout | None, retention: Retention | None, lock_wait: float
    ) -> None:
        self._known = known
        self._wish = wish
        self._retention = retention
        self._lock_wait = lock_wait

    def look(self, connection: _Connection) -> Report:
        now = server(connection)
        found = installation(connection)
        notes = []
        creates = self._wants_extension(connection, now, found)
        if creates:
            notes.append("would create the extension timescaledb")
        layout, more = self._layout(now, found, creates=creates)
        applied = connection.execute(queries.APPLIED).fetchall() if table_exists(connection, "migrations") else []
        pending = plan([(name, digest) for name, digest in applied], self._known)
        if table_exists(connection, "series"):
            more = (*more, *self._retention_changes(connection))
        return self._report(now, layout, found, pending, (*notes, *more), dry_run=True)

    def apply(self, connection: _Connection, dsn: Secret) -> Report:
        now = server(connection)
        before = installation(connection)
        notes: list[str] = []
        if self._wants_extension(connection, now, before):
            _create_extension(dsn)
            notes.append("created the extension timescaledb")
            connection.close()
            # The library is loaded into a session when it starts.
            with connect(dsn, application="depthgauge-migrate") as anew:
                anew.execute("SET timezone = 'UTC'")
                anew.execute("SET client_min_messages = warning")
                return self._apply(anew, server(anew), before, notes)
        return self._apply(connection, now, before, notes)

    def _apply(self, connection: _Connection, now: Server, before: Installation | None, notes: list[str]) -> Report:
        wanted, more = self._layout(now, before)
        notes.extend(more)
        found = self._locked(connection, lambda: _keep_books(connection, now, wanted))
        done: list[Migration] = []
        while (migration := self._locked(connection, lambda: self._next(connection, now, found))) is not None:
            done.append(migration)
        # Where another migrate was faster with a new database, its decision stands.
        turns = before is not None and found is Layout.PARTITIONS and wanted is Layout.HYPERTABLES
        layout = Layout.HYPERTABLES if turns else found
        if turns:
            self._locked(connection, lambda: _turn(connection, now))
        notes.extend(self._locked(connection, lambda: self._finish(connection, now, layout)))
        convert.copy_all(connection, lambda work: self._locked(connection, work), notes.append)
        return self._report(now, layout, before, tuple(done), tuple(notes), dry_run=False)

    def _next(self, connection: _Connection, now: Server, layout: Layout) -> Migration | None:
        """Apply the first migration that is missing; None when there is none."""
        rows = connection.execute(queries.APPLIED).fetchall()
        pending = plan([(name, digest) for name, digest in rows], self._known)
        if not pending:
            return None
        first = pending[0]
        _run(connection, first, layout)
        connection.execute(queries.RECORD_MIGRATION, (first.name, first.sha256, __version__, now.edition))
        return first

    def _finish(self, connection: _Connection, now: Server, layout: Layout) -> Sequence[str]:
        for script in _repeated(layout):
            _run(connection, script, layout)
        changed = self._retention_changes(connection)
        if self._retention is not None:
            tell(connection, self._retention)
        connection.execute(
            queries.RECORD_INSTALLATION, (now.edition, now.timescaledb_version, self._known[-1].number, __version__)
        )
        return changed

    def _retention_changes(self, connection: _Connection) -> Sequence[str]:
        return changes(connection, self._retention) if self._retention is not None else []

    def _locked(self, connection: _Connection, work: Callable[[], T]) -> T:
        """Do the work in a transaction of its own, alone among all migrates; wait for others' locks up to the deadline."""
        backoff = Backoff(first=0.2, most=5.0, random=random.random)
        deadline = time.monotonic() + self._lock_wait
        while True:
            try:
                with connection.transaction():
                    connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
                    connection.execute("SELECT pg_advisory_xact_lock(%s)", (queries.ADVISORY_LOCK,))
                    return work()
            except _RETRIED as exc:
                delay = backoff.next_delay()
                if time.monotonic() + delay > deadline:
                    raise SchemaError(
                        f"gave up waiting for locks that other sessions hold ({exc}): see pg_stat_activity and pg_locks, "
                        "then run `depthgauge migrate` again; it goes on where it stopped"
                    ) from exc
                time.sleep(delay)

    def _wants_extension(self, connection: _Connection, now: Server, found: Installation | None) -> bool:
        return (
            (found is None or (found.layout is Layout.PARTITIONS and self._wish is Layout.HYPERTABLES))
            and now.edition is Edition.PLAIN
            and self._wish is not Layout.PARTITIONS
            and connection.execute(queries.EXTENSION_AVAILABLE).fetchone() is not None
        )

    def _layout(
        self, now: Server, found: Installation | None, *, creates: bool = False
    ) -> tuple[Layout, tuple[str, ...]]:
        if found is not None:
            check_edition(found, now)
            if self._wish is Layout.PARTITIONS and found.layout is Layout.HYPERTABLES:
                raise SchemaError(
                    "the tables are hypertables already and do not turn back; to have partitions, migrate an empty database "
                    "and copy the rows into it (--copy-from-file)"
                )
            if self._wish is Layout.HYPERTABLES and found.layout is Layout.PARTITIONS:
                if now.edition is Edition.PLAIN and not creates:
                    raise SchemaError("hypertables were asked for, but this server has no TimescaleDB")
                return self._wish, ("turning partitions into hypertables",)
            if found.layout is Layout.PARTITIONS and now.edition is not Edition.PLAIN:
                note = (
                    "TimescaleDB is there now, but the tables were made as native partitions and stay so "
                    "unless you ask for `--layout hypertables`"
                )
                return found.layout, (note,)
            return found.layout, ()
        if self._wish is Layout.HYPERTABLES and now.edition is Edition.PLAIN:
            raise SchemaError("hypertables were asked for, but this server has no TimescaleDB")
        default = Layout.PARTITIONS if now.edition is Edition.PLAIN else Layout.HYPERTABLES
        return self._wish or default, ()

    def _report(
        self,
        now: Server,
        layout: Layout,
        before: Installation | None,
        migrations: tuple[Migration, ...],
        notes: tuple[str, ...],
        *,
        dry_run: bool,
    ) -> Report:
        return Report(
            dry_run=dry_run,
            edition=now.edition,
            layout=layout,
            timescaledb_version=now.timescaledb_version,
            before=before.schema_version if before else 0,
            after=self._known[-1].number,
            applied=tuple(migration.name for migration in migrations),
            reapplied=tuple(script.name for script in _repeated(layout)),
            notes=notes,
        )


def _create_extension(dsn: Secret) -> None:
    """Create the extension over a connection of its own: a library that is not preloaded ends the session."""
    try:
        with connect(dsn, application="depthgauge-migrate") as connection:
            connection.execute("SET client_min_messages = warning")
            with connection.transaction():
                # IF NOT EXISTS alone is no help against another migrate that is just creating it.
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (queries.ADVISORY_LOCK,))
                connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    except psycopg.Error as exc:
        raise SchemaError(
            "TimescaleDB is installed on this server but not in this database, and creating it failed "
            f"({str(exc).strip()}): put it into shared_preload_libraries and run `CREATE EXTENSION timescaledb` as a superuser, "
            "or ask for plain partitions, see docs/database.md"
        ) from exc


def _keep_books(connection: _Connection, now: Server, wanted: Layout) -> Layout:
    """Create the bookkeeping where it is missing; return the layout, which another migrate may have decided first."""
    if connection.execute(queries.SCHEMA_EXISTS).fetchone() is None:
        connection.execute(queries.MAKE_SCHEMA)
    if not table_exists(connection, "installation"):
        for statement in queries.MAKE_BOOKKEEPING:
            connection.execute(statement)
    connection.execute(queries.RECORD_LAYOUT, (wanted, now.edition, now.timescaledb_version, __version__))
    found = installation(connection)
    return found.layout if found is not None else wanted


def _turn(connection: _Connection, now: Server) -> None:
    """Put hypertables in the place of partitioned tables, whose rows are copied afterwards."""
    convert.set_aside(connection)
    for script in scripts("timescale"):
        _run(connection, script, Layout.HYPERTABLES)
    connection.execute(queries.RECORD_HYPERTABLES, (now.edition, now.timescaledb_version))


def _repeated(layout: Layout) -> tuple[Script, ...]:
    folder = "timescale" if layout is Layout.HYPERTABLES else "plain"
    return (*scripts(folder), *scripts("idempotent"))


def _run(connection: _Connection, script: Script, layout: Layout) -> None:
    try:
        # Without parameters psycopg sends the text as it is: several statements, and a percent sign is one.
        connection.execute(script.for_layout(layout).encode())
    except _RETRIED:
        raise
    except psycopg.Error as exc:
        if exc.sqlstate is None:
            raise
        raise SchemaError(f"{script.name} failed: {str(exc).strip()}") from exc
