"""The Huey reader beside the library itself as producer and consumer."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import pytest

from depthgauge.snapshot import LiveJobs, Queue
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import RedisServer
from tests.plugins.systems import MakeSystems, Systems
from tests.plugins.waiting import wait_for

pytestmark = [pytest.mark.needs("systems", "redis-server")]

HOUR = 3600
CONSUMER = ("huey_consumer", "huey_app.huey", "--workers", "1", "--scheduler-interval", "1", "--delay", "0.05")
Order: TypeAlias = tuple[str, int | None, int | None]


def order(task: str, *, delay: int | None = None, priority: int | None = None) -> Order:
    return task, delay, priority


def enqueue(systems: Systems, environment: Mapping[str, str], *orders: Order) -> Any:
    return systems.ask("huey_app.py", json.dumps(orders), environment=environment)


def live(queue: Queue) -> Sequence[int | None]:
    return queue.live.waiting, queue.live.delayed


def library(told: Mapping[str, int]) -> Sequence[int]:
    return told["pending"], told["scheduled"]


@pytest.mark.proves("huey", "waiting", "delayed", "first seen", "found")
def test_queued_running_retried_killed_and_drained_far_from_utc(
    redis_server: RedisServer, make_systems: MakeSystems, make_source: MakeSource
) -> None:
    systems, client = make_systems("systems"), redis_server.client()
    environment = {"REDIS_URL": redis_server.url, "NAME": "my-app.q", "TZ": "Asia/Tokyo"}
    told = enqueue(
        systems,
        environment,
        *(order("boom"), order("again"), order("boom", delay=HOUR)),
        *(order("hold"), order("hold"), order("hold")),
    )
    source = make_source(redis_server.url, queues=("huey:my-app.q",))
    queue = read(source)["huey", "myappq"]
    assert queue.live == LiveJobs(waiting=6, delayed=0), "what is scheduled is queued until a consumer sees it"
    assert library(told) == live(queue)
    assert queue.head_eligible_at is None
    assert queue.head_first_seen_at is not None
    assert read(source)["huey", "myappq"].head_first_seen_at == queue.head_first_seen_at, "the same head"

    consumer = systems.start(*CONSUMER, environment=environment)
    held = wait_for(
        lambda: live(now := read(source)["huey", "myappq"]) == (2, 2) and now,
        20,
        what="one runs, one failed for good, two are scheduled",
    )
    assert held.live.active is None, "a task that runs is nowhere in Redis"
    assert held.head_first_seen_at is not None
    assert held.head_first_seen_at > queue.head_first_seen_at, "another head"
    members: Any = client.zrange("huey.schedule.myappq", 0, -1, withscores=True)
    scores = [score for _, score in members]
    assert all(score < datetime.now(UTC).timestamp() for score in scores), "by their scores both are overdue"
    assert library(enqueue(systems, environment)) == live(held)
    systems.stop(consumer, kill=True)
    assert live(read(source)["huey", "myappq"]) == (2, 2), "what ran is lost"

    client.set("release", "1")
    consumer = systems.start(*CONSUMER, environment=environment)
    wait_for(lambda: live(read(source)["huey", "myappq"]) == (0, 2), 20, what="the queue is drained")
    wait_for(lambda: client.hlen("huey.results.myappq") >= 2, what="results that nobody reads are kept")
    systems.stop(consumer, kill=True)
    assert library(enqueue(systems, environment)) == (0, 2)
    found = read(make_source(redis_server.url))
    assert {name: live(each) for name, each in found.items()} == {("huey", "myappq"): (0, 2)}
    client.delete("huey.schedule.myappq")
    idle = read(make_source(redis_server.url))["huey", "myappq"]
    assert live(idle) == (0, 0), "an idle queue is told by its results"
    assert idle.kept.finished is None


@pytest.mark.proves("huey", "head")
def test_a_queue_with_priorities(redis_server: RedisServer, make_systems: MakeSystems, make_source: MakeSource) -> None:
    systems, client = make_systems("systems"), redis_server.client()
    environment = {"REDIS_URL": redis_server.url, "NAME": "prio", "KIND": "PriorityRedisExpireHuey"}
    before = datetime.now(UTC)
    enqueue(systems, environment, order("hold"), order("boom", priority=9))
    between = datetime.now(UTC)
    enqueue(systems, environment, order("boom", priority=10))
    client.set("huey.r.prio.one", "a result")
    client.set("huey.c.prio.two", "1")
    client.hset("huey.counters.other", "three", "1")
    client.lpush("huey.notify.other.four", "1")
    source = make_source(redis_server.url)
    assert read(source).keys() == {("huey", "prio")}
    queue = read(source)["huey", "prio"]
    assert live(queue) == (3, 0)
    assert queue.head_eligible_at is not None
    assert between <= queue.head_eligible_at <= datetime.now(UTC), "the last one goes first"
    client.zpopmin("huey.redis.prio")
    queue = read(source)["huey", "prio"]
    assert queue.head_eligible_at is not None
    assert before - timedelta(milliseconds=1) <= queue.head_eligible_at <= between
    client.set("release", "1")
    systems.start(*CONSUMER, environment=environment)
    wait_for(lambda: live(read(source)["huey", "prio"]) == (0, 0), 20, what="the queue is drained")
    assert read(source)["huey", "prio"].head_eligible_at is None
    assert client.info("errorstats").get("errorstat_WRONGTYPE") is None, "the type is asked, not tried"
