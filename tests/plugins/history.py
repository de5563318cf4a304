"""Days of history for tests: snapshots with counters and unknown numbers, health rows, and the call that rolls them up."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from depthgauge import stream
from depthgauge.snapshot import LiveJobs, Queue, RedisQueues, Snapshot
from tests.plugins.redis_server import RedisServer
from tests.plugins.sinks import MakeSink, RunningSink, make_snapshot, publish, select
from tests.plugins.waiting import wait_for

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def maintain(dsn: str) -> dict[str, int]:
    """Call it; return how much each step did."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CALL depthgauge.maintain()")
        return dict(connection.execute("SELECT step, done FROM depthgauge.maintenance").fetchall())


def whole_hour(ago: timedelta) -> datetime:
    return (datetime.now(UTC) - ago).replace(minute=0, second=0, microsecond=0)


def with_counter(seq: int, slot: datetime, *, completed: int | None, host: str = "web-1") -> Snapshot:
    """Return a snapshot with a counter, two queues, and numbers that are unknown now and then."""
    seen = slot + timedelta(milliseconds=50)
    known = seq % 7 != 0
    counted = Queue(
        system="bullmq",
        name="counted",
        live=LiveJobs(waiting=seq % 50 if known else None, active=seq % 3, delayed=0),
        completed_total=completed,
        processing_seconds=seq * 0.5,
        registry_workers=2,
        head_eligible_at=slot - timedelta(seconds=seq % 90) if known else None,
    )
    other = Queue(system="rq", name="other", live=LiveJobs(waiting=seq))
    part = RedisQueues(observed_at=seen, redis="default", queues=(counted, other))
    return make_snapshot(seq, base=slot, slot=slot, host=host, queues=(part,))


def write(make_sink: MakeSink, bus: RedisServer, dsn: str, *snapshots: Snapshot) -> RunningSink:
    """Let a sink write snapshots, and end it: the community edition takes one connection at a time."""
    client = bus.client()
    publish(client, *snapshots)
    sink = make_sink(dsn, bus.url, batch_rows=200, maintain_every=timedelta(0))
    wait_for(lambda: client.xlen(stream.STREAM) == 0 or not sink.running, 60)
    sink.stop()
    assert sink.failure is None, sink.failure
    return sink


def add_health(dsn: str, moments: list[datetime]) -> None:
    """Add health and performance rows as a sink will, marks included."""
    # The community edition has one session for all its connections, prepared statements included.
    with psycopg.connect(dsn, prepare_threshold=None) as connection:
        if connection.execute(
            "SELECT to_regprocedure('depthgauge.ensure_partitions(date[])') IS NOT NULL"
        ).fetchone() == (True,):
            connection.execute("SELECT depthgauge.ensure_partitions(%s)", (sorted({m.date() for m in moments}),))
        for number, moment in enumerate(moments):
            connection.execute(
                "INSERT INTO depthgauge.system_health_metrics (host, kind, target, recorded_at, connections, max_connections,"
                " response_time, disk_available_bytes, uptime_ratio) VALUES ('web-1', 'database', 'app', %s, %s, 100, %s, %s, %s)",
                (moment, number % 9, number * 0.25, 10**12 - number, 1.0 if number % 2 else None),
            )
            connection.execute(
                "INSERT INTO depthgauge.performance_metrics (host, kind, target, recorded_at, tps_current, response_count,"
                " response_sum, response_max, response_histogram) VALUES ('web-1', 'database', 'app', %s, %s, %s, %s, %s, %s)",
                (moment, number * 1.5, number, number * 0.5, number * 2.0, [number, 1, 0, number * 2]),
            )
            connection.execute(
                "INSERT INTO depthgauge.dirty_buckets (rollup, bucket)"
                " SELECT r, date_trunc('hour', %s::timestamptz) FROM unnest(ARRAY['system_health_metrics_1h', 'performance_metrics_1h']) r",
                (moment,),
            )


def contents(dsn: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table that is cut by time."""
    names = select(dsn, "SELECT name FROM depthgauge.series ORDER BY name")
    return {name: select(dsn, f"SELECT to_jsonb(t)::text FROM depthgauge.{name} t ORDER BY 1") for (name,) in names}
