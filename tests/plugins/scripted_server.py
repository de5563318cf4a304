"""A server that sends what a test tells it to, for the answers no real server can be made to give."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import pytest


class ScriptedServer:
    """Accepts TCP connections one by one, reads a request, sends ``chunks`` with ``pause`` seconds between, closes."""

    def __init__(self, chunks: Sequence[bytes], *, pause: float = 0.0, hold: bool = False) -> None:
        self.requests: list[bytes] = []
        self._chunks = chunks
        self._pause = pause
        self._hold = hold
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self._thread = threading.Thread(target=self._run, name="scripted server", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/RPC2"

    def _run(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(OSError):
                client, _ = self._listener.accept()
                with client:
                    self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(5)
        request = b""
        while not request.rstrip().endswith(b"</methodCall>"):
            chunk = client.recv(65536)
            if not chunk:
                break
            request += chunk
        self.requests.append(request)
        for chunk in self._chunks:
            client.sendall(chunk)
            if self._over.wait(self._pause):
                return
        if self._hold:
            self._over.wait()

    def close(self) -> None:
        """Stop serving."""
        self._over.set()
        self._thread.join(10)
        self._listener.close()
        assert not self._thread.is_alive(), "the scripted server hangs"


MakeScripted: TypeAlias = Callable[..., ScriptedServer]


@pytest.fixture
def scripted() -> Iterator[MakeScripted]:
    """Give a function that starts scripted servers: ``scripted(b"HTTP/1.1 200 OK\\r\\n…", pause=0.1, hold=True)``."""
    servers: list[ScriptedServer] = []

    def make(*chunks: bytes, pause: float = 0.0, hold: bool = False) -> ScriptedServer:
        servers.append(ScriptedServer(chunks, pause=pause, hold=hold))
        return servers[-1]

    yield make
    for server in servers:
        server.close()
