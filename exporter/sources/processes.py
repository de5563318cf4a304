"""What supervised processes use on this host, out of one walk over /proc a cycle.

psutil reads several files a process to make one object; for a thousand workers and their children that alone would cost
more than supervisord's answer. One read of ``/proc/PID/stat`` (proc(5)) has parent, times, threads, memory and start,
so this module reads those itself; ``cmdline``, ``environ`` and ``fd`` are read only for the processes that ask for them.

A pid that supervisord names is taken for a process of this host only if its parent is that supervisord and its start
fits the one supervisord tells; who answered on the socket must agree. Otherwise its resources are absent.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from depthgauge.snapshot import Process, Resources, Supervisor
from exporter.sources.process_tree import TreeClock

START_TOLERANCE: Final = 5.0
"""Seconds between the start supervisord tells (whole seconds, before the fork) and the one /proc tells."""

REREAD: Final = 16
"""A command line is read again at least every so many times that it is asked for."""
MAX_ENVIRONMENT: Final = 256 * 1024
"""Bytes of an environment that are looked at."""

Identity = tuple[int, int]
"""A pid and its start in clock ticks since boot: unlike the pid alone, never used twice."""


class Stat(NamedTuple):
    """The used fields of /proc/PID/stat; times in clock ticks, memory in pages."""

    zombie: bool
    parent: int
    own: int
    waited: int
    threads: int
    start: int
    rss: int


def parse_stat(line: bytes) -> Stat:
    """Return the fields of a stat line; raise ValueError or IndexError if it is none.

    The command's name stands in parentheses and may itself contain spaces and parentheses: the last one closes it.
    """
    fields = line[line.rindex(b")") + 2 :].split()
    return Stat(
        zombie=fields[0] in {b"Z", b"X"},
        parent=int(fields[1]),
        own=int(fields[11]) + int(fields[12]),
        waited=int(fields[13]) + int(fields[14]),
        threads=int(fields[17]),
        start=int(fields[19]),
        rss=int(fields[21]),
    )


class _Line(NamedTuple):
    start: int
    argv: tuple[str, ...]
    asked: int


class ResourceReader:
    """Joins supervised processes with /proc. Not for several threads at once."""

    def __init__(self, proc: str | Path = "/proc", *, ticks: int, page_size: int) -> None:
        self._proc = str(proc)
        self._ticks = ticks
        self._page_size = page_size
        self._table: dict[int, Stat] = {}
        self._children: dict[int, list[int]] = {}
        self._trees: dict[Identity, TreeClock] = {}
        self._lines: dict[int, _Line] = {}
        self.unreadable = 0
        """Entries of /proc that could not be read or understood, since the start; processes that just ended aside."""

    def read(self, supervisors: Sequence[Supervisor], peers: Mapping[str, int | None]) -> tuple[Supervisor, ...]:
        """Return the supervisors with the resources of those of their processes that run on this host.

        ``peers`` tells by supervisor name who answered: see ``SupervisorSource.peer_pid``. Pass the supervisors that
        were read in this cycle: their pids are compared with the processes of this moment. Without a /proc (another
        system than Linux) resources stay absent.
        """
        boot = self._walk()
        if boot is None:
            return tuple(supervisors)
        filled = tuple(self._fill(supervisor, peers.get(supervisor.name), boot) for supervisor in supervisors)
        self._trees = {key: tree for key, tree in self._trees.items() if self._is_alive(key)}
        self._lines = {pid: line for pid, line in self._lines.items() if self._is_alive((pid, line.start))}
        return filled

    def children(self, pid: int) -> Sequence[int]:
        """Return the children of a process as of the latest walk."""
        return self._children.get(pid, ())

    def start(self, pid: int) -> int | None:
        """Return the start of a process in clock ticks since boot, as of the latest walk; None if it is not there."""
        stat = self._table.get(pid)
        return None if stat is None else stat.start

    def variable(self, pid: int, name: str) -> str | None:
        """Return one variable of the environment a process was started with, and keep nothing of it.

        None where it is not set, and for other users' processes, whose environment only root may read.
        """
        if pid not in self._table:
            return None
        wanted = name.encode() + b"="
        try:
            with Path(self._proc, str(pid), "environ").open("rb", buffering=0) as file:
                entries = (file.read(MAX_ENVIRONMENT) or b"").split(b"\0")
        except OSError:
            # As with open files: unknown by design, no failure.
            return None
        return next(
            (each.removeprefix(wanted).decode("utf-8", "replace") for each in entries if each.startswith(wanted)), None
        )

    def descendants(self, pid: int) -> Sequence[int]:
        """Return the live and dead descendants of a process as of the latest walk, nearest first."""
        found = list(self._children.get(pid, ()))
        for child in found:
            found.extend(self._children.get(child, ()))
        return found

    def command_lines(self, pids: Iterable[int]) -> Mapping[int, tuple[str, ...]]:
        """Return the arguments of these processes, as of the latest walk; those that cannot be read are left out.

        Lines are kept per pid and start, and read again when asked for the 2nd, 4th, 8th, 16th, 32nd, 48th … time:
        between fork and exec a program shows supervisord's own line, shells exec, and some workers rewrite theirs.
        """
        found = {}
        for pid in pids:
            stat = self._table.get(pid)
            if stat is None:
                continue
            line = self._lines.get(pid)
            asked = line.asked + 1 if line is not None and line.start == stat.start else 1
            is_kept = line is not None and asked & (asked - 1) and asked % REREAD
            argv = line.argv if line is not None and is_kept else self._read_argv(pid)
            if argv is None:
                continue
            self._lines[pid] = _Line(stat.start, argv, asked)
            found[pid] = argv
        return found

    def _walk(self) -> float | None:
        """Read every process; return the unix time of boot by today's clock, or None when there is no /proc."""
        table: dict[int, Stat] = {}
        children: dict[int, list[int]] = {}
        try:
            boot = self._boot_time()
            entries = os.listdir(self._proc)  # noqa: PTH208  thousands of Path objects a cycle would be waste
        except FileNotFoundError:
            return None
        except OSError:
            self.unreadable += 1
            return None
        for entry in entries:
            if not entry.isdecimal():
                continue
            line = self._read(f"{entry}/stat", 1024)
            if line is None:
                continue
            try:
                stat = parse_stat(line)
            except (ValueError, IndexError):
                self.unreadable += 1
                continue
            pid = int(entry)
            table[pid] = stat
            children.setdefault(stat.parent, []).append(pid)
        self._table, self._children = table, children
        return boot

    def _boot_time(self) -> float:
        with Path(self._proc, "stat").open("rb") as file:
            for line in file:
                if line.startswith(b"btime "):
                    return float(line[6:])
        raise FileNotFoundError(f"{self._proc}/stat has no btime")

    def _read(self, name: str, size: int) -> bytes | None:
        """Return the first bytes of a file below /proc; None if it cannot be read, which is no failure if it is gone."""
        try:
            handle = os.open(f"{self._proc}/{name}", os.O_RDONLY)
            try:
                return os.read(handle, size)
            finally:
                os.close(handle)
        except (FileNotFoundError, ProcessLookupError):
            return None
        except OSError:
            self.unreadable += 1
            return None

    def _read_argv(self, pid: int) -> tuple[str, ...] | None:
        raw = self._read(f"{pid}/cmdline", 128 * 1024)
        if raw is None:
            return None
        return tuple(part.decode("utf-8", "replace") for part in raw.rstrip(b"\0").split(b"\0")) if raw else ()

    def _is_alive(self, key: Identity) -> bool:
        stat = self._table.get(key[0])
        return stat is not None and stat.start == key[1]

    def _may_be_local(self, supervisor: Supervisor, peer: int | None) -> bool:
        """Say whether the supervisord that was asked can be the process of this host that has its pid."""
        if supervisor.pid is None or (daemon := self._table.get(supervisor.pid)) is None:
            return False
        if peer is None or peer == supervisor.pid:
            return True
        # A supervisord that made itself a daemon opened its socket before: the peer is its parent, which has ended.
        # One that is older and still there is another process: its pids belong to another namespace.
        opener = self._table.get(peer)
        return peer > 0 and (opener is None or opener.zombie or opener.start > daemon.start)

    def _fill(self, supervisor: Supervisor, peer: int | None, boot: float) -> Supervisor:
        if not self._may_be_local(supervisor, peer):
            return supervisor
        return msgspec.structs.replace(
            supervisor,
            processes=tuple(
                msgspec.structs.replace(process, resources=self._measure(process.pid))
                if process.pid is not None and self._is_local(process, supervisor, boot)
                else process
                for process in supervisor.processes
            ),
        )

    def _is_local(self, process: Process, supervisor: Supervisor, boot: float) -> bool:
        stat = self._table.get(process.pid or 0)
        if stat is None or process.start is None or process.pid is None or stat.parent != supervisor.pid:
            return False
        # Both starts are right for ever once they have met; a clock that is set later moves only one of them.
        if (process.pid, stat.start) in self._trees:
            return True
        return abs(boot + stat.start / self._ticks - process.start.timestamp()) <= START_TOLERANCE

    def _measure(self, pid: int) -> Resources:
        root = self._table[pid]
        below = [(child, self._table[child]) for child in self.descendants(pid)]
        live = [stat for _, stat in below if not stat.zombie]
        tree = self._trees.setdefault((pid, root.start), TreeClock())
        ticks = tree.update({(key, stat.start): (stat.own, stat.waited) for key, stat in ((pid, root), *below)})
        return Resources(
            cpu_seconds=ticks / self._ticks,
            resident_memory_bytes=(root.rss + sum(stat.rss for stat in live)) * self._page_size,
            threads=root.threads + sum(stat.threads for stat in live),
            open_fds=self._count_fds(pid),
            children=len(live),
        )

    def _count_fds(self, pid: int) -> int | None:
        try:
            return len(os.listdir(f"{self._proc}/{pid}/fd"))  # noqa: PTH208  only their number is wanted
        except OSError:
            # Another user's process, unless the exporter has CAP_SYS_PTRACE: unknown by design, no failure.
            return None
