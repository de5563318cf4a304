"""Leases on a real Redis."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import redis

from depthgauge import health
from depthgauge.redis_link import client
from depthgauge.secrets import Secret
from depthgauge.snapshot import Cycle, RedisQueues, Snapshot, SourceStatus
from exporter.lease import Lease, LeasedTargets, LeaseKeeper, Standing, database_lease, redis_lease
from tests.plugins.redis_server import RedisServer
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("redis-server")

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class Monotonic:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def bus(redis_server: RedisServer) -> Iterator[redis.Redis]:
    with client(Secret(redis_server.url), timeout=1.0) as made:
        yield made


def test_the_first_takes_it_and_the_second_waits(bus: redis.Redis) -> None:
    first, second = Lease(bus, "redis:a", "one", ttl=30), Lease(bus, "redis:a", "two", ttl=30)

    assert [first.attempt(), second.attempt(), first.attempt()] == [Standing.HELD, Standing.ELSEWHERE, Standing.HELD]
    first.release()
    assert second.attempt() is Standing.HELD


def test_releasing_never_takes_it_from_another(bus: redis.Redis) -> None:
    first, second = Lease(bus, "redis:a", "one", ttl=0.05), Lease(bus, "redis:a", "two", ttl=30)
    first.attempt()
    wait_for(lambda: second.attempt() is Standing.HELD, timeout=5)

    first.release()

    assert first.attempt() is Standing.ELSEWHERE
    assert second.attempt() is Standing.HELD


def test_a_frozen_holder_knows_by_its_own_clock_that_it_lost_it(bus: redis.Redis) -> None:
    clock = Monotonic()
    lease = Lease(bus, "redis:a", "one", ttl=10, monotonic=clock)
    lease.attempt()
    assert lease.standing == Standing.HELD

    clock.now += 10
    standing: Standing = lease.standing

    assert standing == Standing.LAPSED


def test_without_a_bus_everybody_reads_for_himself(redis_server: RedisServer, bus: redis.Redis) -> None:
    keeper = LeaseKeeper(bus, "one", [redis_lease("a"), redis_lease("b")], interval=2)
    keeper.start()
    leased = LeasedTargets(keeper)
    try:
        assert leased.allows("a")
        redis_server.stop()
        wait_for(lambda: set(keeper.standings().values()) == {Standing.NO_BUS}, timeout=10)
        assert leased.allows("a")
        assert leased.allows("b")
    finally:
        keeper.stop(timeout=2)


def test_another_takes_over_within_two_intervals(redis_server: RedisServer) -> None:
    interval = 2.0
    keepers = [
        LeaseKeeper(client(Secret(redis_server.url), timeout=0.5), token, [redis_lease("a")], interval=interval)
        for token in ("one", "two")
    ]
    for keeper in keepers:
        keeper.start()
    try:
        assert [LeasedTargets(keeper).allows("a") for keeper in keepers] == [True, False]
        # Death without a goodbye: renewing just ends.
        keepers[0]._stop.set()
        died = time.monotonic()
        wait_for(lambda: LeasedTargets(keepers[1]).allows("a"), timeout=2 * interval)
        # Another collection follows at the latest one interval after this.
        assert time.monotonic() - died <= interval + 0.5
    finally:
        for keeper in keepers:
            keeper.stop(timeout=2)


def test_stopping_gives_the_lease_back_at_once(redis_server: RedisServer, bus: redis.Redis) -> None:
    keeper = LeaseKeeper(client(Secret(redis_server.url), timeout=0.5), "one", [redis_lease("a")], interval=60)
    keeper.start()

    keeper.stop(timeout=2)

    assert Lease(bus, redis_lease("a"), "two", ttl=30).attempt() is Standing.HELD


def test_backlogs_under_a_lost_lease_are_not_shown(bus: redis.Redis) -> None:
    Lease(bus, redis_lease("b"), "another", ttl=30).attempt()
    Lease(bus, database_lease("y"), "another", ttl=30).attempt()
    names = [redis_lease("a"), redis_lease("b"), database_lease("x"), database_lease("y")]
    keeper = LeaseKeeper(bus, "one", names, interval=60)
    keeper.start()
    snapshot = Snapshot(
        host="web-1",
        run_id="one",
        seq=1,
        slot=NOW,
        taken_at=NOW,
        interval=60,
        cycle=Cycle(seconds=0.1),
        sources=tuple(SourceStatus(observed_at=NOW, kind="redis", target=name, ok=True) for name in ("a", "b")),
        queues=tuple(RedisQueues(observed_at=NOW, redis=name) for name in ("a", "b")),
        redis_servers=tuple(health.RedisServer(observed_at=NOW, redis=name) for name in ("a", "b")),
        databases=tuple(health.Database(observed_at=NOW, name=name) for name in ("x", "y")),
        failed_jobs_in=("x", "y"),
    )
    try:
        visible = LeasedTargets(keeper).visible(snapshot)
    finally:
        keeper.stop(timeout=2)

    assert [part.redis for part in visible.queues] == ["a"]
    assert [part.redis for part in visible.redis_servers] == ["a"]
    assert [part.name for part in visible.databases] == ["x"]
    assert visible.failed_jobs_in == ("x",)
    assert [status.target for status in visible.sources] == ["a"]
