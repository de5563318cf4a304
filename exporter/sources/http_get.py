"""One HTTP(S) GET: one deadline for name, connection, TLS, headers and a bounded body.

``http.client`` follows no total deadline, so the connection is made here and its ``HTTPResponse`` reads from a bounded
reply. No redirects are followed, no proxy variables are heeded, no connection is kept.
"""

import base64
import http.client
import socket
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, cast
from urllib.parse import quote, unquote, urlsplit

from depthgauge import __version__
from depthgauge.errors import ErrorKind, SourceError
from depthgauge.secrets import Secret
from exporter.sources.bounded import CHUNK, BoundedReply, remaining
from exporter.sources.resolver import Address, Resolver
from exporter.sources.trust import Trust

MAX_BODY: Final = 256 * 1024
"""Bytes of a body that are read; the rest of a larger one is not waited for."""
MAX_HEAD: Final = 256 * 1024
_PORTS: Final = {"http": 80, "https": 443}


class Answer(NamedTuple):
    """What a GET brought."""

    status: int
    seconds: float
    """From the start to the end of the body, or of what is read of it."""
    certificate_expires_at: datetime | None
    """None without TLS."""


class HttpGet:
    """Asks one URL, which may hold user name and password. Not for several threads at once."""

    def __init__(
        self,
        url: Secret,
        *,
        ca_file: Path | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        resolver: Resolver | None = None,
        trust: Trust | None = None,
    ) -> None:
        parts = urlsplit(url.reveal())
        self._is_tls = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or _PORTS[parts.scheme]
        path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
        query = quote(parts.query, safe="/?%:@!$&'()*+,;=~-._")
        host = f"[{self._host}]" if ":" in self._host else _ascii(self._host)
        place = host if self._port == _PORTS[parts.scheme] else f"{host}:{self._port}"
        self.shown = f"{parts.scheme}://{place}{path}"
        """The URL without what may be secret in it: user name, password, query."""
        login = ""
        if parts.username is not None or parts.password is not None:
            pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}".encode()
            login = f"Authorization: Basic {base64.b64encode(pair).decode()}\r\n"
        self._head = (
            f"GET {path}{f'?{query}' if query else ''} HTTP/1.1\r\nHost: {place}\r\n"
            f"User-Agent: depthgauge/{__version__}\r\nAccept: */*\r\nConnection: close\r\n{login}\r\n"
        ).encode("ascii")
        self._ca_file = ca_file
        self._trust = trust or Trust()
        self._monotonic = monotonic
        self._resolver = resolver or Resolver()

    def ask(self, timeout: float) -> Answer:
        """Ask once, within ``timeout`` seconds; raise SourceError where no answer comes. Any status is an answer."""
        started = self._monotonic()
        deadline = started + timeout
        try:
            with self._connect(deadline) as sock:
                status = self._exchange(sock, deadline)
                expires_at = _expiry(sock)
        except SourceError as exc:
            raise SourceError(exc.kind, f"{self.shown}: {exc}") from exc
        except (OSError, http.client.HTTPException) as exc:
            kind, hint = _judge(exc)
            raise SourceError(kind, f"{self.shown}: {str(exc) or type(exc).__name__} ({hint})") from exc
        except ValueError as exc:
            # http.client lets a negative size of a chunk through to its own arithmetic.
            raise SourceError(ErrorKind.GARBAGE, f"{self.shown}: {exc} (its answer makes no sense)") from exc
        return Answer(status, self._monotonic() - started, expires_at)

    def _exchange(self, sock: socket.socket, deadline: float) -> int:
        sock.settimeout(self._left(deadline))
        sock.sendall(self._head)
        source = BoundedReply(
            sock,
            silence=self._left(deadline),
            deadline=deadline,
            limit=MAX_HEAD + MAX_BODY + CHUNK,
            monotonic=self._monotonic,
        )
        with http.client.HTTPResponse(cast("socket.socket", source), method="GET") as response:
            response.begin()
            body = response.read(MAX_BODY)
            if response.length and len(body) < MAX_BODY:
                raise ConnectionResetError("the connection was closed in the middle of the body")
            return response.status

    def _connect(self, deadline: float) -> socket.socket:
        addresses = self._resolver.resolve(self._host, self._port, timeout=self._left(deadline))
        for number, address in enumerate(addresses[:-1]):
            try:
                # An address that swallows everything must leave time for the next one.
                return self._open(address, self._left(deadline) / (len(addresses) - number), deadline)
            except ssl.SSLError:
                # Somebody was there; another address of the same name will hardly do better.
                raise
            except OSError:
                # The last address tells what is wrong.
                continue
        return self._open(addresses[-1], self._left(deadline), deadline)

    def _open(self, address: Address, timeout: float, deadline: float) -> socket.socket:
        family, where = address
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout)
            sock.connect(where)
            if not self._is_tls:
                return sock
            sock.settimeout(self._left(deadline))
            return self._tls().wrap_socket(sock, server_hostname=self._host)
        except BaseException:
            sock.close()
            raise

    def _tls(self) -> ssl.SSLContext:
        try:
            return self._trust.context(self._ca_file)
        except OSError as exc:
            raise SourceError(
                ErrorKind.TLS, f"cannot read certificates from {self._ca_file}: {exc.strerror or exc} (probe.ca_file)"
            ) from exc

    def _left(self, deadline: float) -> float:
        return remaining(deadline, float("inf"), self._monotonic)


def _ascii(host: str) -> str:
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        # The resolver will say so.
        return quote(host)


def _expiry(sock: socket.socket) -> datetime | None:
    certificate: dict[str, Any] | None = sock.getpeercert() if isinstance(sock, ssl.SSLSocket) else None
    if not certificate or "notAfter" not in certificate:
        return None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)


_BY_TYPE: Final[tuple[tuple[type[Exception] | tuple[type[Exception], ...], ErrorKind, str], ...]] = (
    (socket.gaierror, ErrorKind.DNS, "the host name does not resolve"),
    (ConnectionRefusedError, ErrorKind.REFUSED, "nothing listens there"),
    (TimeoutError, ErrorKind.TIMEOUT, "no answer in time, see probe.timeout"),
    (ssl.SSLError, ErrorKind.TLS, "check the certificate, its name and its CA: probe.ca_file"),
    (
        (ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected, http.client.IncompleteRead),
        ErrorKind.CLOSED,
        "the server closed the connection before its answer was complete",
    ),
    (http.client.HTTPException, ErrorKind.GARBAGE, "what listens there does not speak HTTP"),
)


def _judge(exc: Exception) -> tuple[ErrorKind, str]:
    for types, kind, hint in _BY_TYPE:
        if isinstance(exc, types):
            return kind, hint
    return ErrorKind.UNREACHABLE, "check the URL and the network"
