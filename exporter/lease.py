"""Leases on the bus: which exporter reads a shared Redis, and whose host name it is.

A lease saves work; it is not what makes the numbers right (every row carries its host, and fleet reads take the maximum
over hosts). It is a key with the holder's token and a TTL of three quarters of an interval, tried by everybody every
quarter, so that somebody else's next collection reads the target within two intervals of a holder's death. A holder trusts its own monotonic clock only: frozen
and woken again, it knows that its lease ran out before it shows or publishes anything.

While the bus cannot be reached nobody can agree on anything, and every exporter reads for itself.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Final

import redis
from msgspec import structs

from depthgauge.redis_link import classify
from depthgauge.snapshot import Snapshot
from depthgauge.stream import LEASE_PREFIX

log = logging.getLogger(__name__)

TTL_INTERVALS: Final = 0.75
MIN_TTL: Final = 1.5
"""Seconds."""
RENEWALS: Final = 3
"""Renewals a TTL."""


class Standing(Enum):
    """What is known of one lease."""

    UNKNOWN = "unknown"
    """Not asked yet."""
    HELD = "held"
    LAPSED = "lapsed"
    """It was ours and ran out by our own clock; nobody knows yet whose it is now."""
    ELSEWHERE = "elsewhere"
    NO_BUS = "no_bus"
    """The bus did not answer, so there is no agreement."""


class Lease:
    """One lease; ``attempt`` takes or renews it."""

    def __init__(
        self, bus: redis.Redis, name: str, token: str, *, ttl: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self._bus = bus
        self._key = LEASE_PREFIX + name
        self._token = token.encode()
        self._ttl_ms = max(1, round(ttl * 1000))
        self._monotonic = monotonic
        self._until = 0.0
        self._standing = Standing.UNKNOWN

    @property
    def standing(self) -> Standing:
        """Return what holds right now; a lease that ran out by our own clock is not held, whatever the bus may say."""
        if self._standing is Standing.HELD and self._monotonic() >= self._until:
            return Standing.LAPSED
        return self._standing

    def attempt(self) -> Standing:
        """Take the lease or renew it; raise nothing: a bus that fails is NO_BUS."""
        asked_at = self._monotonic()
        before = self._standing
        try:
            mine = self._take_or_renew()
        except (redis.exceptions.RedisError, OSError) as exc:
            self._standing = Standing.NO_BUS
            if before is not Standing.NO_BUS:
                log.warning(
                    "lease %s: the bus does not answer (%s); reading without agreement", self.name, classify(exc).value
                )
            return self._standing
        if mine:
            self._until = asked_at + self._ttl_ms / 1000
        self._standing = Standing.HELD if mine else Standing.ELSEWHERE
        if before is not self._standing:
            log.info("lease %s is %s", self.name, "ours" if mine else "held by another exporter")
        return self._standing

    def mark_no_bus(self) -> None:
        """Note that the bus was just found silent, without asking it again."""
        self._standing = Standing.NO_BUS

    def release(self) -> None:
        """Give the lease back if it is ours; best effort, it runs out by itself."""
        self._until = 0.0
        if self._standing is not Standing.HELD:
            return
        self._standing = Standing.UNKNOWN
        try:
            self._change(lambda pipe: pipe.delete(self._key))
        except (redis.exceptions.RedisError, OSError) as exc:
            log.info("lease %s could not be given back (%s), it runs out by itself", self.name, classify(exc).value)

    def _take_or_renew(self) -> bool:
        if self._bus.set(self._key, self._token, nx=True, px=self._ttl_ms):
            return True
        return self._change(lambda pipe: pipe.pexpire(self._key, self._ttl_ms))

    def _change(self, queue: "Callable[[redis.client.Pipeline], object]") -> bool:
        """Run one command on the key if it holds our token, all or nothing; say whether it did."""
        with self._bus.pipeline(transaction=True) as pipe:
            pipe.watch(self._key)  # type: ignore[no-untyped-call]  # redis-py has no types here
            if pipe.get(self._key) != self._token:
                return False
            pipe.multi()
            queue(pipe)
            try:
                return bool(pipe.execute()[0])
            except redis.exceptions.WatchError:
                return False


class LeaseKeeper:
    """Keeps all leases of one exporter in a thread of its own."""

    def __init__(
        self,
        bus: redis.Redis,
        token: str,
        names: Sequence[str],
        *,
        interval: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bus = bus
        self._ttl = max(MIN_TTL, TTL_INTERVALS * interval)
        self._leases = {name: Lease(bus, name, token, ttl=self._ttl, monotonic=monotonic) for name in names}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)

    def start(self) -> None:
        """Try every lease once, then keep them in the background."""
        self._attempt_all()
        self._thread.start()

    def standing(self, name: str) -> Standing:
        """Return what is known of a lease."""
        return self._leases[name].standing

    def standings(self) -> Mapping[str, Standing]:
        """Return what is known of each."""
        return {name: lease.standing for name, lease in self._leases.items()}

    def stop(self, timeout: float) -> None:
        """Stop renewing and give the leases back; after ``timeout`` seconds they are left to run out."""
        self._stop.set()
        releasing = threading.Thread(target=self._release_all, name="leases-release", daemon=True)
        releasing.start()
        releasing.join(timeout)

    def _release_all(self) -> None:
        if self._thread.is_alive():
            self._thread.join()
        for lease in self._leases.values():
            lease.release()
        self._bus.close()

    def _attempt_all(self) -> None:
        for lease in self._leases.values():
            if lease.attempt() is Standing.NO_BUS:
                # The others would only wait for the same time-out.
                for other in self._leases.values():
                    other.mark_no_bus()
                return

    def _run(self) -> None:
        while not self._stop.wait(self._ttl / RENEWALS):
            self._attempt_all()


def redis_lease(redis_name: str) -> str:
    """Return the name of the lease on reading a Redis."""
    return f"redis:{redis_name}"


def database_lease(name: str) -> str:
    """Return the name of the lease on reading a database."""
    return f"database:{name}"


def host_lease(host: str) -> str:
    """Return the name of the lease on a host name."""
    return f"host:{host}"


_LEASES: Final = {"redis": redis_lease, "database": database_lease}
_KINDS: Final = {"redis": "redis", "redis_server": "redis", "database": "database"}
"""The lease that a source of a kind needs; a kind that is not here needs none."""


class LeasedTargets:
    """Tells the collect loop and the renderer whether this exporter may read and show a Redis or a database now."""

    def __init__(self, keeper: LeaseKeeper) -> None:
        self._keeper = keeper

    def allows(self, target: str, *, kind: str = "redis") -> bool:
        """Say whether this exporter is the one to read the target now."""
        return self._keeper.standing(_LEASES[kind](target)) in (Standing.HELD, Standing.NO_BUS)

    def visible(self, snapshot: Snapshot) -> Snapshot:
        """Return the snapshot without what was read under a lease that ran out since it was taken."""
        targets = {("redis", part.redis) for part in snapshot.queues}
        targets |= {("redis", part.redis) for part in snapshot.redis_servers}
        targets |= {("database", part.name) for part in snapshot.databases}
        targets |= {("database", name) for name in snapshot.failed_jobs_in}
        gone = {(kind, target) for kind, target in targets if not self.allows(target, kind=kind)}
        if not gone:
            return snapshot
        return structs.replace(
            snapshot,
            queues=tuple(part for part in snapshot.queues if ("redis", part.redis) not in gone),
            redis_servers=tuple(part for part in snapshot.redis_servers if ("redis", part.redis) not in gone),
            databases=tuple(part for part in snapshot.databases if ("database", part.name) not in gone),
            failed_jobs_in=tuple(name for name in snapshot.failed_jobs_in if ("database", name) not in gone),
            sources=tuple(s for s in snapshot.sources if (_KINDS.get(s.kind), s.target) not in gone),
        )
