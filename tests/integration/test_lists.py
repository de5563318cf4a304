"""Plain lists and sorted sets, filled and worked on by Redis's own commands: Redis itself is their library."""

import json
import time
from typing import Any

import pytest

from depthgauge.snapshot import LiveJobs
from exporter.settings import ListSettings, SortedSetSettings
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import RedisServer

pytestmark = pytest.mark.needs("redis-server")


@pytest.mark.proves("list", "waiting", "active", "head", "first seen")
def test_a_list_with_a_list_of_jobs_at_work(redis_server: RedisServer, make_source: MakeSource) -> None:
    client: Any = redis_server.client()
    source = make_source(
        redis_server.url,
        lists=(
            ListSettings(key="jobs", name="mail", take="right", processing="jobs:doing", time_field="meta.at"),
            ListSettings(key="plain", name="plain"),
        ),
    )
    assert read(source)["list", "mail"].live == LiveJobs(waiting=0, active=0)
    first = int(time.time()) - 60
    client.lpush("jobs", json.dumps({"meta": {"at": first}}), json.dumps({"meta": {"at": first + 10}}))
    client.rpush("plain", "one", "two")
    queues = read(source)
    assert queues["list", "mail"].live == LiveJobs(waiting=2, active=0)
    assert queues["list", "mail"].head_eligible_at is not None
    assert queues["list", "mail"].head_eligible_at.timestamp() == first, "the right end is taken next"
    assert queues["list", "plain"].live == LiveJobs(waiting=2), "nobody tells what is being worked on"
    seen = queues["list", "plain"].head_first_seen_at
    assert seen is not None
    assert read(source)["list", "plain"].head_first_seen_at == seen

    client.lmove("jobs", "jobs:doing", "RIGHT", "LEFT")
    client.lpop("plain")
    queues = read(source)
    assert queues["list", "mail"].live == LiveJobs(waiting=1, active=1)
    assert queues["list", "mail"].head_eligible_at is not None
    assert queues["list", "mail"].head_eligible_at.timestamp() == first + 10
    assert queues["list", "plain"].head_first_seen_at != seen, "another head"
    client.delete("jobs", "jobs:doing", "plain")
    assert read(source)["list", "mail"].live == LiveJobs(waiting=0, active=0)


@pytest.mark.proves("zset", "waiting", "delayed", "head", "first seen")
def test_a_schedule_and_a_set_with_priorities(redis_server: RedisServer, make_source: MakeSource) -> None:
    client: Any = redis_server.client()
    now = time.time()
    client.zadd("schedule", {"overdue": now - 30, "due": now - 5, "later": now + 600})
    client.zadd("urgent", {"calm": 1, json.dumps({"at": int(now) - 40}): 9})
    client.zadd("lazy", {"calm": 1, "hurried": 9})
    source = make_source(
        redis_server.url,
        sorted_sets=(
            SortedSetSettings(key="schedule", name="schedule"),
            SortedSetSettings(key="urgent", name="urgent", score="priority", take="max", time_field="at"),
            SortedSetSettings(key="lazy", name="lazy", score="priority"),
        ),
    )
    queues = read(source)
    assert queues["zset", "schedule"].live == LiveJobs(waiting=2, delayed=1)
    assert queues["zset", "schedule"].head_eligible_at is not None
    assert queues["zset", "schedule"].head_eligible_at.timestamp() == pytest.approx(now - 30, abs=0.001)
    assert queues["zset", "urgent"].live == LiveJobs(waiting=2)
    assert queues["zset", "urgent"].head_eligible_at is not None
    assert queues["zset", "urgent"].head_eligible_at.timestamp() == int(now) - 40
    seen = queues["zset", "lazy"].head_first_seen_at
    assert seen is not None
    client.zpopmin("lazy")
    assert read(source)["zset", "lazy"].head_first_seen_at != seen
    client.zpopmin("schedule", 2)
    assert read(source)["zset", "schedule"].live == LiveJobs(waiting=0, delayed=1)
