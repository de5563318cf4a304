"""Which RUNNING processes serve which queues: a rule of the configuration first, then the command line.

A queue's name alone does not say in which Redis it lives. A process is mapped only where that is certain; otherwise it
stays unmapped, is named once in the log, and shows in ``WorkerMap.unmapped``: never a guess.
"""

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

from depthgauge.names import clean
from depthgauge.snapshot import Process, ProcessState, QueueWorkers, ServedQueue, Supervisor, WorkerProcesses
from exporter.command_lines.reader import CommandLine
from exporter.settings import QueueRule, RedisSettings

AUTO: Final = "auto"
_NUMBER: Final = re.compile(r"[-_.]?\d+")

log = logging.getLogger(__name__)

Known = Callable[[str, str], Sequence[str]]
"""Given a system and a queue: the names of the Redis servers in which that queue is known, configured or seen."""


class ProcessTable(Protocol):
    """What is known of the processes of this host: see ``exporter.sources.processes.ResourceReader``."""

    def command_lines(self, pids: Iterable[int]) -> Mapping[int, tuple[str, ...]]:
        """Return the arguments of these processes; those that cannot be read are left out."""

    def descendants(self, pid: int) -> Sequence[int]:
        """Return the pids below this one, nearest first."""


class Claim(NamedTuple):
    """What a rule or a command line says: these queues, of this system and Redis as far as they are told."""

    queues: tuple[str, ...]
    system: str | None = None
    redis: str | None = None
    told: bool = False
    """Whether a user said so, which goes above what this program would think possible."""


class Unmapped(NamedTuple):
    """A process that serves a queue of which it is not certain where it lives."""

    supervisor: str
    group: str
    process: str
    system: str | None
    queue: str


class _Mapped:
    """What one supervisor's processes have been mapped to so far: these stay at 0 once nobody serves them."""

    def __init__(self) -> None:
        self.queues: dict[ServedQueue, int] = {}
        self.systems: dict[tuple[str, str], int] = {}
        self.command_lines: dict[tuple[str, str, int, object], Claim] = {}

    def reset(self) -> None:
        self.queues = dict.fromkeys(self.queues, 0)
        self.systems = dict.fromkeys(self.systems, 0)

    def add(self, served: Iterable[ServedQueue]) -> None:
        systems = set()
        for queue in served:
            self.queues[queue] = self.queues.get(queue, 0) + 1
            systems.add((queue.redis, queue.system))
        for key in systems:
            self.systems[key] = self.systems.get(key, 0) + 1


class WorkerMap:
    """Joins processes with queues, and remembers what it once joined.

    ``rules`` are by supervisor name, ``systems`` are the names of all queue systems that are read (what ``auto`` means).
    """

    def __init__(
        self,
        *,
        rules: Mapping[str, Sequence[QueueRule]],
        command_lines: Sequence[CommandLine],
        redises: Sequence[RedisSettings],
        systems: Sequence[str],
        known: Known,
    ) -> None:
        self._rules = rules
        self._command_lines = command_lines
        self._redises = tuple(redises)
        self._systems = tuple(systems)
        self._known = known
        self._mapped: dict[str, _Mapped] = {}
        self._unmapped: dict[str, set[Unmapped]] = {}

    @property
    def unmapped(self) -> frozenset[Unmapped]:
        """Return what could not be mapped when each supervisor was last filled."""
        return frozenset().union(*self._unmapped.values())

    def fill(self, supervisors: Sequence[Supervisor], table: ProcessTable) -> tuple[Supervisor, ...]:
        """Return the supervisors with the queues their processes serve and the workers by queue and by system."""
        return tuple(self._fill(supervisor, table) for supervisor in supervisors)

    def _fill(self, supervisor: Supervisor, table: ProcessTable) -> Supervisor:
        mapped = self._mapped.setdefault(supervisor.name, _Mapped())
        mapped.reset()
        before = self._unmapped.get(supervisor.name, set())
        unmapped: set[Unmapped] = set()
        claims: dict[tuple[str, str, int, object], Claim] = {}
        processes = []
        for process in supervisor.processes:
            if process.state != ProcessState.RUNNING:
                processes.append(process)
                continue
            claim = self._by_rule(supervisor.name, process) or self._by_command_line(process, table, mapped, claims)
            serves = tuple(self._resolve(claim, supervisor.name, process, unmapped)) if claim else ()
            mapped.add(serves)
            processes.append(msgspec.structs.replace(process, serves=serves) if serves else process)
        mapped.command_lines = claims
        for item in unmapped - before:
            log.warning(
                "%s: %s:%s serves queue %r, but it is not certain in which Redis: give it a rule with redis and system",
                *item[:3],
                item.queue,
            )
        self._unmapped[supervisor.name] = unmapped
        return msgspec.structs.replace(
            supervisor,
            processes=tuple(processes),
            workers=tuple(
                QueueWorkers(redis=key.redis, system=key.system, queue=key.queue, processes=count)
                for key, count in mapped.queues.items()
            ),
            worker_processes=tuple(
                WorkerProcesses(redis=redis, system=system, processes=count)
                for (redis, system), count in mapped.systems.items()
            ),
        )

    def _by_rule(self, supervisor: str, process: Process) -> Claim | None:
        for rule in self._rules.get(supervisor, ()):
            found = next(filter(None, map(rule.program.fullmatch, _names(process))), None)
            if found is None:
                continue
            named = found.groupdict().get("queue")
            queues = rule.queues if named is None else tuple(part.strip() for part in named.split(","))
            return Claim(_distinct(queues), rule.system, rule.redis, told=True)
        return None

    def _by_command_line(
        self,
        process: Process,
        table: ProcessTable,
        mapped: _Mapped,
        claims: dict[tuple[str, str, int, object], Claim],
    ) -> Claim | None:
        if process.pid is None or process.resources is None:
            return None
        # Some workers rewrite their line while they run a job: what it said first holds for the process.
        key = (process.group, process.name, process.pid, process.start)
        claim = mapped.command_lines.get(key) or self._recognise(table.command_lines((process.pid,)).values())
        if claim is not None:
            claims[key] = claim
            return claim
        # A shell or a wrapper: the worker is below it.
        return self._recognise(table.command_lines(table.descendants(process.pid)).values())

    def _recognise(self, lines: Iterable[Sequence[str]]) -> Claim | None:
        for argv in lines:
            for reader in self._command_lines:
                queues = reader.serves(argv) if argv else None
                if queues is not None:
                    return Claim(_distinct(queues), reader.system)
        return None

    def _resolve(
        self, claim: Claim, supervisor: str, process: Process, unmapped: set[Unmapped]
    ) -> Iterable[ServedQueue]:
        for queue in claim.queues:
            found = self._place(claim, queue)
            if found is None:
                unmapped.add(Unmapped(supervisor, process.group, process.name, claim.system, queue))
            else:
                redis, system = found
                yield ServedQueue(redis=redis, system=system, queue=queue)

    def _place(self, claim: Claim, queue: str) -> tuple[str, str] | None:
        """Return the Redis and the system of a queue, where only one of each is possible."""
        redises = [redis for redis in self._redises if claim.redis in {None, redis.name}]
        if claim.system is not None:
            reading = [redis for redis in redises if claim.system in self._systems_of(redis)]
            redises = reading or (redises if claim.told else [])
        possible = {
            (redis.name, system)
            for redis in redises
            for system in ((claim.system,) if claim.system else self._systems_of(redis))
        }
        if len(possible) == 1:
            return possible.pop()
        names = {redis.name for redis in redises}
        seen = {
            (name, system)
            for system in ((claim.system,) if claim.system else self._systems)
            for name in self._known(system, queue)
            if name in names
        }
        return seen.pop() if len(seen) == 1 else None

    def _systems_of(self, redis: RedisSettings) -> Sequence[str]:
        only_told = AUTO not in redis.systems and not redis.lists and not redis.sorted_sets
        return redis.systems if only_told else self._systems


def _names(process: Process) -> tuple[str, str, str]:
    """Return what a rule is matched with: the program, the process and ``group:name``.

    With numprocs one program ``mail`` is a group ``mail`` of processes ``mail_00``, ``mail_01`` …: the number belongs to
    no queue's name.
    """
    group, name = process.group, process.name
    is_numbered = name.startswith(group) and _NUMBER.fullmatch(name, len(group)) is not None
    return (group if is_numbered else name, name, f"{group}:{name}")


def _distinct(queues: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(clean(queue) for queue in queues if queue))
