"""The Resque reader on a real Redis, beside the keys that Resque's source writes (tests/plugins/resque_keys.py)."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from depthgauge.errors import ErrorKind
from depthgauge.snapshot import KeptJobs, LiveJobs, Queue
from exporter.settings import PrefixSettings
from exporter.sources.redis_queues import RedisQueuesSource
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import RedisServer
from tests.plugins.resque_keys import ResqueKeys
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("redis-server")


@pytest.fixture
def resque(redis_server: RedisServer) -> ResqueKeys:
    return ResqueKeys(redis_server.client())


def queues(source: RedisQueuesSource) -> Mapping[str, Queue]:
    found = read(source)
    assert {system for system, _ in found} <= {"resque"}
    return {name: queue for (_, name), queue in found.items()}


def workers(found: Mapping[str, Queue]) -> Mapping[str, tuple[int | None, int | None]]:
    return {name: (queue.registry_workers, queue.registry_workers_busy) for name, queue in found.items() if name}


def test_a_job_waits_runs_and_is_done(resque: ResqueKeys, redis_server: RedisServer, make_source: MakeSource) -> None:
    for number in range(3):
        resque.push("mail", number)
    source = make_source(redis_server.url)
    before = datetime.now(UTC)
    found = queues(source)
    assert found["mail"].live == LiveJobs(waiting=3, active=0)
    seen = found["mail"].head_first_seen_at
    assert seen is not None
    assert abs(seen - before) < timedelta(seconds=5)
    wait_for(lambda: datetime.now(UTC) - before > timedelta(seconds=0.1), what="a moment has passed")
    still = queues(source)["mail"].head_first_seen_at
    assert still is not None
    assert abs(still - seen) < timedelta(seconds=0.05), "the same job stands there still"
    resque.register("web-1:7:mail")
    resque.beat("web-1:7:mail")
    resque.take("web-1:7:mail", "mail")
    found = queues(source)
    assert found["mail"].live == LiveJobs(waiting=2, active=1)
    other = found["mail"].head_first_seen_at
    assert other is not None
    assert other - seen > timedelta(seconds=0.05), "another job is the next one"
    assert workers(found) == {"mail": (1, 1)}
    resque.done("web-1:7:mail")
    assert queues(source)[""].completed_total == 1
    resque.take("web-1:7:mail", "mail")
    resque.failed("web-1:7:mail", "mail")
    found = queues(source)
    assert (found[""].completed_total, found[""].failed_total) == (1, 1), "it does not fall in between"
    resque.done("web-1:7:mail")
    found = queues(source)
    assert (found[""].completed_total, found[""].failed_total) == (1, 1)
    assert found[""].kept == KeptJobs(failed=1)
    assert found["mail"].kept == KeptJobs(), "the queue's own number is not known"
    assert workers(found) == {"mail": (1, 0)}
    resque.take("web-1:7:mail", "mail")
    resque.done("web-1:7:mail")
    resque.unregister("web-1:7:mail")
    found = queues(source)
    assert found["mail"].live == LiveJobs(waiting=0, active=0)
    assert found["mail"].head_first_seen_at is None
    assert found[""].completed_total == 2
    assert workers(found) == {"mail": (0, 0)}


def test_patterns_of_workers_mean_the_queues_there_are(
    resque: ResqueKeys, redis_server: RedisServer, make_source: MakeSource
) -> None:
    for queue in ("mail", "mail:eu", "low", ".hidden"):
        resque.push(queue)
    for worker in ("a:1:*", "a:2:mail*", "a:3:!mail,*", "a:4:mail:eu, low", "b:5:gone"):
        resque.register(worker)
        resque.beat(worker)
    source = make_source(redis_server.url)
    assert workers(queues(source)) == {"mail": (2, 0), "mail:eu": (4, 0), "low": (3, 0), ".hidden": (0, 0)}
    resque.push("mailbox")
    assert source.discover_now(time.monotonic() + 5)
    assert workers(queues(source))["mailbox"] == (3, 0), "patterns mean new queues too"


def test_a_worker_without_a_heartbeat_for_long_is_dead_but_its_job_is_not_forgotten(
    resque: ResqueKeys, redis_server: RedisServer, make_source: MakeSource
) -> None:
    resque.push("mail")
    resque.register("a:1:mail")
    resque.beat("a:1:mail")
    resque.take("a:1:mail", "mail")
    resque.register("old:2:mail")
    source = make_source(redis_server.url)
    assert workers(queues(source)) == {"mail": (2, 1)}, "one of an old Resque never sends any"
    resque.beat("a:1:mail", datetime.now(UTC) - timedelta(seconds=302))
    found = queues(source)
    assert workers(found) == {"mail": (1, 0)}
    assert found["mail"].live.active == 1, "until another worker prunes it"


def test_delayed_jobs_of_the_scheduler(resque: ResqueKeys, redis_server: RedisServer, make_source: MakeSource) -> None:
    resque.push("mail")
    now = int(time.time())
    for at in (now - 30, now - 30, now - 10, now + 600, now + 600, now + 601):
        resque.push_later("mail", at)
    source = make_source(redis_server.url)
    found = queues(source)
    assert found[""].live == LiveJobs(waiting=3, active=0, delayed=3)
    assert found[""].head_eligible_at == datetime.fromtimestamp(now - 30, UTC)
    assert found["mail"].live == LiveJobs(waiting=1, active=0)
    client: Any = redis_server.client()
    client.zadd("resque:delayed_queue_schedule", {str(now + 1000 + each): now + 1000 + each for each in range(1000)})
    found = queues(source)
    assert found[""].live == LiveJobs(waiting=3, active=0), "too many times to ask for what comes later"
    assert found[""].error == ErrorKind.TOO_LARGE
    assert found["mail"].error is None


def test_failed_jobs_by_queue_and_a_pause(
    resque: ResqueKeys, redis_server: RedisServer, make_source: MakeSource
) -> None:
    for queue in ("mail", "mail", "low"):
        resque.push(queue)
        resque.register("a:1:*")
        resque.take("a:1:*", queue)
        resque.failed("a:1:*", queue, by_queue=queue == "mail")
        resque.done("a:1:*")
    source = make_source(redis_server.url)
    found = queues(source)
    assert {name: queue.kept.failed for name, queue in found.items()} == {"mail": 2, "low": 0, "": 1}
    assert found["mail"].paused is False
    redis_server.client().set("resque:pause-all-workers", "true")
    assert queues(source)["low"].paused is True


def test_two_applications_and_what_only_looks_like_one(redis_server: RedisServer, make_source: MakeSource) -> None:
    client: Any = redis_server.client()
    shop, blog = ResqueKeys(client, "shop"), ResqueKeys(client, "blog:resque")
    shop.push("mail")
    blog.push("mail")
    blog.push("mail")
    blog.push("feeds")
    for application in (shop, blog):
        application.register("a:1:*")
        application.beat("a:1:*")
    # Sets of names without anything of Resque's beside them; and Sidekiq in a namespace.
    client.sadd("resque:queues", "mail")
    client.sadd("other:queues", "mail")
    client.set("other:stat:processed", 5)
    client.sadd("side:queues", "mail")
    client.sadd("side:processes", "web:1:abcdef012345")
    client.set("side:stat:processed", 5)
    found = {
        name: queue.live.waiting for name, queue in queues(make_source(redis_server.url, systems=("resque",))).items()
    }
    assert found == {"shop": 0, "blog:resque": 0, "shop:mail": 1, "blog:resque:mail": 2, "feeds": 1}
    alone = queues(make_source(redis_server.url, systems=("resque",), resque=PrefixSettings(prefix="shop")))
    assert {name: queue.live.waiting for name, queue in alone.items()} == {"": 0, "mail": 1}
