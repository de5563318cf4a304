"""The proof is worth something only if it can fail: an account of what was tampered with is not clean."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import redis

from depthgauge import stream
from depthgauge.snapshot import Snapshot
from tests.plugins.ledger import Account, account
from tests.plugins.redis_server import RedisServer
from tests.plugins.sinks import MakeSink, make_snapshot, publish, recent_slot
from tests.plugins.stage import execute
from tests.plugins.taken import Taken
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("redis-server", "postgres")

ROW = "FROM depthgauge.worker_snapshots WHERE recorded_at = (SELECT max(recorded_at) FROM depthgauge.worker_snapshots)"


@dataclass
class Written:
    """Ten snapshots of which the database has all."""

    dsn: str
    bus: redis.Redis
    taken: Taken
    base: Snapshot

    def account(self, **options: object) -> Account:
        return account(self.dsn, self.taken, self.bus, **options)  # type: ignore[arg-type]  # passed on as they are


@pytest.fixture
def written(postgres_database: str, redis_server: RedisServer, make_sink: MakeSink) -> Iterator[Written]:
    from depthgauge.secrets import Secret
    from sink.migrate import migrate

    migrate(Secret(postgres_database))
    base = recent_slot()
    snapshots = [make_snapshot(seq, base=base) for seq in range(1, 11)]
    taken = Taken()
    taken.add(*snapshots)
    with redis_server.client() as bus:
        publish(bus, *snapshots)
        sink = make_sink(postgres_database, redis_server.url)
        wait_for(lambda: bus.xlen(stream.STREAM) == 0)
        sink.stop()
        yield Written(postgres_database, bus, taken, snapshots[0])


def test_all_is_well(written: Written) -> None:
    done = written.account().check()

    assert (done.taken, done.stored, done.counted, done.shared_slots) == (10, 10, {}, 0)


def test_a_lost_snapshot(written: Written) -> None:
    execute(written.dsn, "DELETE FROM depthgauge.snapshots WHERE seq = 4")

    done = written.account()
    assert (done.unexplained, done.doubled) == (1, 3), "its rows belong to nobody now"
    with pytest.raises(AssertionError, match=r"not in the ledger \[4\]"):
        done.check()


def test_a_lost_snapshot_is_a_gap_only_where_the_bus_lost_it(written: Written) -> None:
    execute(written.dsn, "DELETE FROM depthgauge.snapshots WHERE seq = 4")

    done = written.account(gaps=True)
    assert (done.unexplained, done.counted) == (0, {"gap": 1})


def test_the_last_ones_lost_are_no_gap(written: Written) -> None:
    execute(written.dsn, "DELETE FROM depthgauge.snapshots WHERE seq >= 9")

    assert written.account(gaps=True).unexplained == 2


def test_a_snapshot_that_nobody_made(written: Written) -> None:
    execute(written.dsn, "UPDATE depthgauge.snapshots SET run_id = 'r2' WHERE seq = 4")

    assert written.account().unexplained == 2, "one is missing and one is invented"


def test_a_drop_that_was_counted_and_arrived_all_the_same(written: Written) -> None:
    execute(written.dsn, """UPDATE depthgauge.snapshots SET drops = '{"bus_away": 1}' WHERE seq = 10""")

    assert written.account().unexplained == 1


@pytest.mark.parametrize("counted", ["drops = '{\"bus_away\": 1}'", 'earlier_drops = \'{"r1": {"bus_away": 1}}\''])
def test_a_drop_that_was_counted(written: Written, counted: str) -> None:
    run = "r1" if counted.startswith("drops") else "r2"
    execute(
        written.dsn,
        "DELETE FROM depthgauge.snapshots WHERE seq = 4",
        f"UPDATE depthgauge.snapshots SET {counted}, run_id = '{run}' WHERE seq = 10",
    )
    done = written.account()
    assert done.counted == {"bus_away": 1}
    assert done.unexplained == (0 if run == "r1" else 2), "seq 10 has another run's name in the second case"


def test_a_snapshot_twice_in_the_ledger(written: Written) -> None:
    execute(
        written.dsn,
        "INSERT INTO depthgauge.snapshots (host, run_id, seq, recorded_at, taken_at, drops) "
        "SELECT host, run_id, seq, recorded_at - interval '1 second', taken_at, drops FROM depthgauge.snapshots WHERE seq = 4",
    )
    assert written.account().doubled == 1


def test_a_row_that_is_missing(written: Written) -> None:
    execute(written.dsn, f"DELETE {ROW}")

    assert written.account().torn == 1


def test_a_row_with_another_value(written: Written) -> None:
    execute(written.dsn, "UPDATE depthgauge.worker_snapshots SET pending = pending + 1 WHERE pending = 3")

    assert written.account().torn == 1


def test_a_row_too_many(written: Written) -> None:
    execute(
        written.dsn,
        "INSERT INTO depthgauge.queue_metrics (host, recorded_at) SELECT 'web-2', max(recorded_at) FROM depthgauge.queue_metrics",
    )
    assert written.account().doubled == 1


def test_what_is_left_on_the_stream_and_in_the_quarantine_is_named(written: Written) -> None:
    for seq, key in ((11, stream.STREAM), (12, stream.QUARANTINE)):
        snapshot = make_snapshot(seq, base=written.base.slot)
        written.taken.add(snapshot)
        written.bus.xadd(key, dict(stream.encode(snapshot)))  # type: ignore[arg-type]  # redis-py asks for a wider dict

    assert written.account().check().counted == {"left on the stream": 1, "quarantined": 1}
