"""Why no connection to PostgreSQL can be made: libpq tells it to people only, as text in the server's language.

So one more attempt is made whose messages libpq writes down (PQtrace, from libpq 18 on while connecting), and the SQLSTATE
is read from there. Where the server said nothing, a plain socket tells whether anybody listens.
"""

import os
import re
import select
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from depthgauge.errors import ErrorKind
from exporter.sources.postgres_errors import kind_of_sqlstate

TRACES: Final = 180_000
"""The libpq that writes down what comes while connecting."""
MAX_TRACE: Final = 1 << 16

_SQLSTATE: Final = re.compile(rb'\tErrorResponse\t.*? C "([0-9A-Z]{5})"')
_WANTED_TLS: Final = frozenset({"require", "verify-ca", "verify-full"})

_BY_ERRNO: Final[tuple[tuple[type[OSError], ErrorKind], ...]] = (
    (socket.gaierror, ErrorKind.DNS),
    (FileNotFoundError, ErrorKind.SOCKET_MISSING),
    (PermissionError, ErrorKind.PERMISSION_DENIED),
    (ConnectionRefusedError, ErrorKind.REFUSED),
    (TimeoutError, ErrorKind.TIMEOUT),
)


def refusal(
    parameters: Mapping[str, str], *, seconds: float, monotonic: Callable[[], float] = time.monotonic
) -> ErrorKind | None:
    """Return why libpq cannot connect with these parameters; None if now it can. It takes at most about so many seconds."""
    deadline = monotonic() + seconds
    attempt = pq.PGconn.connect_start(make_conninfo(**parameters).encode())
    try:
        said = _traced(attempt, deadline, monotonic)
        if said is None:
            return ErrorKind.TIMEOUT
        if attempt.status == pq.ConnStatus.OK:
            return None
        codes = _SQLSTATE.findall(said)
        if codes:
            return kind_of_sqlstate(codes[-1].decode())
        if attempt.needs_password:
            return ErrorKind.UNAUTHORIZED
        used_password = attempt.used_password
        options = {option.keyword.decode(): option.val.decode() for option in attempt.info if option.val is not None}
    finally:
        attempt.finish()
    nobody = _knock(options, max(0.1, deadline - monotonic()))
    if nobody is not None:
        return nobody
    if pq.version() < TRACES:
        return ErrorKind.UNAUTHORIZED if used_password else ErrorKind.FAULT
    encrypted = b"\tSSLResponse\t S" in said or options.get("sslmode") in _WANTED_TLS
    return ErrorKind.TLS if encrypted else ErrorKind.CLOSED


def _traced(attempt: pq.abc.PGconn, deadline: float, monotonic: Callable[[], float]) -> bytes | None:
    """Connect, and return what went over the wire as libpq tells it; None if the deadline passed."""
    trace = os.memfd_create("depthgauge-refusal")
    try:
        if pq.version() >= TRACES and attempt.status != pq.ConnStatus.BAD:
            attempt.trace(trace)
            attempt.set_trace_flags(pq.Trace.SUPPRESS_TIMESTAMPS)
        while attempt.status != pq.ConnStatus.BAD:
            step = attempt.connect_poll()
            if step in (pq.PollingStatus.OK, pq.PollingStatus.FAILED):
                break
            left = deadline - monotonic()
            wanted = select.POLLIN if step == pq.PollingStatus.READING else select.POLLOUT
            poll = select.poll()
            poll.register(attempt.socket, wanted)
            if left <= 0 or not poll.poll(left * 1000):
                return None
        if attempt.status != pq.ConnStatus.BAD or pq.version() >= TRACES:
            attempt.untrace()
        return os.pread(trace, MAX_TRACE, 0)
    finally:
        os.close(trace)


def _knock(options: Mapping[str, str], seconds: float) -> ErrorKind | None:
    """Connect a socket to the first server of libpq's options; return why that fails, None if it does not."""
    host = (options.get("hostaddr") or options.get("host") or "").split(",")[0]
    port = (options.get("port") or "5432").split(",")[0] or "5432"
    try:
        if host.startswith(("/", "@")) or not host:
            path = f"{host or '/var/run/postgresql'}/.s.PGSQL.{port}"
            with socket.socket(socket.AF_UNIX) as unix:
                unix.settimeout(seconds)
                unix.connect(f"\0{path[1:]}" if path.startswith("@") else path)
        else:
            socket.create_connection((host, int(port)), timeout=seconds).close()
    except OSError as exc:
        return next((kind for types, kind in _BY_ERRNO if isinstance(exc, types)), ErrorKind.UNREACHABLE)
    return None


def kind_of_refusal(parameters: Mapping[str, str], error: psycopg.Error, *, seconds: float) -> ErrorKind:
    """Return why connecting failed with this error; looks for so many seconds at most."""
    if isinstance(error, psycopg.errors.ConnectionTimeout):
        return ErrorKind.TIMEOUT
    return refusal(parameters, seconds=seconds) or ErrorKind.UNREACHABLE
