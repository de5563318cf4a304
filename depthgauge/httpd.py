"""A small HTTP/1.1 server: threads with a cap, deadlines on everything, nothing a stranger can hold on to.

A connection that has not sent a whole request head by a deadline counted from its first byte is closed, and when all
places are taken, or all that one client may have, the one that has kept us waiting longest makes room, so that hundreds of
stalled connections do not delay a scrape. With TLS each connection shakes hands in its own thread, under a deadline too.
Who may ask what is the gate's to say (depthgauge/gate.py).
"""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from depthgauge.gate import Gate
from depthgauge.http_message import (
    App,
    BadRequest,
    Request,
    Response,
    accepts_gzip,
    parse_head,
    refusal,
    render,
    text,
)
from depthgauge.listeners import client_of, listen, parse_address, url_of
from depthgauge.settings import WebSettings
from depthgauge.tls import TlsContexts, may_enter

__all__ = [
    "App",
    "BadRequest",
    "Request",
    "Response",
    "Server",
    "accepts_gzip",
    "parse_address",
    "parse_head",
    "render",
    "text",
]

log = logging.getLogger(__name__)

HANDSHAKE_SECONDS: Final = 10.0
HEAD_SECONDS: Final = 10.0
"""From a request's first byte to the end of its head."""
IDLE_SECONDS: Final = 120.0
"""Between two requests: longer than the usual scrape interval, so that a scraper keeps its connection."""
WRITE_SECONDS: Final = 30.0
LINGER_SECONDS: Final = 1.0
"""What a client that was refused may go on sending: a close with unread data would overtake the reason (RFC 9112, 9.6)."""
MAX_HEAD: Final = 16 * 1024
CHUNK: Final = 64 * 1024
"""Bytes handed over at a time: TLS would start its clock anew with each record otherwise."""


class _Connection:
    """One client; ``since`` is when we began to wait for it, to write or to read; None while its answer is made."""

    def __init__(self, sock: socket.socket, address: str, now: float) -> None:
        with contextlib.suppress(OSError):  # it may have gone already
            # An answer behind a handshake would wait some 40 ms for the client's delayed acknowledgement.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.address = address
        self.client = client_of(address)
        self.since: float | None = now
        self.writing = False
        self.buffer = b""

    def evict(self) -> None:
        with contextlib.suppress(OSError):  # it may have closed itself meanwhile
            # Of an SSLSocket it is the plain method that is wanted: its own would let its thread go on unencrypted.
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


class Server:
    """Serves ``app`` behind a gate on every address of ``settings.listen`` until stopped.

    Raise depthgauge.tls.TlsError where a certificate cannot be used.
    """

    def __init__(self, settings: WebSettings, app: App, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._app = app
        self.gate = Gate(settings, monotonic=monotonic)
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._connections: set[_Connection] = set()
        self._listeners: list[socket.socket] = []
        self._stopping = False
        self.urls: tuple[str, ...] = ()
        """Where it listens, with the ports that were really taken."""
        self.evicted = 0
        """Connections closed to make room."""
        self.failures = 0
        """Requests answered with 500 because the application raised."""
        self.handshakes_failed = 0
        """Connections that were to speak TLS and did not, or whose certificate was not let in."""

    def start(self) -> None:
        """Bind every address and start accepting; raise OSError naming the address that cannot be had."""
        try:
            for address in self._settings.listen:
                self._listeners += listen(address)
        except OSError:
            self._close_listeners()
            raise
        scheme = "http" if self.gate.tls is None else "https"
        self.urls = tuple(url_of(each, scheme) for each in self._listeners)
        for listener, url in zip(self._listeners, self.urls, strict=True):
            threading.Thread(target=self._accept, args=(listener,), name=f"http:{url}", daemon=True).start()

    def stop(self, timeout: float) -> None:
        """Stop accepting, let answers under way finish for ``timeout`` seconds, close everything."""
        self._stopping = True
        self._close_listeners()
        deadline = self._monotonic() + timeout
        while True:
            with self._lock:
                for connection in self._connections:
                    if connection.since is not None and not connection.writing:
                        connection.evict()
                busy = bool(self._connections)
            if not busy or self._monotonic() >= deadline:
                break
            time.sleep(0.01)
        with self._lock:
            for connection in self._connections:
                connection.evict()

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            with contextlib.suppress(OSError):  # shutdown wakes accept(); some systems refuse it on a listener
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _accept(self, listener: socket.socket) -> None:
        while not self._stopping:
            try:
                sock, address = listener.accept()
            except OSError as exc:
                if self._stopping:
                    return
                # No file descriptors left, most likely: making room is the cure, and a pause keeps the log readable.
                log.warning("cannot accept a connection: %s", exc)
                with self._lock:
                    self._make_room(list(self._connections), 0)
                time.sleep(0.1)
                continue
            connection = _Connection(sock, str(address[0]), self._monotonic())
            if not self._admit(connection):
                sock.close()
                continue
            try:
                threading.Thread(target=self._serve, args=(connection,), name="http-connection", daemon=True).start()
            except RuntimeError as exc:
                log.warning("cannot start a thread for a connection: %s", exc)
                self._drop(connection)

    def _admit(self, connection: _Connection) -> bool:
        """Take a connection in, making room for it; False where all places are in use."""
        settings = self._settings
        with self._lock:
            same = [each for each in self._connections if each.client == connection.client]
            left = len(same) - self._make_room(same, settings.max_connections_per_client - 1)
            if left >= settings.max_connections_per_client:
                self.evicted += 1
                return False
            self._make_room(list(self._connections), settings.max_connections - 1)
            if len(self._connections) >= settings.max_connections:
                self.evicted += 1
                return False
            self._connections.add(connection)
            return True

    def _make_room(self, among: list[_Connection], places: int) -> int:
        """Close those that have kept us waiting longest until so many places are taken; return how many were closed."""
        waiting = sorted((each for each in among if each.since is not None), key=lambda each: each.since or 0.0)
        leaving = waiting[: max(0, len(among) - places)]
        for connection in leaving:
            connection.evict()
            self._connections.discard(connection)
            self.evicted += 1
        return len(leaving)

    def _serve(self, connection: _Connection) -> None:
        try:
            tls = self.gate.tls
            if tls is not None and not self._shake_hands(connection, tls):
                self._linger(connection)
                return
            while not self._stopping and self._serve_one(connection):
                pass
        except OSError as exc:
            log.debug("a client went away: %s", exc)
        finally:
            self._drop(connection)

    def _drop(self, connection: _Connection) -> None:
        with self._lock:
            self._connections.discard(connection)
        connection.sock.close()

    def _shake_hands(self, connection: _Connection, tls: TlsContexts) -> bool:
        try:
            context = tls.current()
            with self._lock:  # an eviction needs to find the one socket or the other
                wrapped = context.wrap_socket(connection.sock, server_side=True, do_handshake_on_connect=False)
                connection.sock = wrapped
            # The ssl module takes this as the time for the whole handshake.
            wrapped.settimeout(HANDSHAKE_SECONDS)
            wrapped.do_handshake()
        except OSError as exc:
            log.debug("no TLS handshake with %s: %s", connection.address, exc)
        else:
            if may_enter(wrapped.getpeercert(), tls.settings.client_sans):
                return True
            log.warning("the client certificate of %s has none of the names in client_allowed_sans", connection.address)
        with self._lock:
            self.handshakes_failed += 1
        return False

    def _serve_one(self, connection: _Connection) -> bool:
        """Answer one request; say whether the connection may carry another."""
        request, refused = None, False
        try:
            head = self._read_head(connection)
            if head is None:
                return False
            request, keep = parse_head(head, connection.address)
            connection.since = None
            response = self._answer(request)
        except BadRequest as exc:
            response, keep, refused = text(exc.status, str(exc)), False, True
        connection.since, connection.writing = self._monotonic(), True
        self._send(connection, render(response, request, keep=keep, now=time.time(), headers=self.gate.headers))
        connection.since, connection.writing = self._monotonic(), False
        if refused:
            self._linger(connection)
        return keep

    def _linger(self, connection: _Connection) -> None:
        """Say that nothing more comes, and throw away what the client still sends, for a moment."""
        sock, deadline = connection.sock, self._monotonic() + LINGER_SECONDS
        # The plain methods: after a failed handshake there is no TLS to read.
        socket.socket.shutdown(sock, socket.SHUT_WR)
        while (left := deadline - self._monotonic()) > 0:
            sock.settimeout(left)
            if not socket.socket.recv(sock, CHUNK):
                return

    def _send(self, connection: _Connection, data: bytes) -> None:
        view, deadline = memoryview(data), self._monotonic() + WRITE_SECONDS
        while view:
            left = deadline - self._monotonic()
            if left <= 0:
                raise TimeoutError("the answer was not taken in time")
            connection.sock.settimeout(left)
            view = view[connection.sock.send(view[:CHUNK]) :]

    def _answer(self, request: Request) -> Response:
        try:
            return self.gate.answer(request, self._app)
        except Exception:
            # The edge of the application: a defect in a page must not take the server down, and says nothing outside.
            self.failures += 1
            log.exception("answering %s %s failed", request.method, request.path)
            return refusal(request.path, HTTPStatus.INTERNAL_SERVER_ERROR, "internal error, see the log")

    def _read_head(self, connection: _Connection) -> bytes | None:
        """Return the next request's head; None when the client closed or kept us waiting."""
        began = self._monotonic() if connection.buffer else None
        deadline = self._monotonic() + (HEAD_SECONDS if connection.buffer else IDLE_SECONDS)
        while (end := connection.buffer.find(b"\r\n\r\n")) < 0:
            if len(connection.buffer) > MAX_HEAD:
                raise _too_large()
            left = deadline - self._monotonic()
            if left <= 0:
                return None
            connection.sock.settimeout(left)
            try:
                chunk = connection.sock.recv(MAX_HEAD)
            except TimeoutError:
                return None
            if not chunk:
                return None
            if began is None:
                began = self._monotonic()
                deadline = began + HEAD_SECONDS
            connection.buffer += chunk
        # The last piece may have brought its end and too much before it.
        if end > MAX_HEAD:
            raise _too_large()
        head, connection.buffer = connection.buffer[:end], connection.buffer[end + 4 :]
        return head.lstrip(b"\r\n")


def _too_large() -> BadRequest:
    return BadRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"the head is larger than {MAX_HEAD} bytes")
