"""Health and performance from a real Redis into real databases."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from depthgauge import stream
from depthgauge.histogram import Histogram
from depthgauge.snapshot import Snapshot
from sink.rows import rows_of
from tests.plugins import health
from tests.plugins.history import with_health
from tests.plugins.redis_server import RedisServer
from tests.plugins.sinks import INTERVAL, MakeSink, publish, recent_slot, select, sequence
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("redis-server")


def drained(bus_server: RedisServer) -> None:
    bus = bus_server.client()
    wait_for(lambda: bus.xlen(stream.STREAM) == 0, 20, what="the sink has drained the stream")


def test_health_and_performance_hold_the_snapshots_numbers(
    make_sink: MakeSink, redis_server: RedisServer, each_edition: str
) -> None:
    start = recent_slot()
    moments = [start + timedelta(seconds=INTERVAL * seq) for seq in range(1, 11)]
    snapshots = [with_health(seq, slot) for seq, slot in enumerate(moments, 1)]
    publish(redis_server.client(), *snapshots, snapshots[3], with_health(4, moments[3], host="other"))
    sink = make_sink(each_edition, redis_server.url, maintain_every=timedelta(0))
    drained(redis_server)
    counts = {
        table: sink.count("rows_total", table=table) for table in ("system_health_metrics", "performance_metrics")
    }
    sink.stop()

    for table, part in (("system_health_metrics", "health"), ("performance_metrics", "performance")):
        wanted = [
            row
            for snapshot in (*snapshots, with_health(4, moments[3], host="other"))
            for row in getattr(rows_of(snapshot), part)
        ]
        columns = ", ".join(wanted[0]._fields)
        found = select(each_edition, f"SELECT {columns} FROM depthgauge.{table}")
        assert sorted(found, key=lambda row: row[:4]) == sorted(map(tuple, wanted), key=lambda row: row[:4])
        assert counts[table] == len(wanted)
    marks = "SELECT DISTINCT rollup FROM depthgauge.dirty_buckets ORDER BY 1"
    assert select(each_edition, marks) == [
        ("performance_metrics_1h",),
        ("queue_metrics_5m",),
        ("system_health_metrics_1h",),
    ]


def test_a_snapshot_that_makes_no_good_rows_goes_to_the_quarantine_alone(
    make_sink: MakeSink, redis_server: RedisServer, database: str
) -> None:
    start = recent_slot()

    def odd(seq: int, **changes: Any) -> Snapshot:
        good = with_health(seq, start + timedelta(seconds=INTERVAL * seq))
        [part] = good.databases
        return structs.replace(good, databases=(structs.replace(part, **changes),))

    def counted(*buckets: int) -> Any:
        return health.response(slot=Histogram(count=1, sum=1.0, max=1.0, buckets=buckets))

    publish(
        redis_server.client(),
        odd(1),
        odd(2, name="NUL\x00"),
        odd(3, max_connections=2**63),
        odd(4, response=counted(2**63, *(0,) * 65)),
        odd(5, response=counted(1, 2, 3)),
        odd(6),
    )
    sink = make_sink(database, redis_server.url)
    drained(redis_server)

    assert sequence(database, "db-1") == [1, 6]
    assert sink.count("snapshots_quarantined_total", reason="refused") == 3
    assert sink.count("snapshots_quarantined_total", reason="corrupt") == 1
    assert select(database, "SELECT count(*) FROM depthgauge.performance_metrics WHERE kind = 'database'") == [(2,)]
