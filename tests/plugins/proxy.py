"""A proxy on the wire (TCP or unix socket) that can refuse, stall, go deaf and cut: the faults a network has.

It can be told to cut at the worst moment: see :class:`Trap`. What goes to the server can be watched: ``heralds`` are told
before it goes, ``watchers`` when it has gone.
"""

import contextlib
import select
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.plugins.waiting import wait_for

Address: TypeAlias = tuple[str, int] | str
"""Host and port, or the path of a unix socket."""

Watcher: TypeAlias = Callable[[int, bytes], None]
"""Told the connection's number and bytes that went from its client to the server."""

_TICK = 0.02
_CHUNK = 65536


class Moment(Enum):
    """When a trap cuts the connection on which its bytes go to the server."""

    BEFORE = "before"
    """They never reach the server; what went before them does."""
    INSIDE = "inside"
    """They do, and nothing that follows: the message that has them stays incomplete."""
    ANSWER = "answer"
    """The whole message does, the server has done what it says, and its answer is lost."""


@dataclass
class Trap:
    """A cut to come: the next ``times`` connections on which ``needle`` goes to the server die at that moment."""

    needle: bytes
    moment: Moment
    times: int = 1
    sprung: int = 0


@dataclass
class _Wire:
    """One connection: its number, the bytes sent last, the trap that waits, whether an answer is due and some of it came."""

    number: int
    tail: bytes = b""
    caught: Trap | None = field(default=None)
    waiting: bool = False
    answered: bool = False


class _Mode(Enum):
    FORWARD = "forward"
    STALL = "stall"
    DEAF = "deaf"


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_UNIX if isinstance(address, str) else socket.AF_INET


class Proxy:
    """Forwards connections on ``address`` to ``target``; one thread accepts, one serves each connection.

    ``start`` listen and forward · ``stop`` refuse, live connections die · ``stall`` keep connections, accept new ones, move
    no byte · ``resume`` go on with what waits · ``deaf`` accept, swallow, never answer · ``cut`` close live connections ·
    ``finish`` stop, but no client is left without the answer it waits for.
    """

    def __init__(self, target: Address, folder: Path) -> None:
        self.target = target
        self.accepted = 0
        self.heralds: list[Watcher] = []
        self.watchers: list[Watcher] = []
        self._traps: list[Trap] = []
        self._mode = _Mode.FORWARD
        self._finishing = False
        self._lock = threading.Lock()
        self._live: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        self._address: Address = str(folder / f"{id(self):x}.sock") if isinstance(target, str) else ("127.0.0.1", 0)

    @property
    def address(self) -> Address:
        """Return where the proxy listens; the same after ``stop`` and ``start``."""
        return self._address

    @property
    def port(self) -> int:
        """Return the TCP port the proxy listens on."""
        assert not isinstance(self._address, str), "this proxy listens on a unix socket"
        return self._address[1]

    @property
    def path(self) -> str:
        """Return the path of the unix socket the proxy listens on."""
        assert isinstance(self._address, str), "this proxy listens on a TCP port"
        return self._address

    @property
    def connections(self) -> int:
        """Return the number of clients that are connected."""
        with self._lock:
            return len(self._live)

    def start(self) -> "Proxy":
        """Listen (again) and forward."""
        assert self._listener is None, "the proxy is already started"
        self._mode = _Mode.FORWARD
        listener = socket.socket(_family(self._address), socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if isinstance(self._address, str):
            Path(self._address).unlink(missing_ok=True)
        listener.bind(self._address)
        listener.listen(512)
        if not isinstance(self._address, str):
            self._address = ("127.0.0.1", listener.getsockname()[1])
        self._listener = listener
        self._spawn(self._accept, listener)
        return self

    def stop(self) -> None:
        """Refuse connections (a unix socket's file stays) and close the live ones."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(10)
        assert not any(thread.is_alive() for thread in self._threads), "a thread of the proxy hangs"
        self._threads.clear()

    def finish(self) -> None:
        """Stop as ``stop`` does, once every client has the answer to what it has asked.

        A client that is cut off between the two cannot know whether the server did it.
        """
        self._finishing = True
        try:
            wait_for(lambda: not self.connections, 10, what="all clients of the proxy have their answers")
            self.stop()
        finally:
            self._finishing = False

    def stall(self) -> None:
        """Keep connections open and accept new ones, but move no byte."""
        self._mode = _Mode.STALL

    def deaf(self) -> None:
        """Accept and read, but neither forward nor answer."""
        self._mode = _Mode.DEAF

    def resume(self) -> None:
        """Forward again, also what waited during ``stall``."""
        self._mode = _Mode.FORWARD

    def cut(self) -> None:
        """Close the live connections."""
        with self._lock:
            for client in self._live:
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)

    def trap(self, needle: bytes, moment: Moment, *, times: int = 1) -> Trap:
        """Cut at the worst moment, see :class:`Moment`; the trap tells how often it has."""
        trap = Trap(needle, moment, times)
        with self._lock:
            self._traps.append(trap)
        return trap

    def _spawn(self, work: Callable[[socket.socket], None], sock: socket.socket) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(target=work, args=(sock,), name=f"proxy {work.__name__}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while self._listener is listener:
            try:
                if not select.select([listener], [], [], _TICK)[0]:
                    continue
                client, _ = listener.accept()
            except (OSError, ValueError):
                return
            self.accepted += 1
            with self._lock:
                self._live.add(client)
            self._spawn(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        server: socket.socket | None = None
        wire = _Wire(number=self.accepted)
        try:
            while self._listener is not None and (wire.waiting or not self._finishing):
                deaf = self._mode is _Mode.DEAF
                ends = [client] if server is None or deaf else [client, server]
                readable = select.select(ends, [], [], _TICK)[0]
                # Answers may come in pieces: only when no more is coming has all been answered.
                wire.waiting = wire.waiting and (bool(readable) or not wire.answered)
                if self._mode is _Mode.FORWARD and server is None:
                    server = socket.socket(_family(self.target), socket.SOCK_STREAM)
                    server.settimeout(10)
                    server.connect(self.target)
                if not self._step(client, server, readable, wire):
                    return
        except OSError:
            # One of the two ends is gone; so is this connection.
            return
        finally:
            with self._lock:
                self._live.discard(client)
            client.close()
            if server is not None:
                server.close()

    def _step(
        self, client: socket.socket, server: socket.socket | None, readable: list[socket.socket], wire: _Wire
    ) -> bool:
        """Do what the mode says with what is readable; return whether the connection goes on."""
        if self._mode is _Mode.STALL:
            # A client that has gone away shows as readable; it may as well wait until the stall is over.
            threading.Event().wait(_TICK)
            return True
        if self._mode is _Mode.DEAF:
            return client not in readable or bool(client.recv(_CHUNK))
        return server is None or self._forward(client, server, readable, wire)

    def _forward(
        self, client: socket.socket, server: socket.socket, readable: list[socket.socket], wire: _Wire
    ) -> bool:
        if client in readable:
            data = client.recv(_CHUNK)
            if not data or not self._send(server, data, wire):
                return False
        if server in readable:
            data = server.recv(_CHUNK)
            if wire.caught is not None:
                wire.caught.sprung += 1
                return False
            if not data:
                return False
            client.sendall(data)
            wire.answered = True
        return True

    def _send(self, server: socket.socket, data: bytes, wire: _Wire) -> bool:
        """Pass on what a client sends, as far as the traps let it; return whether the connection goes on."""
        for herald in self.heralds:
            herald(wire.number, data)
        trap, at = self._caught(data, wire)
        if trap is not None and trap.moment is not Moment.ANSWER:
            passed = data[: max(0, at if trap.moment is Moment.INSIDE else at - len(trap.needle))]
            server.sendall(passed)
            self._tell(wire, passed)
            trap.sprung += 1
            return False
        wire.waiting, wire.answered = True, False
        server.sendall(data)
        self._tell(wire, data)
        wire.caught = wire.caught or trap
        return True

    def _caught(self, data: bytes, wire: _Wire) -> tuple[Trap | None, int]:
        """Return the trap whose bytes are in the data, and where in it they end."""
        seen = wire.tail + data
        with self._lock:
            for trap in self._traps:
                found = seen.find(trap.needle)
                if found >= 0 and trap.times > 0:
                    trap.times -= 1
                    return trap, found + len(trap.needle) - len(wire.tail)
            longest = max((len(trap.needle) for trap in self._traps), default=0)
        wire.tail = seen[-longest + 1 :] if longest > 1 else b""
        return None, 0

    def _tell(self, wire: _Wire, data: bytes) -> None:
        for watcher in self.watchers:
            watcher(wire.number, data)


MakeProxy: TypeAlias = Callable[[Address], Proxy]


@pytest.fixture
def make_proxy() -> Iterator[MakeProxy]:
    """Give a function that starts proxies: ``make_proxy(("127.0.0.1", port))``, ``make_proxy("/path/to.sock")``."""
    folder = Path(tempfile.mkdtemp(prefix="depthgauge-proxy-"))
    proxies: list[Proxy] = []

    def make(target: Address) -> Proxy:
        proxies.append(Proxy(target, folder).start())
        return proxies[-1]

    yield make
    for proxy in proxies:
        proxy.stop()
    shutil.rmtree(folder)
