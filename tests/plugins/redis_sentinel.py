"""A real Sentinel that watches a master, and what only pretends to be one."""

import contextlib
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import redis

from tests.plugins.ports import free_port
from tests.plugins.redis_server import START_TIMEOUT, RedisServer, redis_binary
from tests.plugins.waiting import wait_for

SERVICE = "jobs"


class Sentinel:
    """One sentinel, enough to fail over; ``lines`` are further ones of its configuration."""

    def __init__(self, folder: Path, master: RedisServer, *, lines: Sequence[str] = (), master_port: int = 0) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._file = folder / "sentinel.conf"
        monitored = master_port or master.port
        config = [
            f"port {self.port}",
            "bind 127.0.0.1",
            "protected-mode no",
            f"dir {folder}",
            *lines,
            f"sentinel monitor {SERVICE} 127.0.0.1 {monitored} 1",
            f"sentinel down-after-milliseconds {SERVICE} 500",
            f"sentinel failover-timeout {SERVICE} 2000",
        ]
        self._file.write_text("\n".join(config) + "\n")

    def start(self) -> "Sentinel":
        """Start it and wait until it answers."""
        with (self._folder / "sentinel.log").open("ab") as output:
            self._process = subprocess.Popen(
                [redis_binary(), self._file, "--sentinel"], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        wait_for(self._listens, START_TIMEOUT, what=f"the sentinel answers; its log is in {self._folder}")
        return self

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "sentinel.log").read_text()[-2000:]
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def url(self, service: str = SERVICE, *, before: Sequence[int] = (), query: str = "") -> str:
        """Return the URL; ``before`` are ports of sentinels to ask first."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in (*before, self.port))
        return f"redis+sentinel://{hosts}/{service}{query}"

    def ask(self, *words: str) -> Any:
        """Return what it answers to SENTINEL with these words."""
        with redis.Redis(host="127.0.0.1", port=self.port, protocol=2) as client:
            return client.execute_command("SENTINEL", *words)

    def master_port(self) -> int:
        """Return the port of the server that is master now."""
        return int(self.ask("GET-MASTER-ADDR-BY-NAME", SERVICE)[1])

    def sees_replicas(self, count: int) -> bool:
        """Say whether it sees so many replicas that are up."""
        told = [
            dict(zip(each[::2], each[1::2], strict=True)) if isinstance(each, list) else each
            for each in self.ask("REPLICAS", SERVICE)
        ]
        names = [{_text(name): _text(value) for name, value in each.items()} for each in told]
        up = [each for each in names if each["flags"] == "slave" and each["master-link-status"] == "ok"]
        return len(up) == count

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(START_TIMEOUT)
            self._process = None


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


class Pretender:
    """Listens and answers what each connection asks with these bytes, one after the other, then hangs.

    ``{port}`` in an answer is its own port.
    """

    def __init__(self, answers: Sequence[bytes]) -> None:
        self._answers = answers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._held: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._held.append(client)
                client.settimeout(2)
                with contextlib.suppress(OSError):
                    for answer in self._answers:
                        client.recv(4096)
                        client.sendall(answer.replace(b"{port}", b"%d" % self.port))

    def close(self) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in tuple(self._held):
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        for client in self._held:
            client.close()


MakeSentinel: TypeAlias = Callable[..., Sentinel]
MakePretender: TypeAlias = Callable[..., Pretender]


@pytest.fixture
def make_sentinel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeSentinel]:
    """Give a function that starts sentinels: ``make_sentinel(master, lines=("requirepass x",))``."""
    sentinels: list[Sentinel] = []

    def make(master: RedisServer, *, lines: Sequence[str] = (), master_port: int = 0) -> Sentinel:
        sentinels.append(Sentinel(tmp_path_factory.mktemp("sentinel"), master, lines=lines, master_port=master_port))
        return sentinels[-1].start()

    yield make
    for sentinel in sentinels:
        sentinel.stop()


@pytest.fixture
def pretend() -> Iterator[MakePretender]:
    """Give a function that starts a server which is none: ``pretend(b"+OK", b"garbage")``; ``pretend()`` never answers."""
    made: list[Pretender] = []

    def make(*answers: bytes) -> Pretender:
        made.append(Pretender(answers))
        return made[-1]

    yield make
    for each in made:
        each.close()
