"""A Redis that applications use for everything: what has the look of a queue's key, and is none, makes no system appear."""

import time
from typing import Any

from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import RedisServer

PLAIN = (
    *("SADD queues checkout returns", "SADD workers anna ben", "SADD shop:queues checkout", "SADD shop:workers anna"),
    *("SADD shop:processes frontend", "SADD shop:measured_queues checkout", "ZADD chess:masters 2800 magnus"),
    *("SET user:42:id 42", "HSET user:42:meta age 7", "XADD user:42:events * kind login", "HSET bull:fight:meta age 7"),
    *("HSET room:general.msgs 1 hello", "ZADD ward:7.XQ 1 x", "SET frontend:health-check ok", "LPUSH arq:queue x"),
    *("SET shop:stat:processed 12", "HSET shop:workers:heartbeat anna now", "SET huey.redis.x 1", "SET taskiq x"),
    *("SADD saq:jobs:queued x", "RPUSH otherqueues x", "RPUSH bull:mail-queues:wait 1", "SADD _kombu.binding x"),
    *("SADD _kombu.binding.mail mail", "RPUSH queue:checkout anna", "HSET depthgauge:jobs: completed 1"),
    *("ZADD shop:supervisors 1 anna", "LPUSH unacked x", "ZADD schedule 1 x", "RPUSH celery x", "RPUSH default x"),
)


def test_keys_of_an_application_make_no_system_appear(redis_server: RedisServer, make_source: MakeSource) -> None:
    client: Any = redis_server.client()
    for line in PLAIN:
        client.execute_command(*line.split(" "))
    source = make_source(redis_server.url)
    assert read(source) == {}
    client.rpush("shop:queues:mail", "x")
    assert source.discover_now(time.monotonic() + 10)
    assert set(read(source)) == {("laravel", "mail")}, "beside all these a queue is found"
    assert source.discovery.problem is None
