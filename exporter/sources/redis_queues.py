"""The backlogs of one Redis: all counts in one pipeline, heads in a second, never more than three round trips."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from depthgauge.errors import ErrorKind, SourceError
from depthgauge.redis_link import kind_of_code
from depthgauge.redis_links import link_for
from depthgauge.resp import Command, Reply, ReplyError
from depthgauge.secrets import masked
from depthgauge.snapshot import Queue, RedisQueues
from exporter.queues.active import active_readers
from exporter.queues.counters import CounterReader
from exporter.queues.naming import FoundQueue
from exporter.queues.reader import Conversation, QueueReader, converse
from exporter.settings import RedisSettings
from exporter.sources.defects import Defects
from exporter.sources.discovery import INTERVAL, Discovery, unix_time
from exporter.sources.refusals import Refusals
from exporter.throughput import Throughput

log = logging.getLogger(__name__)

KIND: Final = "redis"
FIRST_WAIT: Final = 2.0
"""Seconds that the first reading waits for the first discovery, at most half of its own timeout."""


class RedisQueuesSource:
    """Reads the queues of one Redis. ``timeout`` is what one :meth:`collect` may take, connecting included, in seconds.

    Overdue jobs are counted against Redis's own clock: its offset to our monotonic clock is renewed with each reading, so
    that a reading needs no round trip of its own for the time.
    """

    kind: Final = KIND

    def __init__(
        self,
        settings: RedisSettings,
        *,
        clock: Callable[[], datetime],
        timeout: float,
        monotonic: Callable[[], float] = time.monotonic,
        discovery_interval: float = INTERVAL,
        state_dir: Path | None = None,
    ) -> None:
        self.target = settings.name
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._timeout = timeout
        self._active = active_readers(settings)
        self._counters = CounterReader(settings.name, [active.reader for active in self._active])
        self._link = link_for(settings.url, connect_timeout=timeout, monotonic=monotonic)
        self._refusals = Refusals(settings.name)
        self._defects = Defects(settings.name)
        self.discovery = Discovery(
            settings.name,
            settings.url,
            [*(active.reader for active in self._active), self._counters],
            interval=discovery_interval,
            admits=self._admits,
            state_dir=state_dir,
            monotonic=monotonic,
        )
        self._throughput = Throughput()
        self._offset: float | None = None
        self._first = True
        self._stood_by = False
        self._connects = 1
        self._known: tuple[tuple[str, str], ...] | None = None
        self._doubles: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def collect(self) -> RedisQueues:
        """Read all queues once; raise SourceError if the server cannot be read."""
        deadline = self._monotonic() + self._timeout
        if self._stood_by:
            self._stood_by = False
            for active in self._active:
                active.reader.rebase()
            self._throughput.rebase()
        self.discovery.use()
        if self._first:
            self._first = False
            self.discovery.wait_first(min(FIRST_WAIT, self._timeout / 2))
        queues = self._counters.fill(self._distinct(self._read(deadline)))
        queues = self._throughput.fill(queues, self._monotonic())
        if self._link.connects != self._connects:
            self._connects = self._link.connects
            self.discovery.again_soon()
        with self._lock:
            self._known = tuple((queue.system, queue.name) for queue in queues)
        return RedisQueues(
            observed_at=self._clock(), redis=self.target, run_id=self.discovery.run_id, queues=tuple(queues)
        )

    def known(self) -> Sequence[tuple[str, str]] | None:
        """Return system and label of every queue in the last reading; safe to call from any thread.

        Where another exporter reads this Redis, those that :meth:`look` has found as well. None while nothing is known,
        and before the first walk over the keys has ended.
        """
        with self._lock:
            known = self._known
        if known is not None and not self._stood_by and self.discovery.has_walked:
            return known
        if not self.discovery.has_seen_all:
            return known if self._stood_by else None
        readers = [active.reader for active in self._active]
        names = Counter(
            (reader.system, reader.name(handle)) for reader in readers for handle in self.discovery.found[reader.system]
        )
        # Two applications have one of the same name: their labels are not told by the name alone.
        return [*(known or ()), *(queue for queue, count in names.items() if count == 1)]

    def look(self) -> None:
        """Have queues looked for in the background, although this Redis may be read by another exporter."""
        self.discovery.use()

    def found_by(self) -> Sequence[FoundQueue]:
        """Return every queue that was found, and what has told it."""
        found = []
        for reader in (active.reader for active in self._active):
            for handle in self.discovery.found[reader.system]:
                by = self.discovery.findings.by(reader.system, handle) or ""
                found.append(
                    FoundQueue(reader.system, reader.name(handle), reader.bare(handle), reader.pins(handle), by)
                )
        return found

    def stand_by(self) -> None:
        """Note that another exporter reads this Redis now: what its workers do meanwhile is for that one to count."""
        self._stood_by = True

    def discover_now(self, deadline: float) -> bool:
        """Look for queues at once and wait until ``deadline`` (monotonic) for the end; say whether it came."""
        return self.discovery.now(deadline)

    def close(self) -> None:
        """End the discovery and cut off a call in flight."""
        self.discovery.close()
        self._link.close()

    def _read(self, deadline: float) -> list[Queue]:
        def exchange(commands: Sequence[Command]) -> list[Reply]:
            replies = self._link.exchange(commands, deadline=deadline)
            self._refusals.watch(commands, replies)
            return replies

        found = self.discovery.found
        readers = [active.reader for active in self._active if active.always or found[active.reader.system]]
        now = self._redis_now()
        conversations: list[Conversation[Sequence[Queue]]] = [
            self._renew_offset(),
            *(self._guarded(reader, found[reader.system], now) for reader in readers),
            self._guarded(self._counters, found[self._counters.system], now),
        ]
        return [queue for queues in converse(exchange, conversations) for queue in queues]

    def _guarded(self, reader: QueueReader, found: Sequence[bytes], now: float) -> Conversation[Sequence[Queue]]:
        """Have a system read; if its reader breaks, return the queues that it had before, without numbers."""

        def known() -> Sequence[Queue]:
            return [
                Queue(system=system, name=name, error=ErrorKind.INTERNAL)
                for system, name in self._known or ()
                if system == reader.system
            ]

        return self._defects.guard(f"reading {reader.system}", reader.read(found, now), known)

    def _admits(self, name: str) -> bool:
        """Say whether a queue that was found is wanted."""
        include = self._settings.include
        return (not include or any(pattern.fullmatch(name) for pattern in include)) and not any(
            pattern.fullmatch(name) for pattern in self._settings.exclude
        )

    def _distinct(self, queues: Sequence[Queue]) -> Sequence[Queue]:
        """Return each queue once: two series of one name would cost Prometheus the whole scrape."""
        first: dict[tuple[str, str], Queue] = {}
        for queue in queues:
            key = (queue.system, queue.name)
            if first.setdefault(key, queue) is not queue and key not in self._doubles:
                self._doubles.add(key)
                log.warning("redis %s: two %s queues are called %r: the second one is not shown", self.target, *key)
        return tuple(first.values())

    def _redis_now(self) -> float:
        offset = self._offset if self._offset is not None else self.discovery.time_offset
        return self._clock().timestamp() if offset is None else self._monotonic() + offset

    def _renew_offset(self) -> Conversation[Sequence[Queue]]:
        """Ask for the time beside the counts: also the proof that this server answers commands at all."""
        (reply,) = yield [("TIME",)]
        if isinstance(reply, ReplyError):
            raise SourceError(
                kind_of_code(reply.code),
                f"Redis at {masked(self._settings.url.reveal())}: TIME was refused: {reply.message}"
                " (docs/redis.md has the rights that reading needs)",
            )
        seconds = unix_time(reply)
        if seconds is None:
            raise SourceError(
                ErrorKind.GARBAGE, f"Redis at {masked(self._settings.url.reveal())} answered TIME with {reply!r}"
            )
        self._offset = seconds - self._monotonic()
        return ()
