"""What an error of a watched PostgreSQL means, judged by SQLSTATE, and what to do about it.

Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html.
"""

from typing import Final

import psycopg

from depthgauge.errors import ErrorKind, SourceError
from depthgauge.secrets import Secret, masked

_CODES: Final = {
    "25006": ErrorKind.READ_ONLY,
    "28000": ErrorKind.UNAUTHORIZED,  # no such role, no line in pg_hba.conf
    "28P01": ErrorKind.UNAUTHORIZED,
    "3D000": ErrorKind.NOT_FOUND,
    "3F000": ErrorKind.NOT_FOUND,
    "42501": ErrorKind.PERMISSION_DENIED,
    "42703": ErrorKind.NOT_FOUND,
    "42883": ErrorKind.NOT_FOUND,
    "42P01": ErrorKind.NOT_FOUND,
    "53200": ErrorKind.OUT_OF_MEMORY,
    "53300": ErrorKind.TOO_MANY_CONNECTIONS,
    "55P03": ErrorKind.BUSY,
    "57014": ErrorKind.TIMEOUT,  # or a cancel
    "57P01": ErrorKind.SHUTTING_DOWN,
    "57P02": ErrorKind.SHUTTING_DOWN,
    "57P03": ErrorKind.LOADING,
    "57P04": ErrorKind.NOT_FOUND,  # the database was dropped
    "57P05": ErrorKind.CLOSED,
}
_CLASSES: Final = {"08": ErrorKind.CLOSED, "28": ErrorKind.UNAUTHORIZED}

_HINTS: Final = {
    ErrorKind.SOCKET_MISSING: "is PostgreSQL running, and is the path right?",
    ErrorKind.REFUSED: "is PostgreSQL running and listening there?",
    ErrorKind.DNS: "the host name does not resolve",
    ErrorKind.TIMEOUT: "it does not answer in time",
    ErrorKind.UNAUTHORIZED: "check user and password in database.dsn and the server's pg_hba.conf",
    ErrorKind.PERMISSION_DENIED: "docs/postgres.md has the GRANT",
    ErrorKind.NOT_FOUND: "check the names in the section [[database]]",
    ErrorKind.TOO_MANY_CONNECTIONS: "the server has no connection left for this role: raise max_connections, or use a pooler",
    ErrorKind.LOADING: "the server is starting or recovering, wait",
    ErrorKind.SHUTTING_DOWN: "the server is shutting down",
    ErrorKind.TLS: "check sslmode and sslrootcert in database.dsn",
    ErrorKind.BUSY: "somebody holds a lock on it",
}


def kind_of_sqlstate(code: str) -> ErrorKind:
    """Return the error kind of a SQLSTATE; FAULT for one that has no kind of its own."""
    return _CODES.get(code) or _CLASSES.get(code[:2]) or ErrorKind.FAULT


def kind_of(error: psycopg.Error) -> ErrorKind:
    """Return the error kind of what psycopg raised on a connection that had been made."""
    if error.sqlstate is not None:
        return kind_of_sqlstate(error.sqlstate)
    if isinstance(error, psycopg.errors.ConnectionTimeout):
        return ErrorKind.TIMEOUT
    return ErrorKind.CLOSED if isinstance(error, psycopg.OperationalError) else ErrorKind.FAULT


def explain(dsn: Secret, kind: ErrorKind, error: Exception) -> SourceError:
    """Return the SourceError that tells what failed on which database, and what to do; without secrets."""
    hint = _HINTS.get(kind)
    text = " ".join(masked(str(error)).split())
    return SourceError(kind, f"PostgreSQL at {masked(dsn.reveal())}: {text}" + (f" ({hint})" if hint else ""))
