"""What a database error means for the batch that met it: judged by SQLSTATE, never by text.

Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html; psycopg reports client-side refusals of a value
(NUL in text, lone surrogates, mixed types) without one.
"""

from enum import StrEnum
from typing import Final

import psycopg


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


_CODES: Final = {
    "25006": Verdict.RECONNECT,  # read-only transaction: the primary became a standby
    "23514": Verdict.PARTITION,  # no partition found for row; there is no other check constraint
    "53400": Verdict.STOP,  # configuration limit: repeating the same statement meets it again
    "55P03": Verdict.RETRY,  # lock timeout
    "57014": Verdict.RETRY,  # statement timeout or cancel
    "22003": Verdict.POISON,
    "26000": Verdict.RECONNECT,  # a prepared statement is gone: a pooler gave us another session
}

_CLASSES: Final = {
    "08": Verdict.RECONNECT,  # connection exceptions
    "22": Verdict.POISON,  # data exceptions
    "23": Verdict.POISON,  # NOT NULL and the like
    "25": Verdict.RECONNECT,  # invalid transaction state, also its time-outs
    "28": Verdict.STOP,  # authorization
    "3D": Verdict.STOP,  # no such database
    "3F": Verdict.STOP,  # no such schema
    "40": Verdict.RETRY,  # serialization, deadlock
    "42": Verdict.STOP,  # undefined table or column, privileges
    "0A": Verdict.STOP,  # not supported by this edition
    "TS": Verdict.STOP,  # TimescaleDB's own
    "53": Verdict.RETRY,  # disk, memory, connections
    "57": Verdict.RECONNECT,  # shutting down, starting up
    "58": Verdict.RETRY,  # I/O errors
    "XX": Verdict.RETRY,  # internal errors
}

_TOO_LARGE: Final = frozenset({"54000", "54001", "54011", "54023"})


def verdict(error: BaseException) -> Verdict:
    """Return what an error met while writing means; anything unknown is retried rather than lost."""
    if not isinstance(error, psycopg.Error):
        return Verdict.POISON if isinstance(error, (TypeError, ValueError, OverflowError)) else Verdict.RETRY
    code = error.sqlstate
    if code is None:
        return Verdict.POISON if isinstance(error, psycopg.DataError) else Verdict.RECONNECT
    if code in _TOO_LARGE:
        return Verdict.POISON
    return _CODES.get(code) or _CLASSES.get(code[:2]) or Verdict.RETRY


def reason(error: BaseException) -> str:
    """Return a short closed label for metrics: the SQLSTATE class's meaning, or how the connection failed."""
    if isinstance(error, psycopg.errors.ConnectionTimeout):
        return "connect_timeout"
    code = error.sqlstate if isinstance(error, psycopg.Error) else None
    if code is None:
        return "connection" if isinstance(error, psycopg.OperationalError) else "client"
    return _REASONS.get(code) or _CLASS_REASONS.get(code[:2]) or "other"


_REASONS: Final = {"25006": "read_only", "55P03": "lock_timeout", "57014": "statement_timeout", "53100": "disk_full"}
_CLASS_REASONS: Final = {
    "08": "connection",
    "22": "data",
    "23": "data",
    "25": "transaction_state",
    "28": "authorization",
    "3D": "schema",
    "3F": "schema",
    "40": "serialization",
    "42": "schema",
    "0A": "unsupported",
    "TS": "timescaledb",
    "53": "resources",
    "54": "data",
    "57": "shutdown",
    "58": "system",
    "XX": "internal",
}
REASONS: Final = frozenset(
    {*_REASONS.values(), *_CLASS_REASONS.values(), "connect_timeout", "connection", "client", "other"}
)
"""Every value that :func:`reason` returns."""
