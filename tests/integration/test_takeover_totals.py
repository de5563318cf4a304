"""Derived totals of two exporters that take turns at one Redis: each job is counted by one of them, whoever reads."""

from typing import Any

from exporter.sources.redis_queues import RedisQueuesSource
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import RedisServer


def work(client: Any, jobs: int, *, worker: str = "w1") -> None:
    """Let a worker of RQ's have done so many more jobs, as rq/worker/base.py counts them."""
    key = f"rq:worker:{worker}"
    client.sadd("rq:queues", "rq:queue:high")
    client.sadd("rq:workers", key)
    client.sadd("rq:workers:high", key)
    client.hset(key, mapping={"state": "idle", "birth": f"born-{worker}", "queues": "high"})
    client.hincrby(key, "successful_job_count", jobs)
    client.hincrbyfloat(key, "total_working_time", jobs * 0.5)


def completed(source: RedisQueuesSource) -> int:
    total = read(source)["rq", "high"].completed_total
    assert total is not None
    return total


def test_totals_go_on_through_take_overs_and_new_workers(redis_server: RedisServer, make_source: MakeSource) -> None:
    client = redis_server.client()
    work(client, 100)
    blue, green = (make_source(redis_server.url, systems=("rq",)) for _ in range(2))
    assert completed(blue) == 0, "what was before is not known to be new"
    work(client, 5)
    assert completed(blue) == 5

    blue.stand_by()
    assert completed(green) == 0
    work(client, 7)
    work(client, 2, worker="w2")
    assert completed(green) == 9, "a worker that came meanwhile counts whole"
    client.delete("rq:worker:w1")
    client.srem("rq:workers:high", "rq:worker:w1")
    work(client, 1, worker="w2")
    assert completed(green) == 10, "what a worker has brought stays when it ends"

    green.stand_by()
    assert completed(blue) == 5, "what green has counted is not counted again"
    assert read(blue)["rq", "high"].throughput == 0
    work(client, 3, worker="w2")
    assert completed(blue) == 8
    assert completed(blue) + 10 == 5 + 7 + 2 + 1 + 3, "every job once"
