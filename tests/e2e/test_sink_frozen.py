"""Two sinks, of which one is frozen with work in hand and wakes up later: its work moves on, and nothing is doubled."""

import signal

import pytest

from depthgauge import stream
from depthgauge.secrets import Secret
from sink.migrate import migrate
from tests.plugins.daemons import Daemon, MakeDaemon
from tests.plugins.redis_server import RedisServer
from tests.plugins.sinks import make_snapshot, publish, recent_slot, select, sequence
from tests.plugins.waiting import wait_for

pytestmark = [pytest.mark.needs("redis-server", "timescaledb"), pytest.mark.timeout(240)]

SNAPSHOTS = 300


def test_the_work_of_a_frozen_sink_moves_to_the_other(
    make_daemon: MakeDaemon, redis_server: RedisServer, timescale_database: str
) -> None:
    migrate(Secret(timescale_database))
    bus = redis_server.client()
    base = recent_slot(back=SNAPSHOTS // 4 + 10)

    def sink(name: str) -> Daemon:
        return make_daemon(
            "sink",
            f'[bus]\nurl = "{redis_server.url}"\n[sink]\ndsn = "{timescale_database}"\nconsumer = "{name}"\n'
            "batch_rows = 40\nbatch_seconds = 0.05\nclaim_after = 5\n",
        )

    def pending(name: str) -> int:
        told = bus.xinfo_consumers(stream.STREAM, stream.GROUP)
        return sum(each["pending"] for each in told if each["name"] == name.encode())

    frozen = sink("frozen").ready()
    for seq in range(1, SNAPSHOTS + 1):
        publish(bus, make_snapshot(seq, base=base))
    wait_for(lambda: pending("frozen") > 0 and bus.xlen(stream.STREAM) < SNAPSHOTS, 30)
    frozen.process.send_signal(signal.SIGSTOP)
    held = pending("frozen")
    assert held > 0
    other = sink("other").ready()
    # Frozen within a transaction it holds up whoever writes the same snapshots, until the server ends its session.
    wait_for(lambda: bus.xlen(stream.STREAM) == 0, 100, what="the other sink has taken over")
    assert sequence(timescale_database) == list(range(1, SNAPSHOTS + 1))
    assert (other.value("depthgauge_sink_entries_claimed_total") or 0) >= held

    frozen.process.send_signal(signal.SIGCONT)
    publish(bus, make_snapshot(SNAPSHOTS + 1, base=base))
    wait_for(lambda: bus.xlen(stream.STREAM) == 0, 60)
    assert other.stop() == 0
    publish(bus, make_snapshot(SNAPSHOTS + 2, base=base))
    wait_for(lambda: bus.xlen(stream.STREAM) == 0, 60, what="the one that was frozen works again")

    assert sequence(timescale_database) == list(range(1, SNAPSHOTS + 3))
    assert select(timescale_database, "SELECT count(*), sum(pending) FROM depthgauge.worker_snapshots") == [
        (SNAPSHOTS + 2, sum(range(1, SNAPSHOTS + 3)))
    ]
    assert frozen.stop() == 0
