"""Native partitions: made for the days that are needed, by many at once, within reason."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from depthgauge.secrets import Secret
from sink.migrate import migrate

WRITTEN = 7
"""Tables that snapshots are written to."""

LEDGER = "INSERT INTO depthgauge.snapshots VALUES ('h', 'r', 1, %s, %s, '{}', NULL)"


@pytest.mark.needs("postgres")
def test_partitions_are_days_in_utc_made_once_and_within_reason(postgres_database: str) -> None:
    migrate(Secret(postgres_database))
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute("SET timezone = 'Pacific/Auckland'")
        ensure = "SELECT depthgauge.ensure_partitions(%s::date[])"
        today = datetime.now(UTC).date()
        days = [today, today + timedelta(days=1)]
        # process_events has a partition a week; a week may begin between the two days.
        assert connection.execute(ensure, (days,)).fetchone() in ((2 * (WRITTEN - 1) + 1,), (2 * WRITTEN,))
        assert connection.execute(ensure, (days,)).fetchone() == (0,)
        midnight = datetime(today.year, today.month, today.day, tzinfo=UTC)
        connection.execute(LEDGER, (midnight, midnight))
        stored = connection.execute("SELECT tableoid::regclass::text FROM depthgauge.snapshots").fetchone()
        assert stored == (f"depthgauge.snapshots_p{today:%Y%m%d}",)
        for absurd in ([today + timedelta(days=30)], [today - timedelta(days=4000)], [None], [today] * 401):
            with pytest.raises((psycopg.errors.DatetimeFieldOverflow, psycopg.errors.ProgramLimitExceeded)):
                connection.execute(ensure, (absurd,))
        yesterday = midnight - timedelta(days=1)
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute(LEDGER, (yesterday, yesterday))


@pytest.mark.needs("postgres")
def test_partitions_made_by_many_at_once_while_a_reader_holds_the_table(postgres_database: str) -> None:
    migrate(Secret(postgres_database))
    today = datetime.now(UTC).date()
    with psycopg.connect(postgres_database) as reader:
        reader.execute("SELECT count(*) FROM depthgauge.snapshots")

        def ensure() -> int:
            with psycopg.connect(postgres_database, autocommit=True) as connection:
                connection.execute("SET lock_timeout = '10s'")
                row = connection.execute("SELECT depthgauge.ensure_partitions(ARRAY[%s]::date[])", (today,)).fetchone()
                assert row is not None
                return int(row[0])

        with ThreadPoolExecutor(4) as pool:
            made = [future.result() for future in [pool.submit(ensure) for _ in range(4)]]
    assert sum(made) == WRITTEN
