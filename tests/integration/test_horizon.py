"""Horizon's keys in a real Redis, as Horizon 5 writes them (it cannot be installed here), beside real Laravel jobs."""

import json
import time
from typing import Any

import pytest

from exporter.settings import PrefixSettings
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import RedisServer

H, P = "laravel_horizon:", "laravel_database_queues:"

UPDATE_METRICS = """
redis.call('hsetnx', KEYS[1], 'throughput', 0)
redis.call('sadd', KEYS[2], KEYS[1])
local jobs = redis.call('hincrby', KEYS[1], 'throughput', 1)
local mean = tonumber(redis.call('hget', KEYS[1], 'runtime') or 0)
redis.call('hset', KEYS[1], 'runtime', tostring(mean + (ARGV[1] - mean) / jobs))
"""
"""What laravel/horizon's LuaScripts::updateMetrics does, in other words."""


class Horizon:
    """Writes what an application with Horizon writes."""

    def __init__(self, server: RedisServer, *, prefix: str = H, queues: str = P) -> None:
        self.client: Any = server.client()
        self.prefix, self.queues = prefix, queues

    def push(self, queue: str, **fields: object) -> None:
        body = {"id": "0d9a", "attempts": 0, "pushedAt": f"{time.time() - 5:.4f}"} | fields
        self.client.rpush(self.queues + queue, json.dumps(body))

    def end(self, queue: str, milliseconds: float, jobs: int = 1) -> None:
        """Let jobs end well."""
        for _ in range(jobs):
            self.client.eval(
                UPDATE_METRICS, 2, f"{self.prefix}queue:{queue}", f"{self.prefix}measured_queues", milliseconds
            )

    def snapshot(self) -> None:
        """``php artisan horizon:snapshot``."""
        at = int(time.time())
        for key in self.client.smembers(f"{self.prefix}measured_queues"):
            queue = key.decode().removeprefix(f"{self.prefix}queue:")
            pipe = self.client.pipeline(transaction=True)
            pipe.hmget(key, "throughput", "runtime")
            pipe.delete(key)
            (throughput, runtime), _ = pipe.execute()
            numbers = {"throughput": throughput or b"", "runtime": runtime or b""}
            body = {name: number.decode() or False for name, number in numbers.items()} | {"wait": 0, "time": at}
            self.client.zadd(f"{self.prefix}snapshot:queue:{queue}", {json.dumps(body): at})

    def supervise(self, name: str, processes: dict[str, int], *, status: str = "running", age: float = 0) -> None:
        """Let a supervisor give a sign of life; ``age`` seconds ago it was the last one."""
        fields = {"name": name, "status": status, "processes": json.dumps(processes or []), "options": "{}"}
        self.client.hset(f"{self.prefix}supervisor:{name}", mapping=fields)
        self.client.zadd(f"{self.prefix}supervisors", {name: int(time.time() - age)})
        self.client.expire(f"{self.prefix}supervisor:{name}", int(30 - age))


@pytest.fixture
def app(redis_server: RedisServer) -> Horizon:
    return Horizon(redis_server)


def test_workers_totals_mean_and_idle_queues(app: Horizon, redis_server: RedisServer, make_source: MakeSource) -> None:
    app.push("default")
    app.end("default", 200, jobs=3)
    app.supervise("web-1:one", {"redis:default": 3, "redis:mail": 1})
    app.supervise("web-2:one", {"redis:high,default": 2})
    app.supervise("web-3:gone", {"redis:default": 9}, age=60)
    app.client.zadd(f"{H}failed_jobs", {"a": -time.time(), "b": -time.time()})
    app.client.zadd(f"{H}completed_jobs", {"c": -time.time()})
    source = make_source(redis_server.url)
    found = read(source)
    assert set(found) == {("laravel", "default"), ("laravel", "mail"), ("laravel", "high"), ("horizon", "")}
    default = found["laravel", "default"]
    assert (default.live.waiting, default.registry_workers, default.paused) == (1, 5, False)
    assert default.completed_total == 0
    assert default.processing_seconds == pytest.approx(0.2)
    assert default.head_eligible_at is not None
    assert {name: found["laravel", name].registry_workers for name in ("mail", "high")} == {"mail": 1, "high": 2}
    assert found["laravel", "mail"].live.waiting == 0, "an idle queue is known by its supervisor"
    assert (found["horizon", ""].kept.failed, found["horizon", ""].kept.finished) == (2, 1)
    assert found["horizon", ""].live.waiting is None
    assert all(queue.error is None for queue in found.values())


def test_the_total_goes_on_over_snapshots(app: Horizon, redis_server: RedisServer, make_source: MakeSource) -> None:
    app.end("default", 100, jobs=5)
    source = make_source(redis_server.url)

    def completed() -> int | None:
        return read(source)["laravel", "default"].completed_total

    assert completed() == 0
    app.end("default", 100, jobs=2)
    assert completed() == 2
    app.end("default", 300, jobs=3)
    app.snapshot()
    assert completed() == 5
    app.end("default", 300, jobs=4)
    assert completed() == 9
    mean = read(source)["laravel", "default"].processing_seconds
    assert mean == pytest.approx((7 * 0.1 + 7 * 0.3) / 14), "of the snapshot and of what came after it"


def test_a_queue_first_measured_later_and_a_pause(
    app: Horizon, redis_server: RedisServer, make_source: MakeSource
) -> None:
    app.supervise("m:one", {"redis:default": 1})
    source = make_source(redis_server.url)
    assert read(source)["laravel", "default"].completed_total == 0
    app.end("default", 10)
    app.supervise("m:one", {"redis:default": 1}, status="paused")
    found = read(source)["laravel", "default"]
    assert (found.completed_total, found.paused, found.registry_workers) == (1, True, 1)
    app.client.delete(f"{H}supervisors")
    found = read(source)["laravel", "default"]
    assert (found.paused, found.registry_workers) == (None, 0)


def test_two_applications_do_not_mix(redis_server: RedisServer, make_source: MakeSource) -> None:
    shop = Horizon(redis_server, prefix="shop_horizon:", queues="shop-database-queues:")
    blog = Horizon(redis_server, prefix="blog_horizon:", queues="blog_database_queues:")
    shop.push("default")
    blog.push("default")
    shop.supervise("s:1", {"redis:default": 3})
    blog.supervise("b:1", {"redis:default": 4, "redis:posts": 1})
    found = read(make_source(redis_server.url))
    workers = {name: queue.registry_workers for (system, name), queue in found.items() if system == "laravel"}
    assert workers == {"shop-database-default": 3, "blog_database_default": 4, "posts": 1}
    assert {name for system, name in found if system == "horizon"} == {"shop_horizon:", "blog_horizon:"}


def test_configured_prefixes_read_one_application(redis_server: RedisServer, make_source: MakeSource) -> None:
    ours = Horizon(redis_server, prefix="h:", queues="shop:queues:")
    ours.supervise("s:1", {"redis:default": 3})
    Horizon(redis_server).supervise("x:1", {"redis:other": 3})
    source = make_source(redis_server.url, laravel=PrefixSettings(prefix="shop:"), horizon=PrefixSettings(prefix="h:"))
    assert {key: queue.registry_workers for key, queue in read(source).items()} == {
        ("laravel", "default"): 3,
        ("horizon", ""): None,
    }


def test_a_cycle_takes_two_round_trips_and_only_commands_that_read(
    app: Horizon, redis_server: RedisServer, make_source: MakeSource
) -> None:
    for number in range(20):
        app.push(f"q{number}")
        app.end(f"q{number}", 10)
        app.supervise(f"m:{number}", {f"redis:q{number}": 1})
    source = make_source(redis_server.url)
    assert len(read(source)) == 21
    redis_server.client().config_resetstat()
    read(source)
    calls = {name: count for name, count in redis_server.command_calls().items() if name != "config|resetstat"}
    assert calls == {
        "time": 1,
        "llen": 20,
        "lindex": 20,
        "zcard": 2 * 20 + 3,
        "zcount": 20,
        "zrange": 20 + 1,
        "hmget": 20 + 20,
    }
