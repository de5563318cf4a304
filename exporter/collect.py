"""The loop: read every source under its own deadline, build one snapshot a slot."""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from depthgauge.errors import ErrorKind
from depthgauge.health import Database, Machine, Probe, RedisServer
from depthgauge.snapshot import Cycle, ProcessEvent, RedisQueues, Snapshot, SourceStatus, Supervisor
from exporter.demand import Demand
from exporter.expiry import without_expired
from exporter.group import Group
from exporter.runner import Runner, Source
from exporter.slots import next_step, slot_of

log = logging.getLogger(__name__)

BUDGET: Final = 0.8
"""Share of the interval that a cycle may take; what has not answered by then is late."""
MAX_TIMEOUT: Final = 10.0
GENTLE: Final = 0.2
"""A supervisord whose answer takes a larger share of the interval than this is asked every second slot only."""
GRACE: Final = 0.2
"""Seconds that the loop waits beyond a source's own deadline, so that the source can say itself what was wrong."""
SHORTEST: Final = 0.1
"""Seconds before a slot in which no collection is brought forward."""


def source_timeout(interval: float) -> float:
    """Return the seconds that one source may take in a cycle."""
    return min(MAX_TIMEOUT, max(0.2, interval * BUDGET - GRACE))


class SupervisorReader(Source[Supervisor], Protocol):
    """A supervisord as a source."""

    @property
    def peer_pid(self) -> int | None:
        """The pid at the other end of a unix socket."""


class Enricher(Protocol):
    """Adds to supervisors what this host knows: resources, queues served."""

    def __call__(self, supervisors: Sequence[Supervisor], peers: Mapping[str, int | None]) -> Sequence[Supervisor]:
        """Return the supervisors, in their order; ``peers`` are the pids at the other ends of unix sockets."""


class Leases(Protocol):
    """Who reads a Redis or a database that several exporters know."""

    def allows(self, target: str, *, kind: str = "redis") -> bool:
        """Say whether this exporter is the one to read it now; ``kind`` is ``redis`` or ``database``."""


class EveryoneCollects:
    """Without a bus there is nobody to agree with: each exporter reads all that it is told of."""

    def allows(self, target: str, *, kind: str = "redis") -> bool:  # noqa: ARG002  the protocol's signature
        """Return True."""
        return True


class Events(Protocol):
    """Tells what has happened to processes."""

    def gather(self, parts: Sequence[Supervisor], *, seq: int) -> tuple[ProcessEvent, ...]:
        """Return the events for the snapshot ``seq``; ``parts`` are the supervisors that were read for it."""


class NoEvents:
    """Where nobody asks what has happened."""

    def gather(self, parts: Sequence[Supervisor], *, seq: int) -> tuple[ProcessEvent, ...]:  # noqa: ARG002  the protocol's signature
        """Return nothing."""
        return ()


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthSources:
    """What is read about servers, this host and URLs; every kind may be empty."""

    redis_servers: Sequence[Source[RedisServer]] = ()
    databases: Sequence[Source[Database]] = ()
    failed_jobs_in: Collection[str] = ()
    """The databases that hold an application's failed jobs."""
    machine: Source[Machine] | None = None
    probes: Sequence[Source[Probe]] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Who takes the snapshots."""

    host: str
    run_id: str
    interval: float


class Collector:
    """Takes snapshots; ``take`` is one cycle, ``run`` the loop. Not for several threads at once."""

    def __init__(
        self,
        identity: Identity,
        *,
        supervisors: Sequence[SupervisorReader],
        redis: Sequence[Source[RedisQueues]],
        enrich: Enricher,
        leases: Leases,
        clock: Callable[[], datetime],
        drops: Callable[[], Mapping[str, int]] = dict,
        earlier_drops: Callable[[], Mapping[str, Mapping[str, int]]] = dict,
        events: Events | None = None,
        health: HealthSources | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.identity = identity
        self._supervisors: list[Runner[Supervisor]] = [
            Runner(source, clock=clock, monotonic=monotonic) for source in supervisors
        ]
        self._readers = {source.target: source for source in supervisors}
        health = health or HealthSources()

        def allows_database(target: str) -> bool:
            return leases.allows(target, kind="database")

        self._redis = Group(redis, clock=clock, monotonic=monotonic, allows=leases.allows)
        self._servers = Group(health.redis_servers, clock=clock, monotonic=monotonic, allows=leases.allows)
        self._failed_jobs_in = health.failed_jobs_in
        self._databases = Group(health.databases, clock=clock, monotonic=monotonic, allows=allows_database)
        machine = () if health.machine is None else (health.machine,)
        self._machine = Group(machine, clock=clock, monotonic=monotonic)
        self._probes = Group(health.probes, clock=clock, monotonic=monotonic)
        self._groups = (self._redis, self._servers, self._databases, self._machine, self._probes)
        self._enrich = enrich
        self._clock = clock
        self._monotonic = monotonic
        self._drops = drops
        self._earlier_drops = earlier_drops
        self._events = events or NoEvents()
        self._enriched: dict[str, Supervisor] = {}
        self._host_status: SourceStatus | None = None
        self._rests: set[str] = set()
        self._seq = 0
        self._skipped = 0
        self.demand = Demand(monotonic=monotonic)
        """Ask it for a collection before its time."""

    def run(self, emit: Callable[[Snapshot], None], stop: threading.Event) -> None:
        """Collect until ``stop`` is set; give each snapshot to ``emit``.

        The first snapshot comes at once and has ``seq`` 0: it is for show and must not be published, because a run of
        this exporter that ended a moment ago may have published the same slot. One that was brought forward by a demand
        has ``seq`` 0 too: slots and numbers go on as if it had not been.
        """
        last = slot_of(self._clock(), self.identity.interval)
        first = self.take(last, seq=0)
        # Who asked meanwhile gets this one.
        self.demand.meet()
        emit(first)
        while not stop.is_set():
            step = next_step(self._clock(), last, self.identity.interval)
            if step.slot is None:
                if self.demand.wait(step.wait, stop):
                    self._bring_forward(last, emit)
                continue
            if step.skipped:
                self._skipped += step.skipped
                log.warning("skipped %d slots: collecting takes longer than the interval", step.skipped)
            last = step.slot
            self._seq += 1
            snapshot = self.take(step.slot, seq=self._seq)
            self.demand.meet()
            emit(snapshot)

    def _bring_forward(self, last: datetime, emit: Callable[[Snapshot], None]) -> None:
        """Collect before the time, unless the next slot is so near that it does as well."""
        left = next_step(self._clock(), last, self.identity.interval).wait
        if left > SHORTEST:
            snapshot = self.take(last, seq=0, within=left)
            self.demand.meet()
            emit(snapshot)

    def take(self, slot: datetime, *, seq: int, within: float | None = None) -> Snapshot:
        """Run one cycle.

        One that was brought forward has to end ``within`` so many seconds, before the next slot begins. It reads
        supervisors that are quick, and queues. It tells no events and reads nothing else, because events and samples are
        told once: they belong into a snapshot that is published.
        """
        started = self._monotonic()
        early = within is not None
        patience = source_timeout(self.identity.interval) + GRACE
        deadline = started + (patience if within is None else min(patience, within))
        asked = self._quick() if early else self._due()
        groups = (self._redis,) if early else self._groups
        for supervisor in asked:
            supervisor.begin()
        for group in groups:
            group.begin()
        for supervisor in asked:
            supervisor.wait(deadline - self._monotonic(), judge=not early)
            if not early and self._is_slow(supervisor):
                self._rests.add(supervisor.source.target)
        supervisors, news = self._join()
        events = () if early else self._events.gather(news, seq=seq)
        for group in groups:
            group.wait(deadline, judge=not early)
        taken_at = self._clock()
        statuses = [
            *(runner.status for runner in self._supervisors),
            *(status for group in self._groups for status in group.statuses),
        ]
        snapshot = Snapshot(
            host=self.identity.host,
            run_id=self.identity.run_id,
            seq=seq,
            slot=slot,
            taken_at=taken_at,
            interval=self.identity.interval,
            cycle=Cycle(seconds=self._monotonic() - started, skipped=self._skipped),
            drops=dict(self._drops()),
            earlier_drops=dict(self._earlier_drops()),
            sources=tuple(status for status in (*statuses, self._host_status) if status is not None),
            supervisors=supervisors,
            events=events,
            queues=self._redis.parts,
            redis_servers=self._servers.parts,
            databases=self._databases.parts,
            failed_jobs_in=tuple(name for name in self._databases.targets if name in self._failed_jobs_in),
            machine=next(iter(self._machine.parts), None),
            probes=self._probes.parts,
        )
        return without_expired(snapshot, taken_at)

    def close(self) -> None:
        """End the threads of all sources; calls in flight end by their own deadlines."""
        for supervisor in self._supervisors:
            supervisor.close()
        for group in self._groups:
            group.close()

    def _due(self) -> Sequence[Runner[Supervisor]]:
        """Return the supervisors to be read in this slot; those that rest now are due in the next one."""
        resting, self._rests = self._rests, set()
        return [runner for runner in self._supervisors if runner.source.target not in resting]

    def _quick(self) -> Sequence[Runner[Supervisor]]:
        return [runner for runner in self._supervisors if not self._is_slow(runner)]

    def _is_slow(self, runner: Runner[Supervisor]) -> bool:
        status = runner.status
        return status is not None and status.seconds is not None and status.seconds > GENTLE * self.identity.interval

    def _join(self) -> tuple[tuple[Supervisor, ...], Sequence[Supervisor]]:
        """Add resources and queues to the parts read in this slot; keep earlier ones as they were.

        Return all parts, and those that are new.
        """
        parts = {runner.source.target: runner.part for runner in self._supervisors if runner.part is not None}
        news = [part for part in parts.values() if self._is_new(part)]
        if news:
            started = self._monotonic()
            peers = {part.name: self._readers[part.name].peer_pid for part in news}
            try:
                joined = self._enrich(news, peers)
            except Exception:
                # The second edge to the machine: a defect in reading /proc must not cost the process states.
                log.exception("reading process resources failed unexpectedly")
                joined = news
                self._host_status = self._processes_status(started, ErrorKind.INTERNAL)
            else:
                self._host_status = self._processes_status(started, None)
            self._enriched.update((part.name, part) for part in joined)
        return tuple(self._enriched[name] for name in parts if name in self._enriched), news

    def _is_new(self, part: Supervisor) -> bool:
        known = self._enriched.get(part.name)
        return known is None or known.observed_at != part.observed_at

    def _processes_status(self, started: float, error: ErrorKind | None) -> SourceStatus:
        before = self._host_status
        errors = dict(before.errors) if before is not None else {}
        now = self._clock()
        if error is not None:
            errors[error] = errors.get(error, 0) + 1
        return SourceStatus(
            kind="processes",
            target="proc",
            ok=error is None,
            seconds=self._monotonic() - started,
            error=error,
            observed_at=now,
            last_success_at=now if error is None else (before.last_success_at if before else None),
            errors=errors,
        )
