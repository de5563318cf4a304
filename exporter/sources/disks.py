"""The file systems of this host that can fill up: local ones on a device, each once.

What is mounted stands in /proc/self/mountinfo (proc_pid_mountinfo(5)). Remote file systems are never asked: one whose server
is away would hold the call for ever. Memory (tmpfs), layers (overlay) and read-only images (squashfs, iso9660) are no disks.
"""

import logging
import os
import re
import stat
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from depthgauge.health import Disk
from depthgauge.names import clean
from exporter.sources.aside import Aside

log = logging.getLogger(__name__)

LOCAL: Final = frozenset(
    {
        *("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "bcachefs", "f2fs", "jfs", "nilfs2", "reiserfs", "ufs"),
        *("vfat", "msdos", "exfat", "ntfs", "ntfs3", "fuseblk", "hfsplus"),
    }
)
"""Types of file systems that are read."""
MAX_DISKS: Final = 100
MAX_PLACES: Final = 20
"""Places of one file system that are tried."""
MAX_MOUNTS: Final = 4 * 1024 * 1024
"""Bytes of mountinfo that are read."""
_ESCAPE: Final = re.compile(rb"\\([0-7]{3})")


class Space(Protocol):
    """What statvfs(3) tells."""

    @property
    def f_frsize(self) -> int:
        """Bytes a block."""

    @property
    def f_blocks(self) -> int:
        """Blocks in all."""

    @property
    def f_bfree(self) -> int:
        """Free blocks."""

    @property
    def f_bavail(self) -> int:
        """Free blocks for ordinary users."""


class _Mount(NamedTuple):
    device: str
    root: str
    """The folder of the file system that is mounted: another one than / in a bind mount or a subvolume."""
    point: str
    kind: str


def _mounts(text: bytes) -> Iterator[_Mount]:
    for line in text.splitlines():
        left, separator, right = line.partition(b" - ")
        fields, about = left.split(b" "), right.split(b" ")
        if separator and len(fields) >= 6:
            device, root, point = (_unescaped(field) for field in fields[2:5])
            yield _Mount(device, root, point, about[0].decode("latin-1"))


def _unescaped(field: bytes) -> str:
    return os.fsdecode(_ESCAPE.sub(lambda found: bytes([int(found[1], 8) & 0xFF]), field))


def mounted(text: bytes) -> list[list[str]]:
    """Return where each local file system of a mountinfo is mounted, its most telling place first."""
    # A later mount hides an earlier one at the same place.
    visible = {mount.point: mount for mount in _mounts(text)}
    places: dict[str, list[_Mount]] = defaultdict(list)
    for mount in visible.values():
        if mount.kind in LOCAL:
            places[mount.device].append(mount)
    return sorted([mount.point for mount in sorted(mounts, key=_rank)] for mounts in places.values())


def _rank(mount: _Mount) -> tuple[bool, int, str]:
    """Return what orders the places of one file system: the whole before a part of it, near the top before deep down."""
    return (mount.root != "/", mount.point.count("/") if mount.point != "/" else 0, mount.point)


class DiskReader:
    """Reads the disks; a reading that hangs is left behind, and there are no disks until it ends."""

    def __init__(self, proc: Path, *, statvfs: Callable[[str], Space] = os.statvfs) -> None:
        self._mountinfo = proc / "self" / "mountinfo"
        self._statvfs = statvfs
        self._aside: Aside[tuple[Disk, ...]] = Aside("reading file systems")
        self._told: set[str] = set()

    def read(self, timeout: float) -> tuple[Disk, ...]:
        """Return the disks; none where they cannot be read within so many seconds, which the log says once."""
        try:
            disks = self._aside.run(self._read, timeout=timeout)
        except OSError as exc:
            self._tell("", f"cannot read the file systems: {exc}; disks are left out until it can be done")
            return ()
        self._told.discard("")
        return disks

    def _read(self) -> tuple[Disk, ...]:
        with self._mountinfo.open("rb") as file:
            systems = mounted(file.read(MAX_MOUNTS))
        found = (self._first(points) for points in systems)
        return tuple(disk for disk in found if disk is not None)[:MAX_DISKS]

    def _first(self, points: Sequence[str]) -> Disk | None:
        """Return the disk from the first of its places that tells anything."""
        disks = (self._disk(point) for point in points[:MAX_PLACES])
        return next((disk for disk in disks if disk is not None), None)

    def _disk(self, point: str) -> Disk | None:
        try:
            # In a container single files (/etc/hosts) are mounted too.
            if not stat.S_ISDIR(os.stat(point).st_mode):  # noqa: PTH116  Path.is_dir would hide what went wrong
                return None
            space = self._statvfs(point)
        except OSError as exc:
            self._tell(point, f"cannot read the file system at {clean(point)}: {exc.strerror}; it is left out")
            return None
        used = space.f_blocks - space.f_bfree
        if space.f_blocks <= 0 or used < 0 or used + space.f_bavail <= 0:
            return None
        return Disk(
            mountpoint=clean(point),
            total_bytes=space.f_blocks * space.f_frsize,
            available_bytes=space.f_bavail * space.f_frsize,
            used_ratio=used / (used + space.f_bavail),
        )

    def _tell(self, what: str, text: str) -> None:
        if what not in self._told:
            self._told.add(what)
            log.warning("%s", text)
