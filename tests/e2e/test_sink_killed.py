"""kill -9 of a sink in the middle of its work: nothing lost, nothing doubled."""

import random

import psycopg
import pytest

from depthgauge import stream
from depthgauge.secrets import Secret
from sink.migrate import migrate
from tests.plugins.daemons import MakeDaemon
from tests.plugins.redis_server import RedisServer
from tests.plugins.sinks import make_snapshot, publish, recent_slot, select, sequence
from tests.plugins.waiting import wait_for

pytestmark = [pytest.mark.needs("redis-server", "timescaledb"), pytest.mark.timeout(180)]

SNAPSHOTS = 600
KILLS = 6


def test_a_killed_sink_loses_and_doubles_nothing(
    make_daemon: MakeDaemon, redis_server: RedisServer, timescale_database: str
) -> None:
    migrate(Secret(timescale_database))
    # One consumer name for all its lives, as a service has; small batches, so that a kill finds one half done.
    config = (
        f'[bus]\nurl = "{redis_server.url}"\n'
        f'[sink]\ndsn = "{timescale_database}"\nconsumer = "a"\nbatch_rows = 40\nbatch_seconds = 0.05\n'
    )
    bus = redis_server.client()
    base = recent_slot(back=SNAPSHOTS // 4 + 10)
    for seq in range(1, SNAPSHOTS + 1):
        publish(bus, make_snapshot(seq, base=base))
    chance = random.Random(7)
    kills = 0
    while bus.xlen(stream.STREAM) > 0:
        sink = make_daemon("sink", config)
        if kills < KILLS:
            before = bus.xlen(stream.STREAM)
            enough = chance.randint(1, 60)
            # A part of the work is done: the rest of it is under way at this very moment.
            wait_for(lambda: before - bus.xlen(stream.STREAM) >= enough, 30)  # noqa: B023  used before they change
            sink.kill()
            kills += 1
        else:
            wait_for(lambda: bus.xlen(stream.STREAM) == 0, 60)
            assert sink.stop() == 0, sink.text

    assert kills == KILLS
    assert sequence(timescale_database) == list(range(1, SNAPSHOTS + 1))
    assert select(timescale_database, "SELECT count(*), count(DISTINCT recorded_at) FROM depthgauge.queue_metrics") == [
        (SNAPSHOTS, SNAPSHOTS)
    ]
    assert select(timescale_database, "SELECT sum(pending) FROM depthgauge.worker_snapshots") == [
        (sum(range(1, SNAPSHOTS + 1)),)
    ]


@pytest.mark.parametrize("when", ["before commit", "after commit"])
def test_killed_at_the_worst_moments(
    when: str, make_daemon: MakeDaemon, redis_server: RedisServer, timescale_database: str
) -> None:
    """The moment is made by a lock: on the ledger the sink waits inside its transaction, on the bus right behind it."""
    migrate(Secret(timescale_database))
    config = f'[bus]\nurl = "{redis_server.url}"\n[sink]\ndsn = "{timescale_database}"\nconsumer = "a"\n'
    bus = redis_server.client()
    base = recent_slot()
    for seq in range(1, 11):
        publish(bus, make_snapshot(seq, base=base))
    if when == "before commit":
        with psycopg.connect(timescale_database) as blocker:
            blocker.execute("LOCK TABLE depthgauge.queue_metrics IN ACCESS EXCLUSIVE MODE")
            sink = make_daemon("sink", config)
            waiting = (
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%queue_metrics%'"
            )
            wait_for(lambda: select(timescale_database, waiting) == [(1,)], 30)
            sink.kill()
    else:
        # XACK is taken away, so the commit happens and the acknowledgement cannot.
        bus.execute_command("ACL", "SETUSER", "default", "-xack")  # type: ignore[no-untyped-call]  # redis-py has no types here
        sink = make_daemon("sink", config)
        wait_for(lambda: sequence(timescale_database) == list(range(1, 11)), 30)
        sink.kill()
        bus.execute_command("ACL", "SETUSER", "default", "+xack")  # type: ignore[no-untyped-call]  # redis-py has no types here
        assert bus.xlen(stream.STREAM) == 10
    sink = make_daemon("sink", config)
    wait_for(lambda: bus.xlen(stream.STREAM) == 0, 60)

    assert sequence(timescale_database) == list(range(1, 11))
    assert select(timescale_database, "SELECT count(*) FROM depthgauge.worker_snapshots") == [(10,)]
    expected = 10 if when == "after commit" else 0
    assert sink.value("depthgauge_sink_snapshots_duplicate_total") == expected


def test_a_sink_refuses_a_database_without_the_schema(
    make_daemon: MakeDaemon, redis_server: RedisServer, timescale_database: str
) -> None:
    sink = make_daemon("sink", f'[bus]\nurl = "{redis_server.url}"\n[sink]\ndsn = "{timescale_database}"\n')

    assert sink.process.wait(20) == 3
    assert "depthgauge migrate" in sink.text
