"""Bull and BullMQ under node: one process a library and prefix, told what to do line by line."""

import json
import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from tests.plugins.redis_server import RedisServer

TESTS: Final = Path(__file__).resolve().parents[1]
PROGRAM: Final = TESTS / "programs" / "bullmq_station.js"
NODE_MODULES: Final = TESTS / "npm" / "node_modules"
TIMEOUT: Final = 20.0


class Moment:
    """A time that a library has stored. Equal to one that is a few milliseconds off: what is ahead of Redis's clock, as far as
    that is known, counts as now."""

    def __init__(self, milliseconds: float) -> None:
        self._at = datetime.fromtimestamp(milliseconds / 1000, UTC)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, datetime) and abs(other - self._at) < timedelta(milliseconds=5)

    __hash__ = None  # type: ignore[assignment]  # what is nearly equal has no hash

    def __repr__(self) -> str:
        return f"about {self._at!r}"


class BullStation:
    """A node process with one of ``bull``, ``bullmq``, ``bullmq5``, ``bullmq4``, ``bullmq3`` as producer and worker."""

    def __init__(self, package: str, server: RedisServer, *, prefix: str = "bull", database: int = 0) -> None:
        self._process = subprocess.Popen(
            ["node", str(PROGRAM), str(NODE_MODULES), package, str(server.port), str(database), prefix],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._read = b""

    def ask(self, do: str, **told: Any) -> Any:
        """Have the library do something and return its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **told}).encode() + b"\n")
        self._process.stdin.flush()
        reply = json.loads(self._line(do))
        assert "error" not in reply, f"{do} {told}: {reply['error']}"
        return reply["answer"]

    def _line(self, do: str) -> bytes:
        assert self._process.stdout is not None
        deadline = time.monotonic() + TIMEOUT
        while b"\n" not in self._read:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, left))
            assert ready, f"no answer to {do} in {TIMEOUT} s"
            chunk = os.read(self._process.stdout.fileno(), 65536)
            assert chunk, f"node ended before it answered to {do}"
            self._read += chunk
        line, _, self._read = self._read.partition(b"\n")
        return line

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """End the process by SIGKILL, jobs and all."""
        self._process.kill()
        self._process.wait(TIMEOUT)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


MakeStation: TypeAlias = Callable[..., BullStation]


@pytest.fixture
def make_station() -> Iterator[MakeStation]:
    """Give a function that starts stations: ``make_station("bullmq5", server, prefix="shop")``."""
    stations: list[BullStation] = []

    def make(package: str, server: RedisServer, **options: Any) -> BullStation:
        stations.append(BullStation(package, server, **options))
        return stations[-1]

    yield make
    for station in stations:
        station.kill()


class BullStage:
    """One server for the tests of a module, which use queues of different names, and one station a library on it."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self._stations: dict[str, BullStation] = {}

    def station(self, package: str) -> BullStation:
        """Return the library's station, a new one if it has been killed."""
        if package not in self._stations or not self._stations[package].alive:
            self._stations[package] = BullStation(package, self.server)
        return self._stations[package]

    def close(self) -> None:
        for station in self._stations.values():
            station.kill()


@pytest.fixture(scope="module")
def bull_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BullStage]:
    """Give a stage on a server that the module's tests share."""
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    stage = BullStage(server)
    yield stage
    stage.close()
    server.stop()
