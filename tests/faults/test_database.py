"""The database cut off, frozen, made read-only and crashed, while a sink writes to it."""

import signal

import psutil
import pytest

from tests.plugins.hurried import PROGRAM, hurry
from tests.plugins.proxy import Moment
from tests.plugins.sinks import make_snapshot, publish, recent_slot, select
from tests.plugins.stage import EDITIONS, MakeStage, Stage, execute, wait_value
from tests.plugins.waiting import wait_for

pytestmark = [pytest.mark.needs("redis-server", "postgres")]

CUTS = 3
RETRIES = '`depthgauge_sink_retries_total{reason="connection"}`'
DUPLICATES = "`depthgauge_sink_snapshots_duplicate_total`"


def trickle(stage: Stage, rounds: int, *, first: int = 1) -> None:
    """Publish in portions, the next when the one before it is in the database, so that there are several transactions."""
    base = recent_slot(back=30)
    for round_ in range(rounds):
        stage.publish(5, first=first + 5 * round_, base=base)
        wanted = first + 5 * round_ + 4
        wait_for(lambda: stage.ledger() == wanted, 40, step=0.05)  # noqa: B023  used before it changes


@pytest.mark.parametrize("edition", EDITIONS)
def test_cut_in_the_middle_of_a_write(make_stage: MakeStage, edition: str) -> None:
    """The bytes are a queue's name amid the values: the server has a half of the message, and a transaction begun."""
    stage = make_stage(edition)
    proxy, dsn = stage.database_proxy()
    trap = proxy.trap(b"cut-here", Moment.INSIDE, times=CUTS)
    stage.sink(dsn=dsn)
    base = recent_slot(back=30)
    snapshots = [make_snapshot(seq, base=base, queue="cut-here" if seq % 10 == 5 else "high") for seq in range(1, 41)]
    stage.taken.add(*snapshots)
    with stage.bus.client() as client:
        publish(client, *snapshots)
    stage.drained()

    assert trap.sprung == CUTS
    assert stage.sums("depthgauge_sink_retries_total", reason="connection") == CUTS
    assert stage.sums("depthgauge_sink_snapshots_duplicate_total") == 0
    stage.record(f"connection to the database cut in the middle of a write, {CUTS} times", RETRIES)


@pytest.mark.parametrize("edition", EDITIONS)
def test_cut_before_commit_arrives(make_stage: MakeStage, edition: str) -> None:
    stage = make_stage(edition)
    proxy, dsn = stage.database_proxy()
    stage.sink(dsn=dsn)
    trickle(stage, 1)
    trap = proxy.trap(b"COMMIT", Moment.BEFORE, times=CUTS)
    trickle(stage, 4, first=6)
    stage.drained()

    assert trap.sprung == CUTS
    assert stage.sums("depthgauge_sink_snapshots_duplicate_total") == 0
    stage.record(f"connection to the database cut before COMMIT arrived, {CUTS} times", RETRIES)


@pytest.mark.parametrize("edition", EDITIONS)
def test_cut_before_the_answer_to_commit(make_stage: MakeStage, edition: str) -> None:
    """It is done and nobody knows: written again, it is found in the ledger."""
    stage = make_stage(edition)
    proxy, dsn = stage.database_proxy()
    stage.sink(dsn=dsn)
    trickle(stage, 1)
    trap = proxy.trap(b"COMMIT", Moment.ANSWER, times=CUTS)
    trickle(stage, 4, first=6)
    stage.drained()

    assert trap.sprung == CUTS
    assert stage.sums("depthgauge_sink_snapshots_duplicate_total") >= CUTS
    stage.record(
        f"connection to the database cut after COMMIT, its answer lost, {CUTS} times", f"{RETRIES}, {DUPLICATES}"
    )


@pytest.mark.parametrize("edition", EDITIONS)
def test_frozen(make_stage: MakeStage, edition: str) -> None:
    """Every process of the server is stopped: sockets stay open, nothing answers, and the sink's own deadline cuts."""
    stage = make_stage(edition)
    sink = stage.sink(environ=hurry(database_deadline=2.0), program=PROGRAM)
    trickle(stage, 2)
    stage.server.signal(signal.SIGSTOP)
    try:
        stage.publish(20, first=11, base=recent_slot(back=20))
        wait_for(lambda: "the database does not answer: cutting the connection" in sink.text, 15)
        wait_for(lambda: sink.value("depthgauge_sink_database_up") == 0, 5)
    finally:
        stage.server.signal(signal.SIGCONT)
    stage.drained()

    stage.record("database frozen (SIGSTOP)", "`depthgauge_sink_database_up` 0")


@pytest.mark.parametrize("edition", EDITIONS)
def test_made_read_only(make_stage: MakeStage, edition: str) -> None:
    """As a primary that became a standby: sessions live on, and every write is refused."""
    stage = make_stage(edition)
    sink = stage.sink()
    trickle(stage, 2)
    try:
        execute(stage.server.dsn, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
        wait_for(lambda: select(stage.dsn, "SHOW default_transaction_read_only") == [("on",)], 10)
        stage.publish(20, first=11, base=recent_slot(back=20))
        wait_value(sink, "depthgauge_sink_retries_total", 1, reason="read_only")
        assert sink.value("depthgauge_sink_database_up") == 0
    finally:
        execute(
            stage.server.dsn,
            "SET default_transaction_read_only = off",
            "ALTER SYSTEM RESET default_transaction_read_only",
            "SELECT pg_reload_conf()",
        )
    stage.drained()

    stage.record("database made read-only", '`depthgauge_sink_retries_total{reason="read_only"}`')


@pytest.mark.parametrize("edition", EDITIONS)
def test_crashed(make_stage: MakeStage, edition: str) -> None:
    """One of the server's processes is killed with -9, so it drops all the others and recovers from its log.

    The test servers acknowledge commits before they are in the log's file; the sink's own transactions do not let them.
    """
    stage = make_stage(edition)
    sink = stage.sink(batch_rows=20)
    wait_for(lambda: sink.value("depthgauge_sink_database_up") == 1, 20)
    stage.publish(400)
    wait_for(lambda: stage.backlog() < 350, 20)
    (backend, *_) = stage.server.backends()
    backend.kill()
    psutil.wait_procs([backend], timeout=10)
    assert stage.backlog() > 0, "a crash has to find work"
    stage.drained()

    assert stage.sums("depthgauge_sink_retries_total") >= 1
    stage.record("database crashed (kill -9 of one of its processes) and recovered", "`depthgauge_sink_retries_total`")
