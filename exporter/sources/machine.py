"""What the host is like: CPU, load, memory, disks, uptime; from /proc (proc(5)), which in a container tells of the machine around it.

psutil has all of this too, but reads only one /proc for the whole program and asks file systems that may hang.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from depthgauge.errors import ErrorKind, SourceError
from depthgauge.health import Machine
from exporter.sources.aside import Aside
from exporter.sources.disks import DiskReader
from exporter.sources.uptime import FILE, Boot, UptimeFile

KIND: Final = "host"
MAX_BYTES: Final = 1024 * 1024
"""Of one file of /proc: its size tells nothing."""
_TIMES: Final = 8
"""user nice system idle iowait irq softirq steal; those of guests are in user and nice already."""
_IDLE: Final = (3, 4)


class MachineSource:
    """Reads the host. ``timeout`` is what one :meth:`collect` may take, in seconds.

    ``state_dir`` holds the file that tells a reboot; None remembers nothing. It is written only between :meth:`start` and
    :meth:`close`, so that whoever looks once leaves nothing behind.
    """

    kind: Final = KIND

    def __init__(
        self,
        host: str,
        *,
        clock: Callable[[], datetime],
        timeout: float,
        proc: Path,
        state_dir: Path | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        disks: DiskReader | None = None,
    ) -> None:
        self.target = host
        self._clock = clock
        self._timeout = timeout
        self._proc = proc
        self._disks = disks or DiskReader(proc)
        self.uptimes = UptimeFile(state_dir / FILE if state_dir is not None else None, monotonic=monotonic)
        self._saving: Aside[None] = Aside("writing the uptime")
        self._remembers = False
        self._before: tuple[int, ...] | None = None

    def start(self) -> None:
        """From now on, remember the uptime."""
        self._remembers = True

    def close(self) -> None:
        """Remember that the host was up until now."""
        if self._remembers:
            self._remembers = False
            self.uptimes.save(at_once=True)

    def collect(self) -> Machine:
        """Read the host once; raise SourceError if its /proc cannot be understood."""
        try:
            return self._read()
        except OSError as exc:
            raise SourceError(
                ErrorKind.PERMISSION_DENIED if isinstance(exc, PermissionError) else ErrorKind.UNREACHABLE,
                f"this host: cannot read {exc.filename or self._proc}: {exc.strerror}"
                " (it is read on Linux only; elsewhere set collectors.host = false)",
            ) from exc
        except (ValueError, IndexError, KeyError, OverflowError) as exc:
            raise SourceError(
                ErrorKind.GARBAGE, f"this host: {self._proc} holds something else than Linux tells: {exc!r}"
            ) from exc

    def _read(self) -> Machine:
        stat = self._file("stat").splitlines()
        heads = {line.split(maxsplit=1)[0]: line for line in stat if line}
        load = [float(word) for word in self._file("loadavg").split()[:3]]
        memory = _memory(self._file("meminfo"))
        uptime = float(self._file("uptime").split()[0])
        total, available = memory["MemTotal"], memory.get("MemAvailable")
        swap, swap_free = memory.get("SwapTotal"), memory.get("SwapFree")
        now = self._clock()
        return Machine(
            observed_at=now,
            cpus=sum(name.startswith("cpu") and name != "cpu" for name in heads) or None,
            cpu_ratio=self._cpu_ratio(heads["cpu"]),
            load1=load[0],
            load5=load[1],
            load15=load[2],
            memory_total_bytes=total,
            memory_available_bytes=available,
            memory_used_bytes=max(0, total - available) if available is not None else None,
            swap_total_bytes=swap,
            swap_used_bytes=max(0, swap - swap_free) if swap is not None and swap_free is not None else None,
            boot_at=datetime.fromtimestamp(int(heads["btime"].split()[1]), UTC),
            uptime_seconds=uptime,
            uptime_ratio=self._uptime_ratio(now, uptime),
            disks=self._disks.read(self._timeout / 2),
        )

    def _file(self, name: str) -> str:
        with (self._proc / name).open("rb") as file:
            return file.read(MAX_BYTES).decode("ascii", "replace")

    def _cpu_ratio(self, line: str) -> float | None:
        now = tuple(int(word) for word in line.split()[1 : 1 + _TIMES])
        before, self._before = self._before, now
        if before is None or len(before) != len(now):
            return None
        # The time spent waiting for disks is known to fall now and then.
        spent = [max(0, new - old) for new, old in zip(now, before, strict=True)]
        total, idle = sum(spent), sum(spent[index] for index in _IDLE)
        return (total - idle) / total if total else None

    def _uptime_ratio(self, now: datetime, uptime: float) -> float:
        boot = Boot(begin=now.timestamp() - uptime, uptime=uptime, boot_id=self._boot_id())
        ratio = self.uptimes.see(boot)
        if self._remembers:
            self._save()
        return ratio

    def _boot_id(self) -> str:
        try:
            return self._file("sys/kernel/random/boot_id").strip()[:64]
        except OSError:
            # A container may hide it: then the uptime has to do.
            return ""

    def _save(self) -> None:
        try:
            self._saving.run(self.uptimes.save, timeout=self._timeout / 4)
        except TimeoutError as exc:
            self.uptimes.failed(f"{exc}: is the disk of exporter.state_dir well?")


def _memory(text: str) -> Mapping[str, int]:
    """Return the bytes that /proc/meminfo tells."""
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        words = value.split()
        if words:
            found[name] = int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
    return found
