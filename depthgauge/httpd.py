"""A small HTTP/1.1 server: threads with a cap, deadlines on everything, nothing a stranger can hold on to.

It answers GET and HEAD. A connection that has not sent a whole request head by a deadline counted from its first byte is
closed, and when all places are taken the one that has kept us waiting longest makes room, so that hundreds of stalled
connections do not delay a scrape. Facts of the protocol are from RFC 9112.
"""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote, urlsplit

from depthgauge.settings import WebSettings

log = logging.getLogger(__name__)

HEAD_SECONDS: Final = 10.0
"""From a request's first byte to the end of its head."""
IDLE_SECONDS: Final = 120.0
"""Between two requests: longer than the usual scrape interval, so that a scraper keeps its connection."""
WRITE_SECONDS: Final = 30.0
MAX_HEAD: Final = 16 * 1024
BACKLOG: Final = 512

_METHODS: Final = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked; header names are lower-case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Response:
    """What to answer; ``gzipped`` is the same body compressed, sent to those who accept it."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    gzipped: bytes | None = None


App = Callable[[Request], Response]


class BadRequest(Exception):  # noqa: N818  it is named after its status
    """The client sent something that is no request we answer."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        self.status = status
        super().__init__(reason)


def text(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a plain text response."""
    return Response(status, f"{message}\n".encode(), headers=headers or {})


def parse_head(head: bytes) -> tuple[Request, bool]:
    """Return the request of a head (without the empty line) and whether the connection may be kept.

    Raise BadRequest. The target is taken as a path with a query; a request with a body is refused, as we read none.
    """
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise BadRequest(HTTPStatus.BAD_REQUEST, "this is no HTTP/1 request")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequest(HTTPStatus.BAD_REQUEST, "malformed header")
        headers[name.lower()] = value.strip()
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        raise BadRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "requests with a body are not answered here")
    connection = headers.get("connection", "").lower()
    keep = connection != "close" if parts[2] == "HTTP/1.1" else connection == "keep-alive"
    try:
        target = urlsplit(parts[1])
    except ValueError as exc:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "malformed request target") from exc
    return Request(parts[0], unquote(target.path) or "/", target.query, headers), keep


def render(response: Response, request: Request | None, *, keep: bool, now: float) -> bytes:
    """Return the bytes of a response."""
    body, extra = response.body, dict(response.headers)
    if response.gzipped is not None:
        extra["Vary"] = "Accept-Encoding"
        if request is not None and accepts_gzip(request.headers.get("accept-encoding", "")):
            body = response.gzipped
            extra["Content-Encoding"] = "gzip"
    phrase = HTTPStatus(response.status).phrase
    head = [
        f"HTTP/1.1 {response.status} {phrase}",
        f"Date: {formatdate(now, usegmt=True)}",
        f"Content-Type: {response.content_type}",
        f"Content-Length: {len(body)}",
        "X-Content-Type-Options: nosniff",
        f"Connection: {'keep-alive' if keep else 'close'}",
        *(f"{name}: {value}" for name, value in extra.items()),
        "\r\n",
    ]
    return "\r\n".join(head).encode("latin-1") + (b"" if request is not None and request.method == "HEAD" else body)


def accepts_gzip(header: str) -> bool:
    """Judge an Accept-Encoding header: gzip or * without q=0."""
    for item in header.lower().split(","):
        coding, _, parameters = item.partition(";")
        if coding.strip() in ("gzip", "*"):
            weight = parameters.replace(" ", "").removeprefix("q=")
            return weight.strip("0.") != "" or not parameters
    return False


class _Connection:
    """One client; ``since`` is when we began to wait for it, None while it is being answered."""

    def __init__(self, sock: socket.socket, now: float) -> None:
        self.sock = sock
        self.since: float | None = now
        self.buffer = b""

    def evict(self) -> None:
        with contextlib.suppress(OSError):  # it may have closed itself meanwhile
            self.sock.shutdown(socket.SHUT_RDWR)


class Server:
    """Serves ``app`` on every address of ``settings.listen`` until stopped."""

    def __init__(self, settings: WebSettings, app: App, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._app = app
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

    def start(self) -> None:
        """Bind every address and start accepting; raise OSError naming the address that cannot be had."""
        try:
            for address in self._settings.listen:
                self._listeners += _listen(address)
        except OSError:
            self._close_listeners()
            raise
        self.urls = tuple(_url(each) for each in self._listeners)
        for listener in self._listeners:
            threading.Thread(target=self._accept, args=(listener,), name=f"http:{_url(listener)}", daemon=True).start()

    def stop(self, timeout: float) -> None:
        """Stop accepting, let answers under way finish for ``timeout`` seconds, close everything."""
        self._stopping = True
        self._close_listeners()
        deadline = self._monotonic() + timeout
        while True:
            with self._lock:
                for connection in self._connections:
                    if connection.since is not None:
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
                sock, _ = listener.accept()
            except OSError as exc:
                if self._stopping:
                    return
                # No file descriptors left, most likely: making room is the cure, and a pause keeps the log readable.
                log.warning("cannot accept a connection: %s", exc)
                self._make_room(0)
                time.sleep(0.1)
                continue
            self._make_room(self._settings.max_connections - 1)
            connection = _Connection(sock, self._monotonic())
            with self._lock:
                self._connections.add(connection)
            try:
                threading.Thread(target=self._serve, args=(connection,), name="http-connection", daemon=True).start()
            except RuntimeError as exc:
                log.warning("cannot start a thread for a connection: %s", exc)
                self._drop(connection)

    def _make_room(self, places: int) -> None:
        with self._lock:
            waiting = [each for each in self._connections if each.since is not None]
            excess = len(self._connections) - places
            for connection in sorted(waiting, key=lambda each: each.since or 0.0)[: max(0, excess)]:
                connection.evict()
                self._connections.discard(connection)
                self.evicted += 1

    def _serve(self, connection: _Connection) -> None:
        try:
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

    def _serve_one(self, connection: _Connection) -> bool:
        """Answer one request; say whether the connection may carry another."""
        request = None
        try:
            head = self._read_head(connection)
            if head is None:
                return False
            request, keep = parse_head(head)
            response = self._answer(request)
        except BadRequest as exc:
            response, keep = text(exc.status, str(exc)), False
        connection.since = None
        connection.sock.settimeout(WRITE_SECONDS)
        connection.sock.sendall(render(response, request, keep=keep, now=time.time()))
        connection.since = self._monotonic()
        return keep

    def _answer(self, request: Request) -> Response:
        if request.method not in _METHODS:
            return text(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD are answered", {"Allow": ", ".join(_METHODS)})
        try:
            return self._app(request)
        except Exception:
            # The edge of the application: a defect in a page must not take the server down, and says nothing outside.
            self.failures += 1
            log.exception("answering %s %s failed", request.method, request.path)
            return text(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error, see the log")

    def _read_head(self, connection: _Connection) -> bytes | None:
        """Return the next request's head; None when the client closed or kept us waiting."""
        began = self._monotonic() if connection.buffer else None
        deadline = self._monotonic() + (HEAD_SECONDS if connection.buffer else IDLE_SECONDS)
        while (end := connection.buffer.find(b"\r\n\r\n")) < 0:
            if len(connection.buffer) > MAX_HEAD:
                raise BadRequest(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"the head is larger than {MAX_HEAD} bytes"
                )
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
        head, connection.buffer = connection.buffer[:end], connection.buffer[end + 4 :]
        return head.lstrip(b"\r\n")


def parse_address(address: str) -> tuple[str | None, int]:
    """Return host (None for all) and port of ``host:port``, ``:port`` or ``[v6]:port``; raise ValueError."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{address!r} is no address to listen on: write host:port, :port or [v6]:port")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError(f"{address!r}: write an IPv6 address in brackets")
    return host.strip("[]") or None, int(port)


def _listen(address: str) -> list[socket.socket]:
    host, port = parse_address(address)
    try:
        if host is None and socket.has_dualstack_ipv6():
            try:
                return [
                    socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)
                ]
            except OSError as exc:
                log.debug("no IPv6 here (%s), listening on IPv4 only", exc)
        family = socket.AF_INET6 if host is not None and ":" in host else socket.AF_INET
        return [socket.create_server((host or "", port), family=family, backlog=BACKLOG)]
    except OSError as exc:
        raise OSError(exc.errno, f"cannot listen on {address}: {exc.strerror or exc}") from exc


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if host in ("::", "0.0.0.0"):  # noqa: S104  it is compared with, not bound
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
