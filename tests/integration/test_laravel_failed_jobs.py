"""Failed jobs of Laravel: its own migration, its own worker, a job that really fails."""

import time
from datetime import UTC, datetime

import pytest

from exporter.settings import FailedJobsSettings
from tests.plugins.laravel import MakeLaravel
from tests.plugins.watched import JOBS, MakeDatabaseSource

pytestmark = pytest.mark.needs("laravel", "redis-server", "postgres")


def test_a_job_that_fails_is_counted_under_its_queue(
    make_laravel: MakeLaravel, watched: str, make_database_source: MakeDatabaseSource
) -> None:
    app = make_laravel(database=watched)
    app.make_failed_jobs()
    source = make_database_source(watched, failed_jobs=JOBS)
    assert source.collect().failed_jobs == ()
    before = time.time()
    app.dispatch("emails", "a", mode="fail")
    app.work("emails")
    assert app.ran() == ["a", "a"], "tried twice"
    reader = make_database_source(watched, failed_jobs=JOBS)
    (failed,) = reader.collect().failed_jobs or ()
    assert (failed.redis, failed.system, failed.queue, failed.count) == ("default", "laravel", "emails", 1)
    assert failed.newest_at is not None
    assert datetime.fromtimestamp(before - 1, UTC) <= failed.newest_at <= datetime.now(UTC)
    other = FailedJobsSettings(redis="default", connection="sqs")
    assert make_database_source(watched, failed_jobs=other).collect().failed_jobs == ()
