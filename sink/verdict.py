"""What a database error means for the batch that met it, and what to do about it: judged by SQLSTATE, never by text.

Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html; psycopg reports client-side refusals of a value
(NUL in text, lone surrogates, mixed types) without one, and libpq whatever happens while connecting.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import psycopg

from depthgauge.errors import SchemaError
from depthgauge.secrets import masked
from sink.connect import NotConnected


class Verdict(StrEnum):
    """What to do with the batch."""

    RETRY = "retry"
    """The server will take it later."""
    RECONNECT = "reconnect"
    """Another server, or a new session, will take it: a demoted primary, a closed connection."""
    POISON = "poison"
    """A value in it will never be taken: find the one snapshot."""
    PARTITION = "partition"
    """A day has no partition."""
    STOP = "stop"
    """The schema or the privileges are wrong: say so, keep everything, try again slowly."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a SQLSTATE, or a class of them, means."""

    verdict: Verdict
    reason: str
    """A metric's label."""
    hint: str | None = None
    """What a human is to do."""


_READ_ONLY: Final = (
    "the server takes no writes: after a failover name all servers in sink.dsn (host=a,b target_session_attrs=read-write), "
    "else see its default_transaction_read_only"
)
_CONNECT: Final = (
    "see that host, port, user, password and database in sink.dsn are right, and that one of its servers takes writes"
)
_DISK: Final = "make room on the database's disk; snapshots wait on the bus until then, see bus.max_bytes"
_MISSING: Final = (
    "run `depthgauge migrate`; a table that was dropped, and which it does not make again, has to come from a backup"
)
_OTHER_SCHEMA: Final = "the tables are not those of this program: run `depthgauge migrate`, or upgrade it"
_PRIVILEGE: Final = "as the owner of the schema: SELECT depthgauge.grant_writer('the role in sink.dsn')"
_ROLE: Final = "see user and password in sink.dsn and the server's pg_hba.conf"
_CONNECTIONS: Final = "the server has no connection left: raise its max_connections, or use a pooler"
_EDITION: Final = "this server cannot do what the schema needs: see the editions in docs/database.md"
_MEMORY: Final = "the server has no memory left: make sink.batch_rows smaller, or give it more"
_STARTING: Final = "the server is stopping or starting: nothing to do but wait"

_CODES: Final = {
    "25006": Meaning(Verdict.RECONNECT, "read_only", _READ_ONLY),
    "23514": Meaning(Verdict.PARTITION, "data"),  # no partition found for row; there is no other check constraint
    "53100": Meaning(Verdict.RETRY, "disk_full", _DISK),
    "53200": Meaning(Verdict.RETRY, "resources", _MEMORY),
    "53300": Meaning(Verdict.RETRY, "connections", _CONNECTIONS),
    # A configuration limit: repeating the same statement meets it again.
    "53400": Meaning(Verdict.STOP, "resources", _EDITION),
    "55P03": Meaning(Verdict.RETRY, "lock_timeout"),
    "57014": Meaning(Verdict.RETRY, "statement_timeout"),  # or a cancel
    "42501": Meaning(Verdict.STOP, "privileges", _PRIVILEGE),
    "42P01": Meaning(Verdict.STOP, "schema", _MISSING),
    # A pooler gave us another session; the writer prepares nothing from then on.
    "26000": Meaning(Verdict.RECONNECT, "prepared"),
    "42P05": Meaning(Verdict.RECONNECT, "prepared"),
    # Limits of the program: too complex, too many columns, too many arguments.
    "54000": Meaning(Verdict.POISON, "data"),
    "54001": Meaning(Verdict.POISON, "data"),
    "54011": Meaning(Verdict.POISON, "data"),
    "54023": Meaning(Verdict.POISON, "data"),
}

_CLASSES: Final = {
    "08": Meaning(Verdict.RECONNECT, "connection"),
    "22": Meaning(Verdict.POISON, "data"),
    "23": Meaning(Verdict.POISON, "data"),  # NOT NULL and the like
    "25": Meaning(Verdict.RECONNECT, "transaction_state"),  # also its time-outs
    "28": Meaning(Verdict.STOP, "authorization", _ROLE),
    "3D": Meaning(Verdict.STOP, "schema", _CONNECT),  # no such database
    "3F": Meaning(Verdict.STOP, "schema", _MISSING),  # no such schema
    "40": Meaning(Verdict.RETRY, "serialization"),  # deadlocks too
    "42": Meaning(Verdict.STOP, "schema", _OTHER_SCHEMA),
    "0A": Meaning(Verdict.STOP, "unsupported", _EDITION),
    "TS": Meaning(Verdict.STOP, "timescaledb", _EDITION),
    "53": Meaning(Verdict.RETRY, "resources"),
    "54": Meaning(Verdict.RETRY, "data"),
    "57": Meaning(Verdict.RECONNECT, "shutdown", _STARTING),
    "58": Meaning(Verdict.RETRY, "system"),  # I/O errors
    "XX": Meaning(Verdict.RETRY, "internal"),
}

_UNKNOWN: Final = Meaning(Verdict.RETRY, "other")
"""Anything unknown is retried rather than lost."""
_NOT_CONNECTED: Final = Meaning(Verdict.RECONNECT, "connect", _CONNECT)
_SILENT: Final = Meaning(Verdict.RECONNECT, "connect_timeout", _CONNECT)
_CUT: Final = Meaning(Verdict.RECONNECT, "connection")
_CLIENT: Final = Meaning(Verdict.POISON, "client")

_SCHEMA: Final = Meaning(Verdict.STOP, "schema")
"""Its text says what to do."""

REASONS: Final = frozenset(
    meaning.reason
    for meaning in (*_CODES.values(), *_CLASSES.values(), _UNKNOWN, _NOT_CONNECTED, _SILENT, _CUT, _CLIENT)
)
"""Every value that :func:`reason` returns."""


def verdict(error: BaseException) -> Verdict:
    """Return what an error met while writing means; anything unknown is retried rather than lost."""
    return _meaning(error).verdict


def reason(error: BaseException) -> str:
    """Return a short closed label for metrics: the SQLSTATE class's meaning, or how the connection failed."""
    return _meaning(error).reason


def hint(error: BaseException) -> str | None:
    """Return what a human is to do about an error, None where there is nothing to do or the error says it."""
    return _meaning(error).hint


def told(error: BaseException) -> str:
    """Return the error's text, without secrets, and what a human is to do about it."""
    advice = hint(error)
    return masked(str(error)).strip() + (f" ({advice})" if advice else "")


def _meaning(error: BaseException) -> Meaning:
    if isinstance(error, SchemaError):
        return _SCHEMA
    if not isinstance(error, psycopg.Error):
        return _CLIENT if isinstance(error, (TypeError, ValueError, OverflowError)) else _UNKNOWN
    if isinstance(error, psycopg.errors.ConnectionTimeout):
        return _SILENT
    if isinstance(error, NotConnected):
        return _NOT_CONNECTED
    code = error.sqlstate
    if code is not None:
        return _CODES.get(code) or _CLASSES.get(code[:2]) or _UNKNOWN
    return _CLIENT if isinstance(error, psycopg.DataError) else _CUT
