"""Puts a collector together from settings: which sources there are and what joins them."""

import os
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from depthgauge.snapshot import Supervisor
from exporter.collect import Collector, Identity, Leases, source_timeout
from exporter.command_lines import COMMAND_LINES
from exporter.event_source import EventSource
from exporter.health_sources import Closable, Health
from exporter.places import Place
from exporter.queues.active import active_readers
from exporter.settings import ExporterSettings, RedisSettings
from exporter.sources.processes import ResourceReader
from exporter.sources.redis_queues import RedisQueuesSource
from exporter.sources.supervisor import SupervisorSource
from exporter.sources.supervisor_rpc import Timeouts
from exporter.workers import Unmapped, WorkerMap

PROC: Final = Path("/proc")
S = TypeVar("S", bound=Closable)


def utc_now() -> datetime:
    """Return the time as an aware datetime."""
    return datetime.now(UTC)


class Assembly:
    """The sources of one exporter, and the collector over them."""

    def __init__(
        self,
        settings: ExporterSettings,
        *,
        run_id: str,
        leases: Leases,
        drops: Callable[[], Mapping[str, int]] = dict,
        earlier_drops: Callable[[], Mapping[str, Mapping[str, int]]] = dict,
        clock: Callable[[], datetime] = utc_now,
        proc: Path = PROC,
    ) -> None:
        timeout = source_timeout(settings.interval)
        self.redis = [
            RedisQueuesSource(each, clock=clock, timeout=timeout, state_dir=settings.state_dir)
            for each in settings.redis
        ]
        self._health = Health(settings, clock=clock, proc=proc)
        self.events = EventSource(
            [each.name for each in settings.supervisors],
            # Without a bus nothing would carry them on.
            state_dir=settings.state_dir if settings.bus is not None else None,
            clock=clock,
        )
        self._resources = ResourceReader(proc, ticks=os.sysconf("SC_CLK_TCK"), page_size=os.sysconf("SC_PAGE_SIZE"))
        self._workers = WorkerMap(
            rules={each.name: each.rules for each in settings.supervisors},
            command_lines=COMMAND_LINES,
            places=[_place(each) for each in settings.redis],
            known=self._known,
        )
        self._supervisors = [
            SupervisorSource(each, timeouts=Timeouts(total=timeout), clock=clock, monotonic=time.monotonic)
            for each in settings.supervisors
        ]
        self.collector = Collector(
            Identity(host=settings.host, run_id=run_id, interval=settings.interval),
            supervisors=self._supervisors,
            redis=self.redis,
            enrich=self._enrich,
            leases=StandBy(leases, self.redis),
            clock=clock,
            drops=drops,
            earlier_drops=earlier_drops,
            events=self.events,
            health=self._health.sources,
        )

    def start(self) -> None:
        """Begin what goes on between two collections: samples, and what is remembered of the host and of queues."""
        for each in self.redis:
            each.discovery.findings.keeps = True
        self._health.start()

    def discover(self, seconds: float) -> None:
        """Let every Redis be searched for queues once; wait at most so many seconds in all."""
        deadline = time.monotonic() + seconds
        _side_by_side(self.redis, lambda each: each.discover_now(deadline), seconds)

    def close(self, timeout: float = 0.3) -> None:
        """End all threads and connections; wait no longer than ``timeout`` seconds for those that hang."""
        self.collector.close()
        _side_by_side([*self.redis, *self._health.closable], lambda each: each.close(), timeout)

    @property
    def unmapped(self) -> frozenset[Unmapped]:
        """Return the workers that could not be joined with a queue when their supervisors were last read."""
        return self._workers.unmapped

    @property
    def commands(self) -> Mapping[str, Mapping[tuple[str, str], str]]:
        """Return what each supervisor has told of its programs' commands, by group and name; they may hold secrets."""
        return {each.target: each.commands for each in self._supervisors}

    def _enrich(self, supervisors: Sequence[Supervisor], peers: Mapping[str, int | None]) -> Sequence[Supervisor]:
        local = self._resources.read(supervisors, peers)
        filled = self._workers.fill(local, self._resources, self.commands)
        read = {each.name for each in supervisors}
        for source in self._supervisors:
            if source.target in read:
                source.wants_commands = source.target in self._workers.unclear
        for redis in self.redis:
            if redis.target in self._workers.compared:
                redis.look()
        return filled

    def _known(self, redis: str) -> Collection[tuple[str, str]] | None:
        return next((each.known() for each in self.redis if each.target == redis), None)


def _place(settings: RedisSettings) -> Place:
    active = active_readers(settings)
    return Place(
        settings.name,
        frozenset(each.reader.system for each in active),
        frozenset(each.reader.system for each in active if each.always),
    )


class StandBy:
    """Leases that tell the source of a Redis when another exporter is the one to read it."""

    def __init__(self, leases: Leases, redis: Sequence[RedisQueuesSource]) -> None:
        self._leases = leases
        self._redis = {each.target: each for each in redis}

    def allows(self, target: str, *, kind: str = "redis") -> bool:
        """Say what the leases say."""
        allowed = self._leases.allows(target, kind=kind)
        if not allowed and kind == "redis" and target in self._redis:
            self._redis[target].stand_by()
        return allowed


def _side_by_side(sources: Sequence[S], do: Callable[[S], object], seconds: float) -> None:
    """Do something with every source at once, waiting so many seconds in all."""
    deadline = time.monotonic() + seconds
    threads = [threading.Thread(target=do, args=(each,), name=f"each:{each.target}", daemon=True) for each in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
