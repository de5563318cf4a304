"""The Taskiq reader beside the library itself as sender and worker."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import pytest

from depthgauge.snapshot import LiveJobs, Queue
from exporter.settings import StreamSettings
from exporter.sources.redis_queues import RedisQueuesSource
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import MakeRedis, RedisServer, valkey_binary
from tests.plugins.systems import MakeSystems, Systems
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("systems", "redis-server")

WORKER = ("taskiq", "worker", "taskiq_app:broker", "-w", "1", "--max-async-tasks", "2")
Environment: TypeAlias = Callable[..., dict[str, str]]


@pytest.fixture
def systems(make_systems: MakeSystems) -> Systems:
    return make_systems("systems")


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    def make(server: RedisServer, broker: str, queue: str = "taskiq") -> dict[str, str]:
        return {"REDIS_URL": server.url, "BROKER": broker, "QUEUE": queue, "MARKS": str(tmp_path)}

    return make


def reads(source: RedisQueuesSource, name: str = "taskiq") -> Queue:
    found = read(source)
    assert {system for system, _ in found} == {"taskiq"}, "and no other system shows it"
    return found["taskiq", name]


@pytest.mark.proves("taskiq", "waiting", "first seen", "found")
def test_a_list_fills_and_drains(
    redis_server: RedisServer, systems: Systems, environment: Environment, tmp_path: Path, make_source: MakeSource
) -> None:
    words = environment(redis_server, "list")
    systems.run("taskiq_app.py", "0", "fail", "0", environment=words)
    source = make_source(redis_server.url)
    before = reads(source)
    assert before.live == LiveJobs(waiting=3), "a list does not tell what was taken"
    assert before.head_first_seen_at is not None
    assert before.registry_workers is None
    assert reads(source).head_first_seen_at == before.head_first_seen_at, "the head is still the same task"
    worker = systems.start(*WORKER, environment=words)
    wait_for(lambda: reads(source).live.waiting == 0, what="the worker has taken all, and the retry")
    wait_for(lambda: len(list(tmp_path.iterdir())) == 2, what="both naps ran")
    systems.stop(worker, kill=True)
    drained = reads(source)
    assert drained.live == LiveJobs(waiting=0)
    assert drained.head_first_seen_at is None


@pytest.mark.proves("taskiq", "active", "head", "totals", "workers")
def test_a_stream_is_worked_on_and_its_worker_killed(
    make_redis: MakeRedis, systems: Systems, environment: Environment, tmp_path: Path, make_source: MakeSource
) -> None:
    server = make_redis(binary=valkey_binary())
    words = environment(server, "stream", "mail:eu")
    began = datetime.now(UTC)
    systems.run("taskiq_app.py", "0", "0", "fail", environment=words)
    source = make_source(server.url)
    waiting = reads(source, "mail:eu")
    assert waiting.live == LiveJobs(waiting=3, active=0)
    assert waiting.head_eligible_at is not None
    assert began.replace(microsecond=0) <= waiting.head_eligible_at <= datetime.now(UTC)
    assert waiting.registry_workers == 0, "jobs wait, and there is no consumer"

    worker = systems.start(*WORKER, environment=words)
    wait_for(lambda: len(list(tmp_path.iterdir())) == 2, what="both naps ran")
    idle = LiveJobs(waiting=0, active=0)
    wait_for(lambda: reads(source, "mail:eu").completed_total == 4, what="two naps and two tries of a failure are done")
    drained = reads(source, "mail:eu")
    assert (drained.live, drained.head_eligible_at) == (idle, None)
    assert (drained.registry_workers, drained.registry_workers_busy) == (1, 0)

    systems.run("taskiq_app.py", "60", "60", "60", "60", environment=words)
    # How many are fetched ahead of the two that run depends on how they came.
    live = wait_for(
        lambda: ((now := reads(source, "mail:eu").live).active or 0) >= 2 and now,
        30,
        what="two run, others were fetched",
    )
    assert (live.waiting or 0) + (live.active or 0) == 4
    assert reads(source, "mail:eu").registry_workers_busy == 1
    systems.stop(worker, kill=True)
    held = reads(source, "mail:eu").live
    systems.run("taskiq_app.py", "0", environment=words)
    killed = reads(source, "mail:eu")
    assert held.waiting is not None
    assert killed.live == LiveJobs(waiting=held.waiting + 1, active=held.active), (
        "what a killed worker held stays with it"
    )
    assert killed.completed_total == 4
    assert killed.head_eligible_at is not None


def test_configured_queues_of_either_kind(redis_server: RedisServer, make_source: MakeSource) -> None:
    client = redis_server.client()
    client.lpush("low", b'{"task_id": "1", "task_name": "t", "labels": {}, "args": [], "kwargs": {}}')
    client.xgroup_create("high", "taskiq", id="0", mkstream=True)
    client.xadd("high", {"data": "x"})
    client.lpush("unrelated", "x")
    settings = {"systems": ("taskiq",), "queues": ("taskiq:low", "taskiq:high", "taskiq:gone")}
    source = make_source(redis_server.url, **settings)
    found = read(source)
    assert {name: queue.live for (_, name), queue in found.items()} == {
        "low": LiveJobs(waiting=1),
        "high": LiveJobs(waiting=1, active=0),
        "gone": LiveJobs(waiting=0),
    }
    client.delete("low", "high")
    assert {name: queue.live for (_, name), queue in read(source).items()} == {
        "low": LiveJobs(waiting=0),
        "high": LiveJobs(waiting=0, active=0),
        "gone": LiveJobs(waiting=0),
    }
    client.lpush("high", "x")
    assert read(source)["taskiq", "high"].live == LiveJobs(waiting=1), "a queue may change its broker"


def test_a_group_that_is_configured_as_a_streams_is_shown_as_that(
    redis_server: RedisServer, make_source: MakeSource
) -> None:
    client = redis_server.client()
    client.xgroup_create("mail", "taskiq", id="0", mkstream=True)
    client.xgroup_create("mail", "audit", id="0")
    found = read(make_source(redis_server.url))
    assert set(found) == {("taskiq", "mail"), ("stream", "mail/audit")}
    told = make_source(redis_server.url, streams=(StreamSettings(key="mail", group="taskiq", name="letters"),))
    assert set(read(told)) == {("stream", "letters"), ("stream", "mail/audit")}
