"""TimescaleDB's Community edition: the same schema, the same ingest."""

from datetime import timedelta

import pytest

from depthgauge import stream
from depthgauge.secrets import Secret
from sink.migrate import migrate
from tests.plugins.redis_server import RedisServer
from tests.plugins.sinks import MakeSink, make_snapshot, publish, recent_slot, select, sequence
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("community", "redis-server")


def test_the_schema_and_the_sink(make_sink: MakeSink, redis_server: RedisServer, community_database: str) -> None:
    migrate(Secret(community_database))
    migrate(Secret(community_database))
    tables = select(community_database, "SELECT hypertable_name FROM timescaledb_information.hypertables ORDER BY 1")
    assert tables == select(community_database, "SELECT name FROM depthgauge.series ORDER BY 1")

    base = recent_slot()
    bus = redis_server.client()
    publish(bus, *(make_snapshot(seq, base=base) for seq in range(1, 31)), make_snapshot(3, base=base))
    sink = make_sink(community_database, redis_server.url, batch_rows=200, maintain_every=timedelta(0))
    wait_for(lambda: bus.xlen(stream.STREAM) == 0, 30)
    info = sink.sink.telemetry.registry.get_sample_value(
        "depthgauge_sink_database_info", {"edition": "community", "layout": "hypertables"}
    )
    assert info == 1
    assert sink.count("snapshots_duplicate_total") == 1
    sink.stop()

    assert sequence(community_database) == list(range(1, 31))
    assert select(community_database, "SELECT sum(pending) FROM depthgauge.worker_snapshots") == [(sum(range(1, 31)),)]
