"""Processes of a host that a test makes up, and command lines that are read at a glance."""

from collections.abc import Iterable, Mapping, Sequence

from exporter.command_lines.reader import Variable


class Worker:
    """A command line reader: ``NAME work a,b``; ``NAME busy`` is a worker, too, that tells no queues."""

    def __init__(self, system: str) -> None:
        self.system = system

    def serves(self, argv: Sequence[str], variable: Variable) -> Sequence[str] | None:
        if argv[:2] == (self.system, "env"):
            return (variable("QUEUE") or "").split(",")
        if tuple(argv[:2]) == (self.system, "work"):
            return argv[2].split(",")
        return () if tuple(argv[:2]) == (self.system, "busy") else None


class Table:
    """What runs on this host: argv and children by pid."""

    def __init__(self) -> None:
        self.argv: dict[int, tuple[str, ...]] = {}
        self.below: dict[int, Sequence[int]] = {}
        self.starts: dict[int, int] = {}
        self.variables: dict[int, Mapping[str, str]] = {}
        self.asked: list[int] = []

    def command_lines(self, pids: Iterable[int]) -> Mapping[int, tuple[str, ...]]:
        wanted = list(pids)
        self.asked += wanted
        return {pid: self.argv[pid] for pid in wanted if pid in self.argv}

    def children(self, pid: int) -> Sequence[int]:
        return self.below.get(pid, ())

    def start(self, pid: int) -> int | None:
        return self.starts.get(pid, 1 if pid in self.argv else None)

    def variable(self, pid: int, name: str) -> str | None:
        return self.variables.get(pid, {}).get(name)
