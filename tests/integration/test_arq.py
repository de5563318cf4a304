"""The arq reader beside the library itself as producer and worker."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from depthgauge.snapshot import LiveJobs, Queue
from exporter.queues.arq import LOOKED_AT
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import RedisServer
from tests.plugins.systems import MakeSystems, Systems
from tests.plugins.waiting import wait_for

pytestmark = [pytest.mark.needs("systems-redis5", "redis-server")]

HOUR = 3600
MOMENT = 1_700_000_000_000


def live(queue: Queue) -> Sequence[int | None]:
    return queue.live.waiting, queue.live.active, queue.live.delayed


def enqueue(systems: Systems, environment: Mapping[str, str], *orders: str | tuple[str, int]) -> Any:
    pairs = [(order, None) if isinstance(order, str) else order for order in orders]
    return systems.ask("arq_app.py", json.dumps(pairs), environment=environment)


def told(states: Mapping[str, int]) -> Sequence[int]:
    return states.get("queued", 0), states.get("in_progress", 0), states.get("deferred", 0)


@pytest.mark.proves("arq", "waiting", "active", "delayed", "head", "found")
def test_waiting_running_deferred_killed_and_drained(
    redis_server: RedisServer, make_systems: MakeSystems, make_source: MakeSource
) -> None:
    systems, client = make_systems("systems-redis5"), redis_server.client()
    environment = {"REDIS_URL": redis_server.url, "QUEUE": "shop:jobs"}
    first = enqueue(systems, environment, "boom", "again", "hold", "hold", "hold", ("hold", HOUR))
    assert told(first["states"]) == (5, 0, 1)
    source = make_source(redis_server.url, queues=("arq:shop:jobs",))
    queue = read(source)["arq", "shop:jobs"]
    assert queue.live == LiveJobs(waiting=5, active=0, delayed=1)
    assert queue.head_eligible_at == datetime.fromtimestamp(first["first"] / 1000, UTC)

    worker = systems.start("arq", "arq_app.WorkerSettings", environment=environment)
    queue = wait_for(
        lambda: live(now := read(source)["arq", "shop:jobs"]) == (1, 2, 2) and now,
        20,
        what="two are held, one failed, one waits for its retry",
    )
    members: Any = client.zrange("shop:jobs", 0, -1, withscores=True)
    scores = [score for _, score in members]
    assert queue.head_eligible_at == datetime.fromtimestamp(scores[2] / 1000, UTC), "running ones are passed over"
    assert enqueue(systems, environment)["states"] == {"queued": 1, "in_progress": 2, "deferred": 2, "complete": 1}
    assert queue.registry_workers is None
    found = read(make_source(redis_server.url))
    assert found.keys() == {("arq", "shop:jobs")}, "found by its worker's health check"

    systems.stop(worker, kill=True)
    assert live(read(source)["arq", "shop:jobs"]) == (1, 2, 2), "what a killed worker held counts until its keys expire"
    for key in client.keys("arq:in-progress:*"):
        assert 0 < client.ttl(key) <= 310
        client.delete(key)  # what its TTL does
    assert live(read(source)["arq", "shop:jobs"]) == (3, 0, 2)

    client.set("release", "1")
    systems.start("arq", "arq_app.WorkerSettings", environment=environment)
    queue = wait_for(
        lambda: live(now := read(source)["arq", "shop:jobs"]) == (0, 0, 2) and now, 20, what="the queue is drained"
    )
    assert queue.head_eligible_at is None
    assert told(enqueue(systems, environment)["states"]) == (0, 0, 2)


def test_the_default_queue_is_found_and_what_looks_like_a_health_check_is_none(
    redis_server: RedisServer, make_systems: MakeSystems, make_source: MakeSource
) -> None:
    enqueue(make_systems("systems-redis5"), {"REDIS_URL": redis_server.url}, "boom")
    client = redis_server.client()
    client.set("site:health-check", "ok")
    client.set("shop:health-check", "Nov-29 00:14:00 j_complete=7 j_failed=1 j_retried=0 j_ongoing=2 queued=6")
    client.hset("hash:health-check", "j_complete=7", "1")
    source = make_source(redis_server.url, discovery_interval=0.05)
    assert {name: live(queue) for name, queue in read(source).items()} == {
        ("arq", "arq:queue"): (1, 0, 0),
        ("arq", "shop"): (0, 0, 0),
    }
    client.set("later:health-check", "Nov-29 00:14:00 j_complete=0 j_failed=0 j_retried=0 j_ongoing=0 queued=0")
    wait_for(lambda: ("arq", "later") in read(source), what="a later walk finds another queue")
    assert not [name for name in read(source) if name[0] == "arq" and name[1] in {"site", "hash"}]


def test_more_due_jobs_than_are_looked_at(redis_server: RedisServer, make_source: MakeSource) -> None:
    client = redis_server.client()
    jobs = [f"job{at:04}" for at in range(LOOKED_AT + 100)]
    client.zadd("arq:queue", {job: MOMENT + at for at, job in enumerate(jobs)})
    client.mset({f"arq:in-progress:{job}": "1" for job in jobs[:3]})
    source = make_source(redis_server.url)
    queue = read(source)["arq", "arq:queue"]
    assert live(queue) == (LOOKED_AT + 97, 3, 0)
    assert queue.head_eligible_at == datetime.fromtimestamp((MOMENT + 3) / 1000, UTC)
    assert queue.error is None
    client.mset({f"arq:in-progress:{job}": "1" for job in jobs})
    queue = read(source)["arq", "arq:queue"]
    assert live(queue) == (None, None, 0), "there may be more running ones behind those"
    assert queue.error == "too_large"
    client.zremrangebyrank("arq:queue", LOOKED_AT, -1)
    assert live(read(source)["arq", "arq:queue"]) == (0, LOOKED_AT, 0), "exactly as many as are looked at"
