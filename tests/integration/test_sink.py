"""The sink between a real Redis and real databases: what is written, and what is not."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from depthgauge import stream
from depthgauge.errors import SchemaError
from sink import consume
from tests.plugins.redis_server import RedisServer
from tests.plugins.repo import repo_root
from tests.plugins.sinks import INTERVAL, MakeSink, make_snapshot, publish, recent_slot, select, sequence
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("redis-server")


def drained(bus_server: RedisServer, entries: int = 0) -> None:
    bus = bus_server.client()
    wait_for(lambda: bus.xlen(stream.STREAM) == entries, 20, what="the sink has drained the stream")


def test_rows_hold_the_snapshots_numbers(make_sink: MakeSink, redis_server: RedisServer, database: str) -> None:
    base = recent_slot()
    publish(redis_server.client(), *(make_snapshot(seq, base=base) for seq in range(1, 21)))
    sink = make_sink(database, redis_server.url)
    drained(redis_server)

    assert sequence(database) == list(range(1, 21))
    rows = select(
        database,
        "SELECT recorded_at, pending, processing, delayed, failed, workers, oldest_job_age, dead, throughput"
        " FROM depthgauge.worker_snapshots WHERE host = 'web-1' AND redis = 'default' AND queue = 'high' ORDER BY 1",
    )
    assert rows == [
        (base + timedelta(seconds=INTERVAL * seq), seq, 2, 0, seq % 3, 1, 30.0, None, None) for seq in range(1, 21)
    ]
    totals = select(
        database,
        "SELECT active_workers, workers_by_queue, pending_jobs, processing_jobs, failed_jobs, completed_jobs,"
        " pending_by_queue FROM depthgauge.queue_metrics ORDER BY recorded_at DESC LIMIT 1",
    )
    assert totals == [(1, {"high": 1}, 20, 2, 2, None, {"high": 20})]
    # Once a minute: the slots of 20 snapshots, 15 seconds apart, open five minutes.
    assert select(database, "SELECT count(*), min(state), max(cpu_seconds) FROM depthgauge.process_snapshots") == [
        (5, 20, 1.5)
    ]
    assert sink.count("rows_total", table="worker_snapshots") == 20
    assert sink.count("snapshots_committed_total") == 20
    assert redis_server.client().xpending(stream.STREAM, stream.GROUP)["pending"] == 0


def test_a_duplicate_is_a_no_op(make_sink: MakeSink, redis_server: RedisServer, database: str) -> None:
    snapshot = make_snapshot(1, base=recent_slot())
    sink = make_sink(database, redis_server.url)
    publish(redis_server.client(), snapshot, snapshot)
    drained(redis_server)
    publish(redis_server.client(), snapshot)
    drained(redis_server)

    assert sequence(database) == [1]
    assert (sink.count("snapshots_committed_total"), sink.count("snapshots_duplicate_total")) == (1, 2)
    assert sink.count("snapshots_collided_total") == 0


def test_a_collision_is_counted_and_told(
    make_sink: MakeSink, redis_server: RedisServer, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    base = recent_slot()
    sink = make_sink(database, redis_server.url)
    publish(redis_server.client(), make_snapshot(1, base=base, run_id="one"))
    drained(redis_server)
    publish(redis_server.client(), make_snapshot(1, base=base, run_id="two", queue="high"))
    drained(redis_server)

    assert select(database, "SELECT run_id FROM depthgauge.snapshots ORDER BY 1") == [("one",), ("two",)]
    assert select(database, "SELECT count(*) FROM depthgauge.queue_metrics") == [(1,)]
    assert sink.count("snapshots_collided_total") == 1
    assert "do two exporters use this host name?" in caplog.text


def test_corrupt_entries_are_quarantined_and_the_rest_goes_on(
    make_sink: MakeSink, redis_server: RedisServer, database: str
) -> None:
    base = recent_slot()
    bus = redis_server.client()
    publish(bus, make_snapshot(1, base=base))
    publish(bus, make_snapshot(2, base=base), d=b"garbage")
    publish(bus, make_snapshot(3, base=base), slot=b"noon")
    bus.xadd(stream.STREAM, {"something": "else"})
    publish(bus, make_snapshot(4, base=base))
    sink = make_sink(database, redis_server.url)
    drained(redis_server)

    assert sequence(database) == [1, 4]
    assert sink.count("snapshots_quarantined_total", reason="corrupt") == 3
    kept = cast("list[tuple[bytes, dict[bytes, bytes]]]", bus.xrange(stream.QUARANTINE))
    assert [fields.get(b"seq") for _, fields in kept] == [b"2", b"3", None]
    assert b"cannot be decoded" in kept[0][1][b"error"]
    assert kept[0][1][b"d"] == b"garbage"


def test_a_newer_major_stays_pending(
    make_sink: MakeSink, redis_server: RedisServer, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    base = recent_slot()
    bus = redis_server.client()
    publish(bus, make_snapshot(1, base=base))
    publish(bus, make_snapshot(2, base=base), v=b"2.0", d=b"who knows")
    publish(bus, make_snapshot(3, base=base))
    sink = make_sink(database, redis_server.url)
    drained(redis_server, entries=1)

    assert sequence(database) == [1, 3]
    assert sink.count("newer_entries") == 1
    assert caplog.text.count("upgrade") == 1
    sink.stop()
    again = make_sink(database, redis_server.url)
    wait_for(lambda: again.count("newer_entries") == 1)
    assert bus.xpending(stream.STREAM, stream.GROUP)["pending"] == 1


def test_too_late_is_dropped_and_the_future_is_quarantined(
    make_sink: MakeSink, redis_server: RedisServer, database: str
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    bus = redis_server.client()
    publish(bus, make_snapshot(1, base=now, slot=now - timedelta(days=31)))
    publish(bus, make_snapshot(2, base=now, slot=now + timedelta(hours=2)))
    publish(bus, make_snapshot(3, base=now, slot=now - timedelta(days=29)))
    sink = make_sink(database, redis_server.url)
    drained(redis_server)

    assert sequence(database) == [3]
    assert sink.count("snapshots_too_late_total") == 1
    assert sink.count("snapshots_quarantined_total", reason="future") == 1


def test_a_value_that_the_database_refuses_costs_one_snapshot(
    make_sink: MakeSink, redis_server: RedisServer, database: str
) -> None:
    base = recent_slot()
    bus = redis_server.client()
    for seq in range(1, 12):
        # An exporter cleans names; whoever may write the stream need not.
        publish(bus, make_snapshot(seq, base=base, queue="NUL\x00" if seq == 6 else "high"))
    sink = make_sink(database, redis_server.url)
    drained(redis_server)

    assert sequence(database) == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11]
    assert sink.count("snapshots_quarantined_total", reason="refused") == 1


def test_names_of_all_kinds_arrive_as_they_are(make_sink: MakeSink, redis_server: RedisServer, database: str) -> None:
    base = recent_slot()
    names = ["it's", 'a "b"', "näme", "队列", "{x}", "%s", "back\\slash", "n" * 250, "", "'; DROP TABLE x; --"]
    for seq, name in enumerate(names, start=1):
        publish(redis_server.client(), make_snapshot(seq, base=base, queue=name))
    make_sink(database, redis_server.url)
    drained(redis_server)

    rows = select(
        database, "SELECT queue FROM depthgauge.worker_snapshots WHERE pending IS NOT NULL ORDER BY recorded_at"
    )
    assert [row[0] for row in rows] == names


def test_two_sinks_share_the_stream(make_sink: MakeSink, redis_server: RedisServer, database: str) -> None:
    base = recent_slot(back=60)
    sinks = [make_sink(database, redis_server.url, consumer=name, batch_rows=20) for name in "ab"]
    bus = redis_server.client()
    for seq in range(1, 201):
        publish(bus, make_snapshot(seq, base=base))
    drained(redis_server)

    assert sequence(database) == list(range(1, 201))
    assert sum(sink.count("snapshots_committed_total") for sink in sinks) == 200
    assert all(sink.count("snapshots_committed_total") > 0 for sink in sinks)


def test_entries_of_a_dead_sink_are_taken_over(make_sink: MakeSink, redis_server: RedisServer, database: str) -> None:
    bus = redis_server.client()
    publish(bus, *(make_snapshot(seq, base=recent_slot()) for seq in range(1, 6)))
    bus.xgroup_create(stream.STREAM, stream.GROUP, id="0")
    bus.xreadgroup(stream.GROUP, "dead", {stream.STREAM: ">"}, count=3)
    sink = make_sink(database, redis_server.url, claim_after=0.3)
    drained(redis_server)

    assert sequence(database) == [1, 2, 3, 4, 5]
    assert sink.count("entries_claimed_total") == 3


def test_an_earlier_runs_entries_come_first(make_sink: MakeSink, redis_server: RedisServer, database: str) -> None:
    bus = redis_server.client()
    publish(bus, *(make_snapshot(seq, base=recent_slot()) for seq in range(1, 6)))
    bus.xgroup_create(stream.STREAM, stream.GROUP, id="0")
    bus.xreadgroup(stream.GROUP, "a", {stream.STREAM: ">"}, count=3)
    make_sink(database, redis_server.url)
    drained(redis_server)

    assert sequence(database) == [1, 2, 3, 4, 5]


def test_entries_deleted_by_others_are_counted(make_sink: MakeSink, redis_server: RedisServer, database: str) -> None:
    bus = redis_server.client()
    publish(bus, *(make_snapshot(seq, base=recent_slot()) for seq in range(1, 4)))
    bus.xgroup_create(stream.STREAM, stream.GROUP, id="0")
    bus.xreadgroup(stream.GROUP, "a", {stream.STREAM: ">"}, count=2)
    bus.xtrim(stream.STREAM, maxlen=1, approximate=False)
    sink = make_sink(database, redis_server.url)
    wait_for(lambda: sink.count("entries_vanished_total") == 2)
    drained(redis_server)

    assert bus.xpending(stream.STREAM, stream.GROUP)["pending"] == 0


def test_a_flushed_bus_gets_its_group_back(make_sink: MakeSink, redis_server: RedisServer, database: str) -> None:
    base = recent_slot()
    bus = redis_server.client()
    publish(bus, make_snapshot(1, base=base))
    make_sink(database, redis_server.url)
    drained(redis_server)
    bus.flushall()
    publish(bus, make_snapshot(2, base=base))
    drained(redis_server)

    assert sequence(database) == [1, 2]


def test_a_schema_that_is_missing_is_refused(
    make_sink: MakeSink, redis_server: RedisServer, empty_database: str
) -> None:
    sink = make_sink(empty_database, redis_server.url)
    wait_for(lambda: not sink.running)

    assert isinstance(sink.failure, SchemaError)
    assert "depthgauge migrate" in str(sink.failure)


def test_drops_are_in_the_ledger(make_sink: MakeSink, redis_server: RedisServer, database: str) -> None:
    publish(redis_server.client(), make_snapshot(1, base=recent_slot(), drops={"bus_away": 3}))
    make_sink(database, redis_server.url)
    drained(redis_server)

    [(drops,)] = select(database, "SELECT drops::text FROM depthgauge.snapshots")
    assert json.loads(drops) == {"bus_away": 3}


@pytest.mark.needs("source-tree")
def test_the_documented_rights_on_the_bus_suffice(
    make_sink: MakeSink, redis_server: RedisServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consume, "STATE_EVERY", 0.1)
    bus: Any = redis_server.client()
    lines = (repo_root() / "docs" / "bus.md").read_text().splitlines()
    [line] = [line for line in lines if line.startswith("ACL SETUSER depthgauge-sink ")]
    bus.execute_command(*line.split())
    base = recent_slot()
    publish(bus, make_snapshot(1, base=base))
    publish(bus, make_snapshot(2, base=base), d=b"garbage")
    sink = make_sink(database, f"redis://depthgauge-sink:change-me@127.0.0.1:{redis_server.port}/0", claim_after=0.3)
    drained(redis_server)
    wait_for(lambda: sink.count("stream_entries") == 0 and sink.count("bus_up") == 1)

    assert sequence(database) == [1]
    assert sink.count("snapshots_quarantined_total", reason="corrupt") == 1
    errors = sink.sink.telemetry.bus_errors.collect()
    assert sum(sample.value for family in errors for sample in family.samples) == 0
