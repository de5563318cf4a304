"""The bus stopped, restarted empty, paused, evicted, full and cut, between a real exporter and a real sink."""

import secrets
import threading
from collections.abc import Iterable

import pytest
from msgspec import structs

from depthgauge import stream
from depthgauge.snapshot import Snapshot
from tests.plugins.proxy import Moment, Proxy
from tests.plugins.sinks import make_snapshot, publish, recent_slot
from tests.plugins.stage import CLAIM_AFTER, MakeStage, Stage, wait_value
from tests.plugins.taken import Tap, wait_taken
from tests.plugins.waiting import wait_for

pytestmark = [pytest.mark.needs("redis-server", "postgres")]

CUTS = 3
CLAIM = f"{CLAIM_AFTER}s"
HELD = 6
KEEPS = ("--appendonly", "yes", "--appendfsync", "always")
UP = "`depthgauge_bus_up` 0, `depthgauge_sink_bus_up` 0"
DUPLICATES = "`depthgauge_sink_snapshots_duplicate_total`"
GAPS = '`depthgauge_sink_gap_snapshots{state="open"}`, `depthgauge.find_gaps()`'


def wait_hindered(stage: Stage) -> None:
    """Wait until the exporter has noticed that its bus does not take anything, and some snapshots have come since."""
    [exporter] = stage.exporters
    wait_for(lambda: exporter.value("depthgauge_bus_up") == 0, 20)
    seen = exporter.value("depthgauge_snapshot_timestamp_seconds") or 0
    wait_value(exporter, "depthgauge_snapshot_timestamp_seconds", seen + 2)


def test_stopped_and_started_with_its_data(make_stage: MakeStage) -> None:
    stage = make_stage("plain", *KEEPS)
    _, url, tap = stage.tap()
    stage.exporter(url)
    sink = stage.sink(claim_after=CLAIM)
    wait_taken(tap, 4)
    stage.bus.stop()
    wait_hindered(stage)
    wait_for(lambda: sink.value("depthgauge_sink_bus_up") == 0, 10)
    stage.bus.start()
    wait_taken(tap, 8)
    stage.settle()

    stage.record("bus stopped for a while, its data kept", UP)


def test_restarted_empty(make_stage: MakeStage) -> None:
    """What no sink had read is gone, and no one else has it: the ledger finds it missing."""
    stage = make_stage()
    proxy, url, tap = stage.tap()
    stage.exporter(url)
    first = stage.sink()
    wait_for(lambda: stage.ledger() >= 3, 30)
    lost = _hold(stage, proxy, tap, first)
    stage.bus.kill()
    stage.bus.start()
    proxy.start()
    stage.sink()
    wait_taken(tap, 4)
    stage.settle()

    _record_loss(stage, "bus restarted empty while no sink ran", lost)


def test_restarted_empty_while_all_is_read(make_stage: MakeStage) -> None:
    """Nothing stood on it: sink and exporter find their group and their leases gone, and go on."""
    stage = make_stage()
    proxy, url, tap = stage.tap()
    stage.exporter(url)
    stage.sink(claim_after=CLAIM)
    wait_for(lambda: stage.ledger() >= 3, 30)
    proxy.stop()
    stage.drained()
    wait_hindered(stage)
    stage.bus.kill()
    stage.bus.start()
    proxy.start()
    wait_taken(tap, 6)
    stage.settle()

    stage.record("bus restarted empty, everything on it read", "`depthgauge_bus_up` 0")


def test_paused(make_stage: MakeStage) -> None:
    """At the moment when an XADD is on its way: the bus does it when it goes on, and it has been sent again by then.

    A sink's read that was on its way is done as well, for nobody: what it got is claimed after a while.
    """
    stage = make_stage()
    proxy, url, tap = stage.tap()
    stage.exporter(url)
    sink = stage.sink(claim_after=CLAIM)
    wait_taken(tap, 4)
    paused = threading.Event()

    def pause(_: int, data: bytes) -> None:
        if b"XADD" in data and not paused.is_set():
            stage.bus.pause()
            paused.set()

    proxy.heralds.append(pause)
    try:
        assert paused.wait(20)
        wait_hindered(stage)
        wait_for(lambda: sink.value("depthgauge_sink_bus_up") == 0, 20)
    finally:
        stage.bus.resume()
    wait_taken(tap, 6)
    stage.settle()

    again = sink.value("depthgauge_sink_snapshots_duplicate_total") or 0
    assert again == tap.sent - tap.taken.total() >= 1
    stage.record("bus paused (SIGSTOP)", f"{UP}, {DUPLICATES}")


def test_evicted(make_stage: MakeStage) -> None:
    stage = make_stage("plain", "--maxmemory", "6mb", "--maxmemory-policy", "allkeys-lru")
    proxy, url, tap = stage.tap()
    stage.exporter(url, bus={"allow_eviction": True})
    first = stage.sink()
    wait_for(lambda: stage.ledger() >= 3, 30)
    lost = _hold(stage, proxy, tap, first)
    with stage.bus.client() as client:
        for number in range(100_000):
            if not client.exists(stream.STREAM):
                break
            client.set(f"filler-{number}", b"x" * 10_000)
        client.flushdb()
    proxy.start()
    stage.sink()
    wait_taken(tap, 4)
    stage.settle()

    _record_loss(stage, "stream evicted by a bus that may (`allow_eviction = true`)", lost)


def test_full(make_stage: MakeStage) -> None:
    """Nothing is trimmed: the exporter waits until a sink has made room."""
    stage = make_stage()
    snapshots = [_bulky(seq) for seq in range(1, 81)]
    stage.taken.add(*snapshots)
    bulky = stage.taken
    with stage.bus.client() as client:
        publish(client, *snapshots)
        assert client.memory_usage(stream.STREAM) > 1 << 20
    _, url, tap = stage.tap()
    exporter = stage.exporter(url, bus={"max_bytes": 1 << 20})
    wait_for(lambda: "is a sink running" in exporter.text, 20)
    wait_hindered(stage)
    assert tap.taken.total() == 0
    stage.sink()
    wait_for(lambda: tap.taken.total() >= 8, 45, step=0.05)
    stage.settle()
    stage.taken.runs.update(bulky.runs)

    stage.record("bus full (`max_bytes`) while no sink ran", "`depthgauge_bus_up` 0, the exporter's log")


@pytest.mark.parametrize(
    ("moment", "fault"),
    [
        (Moment.BEFORE, f"connection of exporter and bus cut before XADD arrived, {CUTS} times"),
        (Moment.ANSWER, f"connection of exporter and bus cut after XADD, its answer lost, {CUTS} times"),
    ],
)
def test_cut_while_publishing(make_stage: MakeStage, moment: Moment, fault: str) -> None:
    stage = make_stage()
    proxy, url, tap = stage.tap()
    exporter = stage.exporter(url)
    sink = stage.sink()
    wait_taken(tap, 2)
    for _ in range(CUTS):
        trap = proxy.trap(b"XADD", moment)
        wait_for(lambda: trap.sprung == 1, 30)  # noqa: B023  used before it changes
        wait_taken(tap, 2)
    stage.settle()

    again = sink.value("depthgauge_sink_snapshots_duplicate_total") or 0
    assert again == tap.sent - tap.taken.total()
    assert again >= (CUTS if moment is Moment.ANSWER else 0)
    assert "not publishing" in exporter.text
    stage.record(fault, f"the exporter's log, {DUPLICATES}" if moment is Moment.ANSWER else "the exporter's log")


@pytest.mark.parametrize(
    ("moment", "fault"),
    [
        (Moment.BEFORE, f"connection of sink and bus cut before XACK arrived, {CUTS} times"),
        (Moment.ANSWER, f"connection of sink and bus cut after XACK, its answer lost, {CUTS} times"),
    ],
)
def test_cut_while_acknowledging(make_stage: MakeStage, moment: Moment, fault: str) -> None:
    stage = make_stage()
    proxy, url = stage.bus_proxy()
    stage.sink(url=url)
    trap = proxy.trap(b"XACK", moment, times=CUTS)
    stage.publish(40)
    stage.drained()
    wait_for(lambda: trap.sprung == CUTS, 20)

    # The first failure on a connection that has been idle is mended without a word.
    assert stage.sums("depthgauge_sink_bus_errors_total") >= 1
    stage.record(fault, "`depthgauge_sink_bus_errors_total`")


def test_cut_while_reading(make_stage: MakeStage) -> None:
    """Redis has noted the entries as read by a sink that never got them: it asks for them with its next connection."""
    stage = make_stage()
    proxy, url = stage.bus_proxy()
    sink = stage.sink(url=url, claim_after=3600).ready()
    wait_for(lambda: sink.value("depthgauge_sink_bus_up") == 1, 20)
    trap = proxy.trap(b"XREADGROUP", Moment.ANSWER)
    wait_for(lambda: trap.times == 0, 20, what="a read is under way")
    stage.publish(20)
    stage.drained()

    assert trap.sprung == 1
    assert "whose answer broke off" in sink.text
    stage.record(
        "connection of sink and bus cut after XREADGROUP, the entries lost on the way",
        "the sink's log",
    )


def _hold(stage: Stage, proxy: Proxy, tap: Tap, sink: "object") -> int:
    """End the sink, let some snapshots gather on the stream, keep the exporter off; return how many they are."""
    assert stage.sinks[-1] is sink
    stage.drained()
    assert stage.sinks[-1].stop() == 0
    wait_taken(tap, HELD)
    proxy.finish()
    held = stage.backlog()
    assert held >= HELD
    return held


def _record_loss(stage: Stage, fault: str, lost: int) -> None:
    """Record a loss that is counted: to the snapshot what stood on the stream, and a sink that looks says so."""
    done = stage.account(gaps=True)
    assert set(done.counted) == {"gap"}
    assert done.counted["gap"] == lost
    later = stage.sink("later")
    wait_value(later, "depthgauge_sink_gap_snapshots", lost, state="open")
    stage.record(fault, GAPS, account=done)


def _bulky(seq: int) -> Snapshot:
    """Return a snapshot of 20 KB that compression does not make smaller."""
    snapshot = make_snapshot(seq, base=recent_slot(back=30), host="bulky")
    return structs.replace(snapshot, supervisors=tuple(_with_errors(snapshot)))


def _with_errors(snapshot: Snapshot) -> Iterable[object]:
    for supervisor in snapshot.supervisors:
        told = (structs.replace(each, spawn_error=secrets.token_hex(20_000)) for each in supervisor.processes)
        yield structs.replace(supervisor, processes=tuple(told))
