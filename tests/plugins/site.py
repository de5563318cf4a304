"""A real HTTP(S) server whose answers a test decides, as slow as it wants them."""

import http.server
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: "Site"

    def do_GET(self) -> None:
        site = self.site
        site.requests.append((self.path, dict(self.headers.items())))
        delay = site.delays.pop(0) if site.delays else 0.0
        if site.over.wait(delay):
            self.close_connection = True
            return
        self.send_response(site.status)
        for name, value in site.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(site.body)))
        self.end_headers()
        self.wfile.write(site.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base's signature
        """Say nothing."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that go away are what some tests are about."""


class Site:
    """One server on a free port; ``requests`` are paths and headers, ``delays`` the seconds before the next answers."""

    def __init__(self, context: ssl.SSLContext | None = None, *, status: int = 200, body: bytes = b"well") -> None:
        self.status = status
        self.body = body
        self.headers: dict[str, str] = {}
        self.delays: list[float] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.over = threading.Event()
        handler = type("Handler", (_Handler,), {"site": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._scheme = "https" if context is not None else "http"
        if context is not None:
            # The handshake then happens in the connection's own thread, at its first read.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="site", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}/up"

    def close(self) -> None:
        """Stop serving."""
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


MakeSite: TypeAlias = Callable[..., Site]


@pytest.fixture
def make_site() -> Iterator[MakeSite]:
    """Give a function that starts servers: ``make_site(context, status=503)``."""
    sites: list[Site] = []

    def make(context: ssl.SSLContext | None = None, **options: Any) -> Site:
        sites.append(Site(context, **options))
        return sites[-1]

    yield make
    for site in sites:
        site.close()
