"""The Sidekiq reader on a real Redis, beside keys of versions that Debian does not have, of namespaces, and of nobody's.

The shapes are those that Sidekiq 7.3.9 and 8.1.7 wrote.
"""

import json
import time
from typing import Any

import pytest

from depthgauge.errors import ErrorKind
from exporter.settings import PrefixSettings
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import RedisServer
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("redis-server")


def job(queue: str, enqueued_at: float) -> str:
    return json.dumps(
        {"retry": True, "queue": queue, "class": "Job", "args": [], "jid": "a1", "enqueued_at": enqueued_at}
    )


def process(client: Any, namespace: str, info: dict[str, Any], **fields: Any) -> str:
    identity = "web-1:1125:9a070ac8b012"
    client.sadd(f"{namespace}processes", identity)
    client.hset(f"{namespace}{identity}", mapping={"info": json.dumps(info), "busy": 0, "quiet": "false", **fields})
    return f"{namespace}{identity}"


def test_version_8_counts_in_milliseconds_and_has_capsules(redis_server: RedisServer, make_source: MakeSource) -> None:
    client: Any = redis_server.client()
    now = time.time()
    client.sadd("queues", "mail")
    client.lpush("queue:mail", job("mail", now - 60), job("mail", int((now - 30) * 1000)))
    capsules = {
        "default": {"concurrency": 3, "mode": "weighted", "weights": {"mail": 2, "low": 0}},
        "single": {"concurrency": 1, "mode": "strict", "weights": {"single": 0}},
    }
    identity = process(client, "", {"capsules": capsules, "version": "8.1.7"}, busy=1, concurrency=4)
    entry = {"queue": "single", "payload": job("single", int(now * 1000)), "run_at": int(now)}
    client.hset(f"{identity}:work", "1fc", json.dumps(entry))
    source = make_source(redis_server.url)
    found = read(source)
    assert {name: queue.live.active for (_, name), queue in found.items()} == {"": 0, "mail": 0, "low": 0, "single": 1}
    assert {name: queue.registry_workers for (_, name), queue in found.items()} == dict.fromkeys(
        ("", "mail", "low", "single"), 1
    )
    head = found["sidekiq", "mail"].head_eligible_at
    assert head is not None
    assert abs(head.timestamp() - (now - 60)) < 0.01, "the job of version 7 stands before that of version 8"
    client.rpop("queue:mail")
    head = read(source)["sidekiq", "mail"].head_eligible_at
    assert head is not None
    assert abs(head.timestamp() - (now - 30)) < 0.01


def test_running_jobs_with_large_payloads_are_left_alone_for_a_while(
    redis_server: RedisServer, make_source: MakeSource
) -> None:
    client: Any = redis_server.client()
    identity = process(client, "", {"queues": ["mail"]}, busy=6)
    for thread in range(6):
        client.hset(f"{identity}:work", str(thread), json.dumps({"queue": "mail", "payload": "x" * 900_000}))
    source = make_source(redis_server.url)
    assert read(source)["sidekiq", "mail"].live.active == 6
    client.config_resetstat()
    again = read(source)
    assert again["sidekiq", "mail"].live.active is None
    assert again["sidekiq", "mail"].error == ErrorKind.TOO_LARGE
    assert again["sidekiq", ""].live.active == 6, "told by the process, whatever their queues"
    output = int(client.info("stats")["total_net_output_bytes"])
    assert output < 100_000
    client.hset(identity, "busy", 0)
    idle = read(source)
    assert [queue.live.active for queue in idle.values()] == [0, 0], "nothing runs: nothing to be read"
    assert {queue.error for queue in idle.values()} == {None}


def test_more_processes_than_are_read(redis_server: RedisServer, make_source: MakeSource) -> None:
    client: Any = redis_server.client()
    client.sadd("queues", "mail")
    process(client, "", {"queues": ["mail"]})
    source = make_source(redis_server.url)
    assert read(source)["sidekiq", "mail"].registry_workers == 1
    client.sadd("processes", *(f"web:{number}:abcdef" for number in range(3000)))
    found = read(source)["sidekiq", "mail"]
    assert (found.registry_workers, found.live.active, found.error) == (None, None, ErrorKind.TOO_LARGE)
    assert found.live.waiting == 0


def test_two_namespaces_and_the_one_that_is_configured(redis_server: RedisServer, make_source: MakeSource) -> None:
    client: Any = redis_server.client()
    for namespace, jobs in (("shop:", 1), ("blog:", 2)):
        client.sadd(f"{namespace}queues", "mail")
        for _ in range(jobs):
            client.lpush(f"{namespace}queue:mail", job("mail", time.time()))
        process(client, namespace, {"queues": ["mail"]})
    client.sadd("blog:queues", "feeds")
    found = {name: queue.live.waiting for (_, name), queue in read(make_source(redis_server.url)).items()}
    assert found == {"shop": 0, "blog": 0, "shop:mail": 1, "blog:mail": 2, "feeds": 0}
    alone = read(make_source(redis_server.url, sidekiq=PrefixSettings(prefix="shop")))
    assert {name: queue.live.waiting for (_, name), queue in alone.items()} == {"": 0, "mail": 1}


def test_a_namespace_whose_processes_are_all_gone_is_found_by_its_jobs(
    redis_server: RedisServer, make_source: MakeSource
) -> None:
    client: Any = redis_server.client()
    client.sadd("shop:queues", "mail")
    client.set("shop:stat:processed", 5)
    source = make_source(redis_server.url, discovery_interval=0.2)
    assert read(source) == {}, "so far it could be Resque's"
    client.lpush("shop:queue:mail", job("mail", time.time()))
    wait_for(lambda: read(source), what="a job has told it")
    assert read(source)["sidekiq", "mail"].live.waiting == 1


@pytest.mark.parametrize(
    "keys",
    [
        {"queues": {"a", "b"}},
        {"queues": {"a"}, "processes": {"nginx", "cron"}},
        {"queues": {"a"}, "queue:a": ["no job", "{}"]},
        {"queues": {"a"}, "queue:a": [json.dumps({"class": "Job", "args": []})]},
        {"queues": ["a"], "processes": "many", "stat:processed": {"a"}, "schedule": "x"},
        {"app:processes": {"web:1"}, "app:queues": {"a"}},
        {"resque:queues": {"a"}, "resque:stat:processed": "7", "resque:workers": {"h:1:a"}},
        {"rq:queues": {"rq:queue:high"}, "rq:queue:high": ["j1"], "rq:workers": {"rq:worker:w"}},
        {"stat:processed": "7", "schedule": {"a"}},
    ],
    ids=", ".join,
)
def test_keys_that_only_look_like_sidekiq_make_no_queue(
    redis_server: RedisServer, make_source: MakeSource, keys: dict[str, Any]
) -> None:
    client: Any = redis_server.client()
    for key, value in keys.items():
        if isinstance(value, str):
            client.set(key, value)
        elif isinstance(value, set):
            client.sadd(key, *value)
        else:
            client.rpush(key, *value)
    source = make_source(redis_server.url, systems=("sidekiq",))
    assert source.discover_now(time.monotonic() + 5)
    assert read(source) == {}
    assert source.discovery.problem is None, "keys of others are no trouble"
