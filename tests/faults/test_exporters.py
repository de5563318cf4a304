"""Exporters that are killed and stopped, leases that move, host names used twice."""

import signal
from datetime import UTC, datetime, timedelta

import pytest

from tests.plugins.daemons import Daemon
from tests.plugins.sinks import make_snapshot, publish, recent_slot, select
from tests.plugins.stage import EDITIONS, INTERVAL, MakeStage, wait_value
from tests.plugins.taken import wait_taken
from tests.plugins.waiting import wait_for

pytestmark = [pytest.mark.needs("redis-server", "postgres")]

COLLIDED = "`depthgauge_sink_snapshots_collided_total`, the sink's log"
BEFORE, AFTER = 5, 9


def test_killed_while_publishing(make_stage: MakeStage) -> None:
    """The next run waits for the old one's lease on the host name, and begins a sequence of its own."""
    stage = make_stage()
    _, url, tap = stage.tap()
    stage.sink()
    for _ in range(3):
        exporter = stage.exporter(url)
        wait_taken(tap, 3)
        exporter.kill()
    stage.exporter(url)
    wait_taken(tap, 4)
    stage.settle()

    assert len(tap.taken.of("web-1")) == 4
    stage.record("exporter killed with -9 while the bus is up, 3 times", "a new `run_id` in the ledger")


def test_the_lease_holder_stopped_and_resumed(make_stage: MakeStage) -> None:
    """What it read under a lease that ran out while it was stopped is not shown to anybody."""
    stage = make_stage()
    _, url, tap = stage.tap()
    stage.depth(BEFORE)
    stage.sink()
    exporters = {host: stage.exporter(url, host=host) for host in ("web-1", "web-2")}
    wait_for(lambda: len(holders(exporters)) == 1, 30, step=0.05)
    for host in exporters:
        wait_taken(tap, 3, host)
    [holder] = holders(exporters)
    exporters[holder].process.send_signal(signal.SIGSTOP)
    stage.depth(AFTER)
    changed = datetime.now(UTC)
    [other] = set(exporters) - {holder}
    wait_for(lambda: holders({other: exporters[other]}) == [other], 20, step=0.05)
    wait_taken(tap, 2, other)
    exporters[holder].process.send_signal(signal.SIGCONT)
    wait_taken(tap, 6, holder)
    held = {host: exporter.value("depthgauge_lease_held", lease="redis:jobs") for host, exporter in exporters.items()}
    assert held == {holder: 0, other: 1}
    stage.settle()

    fleet = select(
        stage.dsn,
        "SELECT recorded_at, max(pending) FROM depthgauge.worker_snapshots WHERE pending IS NOT NULL GROUP BY 1 ORDER BY 1",
    )
    assert {depth for slot, depth in fleet if slot >= changed} == {AFTER}
    assert {depth for slot, depth in fleet if slot < changed - timedelta(seconds=INTERVAL)} == {BEFORE}
    stage.record(
        "two exporters of one Redis, the lease's holder stopped (SIGSTOP) and resumed", "`depthgauge_lease_held`"
    )


def test_one_host_name_for_two(make_stage: MakeStage) -> None:
    """The second serves its metrics and publishes nothing."""
    stage = make_stage()
    _, url, tap = stage.tap()
    stage.sink()
    stage.exporter(url)
    wait_taken(tap, 3)
    second = stage.exporter(url)
    wait_for(lambda: "another exporter publishes under this host name" in second.text, 20)
    wait_value(second, "depthgauge_bus_drops_total", 1, reason="duplicate_host")
    wait_taken(tap, 3)
    assert second.value("depthgauge_bus_published_total") == 0
    assert second.samples("depthgauge_snapshot_timestamp_seconds")
    stage.settle()

    assert len(tap.taken.of("web-1")) == 1
    stage.record(
        "two exporters with one host name", '`depthgauge_bus_drops_total{reason="duplicate_host"}`, the second\'s log'
    )


def test_one_host_name_for_two_and_the_first_killed(make_stage: MakeStage) -> None:
    """The second takes the name over; where what it held back is for slots of the first, that is counted."""
    stage = make_stage()
    _, url, tap = stage.tap()
    sink = stage.sink()
    first = stage.exporter(url)
    wait_taken(tap, 3)
    second = stage.exporter(url)
    wait_for(lambda: "another exporter publishes under this host name" in second.text, 20)
    wait_taken(tap, 3)
    first.kill()
    wait_value(second, "depthgauge_bus_published_total", 4, 30)
    stage.settle()

    done = stage.account()
    assert sink.value("depthgauge_sink_snapshots_collided_total") == done.shared_slots
    stage.record(
        "two exporters with one host name, the first killed with -9",
        '`depthgauge_bus_drops_total{reason="duplicate_host"}`, the second\'s log',
        collisions=done.shared_slots,
        account=done,
    )


@pytest.mark.parametrize("edition", EDITIONS)
def test_two_runs_for_the_same_slots(make_stage: MakeStage, edition: str) -> None:
    """As two exporters that cannot see each other's lease: both are in the ledger, the rows are the first one's."""
    stage = make_stage(edition)
    base = recent_slot(back=20)
    stage.publish(20, run_id="r1", base=base)
    stage.publish(20, run_id="r2", base=base)
    sink = stage.sink(batch_rows=30)
    stage.drained()

    assert sink.value("depthgauge_sink_snapshots_collided_total") == 20
    assert "do two exporters use this host name?" in sink.text
    stage.record("two runs of one host name for the same slots", COLLIDED, collisions=20)


def test_two_runs_for_the_same_slots_and_two_sinks(make_stage: MakeStage) -> None:
    """Both are being written at the same moment, by different sinks."""
    stage = make_stage()
    base = recent_slot(back=60)
    for seq in range(1, 201):
        pair = [make_snapshot(seq, base=base, run_id=run_id) for run_id in ("r1", "r2")]
        stage.taken.add(*pair)
        with stage.bus.client() as client:
            publish(client, *pair)
    for consumer in ("a", "b"):
        stage.sink(consumer, batch_rows=8)
    stage.drained()

    assert stage.sums("depthgauge_sink_snapshots_collided_total") == 200
    stage.record("two runs of one host name for the same slots, two sinks", COLLIDED, collisions=200)


def holders(exporters: dict[str, Daemon]) -> list[str]:
    """Return the hosts whose exporter reads the queues now."""
    return [host for host, daemon in exporters.items() if daemon.value("jobqueue_up", redis="jobs") == 1]
