"""Whether the database is there, its schema is the one this program needs, and rows may be added."""

from collections.abc import Sequence
from typing import Final

import psycopg

from cli.aspects.finding import Finding, Subject
from depthgauge.errors import DepthgaugeError, SchemaError
from depthgauge.lifeline import Lifeline
from depthgauge.secrets import Secret, masked
from sink import queries, tables
from sink.connect import connect
from sink.schema import Connection, check_schema, server

DEADLINE: Final = 15.0
"""Seconds, once connected."""

UPKEEP_LATE: Final = 900.0
"""Seconds without upkeep that are worth a word."""

_MAY_INSERT: Final = "SELECT has_table_privilege(%s, 'INSERT') AND has_table_privilege(%s, 'SELECT')"


def look(dsn: Secret) -> Sequence[Finding]:
    """Connect to the database and look at edition, schema and rights."""
    subject = Subject(aspect="database", target=masked(dsn.reveal()))
    try:
        connection = connect(dsn, application="depthgauge-check")
    except psycopg.Error as exc:
        return [subject.error(f"cannot connect: {_text(exc)}", "check sink.dsn, and that PostgreSQL lets this host in")]
    except DepthgaugeError as exc:
        return [subject.error(masked(str(exc)))]
    lifeline = Lifeline(connection)
    try:
        with lifeline.deadline(DEADLINE):
            return _look(connection, subject)
    except psycopg.Error as exc:
        return [subject.error(f"cannot be read: {_text(exc)}")]
    finally:
        connection.close()
        lifeline.close()


def _look(connection: Connection, subject: Subject) -> Sequence[Finding]:
    now = server(connection)
    number = connection.info.server_version
    version = f"PostgreSQL {number // 10_000}.{number % 10_000}"
    timescale = f" with TimescaleDB {now.timescaledb_version}" if now.timescaledb_version else ""
    findings = [subject.ok(f"connected: {version}{timescale} (edition {now.edition})")]
    try:
        found = check_schema(connection)
    except SchemaError as exc:
        return [*findings, subject.error(str(exc), "depthgauge migrate --dry-run says what would be done")]
    closed = [
        name
        for name in (*(table.name for table in tables.TABLES), "dirty_buckets")
        if (row := connection.execute(_MAY_INSERT, (f"depthgauge.{name}",) * 2).fetchone()) is None or not row[0]
    ]
    if closed:
        user = connection.info.user
        return [
            *findings,
            subject.error(
                f"user {user} may not add rows to {', '.join(closed)}",
                f"as the owner of the schema: SELECT depthgauge.grant_writer('{user}')",
            ),
        ]
    return [
        *findings,
        subject.ok(f"schema version {found.schema_version}, tables as {found.layout}, rows may be added"),
        _upkeep(connection, subject),
    ]


def _upkeep(connection: Connection, subject: Subject) -> Finding:
    """Say when what rolls up and drops was done last."""
    marked = connection.execute(queries.DIRTY).fetchone()
    waiting = int(marked[0]) if marked is not None else 0
    ago = {step: seconds for step, *_, seconds in connection.execute(queries.MAINTAINED).fetchall()}.get("all")
    if ago is not None and ago < UPKEEP_LATE:
        return subject.ok(f"upkeep was done {ago:.0f} s ago, {waiting} buckets wait for it")
    if ago is None and not waiting:
        return subject.ok("no upkeep was needed yet")
    since = "has never been done" if ago is None else f"was last done {ago / 60:.0f} minutes ago"
    return subject.warning(
        f"upkeep {since}, {waiting} buckets wait for it",
        "a running sink does it (sink.maintain_every); its log and depthgauge_sink_maintenance_failures_total say what is wrong",
    )


def _text(exc: psycopg.Error) -> str:
    return " ".join(masked(str(exc)).split())
