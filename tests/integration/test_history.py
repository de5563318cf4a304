"""History out of real databases, beside a recount in Python over the rows that were written."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

import sink.history
from depthgauge.history import HistoryRecord, Resolution
from depthgauge.history_parameters import parse
from depthgauge.secrets import Secret
from sink.history import history_reader
from sink.migrate import migrate
from tests.plugins.history import DAY, HOUR, maintain, whole_hour, write
from tests.plugins.past import MINUTE, ask, fill, fleet, recounted, roll_up
from tests.plugins.redis_server import RedisServer
from tests.plugins.sinks import MakeSink, select


def iso(moment: datetime) -> str:
    return moment.isoformat()


@pytest.mark.needs("redis-server")
def test_records_are_a_recount_of_the_rows_in_every_edition(
    make_sink: MakeSink, redis_server: RedisServer, each_edition: str
) -> None:
    start = whole_hour(5 * HOUR)
    write(make_sink, redis_server, each_edition, *fleet(start, 240))
    maintain(each_edition)
    now = datetime.now(UTC)
    told = {"start_date": iso(start), "end_date": iso(start + 2 * HOUR)}
    for more in ({}, {"queue": "mail"}, {"queue": "post"}, {"host": "web-1"}, {"step": "15"}, {"step": "5m"}):
        query = parse((told | more).items(), now)
        page = ask(each_edition, now, **told, **more)
        wanted = recounted(each_edition, query)
        assert page.data == wanted, more
        assert (page.count, page.resolution, page.truncated) == (len(wanted), Resolution.RAW, False)
        assert page.step == query.step.total_seconds()
    assert len(ask(each_edition, now, **told).data) == 60, "empty minutes are left out"
    assert ask(each_edition, now, **told, queue="none").data == ()
    assert ask(each_edition, now, **told, host="none").data == ()

    # Over days the rollups answer where they fit the step, and say what raw rows say.
    days = {"start_date": iso(start - 2 * DAY), "end_date": iso(start + HOUR)}
    for step, resolution in (("5m", "5m"), ("15m", "5m"), ("1h", "1h"), ("90", "raw")):
        page = ask(each_edition, now, **days, step=step)
        assert page.resolution == resolution
        assert page.data == recounted(each_edition, parse((days | {"step": step}).items(), now)), step
        assert page.count > 0


@pytest.mark.needs("redis-server")
def test_one_name_in_two_servers_and_a_lease_that_moves(
    make_sink: MakeSink, redis_server: RedisServer, database: str
) -> None:
    start = whole_hour(5 * HOUR)
    write(make_sink, redis_server, database, *fleet(start, 100))
    now = datetime.now(UTC)
    data = ask(database, now, start_date=iso(start), end_date=iso(start + HOUR)).data
    # Slot 43 is the last of the 11th minute, read by web-1 (default) and web-2 (second).
    eleventh = data[10]
    assert eleventh.pending_by_queue == {"mail": 43 + 1043, "post": 43}
    # In the 23rd minute web-2 takes over, in its third slot: web-1's last number of the minute is of slot 89.
    taken = data[22]
    assert taken.recorded_at == start + 22 * MINUTE
    assert taken.pending_by_queue["post"] == 91
    assert taken.completed_jobs == 91
    # Each process once, though it serves two queues.
    assert eleventh.active_workers == sum(2 + 43 % 2 + len(host) for host in ("web-1", "web-2"))
    assert eleventh.workers_by_queue == {"mail": eleventh.active_workers, "post": eleventh.active_workers}


@pytest.mark.needs("postgres")
def test_a_day_has_1440_records_and_its_pages_are_the_whole(
    postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(Secret(postgres_database))
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - 2 * DAY
    fill(postgres_database, midnight, days=2, hosts=2, queues=2, interval=30)
    now = datetime.now(UTC)
    told = {"start_date": midnight.date().isoformat(), "end_date": (midnight + DAY).date().isoformat()}
    whole = ask(postgres_database, now, **told)
    assert (whole.count, whole.truncated, whole.next_cursor) == (1440, False, None)
    assert [record.recorded_at for record in whole.data] == [midnight + n * MINUTE for n in range(1440)]
    assert whole.data == recounted(postgres_database, parse(told.items(), now))

    def in_pages() -> list[int]:
        pages: list[HistoryRecord] = []
        sizes: list[int] = []
        cursor = None
        with history_reader(Secret(postgres_database)) as reader:
            while not sizes or cursor is not None:
                more = {"limit": "500"} | ({"cursor": cursor} if cursor is not None else {})
                page = reader.read(parse((told | more).items(), now))
                assert page.truncated is (page.next_cursor is not None)
                sizes.append(page.count)
                pages += page.data
                cursor = page.next_cursor
        assert tuple(pages) == whole.data
        return sizes

    assert in_pages() == [500, 500, 440]
    # A larger fleet gets smaller pages: here are two hosts with two queues each.
    monkeypatch.setattr(sink.history, "CELLS", 4 * 400)
    assert in_pages() == [400, 400, 400, 240]


@pytest.mark.needs("postgres")
def test_boundaries(postgres_database: str) -> None:
    migrate(Secret(postgres_database))
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - 2 * DAY
    fill(postgres_database, midnight, days=1, queues=1)
    now = datetime.now(UTC)

    def minutes(start: timedelta, end: timedelta, **more: str) -> list[float]:
        page = ask(postgres_database, now, start_date=iso(midnight + start), end_date=iso(midnight + end), **more)
        return [(record.recorded_at - midnight) / MINUTE for record in page.data]

    second = timedelta(seconds=1)
    assert minutes(MINUTE, 3 * MINUTE) == [1, 2], "the end is exclusive, the start is not"
    assert minutes(MINUTE + second, 3 * MINUTE + second) == [2, 3], "a record belongs where its start lies"
    assert minutes(MINUTE, MINUTE + second, step="1") == [1]
    assert minutes(MINUTE + second, MINUTE + 2 * second, step="1") == []
    assert minutes(-3 * MINUTE, 2 * MINUTE) == [0, 1]
    assert minutes(DAY - 2 * MINUTE, DAY + 5 * MINUTE) == [1438, 1439]
    assert minutes(DAY, DAY + 5 * MINUTE) == []
    # 7 does not divide anything: buckets are counted from 1970.
    assert all((midnight + n * MINUTE).timestamp() % 420 == 0 for n in minutes(timedelta(0), HOUR, step="7m"))


@pytest.mark.needs("postgres")
def test_empty_times_between_pages_are_jumped_over(postgres_database: str) -> None:
    migrate(Secret(postgres_database))
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - 9 * DAY
    fill(postgres_database, midnight, days=1, queues=1, interval=3600)
    fill(postgres_database, midnight + 8 * DAY, days=1, queues=1, interval=3600)
    now = datetime.now(UTC)
    told = {"start_date": iso(midnight), "end_date": iso(midnight + 9 * DAY), "step": "60", "limit": "720"}
    counts: list[int] = []
    cursor = ""
    while not counts or cursor:
        page = ask(postgres_database, now, **told, **({"cursor": cursor} if cursor else {}))
        counts.append(page.count)
        cursor = page.next_cursor or ""
    assert counts == [12, 12, 12, 12], "no page is empty"


@pytest.mark.needs("postgres")
def test_beyond_the_age_of_raw_rows_the_rollups_answer(postgres_database: str) -> None:
    migrate(Secret(postgres_database))
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - 40 * DAY
    fill(postgres_database, midnight, days=2, queues=2, interval=60)
    now = datetime.now(UTC)
    told = {"start_date": iso(midnight), "end_date": iso(midnight + 2 * HOUR)}
    before = ask(postgres_database, now, **told)
    assert (before.resolution, before.step, before.count) == ("raw", 60, 120)
    roll_up(postgres_database)
    assert select(postgres_database, "SELECT count(*) FROM depthgauge.worker_snapshots") == [(0,)]
    after = ask(postgres_database, now, **told)
    assert (after.resolution, after.step, after.count) == ("5m", 300, 24)
    # A bucket's number is its last one: that of its fifth minute.
    assert [record.pending_by_queue for record in after.data] == [
        record.pending_by_queue for record in before.data[4::5]
    ]
    # A step that five minutes do not divide becomes the next longer one that they do.
    assert ask(postgres_database, now, **told, step="7m").step == 600

    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute("UPDATE depthgauge.series SET dropped_before = now() WHERE class = '5m'")
    oldest = ask(postgres_database, now, **told)
    assert (oldest.resolution, oldest.step, oldest.count) == ("1h", 3600, 2)
    assert oldest.data[-1].pending_by_queue == before.data[-1].pending_by_queue
