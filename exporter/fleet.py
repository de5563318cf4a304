"""The latest snapshots of all hosts, out of the cache on the bus. Two round trips, one deadline, bounded in hosts and bytes."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client import Counter as CounterMetric

from depthgauge.errors import CorruptEntry, ErrorKind, SourceError
from depthgauge.redis_links import link_for
from depthgauge.resp import Command, Reply, ReplyError, TooLarge
from depthgauge.secrets import Secret
from depthgauge.snapshot import VERSION, Snapshot, major
from depthgauge.stream import HOSTS, LATEST_PREFIX, unpack
from exporter import fleet_metrics

log = logging.getLogger(__name__)

SECONDS: Final = 0.8
"""What a reading may take; a bus that is slower does not count as a cache."""
MAX_HOSTS: Final = 500
"""The hosts with the newest slots."""
MAX_SNAPSHOT: Final = 4 * 1024 * 1024
"""Bytes of one compressed snapshot."""
MAX_ALL: Final = 64 * 1024 * 1024
"""Bytes of all compressed snapshots together; what is beyond is left out."""
LISTED_FOR: Final = timedelta(days=1)
"""A host whose last slot is older than this is not missed any more."""


class Skip(StrEnum):
    """Why a snapshot in the cache is left out."""

    CORRUPT = "corrupt"
    NEWER_VERSION = "newer_version"
    TOO_LARGE = "too_large"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fleet:
    """What the cache says."""

    snapshots: Sequence[Snapshot] = ()
    """One a host at most, whatever its age."""
    listed: Sequence[str] = ()
    """All hosts that had a slot within the last day."""


class FleetCache:
    """Reads the cache over a connection of its own. Not for several threads at once, but for ``close``."""

    def __init__(
        self,
        url: Secret,
        *,
        clock: Callable[[], datetime],
        registry: CollectorRegistry,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link = link_for(url, connect_timeout=SECONDS, monotonic=monotonic)
        self._clock = clock
        self._monotonic = monotonic
        self._known: Mapping[str, tuple[bytes | int, Snapshot | Skip]] = {}
        """By host: the body that was read last, or the size of one that was too large, and what it holds, so that it is
        decoded, or complained of, once."""
        self._errors = CounterMetric(
            fleet_metrics.ERRORS.name, fleet_metrics.ERRORS.help, fleet_metrics.ERRORS.labels, registry=registry
        )
        self._skipped = CounterMetric(
            fleet_metrics.SKIPPED.name, fleet_metrics.SKIPPED.help, fleet_metrics.SKIPPED.labels, registry=registry
        )
        for reason in Skip:
            self._skipped.labels(reason)
        self._failing = False

    def read(self) -> Fleet | None:
        """Return what the cache says; None when the bus does not answer in time, which is counted and logged."""
        try:
            fleet = self._read(self._monotonic() + SECONDS)
        except SourceError as exc:
            self._errors.labels(exc.kind.value).inc()
            if not self._failing:
                log.warning("the API cannot read the fleet and tells of this host alone: %s", exc)
            self._failing = True
            return None
        if self._failing:
            log.info("the API reads the fleet again")
        self._failing = False
        return fleet

    def close(self) -> None:
        """Close the connection; a reading under way fails."""
        self._link.close()

    def _read(self, deadline: float) -> Fleet:
        [found] = self._ask([("ZREVRANGE", HOSTS, 0, MAX_HOSTS - 1, "WITHSCORES")], deadline)
        listed = list(_listed(found, since=(self._clock() - LISTED_FOR).timestamp()))
        bodies = self._ask([("GET", LATEST_PREFIX + host) for host in listed], deadline)
        known: dict[str, tuple[bytes | int, Snapshot | Skip]] = {}
        snapshots: list[Snapshot] = []
        room = MAX_ALL
        for host, reply in zip(listed, bodies, strict=True):
            if not isinstance(reply, TooLarge | bytes):
                continue
            size = reply.size if isinstance(reply, TooLarge) else len(reply)
            body = reply if isinstance(reply, bytes) and size <= room else size
            before = self._known.get(host)
            holds = before[1] if before is not None and before[0] == body else self._decode(host, body)
            known[host] = (body, holds)
            if isinstance(holds, Snapshot):
                room -= size
                snapshots.append(holds)
        self._known = known
        return Fleet(snapshots=snapshots, listed=listed)

    def _ask(self, commands: Sequence[Command], deadline: float) -> Sequence[Reply]:
        replies = self._link.exchange(commands, deadline=deadline, max_bulk=MAX_SNAPSHOT)
        refused = next((reply for reply in replies if isinstance(reply, ReplyError)), None)
        if refused is not None:
            kind = ErrorKind.ACL_DENIED if refused.code == "NOPERM" else ErrorKind.FAULT
            raise SourceError(kind, f"the bus refuses {commands[0][0]!s}: {refused.message}")
        return replies

    def _decode(self, host: str, body: bytes | int) -> Snapshot | Skip:
        if isinstance(body, int):
            return self._skip(host, Skip.TOO_LARGE, f"{body} bytes")
        try:
            snapshot = unpack(body)
            if major(snapshot.version) > major(VERSION):
                return self._skip(host, Skip.NEWER_VERSION, f"version {snapshot.version}, upgrade this exporter")
            if snapshot.host != host:
                return self._skip(host, Skip.CORRUPT, f"it is a snapshot of {snapshot.host!r}")
            if any(moment is not None and moment.tzinfo is None for moment in _moments(snapshot)):
                return self._skip(host, Skip.CORRUPT, "a time in it has no zone")
        except (CorruptEntry, ValueError, RecursionError) as exc:
            return self._skip(host, Skip.CORRUPT, str(exc))
        return snapshot

    def _skip(self, host: str, reason: Skip, detail: str) -> Skip:
        self._skipped.labels(reason).inc()
        log.warning("the snapshot of %r in the cache is left out: %s", host, detail, extra={"reason": reason.value})
        return reason


def _listed(found: Reply, *, since: float) -> Iterable[str]:
    """Return the hosts of a sorted set's range whose score is late enough."""
    if not isinstance(found, list):
        raise SourceError(ErrorKind.GARBAGE, f"{HOSTS} on the bus is not a list of hosts")
    for member, score in zip(found[::2], found[1::2], strict=False):
        if isinstance(member, bytes) and isinstance(score, bytes) and float(score) >= since:
            yield member.decode("utf-8", "replace")


def _moments(snapshot: Snapshot) -> Iterable[datetime | None]:
    """Return the times that are counted with."""
    for part in snapshot.parts:
        yield part.observed_at
    for supervisor in snapshot.supervisors:
        yield supervisor.now
        for process in supervisor.processes:
            yield process.start
    for redis in snapshot.queues:
        for queue in redis.queues:
            yield queue.head_eligible_at
            yield queue.head_first_seen_at
