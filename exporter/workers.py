"""Which RUNNING processes serve which queues.

A rule of the configuration comes first, then the command line (claims.py), and where that tells too little, the command
in supervisord's own settings. A queue's name alone does not say in which Redis it lives (places.py). A process is mapped
only where all is certain; otherwise it stays unmapped, is named once in the log, and shows in ``WorkerMap.unmapped``:
never a guess.
"""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from depthgauge.snapshot import Process, ProcessState, QueueWorkers, ServedQueue, Supervisor, WorkerProcesses
from exporter.claims import Claim, Key, ProcessTable, Recogniser, better, distinct
from exporter.command_lines.reader import CommandLine
from exporter.places import Known, Place, Places, Spot
from exporter.settings import QueueRule

_NUMBER: Final = re.compile(r"[-_.]?\d+")

log = logging.getLogger(__name__)


class Unmapped(NamedTuple):
    """A worker of which it is not certain where its queue lives, or with an empty queue where its system does."""

    supervisor: str
    group: str
    process: str
    system: str | None
    queue: str


class _Mapped:
    """What one supervisor's processes have been mapped to so far: these stay at 0 once nobody serves them."""

    def __init__(self, readers: Sequence[CommandLine]) -> None:
        self.queues: dict[ServedQueue, int] = {}
        self.systems: dict[Spot, int] = {}
        self.unmapped: set[Unmapped] = set()
        self.told: set[Unmapped] = set()
        self.recogniser = Recogniser(readers)
        self.is_unclear = False

    def begin(self) -> None:
        self.queues = dict.fromkeys(self.queues, 0)
        self.systems = dict.fromkeys(self.systems, 0)
        self.is_unclear = False

    def add(self, served: Iterable[ServedQueue], spots: Iterable[Spot]) -> None:
        for queue in served:
            self.queues[queue] = self.queues.get(queue, 0) + 1
        for spot in spots:
            self.systems[spot] = self.systems.get(spot, 0) + 1

    def end(self, unmapped: set[Unmapped]) -> None:
        # At the start nobody has looked into a Redis yet: what is unmapped twice is worth a line.
        fresh: dict[tuple[str | None, str], list[Unmapped]] = {}
        for item in sorted((unmapped & self.unmapped) - self.told, key=lambda each: (each.group, each.process)):
            fresh.setdefault((item.system, item.queue), []).append(item)
            self.told.add(item)
        for (system, queue), (first, *others) in fresh.items():
            log.warning(
                "%s: %s:%s%s serves %s, but it is not certain where that is: give it a rule with redis, system and queues",
                first.supervisor,
                first.group,
                first.process,
                f", like {len(others)} others," if others else "",
                f"queue {queue!r}" if queue else system,
            )
        self.told &= unmapped
        # Somebody may serve such a queue: to say that nobody does would call people for nothing.
        uncertain = {(item.system, item.queue) for item in unmapped}
        for served in [served for served, count in self.queues.items() if not count]:
            if {(served.system, served.queue), (None, served.queue)} & uncertain:
                del self.queues[served]
        self.unmapped = unmapped
        self.recogniser.forget()


class WorkerMap:
    """Joins processes with queues, and remembers what it once joined. ``rules`` are by supervisor name."""

    def __init__(
        self,
        *,
        rules: Mapping[str, Sequence[QueueRule]],
        command_lines: Sequence[CommandLine],
        places: Sequence[Place],
        known: Known,
    ) -> None:
        self._rules = rules
        self._command_lines = command_lines
        self._places = Places(places, known)
        self._mapped: dict[str, _Mapped] = {}

    @property
    def unmapped(self) -> frozenset[Unmapped]:
        """Return what could not be mapped when each supervisor was last filled."""
        return frozenset().union(*(mapped.unmapped for mapped in self._mapped.values()))

    @property
    def unclear(self) -> frozenset[str]:
        """Return the supervisors that should be asked for the commands of their programs."""
        return frozenset(name for name, mapped in self._mapped.items() if mapped.is_unclear)

    @property
    def compared(self) -> frozenset[str]:
        """Return the Redis servers of which it has to be known what is in them, whoever reads them."""
        return self._places.compared

    def fill(
        self,
        supervisors: Sequence[Supervisor],
        table: ProcessTable,
        commands: Mapping[str, Mapping[Key, str]] | None = None,
    ) -> tuple[Supervisor, ...]:
        """Return the supervisors with the queues their processes serve and the workers by queue and by system.

        ``commands`` are those in the supervisors' own settings, where they were asked for.
        """
        self._places.look()
        return tuple(self._fill(each, table, (commands or {}).get(each.name, {})) for each in supervisors)

    def _fill(self, supervisor: Supervisor, table: ProcessTable, commands: Mapping[Key, str]) -> Supervisor:
        mapped = self._mapped.setdefault(supervisor.name, _Mapped(self._command_lines))
        mapped.begin()
        unmapped: set[Unmapped] = set()
        processes = []
        for process in supervisor.processes:
            if process.state != ProcessState.RUNNING:
                processes.append(process)
                continue
            claims = self._claims(supervisor.name, process, mapped, table, commands)
            serves, spots = self._resolve(claims, supervisor.name, process, unmapped)
            mapped.add(serves, spots)
            processes.append(msgspec.structs.replace(process, serves=tuple(serves)) if serves else process)
        mapped.end(unmapped)
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

    def _claims(
        self, supervisor: str, process: Process, mapped: _Mapped, table: ProcessTable, commands: Mapping[Key, str]
    ) -> Sequence[Claim]:
        rule = self._by_rule(supervisor, process)
        if rule is not None:
            return (rule,) if rule.queues else ()
        is_local = process.pid is not None and process.resources is not None
        claims = mapped.recogniser.local(process.pid, table) if is_local and process.pid is not None else ()
        if is_local and all(claim.queues for claim in claims):
            return claims
        mapped.is_unclear = True
        configured = mapped.recogniser.configured(commands).get((process.group, process.name), ())
        if not is_local:
            return configured
        return [each for own in claims for each in ((own,) if own.queues else better(own, configured))]

    def _by_rule(self, supervisor: str, process: Process) -> Claim | None:
        for rule in self._rules.get(supervisor, ()):
            found = next(filter(None, map(rule.program.fullmatch, _names(process))), None)
            if found is None:
                continue
            named = found.groupdict().get("queue")
            queues = rule.queues if named is None else tuple(part.strip() for part in named.split(","))
            return Claim(distinct(queues), rule.system, rule.redis, told=True)
        return None

    def _resolve(
        self, claims: Sequence[Claim], supervisor: str, process: Process, unmapped: set[Unmapped]
    ) -> tuple[Sequence[ServedQueue], Sequence[Spot]]:
        """Return the queues that these claims certainly mean, and each Redis and system once."""
        serves: dict[ServedQueue, None] = {}
        spots: dict[Spot, None] = {}
        for claim in claims:
            found = {queue: self._places.find(claim, queue) for queue in claim.queues}
            for queue, spot in found.items():
                if spot is None:
                    unmapped.add(Unmapped(supervisor, process.group, process.name, claim.system, queue))
                else:
                    serves[ServedQueue(redis=spot.redis, system=spot.system, queue=queue)] = None
                    spots[spot] = None
            if not any(found.values()):
                spot = self._places.find(claim, None)
                if spot is not None:
                    spots[spot] = None
                elif not found:
                    unmapped.add(Unmapped(supervisor, process.group, process.name, claim.system, ""))
        return tuple(serves), tuple(spots)


def _names(process: Process) -> tuple[str, str, str]:
    """Return what a rule is matched with: the program, the process and ``group:name``.

    With numprocs one program ``mail`` is a group ``mail`` of processes ``mail_00``, ``mail_01`` …: the number belongs to
    no queue's name.
    """
    group, name = process.group, process.name
    is_numbered = name.startswith(group) and _NUMBER.fullmatch(name, len(group)) is not None
    return (group if is_numbered else name, name, f"{group}:{name}")
