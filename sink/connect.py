"""Connections to PostgreSQL with sane defaults."""

import contextlib
import os
from collections.abc import Iterator
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from depthgauge.errors import DepthgaugeError
from depthgauge.secrets import Secret, masked
from sink import queries
from sink.schema import Connection

APPLICATION: Final = "depthgauge-sink"

_DEFAULTS: Final = {
    "connect_timeout": "5",
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
    "target_session_attrs": "read-write",
}


class NotConnected(psycopg.OperationalError):
    """No connection could be made. libpq keeps the server's error code to itself here: the text is all there is."""


def parameters(dsn: Secret, *, application: str = APPLICATION, writes: bool = True) -> dict[str, str]:
    """Return libpq's parameters: the connection string's own, and our defaults where it and libpq's environment are silent.

    For whoever only reads (``writes``) a standby will do.
    """
    try:
        given = {name: str(value) for name, value in conninfo_to_dict(dsn.reveal()).items() if value is not None}
    except psycopg.ProgrammingError as exc:
        raise DepthgaugeError(
            f"the database's connection string {masked(dsn.reveal())!r} cannot be read: {masked(str(exc)).strip()}"
        ) from None
    environment = {"connect_timeout": "PGCONNECT_TIMEOUT", "target_session_attrs": "PGTARGETSESSIONATTRS"}
    defaults = {name: value for name, value in _DEFAULTS.items() if environment.get(name, "") not in os.environ}
    if not writes:
        defaults.pop("target_session_attrs", None)
    if "PGAPPNAME" not in os.environ:
        defaults["application_name"] = application
    # Arrays are packed by ourselves, texts in them as UTF-8.
    return {**defaults, **given, "client_encoding": "UTF8"}


def connect(dsn: Secret, *, application: str = APPLICATION, writes: bool = True) -> Connection:
    """Return a connection in autocommit; raise psycopg.Error. A server that never answers ends in ``connect_timeout``."""
    try:
        given = parameters(dsn, application=application, writes=writes)
        made: Connection = psycopg.connect(autocommit=True, **given)  # type: ignore[arg-type]  # libpq takes texts for all of them
    except psycopg.errors.ConnectionTimeout:
        raise
    except psycopg.OperationalError as exc:
        raise NotConnected(masked(str(exc)).strip()) from exc
    return made


@contextlib.contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """Run the block in a transaction that has its time-outs and its time zone; raise psycopg.Error.

    Nothing is set for the session: behind a pooler the next transaction may have another one, and this one another client.
    """
    with connection.transaction():
        connection.execute(queries.LIMITS)
        yield


def is_pooled(connection: Connection) -> bool:
    """Say whether a pooler stands between: it has told us a process id that is not the one which answers."""
    row = connection.execute(queries.BACKEND).fetchone()
    return row is None or row[0] != connection.info.backend_pid
