"""The HTTP server with a small application, and clients of it."""

import contextlib
import gzip
import http.client
import socket
import ssl
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest

from depthgauge.httpd import Request, Response, Server, text
from depthgauge.settings import Pem, TlsSettings, WebConfig, WebSettings
from tests.plugins.certificates import Authority

BODY = b"x 1.0\n" * 10_000


def app(request: Request) -> Response:
    if request.path == "/metrics":
        return Response(200, BODY, gzipped=gzip.compress(BODY))
    if request.path in {"/broken", "/api/broken"}:
        raise ZeroDivisionError("secret details")
    return text(404, "not found")


def port_of(server: Server) -> int:
    return int(server.urls[0].rpartition(":")[2])


class Client:
    """Speaks with one server, by TLS with a context."""

    def __init__(self, server: Server, context: ssl.SSLContext | None = None) -> None:
        self.port = port_of(server)
        self.context = context

    def connection(self) -> http.client.HTTPConnection:
        if self.context is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=5, context=self.context)

    def get(self, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
        """Ask on a connection of its own; the body is in ``read()``."""
        connection = self.connection()
        try:
            connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        answer.read = lambda *_: body  # type: ignore[method-assign]  # the connection is closed
        return answer

    def plain(self, data: bytes = b"") -> socket.socket:
        """Return a TCP connection that has sent these bytes as they are."""
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        if data:
            sock.sendall(data)
        return sock

    def raw(self, data: bytes = b"") -> socket.socket:
        """Return a connection, with its handshake done, that has sent these bytes."""
        sock = self.plain()
        if self.context is not None:
            sock = self.context.wrap_socket(sock, server_hostname="localhost")
        if data:
            sock.sendall(data)
        return sock

    def answer_to(self, data: bytes) -> bytes:
        """Send bytes; return all that comes until the server closes."""
        with self.raw(data) as sock, contextlib.suppress(ConnectionError):
            return b"".join(iter(lambda: sock.recv(65536), b""))
        return b""

    def scrape(self) -> float:
        """Scrape on a connection of its own; return the seconds it took."""
        started = time.monotonic()
        with contextlib.closing(self.connection()) as connection:
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            assert answer.status == 200
            assert answer.read() == BODY
        return time.monotonic() - started

    def median_scrape(self, times: int = 15) -> float:
        """Return the median seconds of several scrapes."""
        return statistics.median(self.scrape() for _ in range(times))


MakeServer: TypeAlias = Callable[..., Server]


@pytest.fixture
def make_server() -> Iterator[MakeServer]:
    """Give a function that starts a server: addresses, and fields of WebSettings; all are stopped with the test."""
    started: list[Server] = []

    def make(*listen: str, **fields: Any) -> Server:
        server = Server(WebSettings(listen=listen or ("127.0.0.1:0",), **fields), app)
        server.start()
        started.append(server)
        return server

    yield make
    for server in started:
        server.stop(1.0)


def tls_config(authority: Authority, name: str = "web", **fields: Any) -> WebConfig:
    """Return a web config with a new certificate of the authority."""
    cert, key = authority.issue(name)
    return WebConfig(tls=TlsSettings(cert=Pem(path=cert), key=Pem(path=key), **fields))


@pytest.fixture(params=["plain", "tls"])
def make_client(request: pytest.FixtureRequest, make_server: MakeServer, authority: Authority) -> Callable[..., Client]:
    """Give a function that starts a server, without TLS and with it, and returns a client of it."""

    def make(**fields: Any) -> Client:
        if request.param == "plain":
            client = Client(make_server(**fields))
        else:
            client = Client(make_server(config=tls_config(authority), **fields), authority.trusting())
        return client

    return make
