"""``CALL depthgauge.maintain()`` in the three editions: rollups, retention, the columnstore."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from depthgauge.histogram import histogram_of, quantile
from depthgauge.secrets import Secret
from sink.migrate import migrate
from sink.settings import Retention
from tests.plugins.history import DAY, HOUR, maintain, response_times, whole_hour, with_counter, with_health, write
from tests.plugins.recount import assert_rollups_are_recounts, stored
from tests.plugins.redis_server import RedisServer
from tests.plugins.sinks import MakeSink, make_snapshot, select

pytestmark = pytest.mark.needs("redis-server")


def test_every_bucket_equals_a_recount_whatever_came_when(
    make_sink: MakeSink, redis_server: RedisServer, each_edition: str
) -> None:
    """In order, late into made rollups, late into compressed chunks, doubled, colliding, too late, from the future."""
    start, recent = whole_hour(4 * DAY), whole_hour(2 * HOUR)
    first = [with_counter(n, start + n * timedelta(seconds=45), completed=n * 10) for n in range(1, 161)]
    first += [
        with_counter(n, recent + (n - 160) * timedelta(seconds=45), completed=(n - 160) * 3) for n in range(161, 200)
    ]
    healthy = [with_health(n, start + n * timedelta(minutes=7)) for n in range(1, 41)]
    write(make_sink, redis_server, each_edition, *first, *healthy)
    assert maintain(each_edition)["roll_up"] > 0
    before = assert_rollups_are_recounts(each_edition)
    assert before["worker_snapshots_1h"] > 0
    assert before["system_health_metrics_1h"] > 0
    assert before["performance_metrics_1h"] > 0
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
    late += [with_health(40 + n, start + n * timedelta(minutes=7) + timedelta(minutes=3)) for n in range(1, 41)]
    sink = write(make_sink, redis_server, each_edition, *late, *first[:20], colliding, too_late, future, soon)
    assert sink.count("snapshots_duplicate_total") == 20
    assert sink.count("snapshots_collided_total") == 1
    assert sink.count("snapshots_too_late_total") == 1
    assert sink.count("snapshots_quarantined_total", reason="future") == 1

    assert maintain(each_edition)["roll_up"] > 0
    after = assert_rollups_are_recounts(each_edition)
    assert after["worker_snapshots_5m"] > before["worker_snapshots_5m"]
    _assert_percentiles_are_those_of(each_edition, [time for n in range(1, 81) for time in response_times(n)])
    state = stored(each_edition, "worker_snapshots_1h")
    assert maintain(each_edition) == {"roll_up": 0, "drop": 0, "columnstore": 0, "all": 1}
    assert stored(each_edition, "worker_snapshots_1h") == state
    assert select(each_edition, "SELECT count(*) FROM depthgauge.dirty_buckets") == [(0,)]
    # Rows that came late into compressed chunks have been taken into the columnstore with the rest.
    assert _compressed(each_edition) == compressed
    assert (compressed > 0) == (_edition(each_edition) == "community")


def _assert_percentiles_are_those_of(dsn: str, samples: Sequence[float]) -> None:
    """Compare what SQL says of all summed histograms, raw and by hour, with the one histogram of all samples."""
    for table in ("performance_metrics", "performance_metrics_1h"):
        for kind, target in (("database", "app"), ("probe", "site")):
            [(p50, p95, p99, count, total, slowest)] = select(
                dsn,
                "SELECT depthgauge.histogram_quantile(0.5, h), depthgauge.histogram_quantile(0.95, h),"
                " depthgauge.histogram_quantile(0.99, h), n, s, m FROM (SELECT depthgauge.sum_histograms(response_histogram) AS h,"
                " sum(response_count) AS n, sum(response_sum) AS s, max(response_max) AS m"
                f" FROM depthgauge.{table} WHERE kind = '{kind}' AND target = '{target}') AS all_of_it",
            )
            buckets = histogram_of(samples).buckets
            assert (p50, p95, p99) == pytest.approx(tuple(quantile(buckets, part) for part in (0.5, 0.95, 0.99)))
            assert (count, total, slowest) == (len(samples), sum(samples), max(samples))


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
    told = ("retention raw: 30 days -> 10 days",)
    assert migrate(Secret(each_edition), retention=Retention(raw=10 * DAY), dry_run=True).notes == told
    assert migrate(Secret(each_edition), retention=Retention(raw=10 * DAY)).notes == told
    assert migrate(Secret(each_edition), retention=Retention(raw=10 * DAY)).notes == ()
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
