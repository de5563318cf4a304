"""``CALL depthgauge.maintain()`` in the three editions: rollups, retention, the columnstore."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from depthgauge import stream
from depthgauge.secrets import Secret
from depthgauge.snapshot import LiveJobs, Queue, RedisQueues, Snapshot
from sink.migrate import migrate
from sink.retention import Retention
from tests.plugins.recount import assert_rollups_are_recounts, stored
from tests.plugins.redis_server import RedisServer
from tests.plugins.sinks import MakeSink, RunningSink, make_snapshot, publish, select
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("redis-server")

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


def test_every_bucket_equals_a_recount_whatever_came_when(
    make_sink: MakeSink, redis_server: RedisServer, each_edition: str
) -> None:
    """In order, late into made rollups, late into compressed chunks, doubled, colliding, too late, from the future."""
    start, recent = whole_hour(4 * DAY), whole_hour(2 * HOUR)
    first = [with_counter(n, start + n * timedelta(seconds=45), completed=n * 10) for n in range(1, 161)]
    first += [
        with_counter(n, recent + (n - 160) * timedelta(seconds=45), completed=(n - 160) * 3) for n in range(161, 200)
    ]
    write(make_sink, redis_server, each_edition, *first)
    add_health(each_edition, [start + n * timedelta(minutes=7) for n in range(40)])
    assert maintain(each_edition)["roll_up"] > 0
    before = assert_rollups_are_recounts(each_edition)
    assert before["worker_snapshots_1h"] > 0
    compressed = _compressed(each_edition)

    # The counter starts again in the middle of a bucket; times in between those of the first lot, from another host too.
    late = [
        with_counter(
            200 + n, start + n * timedelta(seconds=45) + timedelta(seconds=15), completed=n if n > 50 else None
        )
        for n in range(1, 120)
    ]
    late += [with_counter(n, start + n * timedelta(seconds=45), completed=n, host="web-2") for n in range(1, 100)]
    colliding = make_snapshot(1, base=start, slot=start + timedelta(seconds=45), run_id="other")
    too_late = with_counter(900, datetime.now(UTC) - 31 * DAY, completed=1)
    future = with_counter(901, datetime.now(UTC) + 2 * HOUR, completed=1)
    soon = with_counter(902, (datetime.now(UTC) + HOUR / 2).replace(microsecond=0), completed=70)
    sink = write(make_sink, redis_server, each_edition, *late, *first[:20], colliding, too_late, future, soon)
    add_health(each_edition, [start + n * timedelta(minutes=7) + timedelta(minutes=3) for n in range(40)])
    assert sink.count("snapshots_duplicate_total") == 20
    assert sink.count("snapshots_collided_total") == 1
    assert sink.count("snapshots_too_late_total") == 1
    assert sink.count("snapshots_quarantined_total", reason="future") == 1

    assert maintain(each_edition)["roll_up"] > 0
    after = assert_rollups_are_recounts(each_edition)
    assert after["worker_snapshots_5m"] > before["worker_snapshots_5m"]
    state = stored(each_edition, "worker_snapshots_1h")
    assert maintain(each_edition) == {"roll_up": 0, "drop": 0, "columnstore": 0, "all": 1}
    assert stored(each_edition, "worker_snapshots_1h") == state
    assert select(each_edition, "SELECT count(*) FROM depthgauge.dirty_buckets") == [(0,)]
    # Rows that came late into compressed chunks have been taken into the columnstore with the rest.
    assert _compressed(each_edition) == compressed
    assert (compressed > 0) == (_edition(each_edition) == "community")


def _edition(dsn: str) -> str:
    return str(select(dsn, "SELECT edition FROM depthgauge.installation")[0][0])


def _compressed(dsn: str) -> int:
    """Count chunks that are wholly in the columnstore."""
    if _edition(dsn) != "community":
        return 0
    query = (
        "SELECT count(*) FROM timescaledb_information.chunks c JOIN _timescaledb_catalog.chunk k"
        " ON k.schema_name = c.chunk_schema AND k.table_name = c.chunk_name"
        " WHERE c.hypertable_schema = 'depthgauge' AND k.status = 1"
    )
    return int(select(dsn, query)[0][0])


def test_what_is_past_its_retention_is_rolled_up_and_dropped(
    make_sink: MakeSink, redis_server: RedisServer, each_edition: str
) -> None:
    old, fresh = whole_hour(20 * DAY), whole_hour(2 * HOUR)
    snapshots = [with_counter(n, old + n * timedelta(minutes=1), completed=n) for n in range(1, 30)]
    snapshots += [with_counter(n, fresh + n * timedelta(minutes=1), completed=n) for n in range(30, 60)]
    write(make_sink, redis_server, each_edition, *snapshots)

    # Not rolled up yet, and far past a retention that migrate has been told since.
    report = migrate(Secret(each_edition), retention=Retention(raw=10 * DAY))
    assert any(note.startswith("retention raw: 30 days") and "10 days" in note for note in report.notes), report.notes
    assert maintain(each_edition)["drop"] > 0
    assert select(each_edition, "SELECT min(seq), count(*) FROM depthgauge.snapshots") == [(30, 30)]
    assert select(
        each_edition, "SELECT min(pending), count(*) FROM depthgauge.worker_snapshots WHERE queue = 'other'"
    ) == [(30, 30)]
    kept = select(
        each_edition,
        f"SELECT sum(samples), sum(pending_sum) FROM depthgauge.worker_snapshots_1h WHERE queue = 'other' AND bucket < '{fresh}'",
    )
    assert kept == [(29, sum(range(1, 30)))]
    assert maintain(each_edition)["drop"] == 0

    # A longer retention brings nothing back, and a late snapshot must not make a bucket of one row out of a whole one.
    migrate(Secret(each_edition), retention=Retention(raw=40 * DAY))
    late = with_counter(99, old + timedelta(minutes=3), completed=3)
    sink = write(make_sink, redis_server, each_edition, late)
    assert sink.count("snapshots_too_late_total") == 1
    with psycopg.connect(each_edition, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO depthgauge.dirty_buckets (rollup, bucket) VALUES ('worker_snapshots_5m', %s)", (old,)
        )
    maintain(each_edition)
    again = select(
        each_edition,
        f"SELECT sum(samples), sum(pending_sum) FROM depthgauge.worker_snapshots_1h WHERE queue = 'other' AND bucket < '{fresh}'",
    )
    assert again == kept


def test_rollups_have_retentions_of_their_own(each_edition: str) -> None:
    ages = [1, 100, 200, 700, 800]
    with psycopg.connect(each_edition, autocommit=True) as connection:
        for age in ages:
            for table in ("worker_snapshots_5m", "worker_snapshots_1h"):
                connection.execute("SELECT depthgauge.make_room(%s, ARRAY[current_date - %s])", (table, age))
                connection.execute(
                    f"INSERT INTO depthgauge.{table} (host, redis, system, queue, bucket, samples)"
                    " VALUES ('h', 'r', 's', 'q', date_trunc('hour', now()) - make_interval(days => %s), %s)",
                    (age, age),
                )
    maintain(each_edition)

    kept = "SELECT array_agg(samples ORDER BY samples) FROM depthgauge.worker_snapshots_"
    assert select(each_edition, f"{kept}5m") == [([1, 100],)]
    assert select(each_edition, f"{kept}1h") == [([1, 100, 200, 700],)]


def test_gaps_are_open_then_lost_or_explained_by_drops(each_edition: str) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    rows: list[tuple[Any, ...]] = []

    def ledger(run: str, at: datetime, seqs: list[int], drops: str = "{}", earlier: str | None = None) -> None:
        rows.extend(("web-1", run, seq, at + timedelta(seconds=15 * seq), drops, earlier) for seq in seqs)

    ledger("whole", now - 9 * HOUR, [1, 2, 3])
    ledger("open", now - 8 * HOUR, [1, 2, 5])
    ledger("lost", now - 30 * HOUR, [1, 2, 6, 7, 9])
    ledger("told", now - 31 * HOUR, [4, 5, 8], drops='{"spool_full": 4, "bus_away": 0}')
    ledger("half", now - 40 * HOUR, [1, 5], drops="{}")
    ledger("later", now - 2 * HOUR, [1], earlier='{"half": {"spool_full": 2}, "gone": {"spool_full": 9}}')
    with psycopg.connect(each_edition, autocommit=True) as connection:
        if _edition_of(connection) == "plain":
            connection.execute("SELECT depthgauge.ensure_partitions(%s)", (sorted({row[3].date() for row in rows}),))
        for host, run, seq, at, drops, earlier in rows:
            connection.execute(
                "INSERT INTO depthgauge.snapshots VALUES (%s, %s, %s, %s, %s, %s::jsonb, %s::jsonb)",
                (host, run, seq, at, at, drops, earlier),
            )
        found = connection.execute(
            "SELECT run_id, first_seq, last_seq, snapshots, dropped, state FROM depthgauge.find_gaps(now() - interval '3 days')"
        ).fetchall()
        part = connection.execute(
            "SELECT count(*) FROM depthgauge.find_gaps(now() - interval '8 hours 10 minutes')"
        ).fetchall()

    assert found == [
        ("half", 2, 4, 3, 2, "lost"),
        ("lost", 3, 5, 3, 0, "lost"),
        ("lost", 8, 8, 1, 0, "lost"),
        ("open", 3, 4, 2, 0, "open"),
        ("told", 1, 3, 3, 3, "dropped"),
        ("told", 6, 7, 2, 1, "lost"),
    ]
    assert part == [(1,)]


def _edition_of(connection: psycopg.Connection[Any]) -> str:
    row = connection.execute("SELECT edition FROM depthgauge.installation").fetchone()
    assert row is not None
    return str(row[0])


def test_percentiles_come_from_summed_histograms(each_edition: str) -> None:
    """Sixty minutes of which three were busy and slow: the mean of the minutes' own percentiles would be far off."""
    bounds = [0.001 * 2 ** (n / 4) for n in range(108)]
    samples = [0.004 + 0.00001 * n for n in range(570)] + [0.5 + 0.001 * n for n in range(3000)]
    histogram = [0] * (len(bounds) + 1)
    for sample in samples:
        histogram[next((n for n, bound in enumerate(bounds) if sample <= bound), len(bounds))] += 1
    with psycopg.connect(each_edition) as connection:
        for quantile in (0.05, 0.5, 0.95, 0.99):
            exact = sorted(samples)[int(quantile * len(samples)) - 1]
            row = connection.execute("SELECT depthgauge.histogram_quantile(%s, %s)", (quantile, histogram)).fetchone()
            assert row is not None
            assert row[0] == pytest.approx(exact, rel=2**0.25 - 1)
        edges = connection.execute(
            "SELECT depthgauge.histogram_quantile(0.5, ARRAY[0,0,0]::bigint[]),"
            " depthgauge.histogram_quantile(0.5, ARRAY[4,0,0]::bigint[]), depthgauge.histogram_quantile(0.5, ARRAY[0,0,4]::bigint[]),"
            " depthgauge.histogram_quantile(1.5, ARRAY[1,0,0]::bigint[])"
        ).fetchone()
        assert edges == (None, pytest.approx(0.0005), pytest.approx(0.001 * 2**0.25), None)
