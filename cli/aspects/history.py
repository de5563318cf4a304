"""Whether history can be read, and can only be read, by the role that the API and ``depthgauge history`` use."""

from collections.abc import Sequence
from typing import Final

import psycopg

from cli.aspects.finding import Finding, Subject
from depthgauge.errors import DepthgaugeError, SchemaError
from depthgauge.lifeline import Lifeline
from depthgauge.secrets import Secret, masked
from sink.connect import connect
from sink.schema import Connection, check_schema

DEADLINE: Final = 15.0
"""Seconds, once connected."""

_READ: Final = (
    "series",
    "worker_snapshots",
    "worker_snapshots_5m",
    "worker_snapshots_1h",
    "queue_metrics",
    "queue_metrics_5m",
    "queue_metrics_1h",
)
_CLOSED: Final = """
SELECT name FROM unnest(%s::text[]) name WHERE NOT has_table_privilege(format('depthgauge.%%I', name), 'SELECT')
"""
_WRITABLE: Final = """
SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'depthgauge' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
ORDER BY 1
"""


def look(dsn: Secret) -> Sequence[Finding]:
    """Connect to the database and look at schema and rights."""
    subject = Subject(aspect="history", target=masked(dsn.reveal()))
    try:
        connection = connect(dsn, application="depthgauge-check", writes=False)
    except psycopg.Error as exc:
        return [
            subject.error(f"cannot connect: {_text(exc)}", "check history.dsn, and that PostgreSQL lets this host in")
        ]
    except DepthgaugeError as exc:
        return [subject.error(masked(str(exc)))]
    lifeline = Lifeline(connection)
    try:
        with lifeline.deadline(DEADLINE):
            return [_look(connection, subject)]
    except psycopg.errors.InsufficientPrivilege as exc:
        return [subject.error(f"cannot be read: {_text(exc)}", _grant(connection.info.user))]
    except psycopg.Error as exc:
        return [subject.error(f"cannot be read: {_text(exc)}")]
    finally:
        connection.close()
        lifeline.close()


def _look(connection: Connection, subject: Subject) -> Finding:
    user = connection.info.user
    try:
        check_schema(connection)
    except SchemaError as exc:
        return subject.error(str(exc), "depthgauge migrate --dry-run says what would be done")
    closed = [name for (name,) in connection.execute(_CLOSED, (list(_READ),)).fetchall()]
    if closed:
        return subject.error(f"user {user} may not read {', '.join(closed)}", _grant(user))
    writable = [name for (name,) in connection.execute(_WRITABLE).fetchall()]
    if writable:
        return subject.warning(
            f"history may be read, but user {user} may write too ({', '.join(writable[:3])} …)",
            "give history.dsn a role of its own, that only reads: docs/database.md, Roles",
        )
    return subject.ok(f"history may be read by user {user}, and nothing written")


def _grant(user: str) -> str:
    return f"as the owner of the schema: SELECT depthgauge.grant_reader('{user}')"


def _text(exc: psycopg.Error) -> str:
    return " ".join(masked(str(exc)).split())
