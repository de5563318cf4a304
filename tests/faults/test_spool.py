"""Exporters that keep what their bus does not take on disk."""

import re
import secrets
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.redis_server import MakeRedis
from tests.plugins.stage import MakeStage, wait_value
from tests.plugins.taken import Run, wait_taken
from tests.plugins.waiting import wait_for

pytestmark = [pytest.mark.needs("redis-server", "postgres")]

SPOOLED = "`depthgauge_spool_snapshots`"
KEEP = 6
QUEUES = 1000
RECORD = re.compile(rb"\xa4host\xc4.([a-z0-9-]+)\xa3run\xc4.([0-9a-f]{32})\xa3seq\xc4.([0-9]+)", re.DOTALL)
"""A record's clear fields, as msgpack has them."""


def test_killed_while_spooling(make_stage: MakeStage, tmp_path: Path) -> None:
    """Twice: what two runs have synced arrives by a third one, each run's numbers without a gap."""
    stage = make_stage()
    proxy, url, tap = stage.tap()
    stage.sink()
    exporter = stage.exporter(url, state_dir=tmp_path)
    wait_taken(tap, 4)
    [first] = tap.taken.of("web-1")
    proxy.stop()
    told = wait_value(exporter, "depthgauge_spool_snapshots", KEEP)
    exporter.kill()
    assert len(on_disk(tmp_path)[first]) >= told, "it said more than it had done"

    exporter = stage.exporter(url, state_dir=tmp_path)
    found = wait_value(exporter, "depthgauge_spool_snapshots", told)
    more = wait_value(exporter, "depthgauge_spool_snapshots", found + KEEP)
    exporter.kill()
    for run, numbers in on_disk(tmp_path).items():
        tap.taken.expect(run, max(numbers))

    proxy.start()
    exporter = stage.exporter(url, state_dir=tmp_path)
    wait_value(exporter, "depthgauge_bus_published_total", more, 40)
    wait_for(lambda: exporter.value("depthgauge_spool_snapshots") == 0, 20)
    wait_taken(tap, 2)
    stage.settle()

    assert len(tap.taken.of("web-1")) == 3
    stage.record("exporter killed with -9 while spooling, twice", SPOOLED)


def test_stopped_while_spooling(make_stage: MakeStage, tmp_path: Path) -> None:
    """A service manager's stop while the bus is silent: what waits is on disk when the process is gone."""
    stage = make_stage()
    _, url, tap = stage.tap()
    stage.sink()
    exporter = stage.exporter(url, state_dir=tmp_path)
    wait_taken(tap, 4)
    [first] = tap.taken.of("web-1")
    stage.bus.pause()
    try:
        synced = wait_value(exporter, "depthgauge_spool_snapshots", KEEP)
        assert exporter.stop() == 0
    finally:
        stage.bus.resume()
    spooled = on_disk(tmp_path)[first]
    assert len(spooled) >= synced
    exporter = stage.exporter(url, state_dir=tmp_path)
    wait_for(lambda: len(tap.taken.of("web-1")) == 2, 30)
    wait_taken(tap, 2)
    stage.settle()

    assert tap.taken.last(first) >= max(spooled)
    stage.record("exporter stopped (SIGTERM) while the bus is paused", SPOOLED)


def test_over_its_bound(make_stage: MakeStage, make_redis: MakeRedis, tmp_path: Path) -> None:
    """The oldest go first, an earlier run's before its own; the ledger says how many of which run."""
    stage = make_stage()
    stage.jobs = make_redis()
    with stage.jobs.client() as client:
        # Names that compression does not make smaller: about 40 KB a snapshot.
        client.sadd("rq:queues", *(f"rq:queue:{secrets.token_hex(32)}" for _ in range(QUEUES)))
    proxy, url, tap = stage.tap()
    stage.sink()
    limits: Mapping[str, Any] = {"state_dir": tmp_path, "spool_max_bytes": 1 << 20, "interval": 0.3}
    exporter = stage.exporter(url, **limits)
    wait_taken(tap, 4)
    [first] = tap.taken.of("web-1")
    proxy.finish()
    wait_value(exporter, "depthgauge_spool_snapshots", KEEP)
    exporter.kill()
    synced = on_disk(tmp_path)[first]
    tap.taken.expect(first, max(synced))

    exporter = stage.exporter(url, **limits)
    wait_value(exporter, "depthgauge_bus_drops_total", 2, 60, reason="spool_full")
    proxy.start()
    wait_for(lambda: len(tap.taken.of("web-1")) == 2, 30)
    wait_for(lambda: exporter.value("depthgauge_spool_snapshots") == 0, 30)
    wait_taken(tap, 2)
    stage.settle()

    done = stage.account()
    assert done.counted.keys() == {"spool_full"}
    assert done.counted["spool_full"] > len(synced)
    stage.record(
        "bus away until the spool is over its bound, over two runs",
        '`depthgauge_bus_drops_total{reason="spool_full"}`; `drops` and `earlier_drops` in the ledger',
        account=done,
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of its own, of 256 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.needs("root")
def test_disk_full(make_stage: MakeStage, small_disk: Path) -> None:
    """The bus is away and the disk takes nothing: memory holds them until there is room on one of the two."""
    stage = make_stage()
    proxy, url, tap = stage.tap()
    stage.sink()
    exporter = stage.exporter(url, state_dir=small_disk)
    wait_taken(tap, 4)
    ballast = small_disk / "ballast"
    fill(ballast)
    proxy.finish()
    wait_for(lambda: sum(exporter.samples("depthgauge_spool_errors_total").values()) >= 1, 30)
    seen = exporter.value("depthgauge_snapshot_timestamp_seconds") or 0
    wait_value(exporter, "depthgauge_snapshot_timestamp_seconds", seen + 3)
    ballast.unlink()
    wait_value(exporter, "depthgauge_spool_snapshots", KEEP, 40)
    proxy.start()
    wait_taken(tap, KEEP + 4)
    stage.settle()

    stage.record("disk of the spool full, the bus away", "`depthgauge_spool_errors_total`")


def on_disk(state_dir: Path) -> Mapping[Run, list[int]]:
    """Return the numbers of the snapshots in the spool's files, by run: read off the bytes, not by the spool's own code."""
    found: dict[Run, list[int]] = defaultdict(list)
    for segment in sorted((state_dir / "spool").glob("*.segment")):
        for host, run_id, seq in RECORD.findall(segment.read_bytes()):
            found[host.decode(), run_id.decode()].append(int(seq))
    return found


def fill(path: Path) -> None:
    """Write until the disk is full."""
    done = subprocess.run(["dd", "if=/dev/zero", f"of={path}", "bs=4k"], capture_output=True, text=True, check=False)
    assert "No space left" in done.stderr
