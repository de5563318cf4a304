"""Who answers a live question: the cache, this exporter's own snapshot, or a collection brought forward, once for all."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from depthgauge.snapshot import Snapshot
from exporter.collect import Collector, EveryoneCollects, Identity
from exporter.fleet import Fleet
from exporter.live import Live
from exporter.recent import Recent
from exporter.store import SnapshotStore
from tests.plugins.snapshots import NOW, ago, snapshot_of
from tests.plugins.waiting import wait_for


class Cache:
    def __init__(self, fleet: Fleet | None) -> None:
        self.fleet = fleet
        self.reads = 0

    def read(self) -> Fleet | None:
        self.reads += 1
        return self.fleet


class Desk:
    """A Live with everything in hand."""

    def __init__(self, fleet: Fleet | None = None, own: Snapshot | None = None) -> None:
        self.cache = Cache(fleet)
        self.store = SnapshotStore()
        if own is not None:
            self.store.put(own)
        self.asked = 0
        self.on_ask: Callable[[], None] = lambda: None
        self.monotonic = 100.0
        self.live = Live(
            self.store,
            visible=lambda snapshot: snapshot,
            cache=self.cache,
            ask=self.ask,
            recent=Recent(),
            clock=lambda: NOW,
            monotonic=lambda: self.monotonic,
        )

    def ask(self) -> None:
        self.asked += 1
        self.on_ask()


def test_the_fleet_is_told_from_the_cache_and_read_once_a_second() -> None:
    desk = Desk(Fleet(snapshots=(snapshot_of(host="a"),), listed=("a", "b")), own=snapshot_of(host="own"))

    for _ in range(5):
        view = desk.live.view()
        assert view is not None
        assert (view.source, [each.host for each in view.snapshots], view.missing) == ("cache", ["a"], ["b"])
    assert desk.cache.reads == 1
    desk.monotonic += 1.0
    desk.live.view()
    assert desk.cache.reads == 2


@pytest.mark.parametrize("fleet", [None, Fleet(), Fleet(snapshots=(snapshot_of(host="a", taken_at=ago(46)),))])
def test_without_a_cache_that_has_something_the_own_snapshot_is_told(fleet: Fleet | None) -> None:
    desk = Desk(fleet, own=snapshot_of(host="own", taken_at=ago(15)))

    view = desk.live.view()

    assert view is not None
    assert (view.source, [each.host for each in view.snapshots]) == ("direct", ["own"])
    assert desk.asked == 0


def test_hosts_that_the_cache_listed_last_are_missing_when_it_is_gone() -> None:
    desk = Desk(Fleet(snapshots=(snapshot_of(host="own"),), listed=("own", "b")), own=snapshot_of(host="own"))
    desk.live.view()
    desk.cache.fleet = None
    desk.monotonic += 1.0

    view = desk.live.view()

    assert view is not None
    assert (view.source, view.missing) == ("direct", ["b"])


def test_an_old_own_snapshot_is_told_only_after_a_newer_one_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.live.PATIENCE", 0.05)
    desk = Desk(own=snapshot_of(host="own", taken_at=ago(20)))
    stuck = desk.live.view()
    assert desk.asked == 1
    assert stuck is not None
    assert stuck.taken_at == ago(20)

    desk.monotonic += 1.0
    desk.on_ask = lambda: desk.store.put(snapshot_of(host="own"))
    view = desk.live.view()
    assert view is not None
    assert view.taken_at == NOW


def test_nothing_known_is_told_at_once_to_all_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.live.PATIENCE", 0.05)
    desk = Desk()

    assert [desk.live.view() for _ in range(10)] == [None] * 10
    assert desk.asked == 1


class Loop:
    """A real loop over no source at all, at an interval that never comes round in a test."""

    def __init__(self) -> None:
        self.store = SnapshotStore()
        self.seen: list[Snapshot] = []
        self.gathered: list[int] = []
        self.collector = Collector(
            Identity(host="web-1", run_id="r1", interval=3600),
            supervisors=[],
            redis=[],
            enrich=lambda supervisors, peers: supervisors,
            leases=EveryoneCollects(),
            clock=lambda: datetime.now(UTC),
        )
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.collector.run, args=(self.emit, self.stop))

    def emit(self, snapshot: Snapshot) -> None:
        self.seen.append(snapshot)
        self.store.put(snapshot)


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    loop.thread.start()
    wait_for(lambda: loop.seen)
    yield loop
    loop.stop.set()
    loop.thread.join(5)
    assert not loop.thread.is_alive()
    loop.collector.close()


def test_a_hundred_callers_at_once_cause_one_collection(loop: Loop) -> None:
    first = loop.seen[0]
    live = Live(
        loop.store,
        visible=lambda snapshot: snapshot,
        cache=None,
        ask=loop.collector.demand.ask,
        recent=Recent(),
        # By this clock whatever is there is too old.
        clock=lambda: datetime.now(UTC) + timedelta(hours=2),
    )
    gate = threading.Barrier(100)

    def call(_: int) -> object:
        gate.wait()
        return live.view()

    with ThreadPoolExecutor(100) as pool:
        views = list(pool.map(call, range(100)))

    assert len(loop.seen) == 2
    assert {id(view) for view in views} == {id(views[0])}
    assert views[0] is not None
    brought = loop.seen[1]
    assert (brought.seq, brought.slot) == (0, first.slot)
    assert brought.taken_at > first.taken_at


def test_collections_are_brought_forward_once_a_second_at_most(loop: Loop) -> None:
    loop.collector.demand.ask()
    wait_for(lambda: len(loop.seen) == 2)
    loop.collector.demand.ask()
    wait_for(lambda: len(loop.seen) == 3)

    assert (loop.seen[2].taken_at - loop.seen[1].taken_at).total_seconds() > 0.95
