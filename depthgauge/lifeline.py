"""A deadline on a connection to PostgreSQL that holds even against a frozen server."""

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import psycopg

log = logging.getLogger(__name__)


class Lifeline:
    """A second hold on a connection's socket, by which another thread can end whatever waits for it.

    Nothing else does: a frozen server enforces no statement_timeout, and its kernel goes on acknowledging keepalives.
    """

    def __init__(self, connection: psycopg.Connection[Any], *, what: str = "the database") -> None:
        self._what = what
        self._socket = socket.socket(fileno=os.dup(connection.pgconn.socket))
        self._lock = threading.Lock()
        self.expired = False
        """Whether a deadline has cut the connection."""

    def cut(self) -> None:
        """Shut the socket down: a call in flight ends with an OperationalError at once."""
        with self._lock, contextlib.suppress(OSError):  # it may be closed or shut down already: that is what we want
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the socket."""
        with self._lock:
            self._socket.close()

    @contextlib.contextmanager
    def deadline(self, seconds: float) -> Iterator[None]:
        """Cut the connection if the block takes longer than ``seconds``."""
        timer = threading.Timer(seconds, self._expire)
        timer.name = "database-deadline"
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _expire(self) -> None:
        self.expired = True
        log.warning("%s does not answer: cutting the connection", self._what)
        self.cut()
