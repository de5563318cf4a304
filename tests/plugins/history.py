"""Days of history for tests: snapshots with counters, with health and with unknown numbers, and the call that rolls them up."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from depthgauge import stream
from depthgauge.health import Rate
from depthgauge.histogram import histogram_of
from depthgauge.snapshot import LiveJobs, Queue, RedisQueues, Snapshot
from tests.plugins import health
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


def response_times(seq: int) -> tuple[float, ...]:
    """Return the samples of a slot, in seconds; their sums are exact in every order."""
    return tuple(2.0**-power * (1 + (seq + power) % 5) for power in range(seq % 9))


def with_health(seq: int, slot: datetime, *, host: str = "db-1") -> Snapshot:
    """Return a snapshot of servers, this host and a URL, with numbers that are unknown now and then, and no queue."""
    seen = slot + timedelta(milliseconds=50)
    known = seq % 7 != 0
    times = response_times(seq)
    response = health.response(
        current=times[-1] if times else None, slot=histogram_of(times), total=histogram_of(response_times(8))
    )
    connections = {"active": seq % 9, "idle": 2} if known else {}
    return make_snapshot(
        seq,
        base=slot,
        slot=slot,
        host=host,
        queues=(),
        supervisors=(),
        redis_servers=(health.server(seen, hit_ratio=seq % 4 / 4 if known else None, clients=seq),),
        databases=(
            health.database(
                seen,
                connections=connections,
                response=response,
                tps=Rate(current=seq * 0.5 if known else None),
                active_queries=seq % 3,
                failed_jobs=None,
            ),
        ),
        machine=health.machine(seen, cpu_ratio=seq % 8 / 8, uptime_ratio=1.0 if known else None),
        probes=(health.probe(seen, up=known, response=response),),
    )


def contents(dsn: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table that is cut by time."""
    names = select(dsn, "SELECT name FROM depthgauge.series ORDER BY name")
    return {name: select(dsn, f"SELECT to_jsonb(t)::text FROM depthgauge.{name} t ORDER BY 1") for (name,) in names}
