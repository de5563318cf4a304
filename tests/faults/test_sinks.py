"""Sinks that are killed and stopped in the middle of their work."""

import contextlib
import random
import signal
from collections.abc import Iterator
from typing import Any, cast

import psycopg
import pytest

from depthgauge import stream
from tests.plugins.sinks import recent_slot, select
from tests.plugins.stage import CLAIM_AFTER, EDITIONS, MakeStage, Stage, wait_value
from tests.plugins.waiting import wait_for

pytestmark = [pytest.mark.needs("redis-server", "postgres")]

KILLS = 6
CLAIM = f"{CLAIM_AFTER}s"
DUPLICATES = "`depthgauge_sink_snapshots_duplicate_total`"
CLAIMED = "`depthgauge_sink_entries_claimed_total`"

WAITS_FOR_LOCK = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = 'depthgauge-sink' AND wait_event_type = 'Lock' AND query LIKE '%queue_metrics%'
"""


@pytest.mark.parametrize("edition", EDITIONS)
def test_killed_in_mid_batch(make_stage: MakeStage, edition: str) -> None:
    stage = make_stage(edition)
    chance, base, left = random.Random(7), recent_slot(back=151), []
    for turn in range(KILLS):
        # In portions: on a busy machine a sink that is not watched for a moment does all there is.
        stage.publish(100, first=1 + 100 * turn, base=base)
        # One consumer name for all its lives, as a service has; small batches, so that a kill finds one half done.
        sink = stage.sink(batch_rows=40)
        before, enough = stage.backlog(), chance.randint(1, 60)
        wait_for(lambda: before - stage.backlog() >= enough, 30)  # noqa: B023  used before they change
        sink.kill()
        left.append(stage.backlog())
    assert any(left), "a kill has to find work"
    stage.sink()
    stage.drained()

    stage.record(f"sink killed with -9 in mid-batch, {KILLS} times", "the stream's backlog, until a sink is back")


@pytest.mark.parametrize("edition", EDITIONS)
def test_killed_inside_its_transaction(make_stage: MakeStage, edition: str) -> None:
    """The moment is made by a lock: on a table behind the ledger the sink waits inside its transaction."""
    stage = make_stage(edition)
    stage.publish(10)
    with psycopg.connect(stage.dsn) as blocker:
        blocker.execute("LOCK TABLE depthgauge.queue_metrics IN ACCESS EXCLUSIVE MODE")
        sink = stage.sink()
        wait_for(lambda: select(stage.dsn, WAITS_FOR_LOCK) == [(1,)], 30)
        sink.kill()
    again = stage.sink()
    stage.drained()

    assert again.value("depthgauge_sink_snapshots_duplicate_total") == 0
    stage.record("sink killed with -9 inside its transaction", "the stream's backlog, until a sink is back")


@pytest.mark.parametrize("edition", EDITIONS)
def test_killed_between_commit_and_acknowledgement(make_stage: MakeStage, edition: str) -> None:
    stage = make_stage(edition)
    stage.publish(10)
    with _no_acknowledging(stage):
        sink = stage.sink()
        wait_for(lambda: stage.ledger() == 10, 30)
        sink.kill()
    assert stage.backlog() == 10
    again = stage.sink()
    stage.drained()

    assert again.value("depthgauge_sink_snapshots_duplicate_total") == 10
    stage.record("sink killed with -9 between COMMIT and acknowledgement", DUPLICATES)


def test_a_dead_sinks_work_moves_to_another(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.publish(40)
    with psycopg.connect(stage.dsn) as blocker:
        blocker.execute("LOCK TABLE depthgauge.queue_metrics IN ACCESS EXCLUSIVE MODE")
        dead = stage.sink("dead", claim_after=CLAIM)
        wait_for(lambda: select(stage.dsn, WAITS_FOR_LOCK) == [(1,)], 30)
        dead.kill()
    stage.publish(40, first=41)
    other = stage.sink("other", claim_after=CLAIM)
    stage.drained()

    assert (other.value("depthgauge_sink_entries_claimed_total") or 0) > 0
    stage.record("of two sinks one killed for good in mid-batch", CLAIMED)


def test_stopped_before_its_write_and_resumed(make_stage: MakeStage) -> None:
    """What it had read is written by the other, and then once more by itself."""
    stage = make_stage()
    proxy, dsn = stage.database_proxy()
    slow = stage.sink("slow", dsn=dsn, claim_after=CLAIM)
    # Before it is connected it reads nothing from the stream.
    wait_value(slow, "depthgauge_sink_database_up", 1)
    proxy.stall()
    stage.publish(40)
    wait_for(lambda: _pending(stage, "slow") > 0, 20)
    slow.process.send_signal(signal.SIGSTOP)
    quick = stage.sink("quick", claim_after=CLAIM)
    stage.drained()
    taken_over = wait_value(quick, "depthgauge_sink_entries_claimed_total", 1)
    slow.process.send_signal(signal.SIGCONT)
    proxy.resume()
    wait_value(slow, "depthgauge_sink_snapshots_duplicate_total", taken_over)

    stage.record(
        "two sinks, one stopped (SIGSTOP) before its write, its batch claimed, then resumed",
        f"{CLAIMED}, {DUPLICATES}",
    )


def test_stopped_inside_its_transaction_and_resumed(make_stage: MakeStage) -> None:
    """The other waits for the ledger rows of the one that is stopped, and finds them committed."""
    stage = make_stage()
    stage.publish(40)
    with psycopg.connect(stage.dsn) as blocker:
        blocker.execute("LOCK TABLE depthgauge.queue_metrics IN ACCESS EXCLUSIVE MODE")
        slow = stage.sink("slow", claim_after=CLAIM)
        wait_for(lambda: select(stage.dsn, WAITS_FOR_LOCK) == [(1,)], 30)
        slow.process.send_signal(signal.SIGSTOP)
    quick = stage.sink("quick", claim_after=CLAIM)
    wait_value(quick, "depthgauge_sink_entries_claimed_total", 1)
    blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND wait_event = 'transactionid'"
    wait_for(lambda: select(stage.dsn, blocked) == [(1,)], 20, what="the other waits for the first's transaction")
    slow.process.send_signal(signal.SIGCONT)
    stage.drained()

    wait_value(quick, "depthgauge_sink_snapshots_duplicate_total", 1)
    stage.record(
        "two sinks, one stopped (SIGSTOP) inside its transaction, its batch claimed, then resumed",
        f"{CLAIMED}, {DUPLICATES}",
    )


def test_stopped_between_commit_and_acknowledgement_and_resumed(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.publish(40)
    with _no_acknowledging(stage):
        slow = stage.sink("slow", claim_after=CLAIM)
        wait_for(lambda: stage.ledger() == 40, 30)
        slow.process.send_signal(signal.SIGSTOP)
    quick = stage.sink("quick", claim_after=CLAIM)
    stage.drained()
    claimed = wait_value(quick, "depthgauge_sink_entries_claimed_total", 40)
    assert quick.value("depthgauge_sink_snapshots_duplicate_total") == claimed
    slow.process.send_signal(signal.SIGCONT)
    stage.publish(5, first=41)
    stage.drained()
    wait_value(slow, "depthgauge_sink_bus_up", 1)

    stage.record(
        "two sinks, one stopped (SIGSTOP) between COMMIT and acknowledgement, its batch claimed, then resumed",
        f"{CLAIMED}, {DUPLICATES}",
    )


@contextlib.contextmanager
def _no_acknowledging(stage: Stage) -> Iterator[None]:
    """Take XACK away: commits happen and acknowledgements cannot."""
    with stage.bus.client() as client:
        client.execute_command("ACL", "SETUSER", "default", "-xack")
        yield
        client.execute_command("ACL", "SETUSER", "default", "+xack")


def _pending(stage: Stage, consumer: str) -> int:
    with stage.bus.client() as client:
        # The first read makes the group.
        if not client.exists(stream.STREAM) or not client.xinfo_groups(stream.STREAM):
            return 0
        found = cast("list[dict[str, Any]]", client.xinfo_consumers(stream.STREAM, stream.GROUP))
    return sum(int(each["pending"]) for each in found if each["name"] == consumer.encode())
