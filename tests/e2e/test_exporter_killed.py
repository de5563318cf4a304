"""kill -9 of an exporter that spools, and of one that drains: nothing that was on disk is lost, and the order holds."""

import random
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import redis

from depthgauge import stream
from exporter.depot import BATCH
from tests.plugins.daemons import Daemon, MakeDaemon
from tests.plugins.publishers import Start, on_stream
from tests.plugins.redis_server import RedisServer
from tests.plugins.repo import repo_root
from tests.plugins.waiting import wait_for

pytestmark = [pytest.mark.needs("redis-server", "source-tree")]


class Offering:
    """One such process, and what it said was settled."""

    def __init__(self, url: str, folder: Path, run_id: str, count: int) -> None:
        self.run_id = run_id
        self.settled = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.plugins.offering", url, str(folder), run_id, str(count)],
            cwd=repo_root(),
            stdout=subprocess.PIPE,
        )
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.settled = int(line)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)
        self._reading.join(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


def check(bus: redis.Redis, promised: dict[str, int], *, kills: int) -> None:
    """Compare the stream with what was promised: each run's snapshots from the first on, in order."""
    found = on_stream(bus)
    repeated = sum(count - 1 for count in Counter(found).values())
    assert repeated <= kills * BATCH, "only the batch under way at a kill is sent again"
    first = list(dict.fromkeys(found))
    assert [run for run, _ in first] == sorted(run for run, _ in first), "an earlier run comes first"
    for run, settled in promised.items():
        got = [seq for each, seq in first if each == run]
        assert got == list(range(1, len(got) + 1)), run
        assert len(got) >= settled, f"{run}: {settled} were promised, {len(got)} came"


def test_kills_while_spooling(start: Start, redis_server: RedisServer, tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    redis_server.stop()
    chance = random.Random(5)
    promised: dict[str, int] = {}
    for number in range(3):
        process = Offering(redis_server.url, folder, f"r{number}", 100_000)
        enough = chance.randint(50, 400)
        wait_for(lambda: process.settled >= enough, timeout=20)  # noqa: B023  used before it changes
        process.kill()
        promised[process.run_id] = process.settled
    redis_server.start()
    last = start(folder=folder, run_id="r9")
    wait_for(lambda: last.value("depthgauge_spool_snapshots") == 0, timeout=15)

    bus = redis_server.client()
    check(bus, promised, kills=0)
    assert sum(promised.values()) > 150
    assert last.publisher.earlier_drops() == {}


def test_kills_while_draining(start: Start, redis_server: RedisServer, tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    redis_server.stop()
    process = Offering(redis_server.url, folder, "r0", 3000)
    wait_for(lambda: process.settled == 3000, timeout=20)
    process.kill()
    redis_server.start()
    bus = redis_server.client()
    for number in range(1, 3):
        before = bus.xlen(stream.STREAM)
        process = Offering(redis_server.url, folder, f"r{number}", 0)
        wait_for(lambda: bus.xlen(stream.STREAM) > before + 100, timeout=20, step=0.001)  # noqa: B023  used before they change
        process.kill()
    start(folder=folder, run_id="r9")
    wait_for(lambda: len(set(on_stream(bus))) == 3000, timeout=15, step=0.1)
    check(bus, {"r0": 3000}, kills=2)


class Exporters:
    """Runs of one exporter, one after the other, over one state_dir."""

    def __init__(self, make_daemon: MakeDaemon, bus: RedisServer, state: Path) -> None:
        self._make = make_daemon
        self._config = (
            f'supervisor = []\nredis = []\n[exporter]\nhost = "web-1"\ninterval = 1\nstate_dir = "{state}"\n'
            f'[bus]\nurl = "{bus.url}"\n'
        )

    def start(self) -> Daemon:
        return self._make("exporter", self._config).ready()


@pytest.fixture
def exporters(make_daemon: MakeDaemon, redis_server: RedisServer, tmp_path: Path) -> Exporters:
    return Exporters(make_daemon, redis_server, tmp_path / "state")


def test_a_real_exporter_killed_and_stopped_while_the_bus_is_away(
    exporters: Exporters, redis_server: RedisServer
) -> None:
    redis_server.stop()
    killed = exporters.start()
    wait_for(lambda: (killed.value("depthgauge_spool_snapshots") or 0) >= 3, timeout=20)
    on_disk = int(killed.value("depthgauge_spool_snapshots") or 0)
    killed.kill()
    ended = exporters.start()
    wait_for(lambda: (ended.value("depthgauge_spool_spooled_total") or 0) >= 2, timeout=20)
    assert ended.stop() == 0
    assert "reached neither" not in ended.text
    redis_server.start()
    bus = redis_server.client()
    last = exporters.start()
    wait_for(lambda: last.value("depthgauge_spool_snapshots") == 0, timeout=20)
    wait_for(lambda: len({run for run, _ in on_stream(bus)}) == 3, timeout=20)

    found = on_stream(bus)
    assert len(found) == len(set(found))
    runs = list(dict.fromkeys(run for run, _ in found))
    for run in runs:
        got = [seq for each, seq in found if each == run]
        assert got == list(range(1, len(got) + 1))
    assert len([run for run, _ in found if run == runs[0]]) >= on_disk
    assert len([run for run, _ in found if run == runs[1]]) >= 2
    assert all(value == 0 for value in last.samples("depthgauge_bus_drops_total").values())
    assert last.value("depthgauge_bus_up") == 1


def test_a_real_exporter_ends_in_time_while_the_bus_is_frozen(exporters: Exporters, redis_server: RedisServer) -> None:
    bus = redis_server.client()
    exporter = exporters.start()
    wait_for(lambda: bus.xlen(stream.STREAM) >= 2, timeout=20)
    redis_server.pause()
    before = exporter.value("depthgauge_snapshot_timestamp_seconds") or 0
    wait_for(lambda: (exporter.value("depthgauge_snapshot_timestamp_seconds") or 0) > before + 0.5, timeout=10)
    began = time.monotonic()
    assert exporter.stop() == 0
    # Two seconds for the exporter, the rest for the interpreter on a busy machine.
    assert time.monotonic() - began < 3
    assert "reached neither" not in exporter.text
    redis_server.resume()
    promised = on_stream(bus)[-1]
    second = exporters.start()
    wait_for(lambda: len({run for run, _ in on_stream(bus)}) == 2, timeout=20)
    assert second.value("depthgauge_spool_snapshots") == 0

    first = [seq for run, seq in dict.fromkeys(on_stream(bus)) if run == promised[0]]
    assert first == list(range(1, len(first) + 1))
    assert first[-1] > promised[1]
