"""TimescaleDB's Community edition: the same schema, the same ingest."""

from datetime import timedelta

import psycopg
import pytest
from prometheus_client import CollectorRegistry

from depthgauge import stream
from depthgauge.secrets import Secret
from depthgauge.settings import BusSettings
from sink import queries
from sink.migrate import migrate
from sink.retention import Horizon
from sink.settings import SinkSettings
from sink.upkeep import Upkeep
from sink.upkeep_telemetry import UpkeepTelemetry
from tests.plugins.history import DAY, HOUR, whole_hour, with_counter, write
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


def test_a_round_of_upkeep_tells_of_the_columnstore(
    make_sink: MakeSink, redis_server: RedisServer, community_database: str
) -> None:
    migrate(Secret(community_database))
    start = whole_hour(5 * DAY)
    write(
        make_sink,
        redis_server,
        community_database,
        *(with_counter(n, start + n * HOUR / 60, completed=n) for n in range(1, 20)),
    )
    with psycopg.connect(community_database, autocommit=True) as connection:
        due = connection.execute(queries.COLUMNSTORE_DUE).fetchone()
    # worker_snapshots, queue_metrics and process_snapshots of that day, due since two days after its end.
    assert due is not None
    assert due[0] == 3
    assert timedelta(seconds=due[1]) > DAY
    registry = CollectorRegistry()
    settings = SinkSettings(dsn=Secret(community_database), bus=BusSettings(url=Secret(redis_server.url)), consumer="a")

    Upkeep(settings, UpkeepTelemetry(registry), Horizon(settings.retention.raw)).round()

    def seen(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"depthgauge_sink_{name}", labels)

    assert seen("columnstore_due_chunks") == 0
    assert seen("columnstore_lag_seconds") == 0
    assert seen("chunks", table="worker_snapshots", storage="columnstore") == 1
    assert seen("chunks", table="worker_snapshots", storage="row") == 0
    assert (seen("maintenance_last_success_timestamp_seconds", step="columnstore") or 0) > 0
