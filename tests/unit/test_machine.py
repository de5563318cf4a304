"""What the host is like, out of a /proc that the test writes and out of this machine's own, with psutil as the oracle."""

import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthgauge.errors import ErrorKind, SourceError
from exporter.sources.disks import MAX_DISKS, DiskReader, mounted
from exporter.sources.machine import MachineSource
from exporter.sources.uptime import FILE
from tests.plugins.waiting import wait_for

BOOT = 1_700_000_000
HOUR = 3600


class FakeHost:
    """A /proc, and a clock that goes with it."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        (self.proc / "self").mkdir(parents=True)
        (self.proc / "sys/kernel/random").mkdir(parents=True)
        self.state_dir = folder / "state"
        self.state_dir.mkdir()
        (self.proc / "loadavg").write_text("0.50 1.25 2.00 3/456 7890\n")
        self.memory(MemTotal=4096, MemFree=100, MemAvailable=1024, SwapTotal=512, SwapFree=384)
        self.mounts("20 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw")
        self.now = datetime.fromtimestamp(BOOT, UTC)
        self.boot("first")
        self.cpu("10 0 10 70 10 0 0 0 0 0")

    def boot(self, name: str) -> None:
        """The host starts now."""
        self._boot = self.now
        (self.proc / "sys/kernel/random/boot_id").write_text(f"{name}\n")
        self.passes(0)

    def passes(self, seconds: float, *, away: bool = False) -> None:
        self.now += timedelta(seconds=seconds)
        if not away:
            up = (self.now - self._boot).total_seconds()
            (self.proc / "uptime").write_text(f"{up:.2f} 1.00\n")

    def cpu(self, line: str, cpus: int = 2) -> None:
        each = "".join(f"cpu{number} {line}\n" for number in range(cpus))
        boot = int(self._boot.timestamp())
        (self.proc / "stat").write_text(f"cpu  {line}\n{each}intr 1 2 3\nbtime {boot}\nprocesses 3\n")

    def memory(self, **kib: int) -> None:
        lines = [f"{name}:{size:>12} kB\n" for name, size in kib.items()]
        (self.proc / "meminfo").write_text("".join([*lines, "HugePages_Total:       0\n"]))

    def mounts(self, *lines: str) -> None:
        (self.proc / "self" / "mountinfo").write_text("".join(f"{line}\n" for line in lines))

    def source(self, **options: Any) -> MachineSource:
        return MachineSource("web-1", clock=lambda: self.now, timeout=5, proc=self.proc, **options)


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


def test_what_proc_tells(host: FakeHost) -> None:
    source = host.source()
    host.passes(100)
    part = source.collect()
    assert (source.kind, source.target) == ("host", "web-1")
    assert (part.cpus, part.cpu_ratio) == (2, None)
    assert (part.load1, part.load5, part.load15) == (0.5, 1.25, 2.0)
    assert (part.memory_total_bytes, part.memory_available_bytes, part.memory_used_bytes) == (4 << 20, 1 << 20, 3 << 20)
    assert (part.swap_total_bytes, part.swap_used_bytes) == (512 << 10, 128 << 10)
    assert part.boot_at == datetime.fromtimestamp(BOOT, UTC)
    assert (part.uptime_seconds, part.uptime_ratio) == (100.0, 1.0)
    assert [disk.mountpoint for disk in part.disks] == ["/"]
    assert part.observed_at == host.now


def test_the_cpu_since_the_reading_before(host: FakeHost) -> None:
    source = host.source()
    source.collect()
    # 20 user, 5 steal, 60 idle, 15 waiting for disks; what guests take is in user already.
    host.cpu("30 0 10 130 25 0 0 5 20 0")
    assert source.collect().cpu_ratio == 0.25
    assert source.collect().cpu_ratio is None, "no time has passed"
    host.cpu("40 0 10 130 20 0 0 5 20 0")
    assert source.collect().cpu_ratio == 1.0, "the time spent waiting for disks may fall"


def test_an_old_kernel_and_a_host_without_swap(host: FakeHost) -> None:
    host.memory(MemTotal=4096, MemFree=100)
    part = host.source().collect()
    assert part.memory_total_bytes == 4 << 20
    assert (part.memory_available_bytes, part.memory_used_bytes, part.swap_total_bytes) == (None, None, None)


@pytest.mark.parametrize("name", ["stat", "loadavg", "meminfo", "uptime"])
@pytest.mark.parametrize("content", [b"", b"\xff\n", b"cpu a b\nbtime x\n", b"MemTotal: much kB\n", None])
def test_a_proc_that_is_none(name: str, content: bytes | None, host: FakeHost) -> None:
    place = host.proc / name
    place.unlink() if content is None else place.write_bytes(content)
    with pytest.raises(SourceError) as caught:
        host.source().collect()
    assert caught.value.kind is (ErrorKind.UNREACHABLE if content is None else ErrorKind.GARBAGE)


# Uptime


def test_a_reboot_is_told_and_a_restart_of_the_exporter_is_none(host: FakeHost) -> None:
    def run(hours: float) -> float | None:
        """One run of the exporter."""
        source = host.source(state_dir=host.state_dir)
        source.start()
        source.collect()
        host.passes(hours * HOUR)
        ratio = source.collect().uptime_ratio
        source.close()
        return ratio

    assert run(4) == 1.0
    host.passes(HOUR)
    assert run(2) == 1.0, "while the exporter was away the host was up"
    host.passes(HOUR, away=True)
    host.boot("second")
    assert run(2) == pytest.approx(0.9), "up for 7, away for 1, up for 2"
    assert run(10) == pytest.approx(19 / 20)
    assert host.source().collect().uptime_ratio == 1.0, "without a state_dir: what this boot tells"


def test_who_looks_once_leaves_nothing_behind(host: FakeHost) -> None:
    source = host.source(state_dir=host.state_dir)
    source.collect()
    source.close()
    assert list(host.state_dir.iterdir()) == []
    (host.proc / "sys/kernel/random/boot_id").unlink()
    source = host.source(state_dir=host.state_dir)
    source.start()
    source.collect()
    assert (host.state_dir / FILE).exists()


def test_a_disk_that_hangs_while_the_uptime_is_written(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    over = threading.Event()
    monkeypatch.setattr("exporter.durable.replace", lambda *_, **__: over.wait(30))
    source = MachineSource("h", clock=lambda: host.now, timeout=0.4, proc=host.proc, state_dir=host.state_dir)
    source.start()
    started = time.monotonic()
    for _ in range(3):
        assert source.collect().uptime_ratio == 1.0
    assert time.monotonic() - started < 2
    assert sum("is the disk of exporter.state_dir well?" in record.getMessage() for record in caplog.records) == 1
    over.set()


# Disks

MOUNTS = b"""\
20 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
21 20 0:21 / /proc rw - proc proc rw
22 20 0:22 / /dev/shm rw - tmpfs tmpfs rw
23 20 8:2 / /srv/with\\040blank rw - xfs /dev/sda2 rw
24 20 8:2 /part /mnt/bind rw - xfs /dev/sda2 rw
25 20 8:1 /srv/data /data rw - ext4 /dev/sda1 rw
26 20 0:50 / /mnt/nfs rw - nfs4 server:/export rw
27 20 0:51 / /mnt/ssh rw - fuse.sshfs host: rw
28 20 7:0 / /snap/core ro - squashfs /dev/loop0 ro
29 20 0:52 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw
30 20 0:53 /@ /pool rw master:3 propagate_from:2 - btrfs /dev/sdb rw
31 20 0:53 /@home /home rw - btrfs /dev/sdb rw
32 20 8:3 / /covered rw - ext4 /dev/sda3 rw
33 32 0:54 / /covered rw - tmpfs tmpfs rw
nonsense
"""


def test_each_local_file_system_once() -> None:
    assert mounted(MOUNTS) == [
        ["/", "/data"],
        ["/home", "/pool"],
        ["/srv/with blank", "/mnt/bind"],
    ]


@given(st.binary(max_size=500))
def test_any_mountinfo_can_be_read(text: bytes) -> None:
    assert isinstance(mounted(text + MOUNTS), list)


def space(blocks: int, free: int, available: int) -> Any:
    return SimpleNamespace(f_frsize=4096, f_blocks=blocks, f_bfree=free, f_bavail=available)


def disks(
    tmp_path: Path, points: list[Path], statvfs: Callable[[str], Any], *, timeout: float = 5
) -> tuple[DiskReader, Callable[[], Any]]:
    host = FakeHost(tmp_path)
    host.mounts(*(f"{30 + n} 1 8:{n} / {point} rw - ext4 /dev/sd{n} rw" for n, point in enumerate(points)))
    reader = DiskReader(host.proc, statvfs=statvfs)
    return reader, lambda: reader.read(timeout)


def test_the_room_on_a_disk_as_df_counts_it(tmp_path: Path) -> None:
    _, read = disks(tmp_path, [tmp_path], lambda _: space(1000, 300, 200))
    (disk,) = read()
    assert (disk.mountpoint, disk.total_bytes, disk.available_bytes) == (str(tmp_path), 1000 * 4096, 200 * 4096)
    assert disk.used_ratio == pytest.approx(700 / 900)


def test_what_is_no_folder_or_has_no_room_is_no_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file, empty, gone = tmp_path / "hosts", tmp_path / "empty", tmp_path / "gone"
    file.touch()
    empty.mkdir()
    _, read = disks(tmp_path, [file, empty, gone], lambda _: space(0, 0, 0))
    assert read() == read() == ()
    (told,) = caplog.records
    assert str(gone) in told.getMessage()


def test_a_full_disk_and_too_many_disks(tmp_path: Path) -> None:
    folders = [tmp_path / f"d{number}" for number in range(MAX_DISKS + 5)]
    for folder in folders:
        folder.mkdir()
    _, read = disks(tmp_path, folders, lambda _: space(10, 0, 0))
    found = read()
    assert len(found) == MAX_DISKS
    assert {disk.used_ratio for disk in found} == {1.0}


def test_a_disk_that_hangs_is_left_out_and_comes_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    over, calls = threading.Event(), 0

    def hang(_: str) -> Any:
        nonlocal calls
        calls += 1
        over.wait(30)
        return space(10, 5, 5)

    _, read = disks(tmp_path, [tmp_path], hang, timeout=0.1)
    with caplog.at_level(logging.WARNING):
        assert [read() for _ in range(3)] == [(), (), ()]
    assert calls == 1, "never more than one call in flight"
    assert len(caplog.records) == 1
    over.set()
    wait_for(read, what="the disk is read again")


# This machine


def test_this_machine_as_psutil_sees_it() -> None:
    source = MachineSource("here", clock=lambda: datetime.now(UTC), timeout=5, proc=Path("/proc"))
    first = source.collect()
    assert first.cpu_ratio is None
    psutil.cpu_percent()
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        sum(range(10_000))
    ratio = psutil.cpu_percent() / 100
    part = source.collect()
    assert part.cpu_ratio == pytest.approx(ratio, abs=0.2)
    assert part.cpus == psutil.cpu_count()
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    assert part.memory_total_bytes == memory.total
    assert part.memory_available_bytes == pytest.approx(memory.available, rel=0.1)
    assert part.swap_total_bytes == swap.total
    assert part.swap_used_bytes == pytest.approx(swap.used, abs=64 << 20)
    assert part.load1 == pytest.approx(os.getloadavg()[0], abs=1)
    assert part.boot_at is not None
    assert part.boot_at.timestamp() == pytest.approx(psutil.boot_time(), abs=2)
    usage = {each.mountpoint: psutil.disk_usage(each.mountpoint) for each in psutil.disk_partitions()}
    for disk in part.disks:
        assert disk.total_bytes == usage[disk.mountpoint].total
        assert disk.used_ratio == pytest.approx(usage[disk.mountpoint].percent / 100, abs=0.01)
    assert part.disks
