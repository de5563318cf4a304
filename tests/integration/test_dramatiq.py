"""The Dramatiq reader beside the library itself as producer and worker, and the middleware that counts its jobs."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from depthgauge.snapshot import KeptJobs, LiveJobs, Queue
from exporter.settings import PrefixSettings
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import RedisServer
from tests.plugins.repo import repo_root
from tests.plugins.systems import PROGRAMS, MakeSystems
from tests.plugins.waiting import wait_for

pytestmark = [pytest.mark.needs("systems", "redis-server", "source-tree")]

HOUR = 3_600_000
WORKER = ("dramatiq", "dramatiq_app", "--processes", "1", "--threads", "2")
UNCOUNTED = """
import logging, sys, types
from depthgauge_dramatiq import DepthgaugeCounters
logging.basicConfig(stream=sys.stdout)
DepthgaugeCounters(sys.argv[1]).after_nack(None, types.SimpleNamespace(queue_name="mail.eu"))
"""


class App:
    """The application of tests/programs on one Redis."""

    def __init__(self, make_systems: MakeSystems, server: RedisServer, **more: str) -> None:
        self.systems = make_systems("systems")
        self.environment: Mapping[str, str] = {
            "REDIS_URL": server.url,
            "PYTHONPATH": f"{PROGRAMS}:{repo_root() / 'docs' / 'snippets'}",
            "dramatiq_queue_prefetch": "2",
            **more,
        }

    def send(self, *orders: str | tuple[str, int]) -> Any:
        """Send messages; return their times and the sizes of the queues as the broker tells them."""
        pairs = [(order, None) if isinstance(order, str) else order for order in orders]
        return self.systems.ask("dramatiq_app.py", json.dumps(pairs), environment=self.environment)

    def work(self, *queues: str) -> Any:
        return self.systems.start(*WORKER, "--queues", *queues, environment=self.environment)


def live(queue: Queue) -> Sequence[int | None]:
    return queue.live.waiting, queue.live.active, queue.live.delayed


def counters(server: RedisServer, queue: str) -> dict[str, int]:
    fields: Any = server.client().hgetall(f"depthgauge:jobs:{queue}")
    return {name.decode(): int(value) for name, value in fields.items()}


@pytest.mark.proves("dramatiq", "waiting", "active", "delayed", "kept", "head", "totals", "found")
def test_waiting_running_retried_dead_killed_and_drained(
    redis_server: RedisServer, make_systems: MakeSystems, make_source: MakeSource
) -> None:
    app = App(make_systems, redis_server, COUNTERS_URL=redis_server.url)
    told = app.send("boom", "again", "old", "hold", "hold", "hold", ("hold", HOUR), ("mail", HOUR))
    source = make_source(redis_server.url)
    found = read(source)
    default = found["dramatiq", "default"]
    assert default.live == LiveJobs(waiting=6, active=0, delayed=1)
    assert default.kept == KeptJobs(dead=0)
    assert default.head_eligible_at == datetime.fromtimestamp(told["sent"][0] / 1000, UTC)
    assert default.registry_workers is None, "the producer's heartbeat is no worker"
    assert live(found["dramatiq", "mail.eu"]) == (0, 0, 1), "a queue that has delayed messages only"
    assert found.keys() == {("dramatiq", "default"), ("dramatiq", "mail.eu")}
    assert told["sizes"] == {name: sum(filter(None, live(found["dramatiq", name]))) for name in ("default", "mail.eu")}

    worker = app.work("default")
    default = wait_for(
        lambda: live((now := read(source))["dramatiq", "default"]) == (1, 2, 2) and now["dramatiq", "default"],
        20,
        what="two are held, one failed for good, one was too old, one waits for its retry",
    )
    assert default.kept == KeptJobs(dead=2)
    counted = wait_for(
        lambda: (now := counters(redis_server, "default")).get("failed") == 2 and now, what="dead letters are counted"
    )
    assert counted.keys() == {"completed", "failed", "runtime_ms"}
    assert counted["completed"] == 0, "nothing is completed yet"
    app.systems.stop(worker, kill=True)
    assert live(read(source)["dramatiq", "default"]) == (1, 2, 2), "what a killed worker held counts until maintenance"

    redis_server.client().set("release", "1")
    app.work("default")
    default = wait_for(
        lambda: live((now := read(source))["dramatiq", "default"]) == (0, 0, 2) and now["dramatiq", "default"],
        20,
        what="the second worker has drained the queue",
    )
    assert default.head_eligible_at is None
    assert default.head_first_seen_at is None
    counted = wait_for(
        lambda: (now := counters(redis_server, "default")).get("completed") == 3 and now, what="three are counted"
    )
    assert counted["failed"] == 2, "the attempt that is retried is no failure"
    assert 0 <= counted["runtime_ms"] < 20_000
    shown = read(make_source(redis_server.url))["dramatiq", "default"]
    assert (shown.completed_total, shown.failed_total) == (3, 2), "what the middleware counts is shown at the queue"
    assert sum(filter(None, live(default))) == app.send()["sizes"]["default"]


def test_two_namespaces_and_counters_that_cannot_be_written(
    redis_server: RedisServer, make_systems: MakeSystems, make_source: MakeSource
) -> None:
    App(make_systems, redis_server).send("boom")
    shop = App(make_systems, redis_server, NAMESPACE="shop:jobs", COUNTERS_URL="redis://127.0.0.1:1/0")
    shop.send("boom", "mail")
    source = make_source(redis_server.url)
    found = read(source)
    assert {name: live(queue) for (_, name), queue in found.items()} == {
        "dramatiq:default": (1, 0, 0),
        "shop:jobs:default": (1, 0, 0),
        "mail.eu": (1, 0, 0),
    }
    only = read(make_source(redis_server.url, dramatiq=PrefixSettings(prefix="shop:jobs")))
    assert {name: live(queue) for (_, name), queue in only.items()} == {"default": (1, 0, 0), "mail.eu": (1, 0, 0)}
    told = read(make_source(redis_server.url, queues=("dramatiq:default", "dramatiq:idle")))
    assert told.keys() == found.keys() | {("dramatiq", "idle")}, "a configured name that was found is not shown twice"

    shop.work("default", "mail.eu")
    wait_for(
        lambda: (
            live((now := read(source))["dramatiq", "mail.eu"]) == (0, 0, 0)
            and now["dramatiq", "shop:jobs:default"].kept.dead == 1
        ),
        20,
        what="jobs end although they cannot be counted",
    )
    assert live(read(source)["dramatiq", "dramatiq:default"]) == (1, 0, 0), "the other application is untouched"
    assert counters(redis_server, "mail.eu") == {}
    logged = shop.systems.run("-c", UNCOUNTED, shop.environment["COUNTERS_URL"], environment=shop.environment)
    assert "a job of mail.eu was not counted as failed" in logged


def test_counters_without_retries_and_of_a_delayed_message(
    redis_server: RedisServer, make_systems: MakeSystems, make_source: MakeSource
) -> None:
    app = App(make_systems, redis_server, COUNTERS_URL=redis_server.url, NO_RETRIES="1")
    app.send("boom", "mail", ("mail", 1))
    source = make_source(redis_server.url, queues=("dramatiq:default",))
    assert live(read(source)["dramatiq", "mail.eu"]) == (1, 0, 1), "one is overdue, which cannot be seen"
    worker = app.work("default", "mail.eu")
    wait_for(lambda: counters(redis_server, "default").get("failed") == 1, 20, what="the failed one is counted")
    wait_for(lambda: live(read(source)["dramatiq", "mail.eu"]) == (0, 0, 0), 20, what="all mail is sent")
    app.systems.stop(worker)
    assert counters(redis_server, "mail.eu")["completed"] == 2, "a delayed message that moves is none"
    assert read(source)["dramatiq", "default"].kept.dead == 0, "Dramatiq calls it done"
