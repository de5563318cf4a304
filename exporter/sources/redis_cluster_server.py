"""How a Redis Cluster is: the sums over all its masters, each asked for INFO and PING, side by side.

A sum without one of them would be a wrong number: while a master cannot be read, the source fails and names it. Counters go
on by what each master adds, from 0 when the exporter starts: a sum of counters would fall with each master that is replaced.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from depthgauge.errors import SourceError
from depthgauge.health import RedisServer
from depthgauge.names import clean
from depthgauge.redis_cluster import ClusterLink
from depthgauge.redis_link import kind_of_code
from depthgauge.redis_nodes import Answer
from depthgauge.redis_url import Address, Topology, parse
from depthgauge.resp import Command, ReplyError
from depthgauge.secrets import masked
from exporter.settings import RedisSettings
from exporter.sources.redis_server import KIND, MAX_INFO, Info, RedisServerSource, garbage, info_of
from exporter.sources.refusals import OF_THE_SERVER, Refusals

_COUNTERS: Final = {
    "hits_total": "keyspace_hits",
    "misses_total": "keyspace_misses",
    "evicted_total": "evicted_keys",
    "expired_total": "expired_keys",
    "rejected_total": "rejected_connections",
    "commands_total": "total_commands_processed",
}
_GAUGES: Final = {
    "clients": "connected_clients",
    "blocked_clients": "blocked_clients",
    "max_clients": "maxclients",
    "used_memory_bytes": "used_memory",
}


class _Added:
    """What one counter of all masters has grown by since the first reading."""

    def __init__(self) -> None:
        self.total: int | None = 0
        self.step: int | None = None
        """In the last reading; None in the first one."""
        self._before: dict[Address, tuple[str | None, int]] | None = None

    def read(self, now: Mapping[Address, tuple[str | None, int | None]]) -> None:
        """Take run id and value of each master."""
        known = {address: (run_id, value) for address, (run_id, value) in now.items() if value is not None}
        before, self._before = self._before, known
        if len(known) != len(now) or self.total is None:
            self.total = self.step = None
        elif before is not None:
            self.step = sum(
                value - _start(before.get(address), run_id, value) for address, (run_id, value) in known.items()
            )
            self.total += self.step


def _start(before: tuple[str | None, int] | None, run_id: str | None, value: int) -> int:
    """Return what to count from: a master that has just come has counted before we came, one that was restarted has not."""
    if before is None:
        return value
    return before[1] if before[0] == run_id and before[1] <= value else 0


class RedisClusterSource:
    """Reads how one cluster is. ``timeout`` is what one :meth:`collect` may take, connecting included, in seconds."""

    kind: Final = KIND

    def __init__(
        self,
        settings: RedisSettings,
        *,
        clock: Callable[[], datetime],
        timeout: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.target = settings.name
        self._clock = clock
        self._monotonic = monotonic
        self._timeout = timeout
        self._shown = f"Redis at {masked(settings.url.reveal())}"
        self._link = ClusterLink(settings.url, connect_timeout=timeout, monotonic=monotonic)
        self._refusals = Refusals(settings.name)
        self._added = {name: _Added() for name in _COUNTERS}

    def collect(self) -> RedisServer:
        """Read all masters once; raise SourceError if one of them cannot be read."""
        deadline = self._monotonic() + self._timeout
        self._link.renew()
        told = self._ask(("INFO",), deadline)
        infos = {address: info_of(answer.replies[0], f"Redis at {address}") for address, answer in told.items()}
        # After INFO, so that connecting is not in its time.
        ping = self._ping(self._ask(("PING",), deadline))
        try:
            return self._part(infos, ping)
        except ValueError as exc:
            raise garbage(self._shown, exc) from exc

    def close(self) -> None:
        """Cut off a call in flight."""
        self._link.close()

    def _ask(self, command: Command, deadline: float) -> Mapping[Address, Answer]:
        answers = self._link.each([command], deadline=deadline, max_bulk=MAX_INFO)
        for answer in answers.values():
            if answer.error is not None:
                raise SourceError(answer.error.kind, f"{self._shown}: {answer.error}")
        return answers

    def _ping(self, answers: Mapping[Address, Answer]) -> float | None:
        """Return the seconds of the slowest; None where this user may not send it."""
        for answer in answers.values():
            self._refusals.watch([("PING",)], answer.replies)
            reply = answer.replies[0]
            if isinstance(reply, ReplyError):
                kind = kind_of_code(reply.code)
                if kind in OF_THE_SERVER:
                    raise SourceError(kind, f"{self._shown}: PING was refused: {clean(reply.message)}")
                return None
        return max(answer.seconds for answer in answers.values())

    def _part(self, infos: Mapping[Address, Info], ping: float | None) -> RedisServer:
        every = tuple(infos.values())
        for name, field in _COUNTERS.items():
            self._added[name].read(
                {address: (info.text("run_id"), info.number(field)) for address, info in infos.items()}
            )
        numbers: dict[str, Any] = {name: self._added[name].total for name in _COUNTERS}
        numbers |= {name: _sum(_numbers(every, field)) for name, field in _GAUGES.items()}
        limits = [info.number("maxmemory") for info in every]
        hits, misses = self._added["hits_total"].step, self._added["misses_total"].step
        return RedisServer(
            observed_at=self._clock(),
            redis=self.target,
            version=", ".join(sorted({_version(info) for info in every})[:3]) or None,
            role="cluster",
            ping_seconds=ping,
            uptime_seconds=min(
                (each for each in _numbers(every, "uptime_in_seconds") if each is not None), default=None
            ),
            # One without a limit makes the whole one without.
            max_memory_bytes=0 if 0 in limits else _sum(limits),
            hit_ratio=hits / (hits + misses) if hits is not None and misses is not None and hits + misses else None,
            keys=_sum(info.keys() for info in every),
            **numbers,
        )


def redis_server_source(
    settings: RedisSettings,
    *,
    clock: Callable[[], datetime],
    timeout: float,
    monotonic: Callable[[], float] = time.monotonic,
) -> RedisServerSource | RedisClusterSource:
    """Return the source for what the URL names."""
    cluster = parse(settings.url).topology is Topology.CLUSTER
    make = RedisClusterSource if cluster else RedisServerSource
    return make(settings, clock=clock, timeout=timeout, monotonic=monotonic)


def _version(info: Info) -> str:
    return info.text("valkey_version") or info.text("redis_version") or ""


def _numbers(infos: Sequence[Info], field: str) -> list[int | None]:
    return [info.number(field) for info in infos]


def _sum(numbers: Iterable[int | None]) -> int | None:
    known = list(numbers)
    whole = [number for number in known if number is not None]
    return sum(whole) if len(whole) == len(known) else None
