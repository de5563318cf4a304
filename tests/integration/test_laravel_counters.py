"""docs/snippets/DepthgaugeCounters.php in a real Laravel: what it counts is what ran, and is shown at the queue."""

from typing import Any

import pytest

from tests.plugins.laravel import LaravelApp, MakeLaravel
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import RedisServer
from tests.plugins.repo import repo_root

pytestmark = pytest.mark.needs("laravel", "source-tree")

KEY = "laravel_database_depthgauge:jobs:mail"


@pytest.fixture
def app(make_laravel: MakeLaravel) -> LaravelApp:
    return make_laravel(counters=repo_root() / "docs" / "snippets" / "DepthgaugeCounters.php")


def counted(server: RedisServer) -> dict[str, int]:
    client: Any = server.client(decode_responses=True)
    return {field: int(number) for field, number in client.hgetall(KEY).items()}


@pytest.mark.proves("laravel", "totals", "mean seconds")
def test_what_ran_is_counted_and_shown_at_the_queue(
    app: LaravelApp, redis_server: RedisServer, make_source: MakeSource
) -> None:
    app.dispatch("mail", "first")
    app.work("mail")
    source = make_source(redis_server.url)
    before = read(source)["laravel", "mail"]
    assert (before.completed_total, before.failed_total, before.processing_seconds) == (1, 0, None)
    assert before.live.waiting == 0, "a queue whose keys are gone is known by its counters"
    known = counted(redis_server)

    for marker in ("a", "b"):
        app.dispatch("mail", marker, mode="slow")
    app.work("mail")
    after, now = read(source)["laravel", "mail"], counted(redis_server)
    assert (after.completed_total, after.failed_total) == (3, 0)
    assert after.processing_seconds == pytest.approx((now["runtime_ms"] - known["runtime_ms"]) / 2 / 1000)
    assert 0.1 <= (after.processing_seconds or 0) < 1, "each of the two took a tenth of a second and a bit"
    assert after.error is None


def test_failed_are_jobs_that_are_not_tried_again(app: LaravelApp, redis_server: RedisServer) -> None:
    app.dispatch("mail", "throws", mode="fail")
    app.work("mail")
    assert app.ran() == ["throws", "throws"], "it was tried twice"
    assert counted(redis_server)["failed"] == 1, "the first attempt was no failure of the job"
    app.dispatch("mail", "gives-up", mode="give-up")
    app.work("mail")
    assert counted(redis_server)["failed"] == 2, "it was not tried again, and has not thrown"
    app.dispatch("mail", "puts-itself-back", mode="release")
    app.artisan("queue:work", "--queue=mail", "--once", "--sleep=0")
    assert counted(redis_server)["failed"] == 2, "it has neither failed nor ended well"
    assert counted(redis_server)["completed"] == 0


def test_a_job_that_runs_out_of_time_for_good_has_failed(app: LaravelApp, redis_server: RedisServer) -> None:
    app.dispatch("mail", "held", mode="hold")
    worker = app.start_worker("queue:work", "--queue=mail", "--timeout=1", "--sleep=0")
    assert worker.wait(20) == -9, "Laravel ends the worker of a job that runs out of time"
    assert counted(redis_server) == {}, "Laravel 8 tells of no attempt that is tried again"
    client: Any = redis_server.client()
    client.zadd(
        "laravel_database_queues:mail:reserved", {client.zrange("laravel_database_queues:mail:reserved", 0, 0)[0]: 1}
    )
    app.start_worker("queue:work", "--queue=mail", "--timeout=1", "--sleep=0").wait(20)
    found = counted(redis_server)
    assert (found["completed"], found["failed"]) == (0, 1)
    assert 900 <= found["runtime_ms"] < 5000


def test_a_redis_that_takes_no_counters_harms_no_job(app: LaravelApp, redis_server: RedisServer) -> None:
    client: Any = redis_server.client()
    log = app.folder / "storage" / "logs" / "laravel.log"
    client.set(KEY, "no hash")
    app.dispatch("mail", "a")
    app.dispatch("mail", "b", mode="fail")
    app.work("mail")
    assert app.ran() == ["a", "b", "b"]
    assert client.get(KEY) == b"no hash"
    assert log.read_text().count("Depthgauge cannot count jobs: depthgauge:jobs:mail does not take numbers") == 1
    client.execute_command("ACL", "SETUSER", "default", "-hincrby")
    app.dispatch("mail", "c")
    app.work("mail")
    assert app.ran()[-1] == "c"
    assert client.zcard("laravel_database_queues:mail:reserved") == 0, "the job is done as if nothing had been"
    assert log.read_text().count("Depthgauge cannot count jobs") == 2
