"""The fleet out of a real Redis: what is there, what is spoilt, what does not answer."""

import time
import zlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from depthgauge.secrets import Secret
from depthgauge.snapshot import LiveJobs, Queue, RedisQueues, Snapshot
from depthgauge.stream import HOSTS, LATEST_PREFIX, pack
from exporter import fleet as fleet_module
from exporter.fleet import MAX_HOSTS, MAX_SNAPSHOT, SECONDS, FleetCache
from tests.plugins.redis_server import RedisServer
from tests.plugins.repo import repo_root
from tests.plugins.snapshots import NOW, full, snapshot_of

pytestmark = pytest.mark.needs("redis-server")


class Bus:
    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.registry = CollectorRegistry()
        self.cache = FleetCache(Secret(server.url), clock=lambda: NOW, registry=self.registry)
        self.client: Any = server.client()

    def put(self, host: str, body: bytes, *, at: datetime = NOW) -> None:
        self.client.set(LATEST_PREFIX + host, body)
        self.client.zadd(HOSTS, {host: at.timestamp()})

    def hosts(self) -> list[str]:
        fleet = self.cache.read()
        assert fleet is not None
        return [each.host for each in fleet.snapshots]

    def skipped(self, reason: str) -> float | None:
        return self.registry.get_sample_value("depthgauge_fleet_skipped_snapshots_total", {"reason": reason})

    def failed(self, reason: str) -> float | None:
        return self.registry.get_sample_value("depthgauge_fleet_read_errors_total", {"reason": reason})


@pytest.fixture
def bus(redis_server: RedisServer) -> Iterator[Bus]:
    bus = Bus(redis_server)
    yield bus
    bus.cache.close()


def test_what_is_there_is_read(bus: Bus) -> None:
    whole = full(host="web-1")
    bus.put("web-1", pack(whole))
    bus.put("web-2", pack(snapshot_of(host="web-2")), at=NOW - timedelta(seconds=5))
    bus.client.zadd(HOSTS, {"gone": NOW.timestamp() - 3600, "forgotten": NOW.timestamp() - 90_000})

    fleet = bus.cache.read()

    assert fleet is not None
    assert fleet.snapshots == [whole, snapshot_of(host="web-2")]
    assert list(fleet.listed) == ["web-1", "web-2", "gone"]


def test_an_empty_bus_is_an_empty_fleet(bus: Bus) -> None:
    fleet = bus.cache.read()

    assert fleet is not None
    assert (list(fleet.snapshots), list(fleet.listed)) == ([], [])


def changed(**changes: Any) -> bytes:
    return zlib.compress(msgspec.json.encode({**msgspec.to_builtins(snapshot_of(host="bad")), **changes}))


def naive() -> Snapshot:
    part = RedisQueues(observed_at=NOW.replace(tzinfo=None), redis="default")
    return snapshot_of(host="bad", queues=(part,))


def naive_head() -> Snapshot:
    queue = Queue(system="rq", name="high", live=LiveJobs(waiting=1), head_eligible_at=NOW.replace(tzinfo=None))
    return snapshot_of(host="bad", queues=(RedisQueues(observed_at=NOW, redis="default", queues=(queue,)),))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "corrupt"),
        (b"no zlib at all", "corrupt"),
        (pack(snapshot_of(host="bad"))[:-5], "corrupt"),
        (zlib.compress(b"[]"), "corrupt"),
        (zlib.compress(b'{"x":' * 100_000), "corrupt"),
        (changed(version="one"), "corrupt"),
        (changed(version="2.0"), "newer_version"),
        (pack(snapshot_of(host="somebody else")), "corrupt"),
        (pack(naive()), "corrupt"),
        (pack(naive_head()), "corrupt"),
        (b"x" * (MAX_SNAPSHOT + 1), "too_large"),
        (zlib.compress(b" " * 17_000_000), "corrupt"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_spoilt_is_left_out_and_counted(bus: Bus, body: bytes, reason: str) -> None:
    bus.put("good", pack(snapshot_of(host="good")))
    bus.put("bad", body)

    fleet = bus.cache.read()

    assert fleet is not None
    assert [each.host for each in fleet.snapshots] == ["good"]
    assert sorted(fleet.listed) == ["bad", "good"]
    assert bus.skipped(reason) == 1


def test_what_was_read_before_is_not_decoded_again_and_a_newer_one_is(bus: Bus) -> None:
    bus.put("web-1", pack(snapshot_of(host="web-1", seq=1)))
    bus.put("bad", b"corrupt")
    bus.put("huge", b"x" * (MAX_SNAPSHOT + 1))
    one, two = bus.cache.read(), bus.cache.read()
    assert one is not None
    assert two is not None
    assert one.snapshots[0] is two.snapshots[0]
    assert bus.skipped("corrupt") == 1
    assert bus.skipped("too_large") == 1

    bus.put("web-1", pack(snapshot_of(host="web-1", seq=2)))
    three = bus.cache.read()
    assert three is not None
    assert three.snapshots[0].seq == 2


def test_all_together_are_bounded(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = {host: pack(snapshot_of(host=host)) for host in ("a", "b", "c")}
    monkeypatch.setattr(fleet_module, "MAX_ALL", len(bodies["a"]) + len(bodies["b"]))
    for host, body in bodies.items():
        bus.put(host, body)

    fleet = bus.cache.read()

    assert fleet is not None
    assert len(fleet.snapshots) == 2
    assert bus.skipped("too_large") == 1


def test_hosts_are_bounded(bus: Bus) -> None:
    bus.client.zadd(HOSTS, {f"h{number}": NOW.timestamp() - number for number in range(MAX_HOSTS + 20)})

    fleet = bus.cache.read()

    assert fleet is not None
    assert list(fleet.listed) == [f"h{number}" for number in range(MAX_HOSTS)]


def test_a_key_of_another_type_is_a_failure_that_is_counted(bus: Bus) -> None:
    bus.client.set(HOSTS, "x")

    assert bus.cache.read() is None
    assert bus.failed("fault") == 1


def test_a_frozen_bus_costs_its_deadline_and_comes_back(bus: Bus) -> None:
    bus.put("web-1", pack(snapshot_of(host="web-1")))
    assert bus.hosts() == ["web-1"]
    bus.server.pause()
    started = time.monotonic()
    assert bus.cache.read() is None
    assert time.monotonic() - started < SECONDS + 0.3
    assert bus.failed("timeout") == 1
    bus.server.resume()

    assert bus.hosts() == ["web-1"]


def test_a_bus_that_is_gone_is_told_at_once(bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    bus.server.stop()
    started = time.monotonic()

    assert bus.cache.read() is None
    assert bus.cache.read() is None

    assert time.monotonic() - started < 0.3
    assert bus.failed("refused") == 2
    assert caplog.text.count("tells of this host alone") == 1


@pytest.mark.needs("source-tree")
def test_the_rights_that_the_documentation_gives_an_exporter_suffice(bus: Bus) -> None:
    text = (repo_root() / "docs" / "bus.md").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("ACL SETUSER depthgauge-exporter"))
    bus.client.execute_command(*line.replace(">change-me", ">pw").split())
    bus.put("web-1", pack(snapshot_of(host="web-1")))
    url = Secret(f"redis://depthgauge-exporter:pw@127.0.0.1:{bus.server.port}/0")
    cache = FleetCache(url, clock=lambda: NOW, registry=CollectorRegistry())
    try:
        fleet = cache.read()
    finally:
        cache.close()

    assert fleet is not None
    assert [each.host for each in fleet.snapshots] == ["web-1"]
