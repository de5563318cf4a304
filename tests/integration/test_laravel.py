"""The Laravel reader beside Laravel itself."""

import time
from datetime import UTC, datetime
from typing import Any

import psutil
import pytest

from depthgauge.snapshot import LiveJobs
from exporter.command_lines.laravel import LaravelCommandLine
from exporter.settings import PrefixSettings
from tests.plugins.laravel import LaravelApp, MakeLaravel
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import RedisServer
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("laravel")


def counts(live: LiveJobs) -> tuple[int | None, int | None, int | None]:
    return live.waiting, live.active, live.delayed


@pytest.mark.proves("laravel", "waiting", "found")
def test_dispatched_jobs_wait_and_worked_ones_are_gone(
    laravel: LaravelApp, redis_server: RedisServer, make_source: MakeSource
) -> None:
    laravel.dispatch("emails", "a")
    laravel.dispatch("emails", "b")
    source = make_source(redis_server.url)
    queues = read(source)
    assert counts(queues["laravel", "emails"].live) == (2, 0, 0)
    assert set(queues) == {("laravel", "emails")}, "the list :notify is no queue"
    laravel.work("emails")
    assert laravel.ran() == ["a", "b"]
    assert redis_server.client().exists("laravel_database_queues:emails") == 0
    assert counts(read(source)["laravel", "emails"].live) == (0, 0, 0), "known queues stay at 0"


@pytest.mark.proves("laravel", "active", "delayed")
def test_a_job_at_work_is_active_a_later_one_delayed(
    laravel: LaravelApp, redis_server: RedisServer, make_source: MakeSource
) -> None:
    laravel.dispatch("reports", "held", mode="hold")
    laravel.dispatch("reports", "later", delay=600)
    worker = laravel.start_worker("queue:work", "redis", "--queue", "reports,emails", "--sleep=0")
    wait_for(laravel.ran, what="the worker took the job")
    source = make_source(redis_server.url)
    assert counts(read(source)["laravel", "reports"].live) == (0, 1, 1)
    assert LaravelCommandLine().serves(psutil.Process(worker.pid).cmdline()) == ["reports", "emails"]
    laravel.let_go()
    wait_for(lambda: read(source)["laravel", "reports"].live.active == 0, what="the job is done")


@pytest.mark.proves("laravel", "head")
def test_an_overdue_delayed_job_without_a_worker_waits(
    laravel: LaravelApp, redis_server: RedisServer, make_source: MakeSource
) -> None:
    laravel.dispatch("emails", "soon", delay=1)
    source = make_source(redis_server.url)
    client: Any = redis_server.client()
    ((_, due),) = client.zrange("laravel_database_queues:emails:delayed", 0, 0, withscores=True)
    wait_for(lambda: read(source)["laravel", "emails"].live.waiting == 1, what="the delayed job is due")
    queue = read(source)["laravel", "emails"]
    assert counts(queue.live) == (1, 0, 0)
    assert queue.head_eligible_at == datetime.fromtimestamp(float(due), UTC)


def test_a_released_job_is_retried_and_has_no_known_time(
    laravel: LaravelApp, redis_server: RedisServer, make_source: MakeSource
) -> None:
    laravel.dispatch("emails", "again", mode="release")
    laravel.artisan("queue:work", "--queue=emails", "--once", "--sleep=0")
    source = make_source(redis_server.url)
    queue = wait_for(
        lambda: (found := read(source)["laravel", "emails"]).live.waiting == 1 and found, what="the job waits again"
    )
    assert counts(queue.live) == (1, 0, 0)


@pytest.mark.proves("laravel", "first seen")
def test_laravel_8_stores_no_time_so_the_head_is_watched(
    laravel: LaravelApp, redis_server: RedisServer, make_source: MakeSource
) -> None:
    before = time.time()
    laravel.dispatch("emails", "a")
    source = make_source(redis_server.url)
    first = read(source)["laravel", "emails"]
    assert first.head_eligible_at is None
    assert first.head_first_seen_at is not None
    assert before <= first.head_first_seen_at.timestamp() <= time.time() + 1
    again = read(source)["laravel", "emails"]
    assert again.head_first_seen_at == first.head_first_seen_at, "the same head was seen first when it was first seen"
    laravel.work("emails")
    laravel.dispatch("emails", "b")
    other = read(source)["laravel", "emails"]
    assert other.head_first_seen_at is not None
    assert other.head_first_seen_at > first.head_first_seen_at


def test_two_applications_do_not_mix(
    make_laravel: MakeLaravel, redis_server: RedisServer, make_source: MakeSource
) -> None:
    shop, blog = make_laravel(prefix="shop:"), make_laravel(prefix="blog_")
    shop.dispatch("default", "a")
    shop.dispatch("invoices", "b")
    blog.dispatch("default", "c")
    blog.dispatch("default", "d")
    waiting = {name: queue.live.waiting for (_, name), queue in read(make_source(redis_server.url)).items()}
    assert waiting == {"shop:default": 1, "invoices": 1, "blog_default": 2}


def test_a_configured_prefix_reads_only_its_application(
    make_laravel: MakeLaravel, redis_server: RedisServer, make_source: MakeSource
) -> None:
    make_laravel(prefix="shop:").dispatch("default", "a")
    make_laravel(prefix="").dispatch("default", "b")
    for prefix in ("shop:", ""):
        source = make_source(redis_server.url, laravel=PrefixSettings(prefix=prefix))
        assert {name: queue.live.waiting for (_, name), queue in read(source).items()} == {"default": 1}
