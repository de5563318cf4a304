"""A disk that is full, and one that may not be written to."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from depthgauge import stream
from exporter.spool import Limits
from tests.plugins.publishers import Start, on_stream
from tests.plugins.redis_server import RedisServer
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("redis-server", "root")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_disk_loses_nothing_that_it_took(
    start: Start, redis_server: RedisServer, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    other = small_disk / "somebody-elses"
    other.write_bytes(b"x" * 900_000)
    redis_server.stop()
    running = start(folder=small_disk / "spool", limits=Limits(max_bytes=1 << 20), max_waiting=100)
    seq = 0
    while not running.errors("append"):
        running.offer(*range(seq + 1, seq + 21))
        seq += 20
        wait_for(lambda: running.publisher._outbox.waiting == 0 or running.errors("append"), timeout=5)
    assert "No space left on device (make room on that disk, or set exporter.spool_max_bytes lower)" in caplog.text
    on_disk = int(running.spooled or 0)
    assert on_disk > 100
    # The rest waits in memory, and what is too much for that is counted.
    running.offer(*range(seq + 1, seq + 301))
    wait_for(lambda: running.drops().get("spool_failed", 0) == seq + 300 - on_disk - 100, timeout=5)
    wait_for(lambda: running.settled[-1] == seq + 300 - 100, timeout=5)
    other.unlink()
    last = seq + 301
    running.offer(last)
    wait_for(lambda: "the spool takes snapshots again" in caplog.text, timeout=5)
    wait_for(lambda: running.publisher._outbox.waiting == 0, timeout=5)
    redis_server.start()

    bus = redis_server.client()
    lost = running.drops()["spool_failed"]
    wait_for(lambda: bus.xlen(stream.STREAM) == last - lost, timeout=10)
    expected = [*range(1, on_disk + 1), *range(on_disk + lost + 1, last + 1)]
    assert [seq for _, seq in on_stream(bus)] == expected
    assert running.drops() == {"spool_failed": lost}


def test_a_full_disk_can_be_drained(start: Start, redis_server: RedisServer, small_disk: Path) -> None:
    """Reading makes room: not being able to write down how far it got must not stop it."""
    redis_server.stop()
    running = start(folder=small_disk / "spool", limits=Limits(max_bytes=1 << 20))
    running.offer(*range(1, 101))
    wait_for(lambda: running.spooled == 100, timeout=5)
    filler = small_disk / "somebody-elses"
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(b"x" * (1 << 20))
    redis_server.start()
    bus = redis_server.client()
    wait_for(lambda: bus.xlen(stream.STREAM) == 100, timeout=10)
    assert running.errors("state")
    running.stop()
    # Sent again after a crash: the position on disk is old, and nothing is there any more to be sent.
    second = start(folder=small_disk / "spool", run_id="r2", limits=Limits(max_bytes=1 << 20))
    wait_for(lambda: second.value("depthgauge_spool_snapshots") == 0, timeout=5)
    assert (second.drops(), dict(second.publisher.earlier_drops())) == ({}, {})


def test_a_disk_that_is_read_only_and_comes_round(
    start: Start, redis_server: RedisServer, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    redis_server.stop()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    running = start(folder=small_disk / "spool")
    running.offer(1, 2)
    wait_for(lambda: running.errors("open") == 1, timeout=5)
    assert "choose another exporter.state_dir" in caplog.text
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    running.publisher._depot._opened_at = None
    wait_for(lambda: running.spooled == 2, timeout=5)
