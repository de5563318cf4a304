"""The Celery reader beside Celery itself, with kombu's Redis transport, as producer and worker."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

import pytest
import redis

from depthgauge.snapshot import LiveJobs
from exporter.settings import CelerySettings
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import MakeRedis, RedisServer
from tests.plugins.repo import repo_root
from tests.plugins.systems import PROGRAMS, MakeSystems, Systems
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("systems")

WORKER: Final = ("worker", "--loglevel=ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat", "-c", "1")


class Shop:
    """An application of Celery on one Redis, and its processes."""

    def __init__(
        self, systems: Systems, server: RedisServer, environment: Mapping[str, str] | None = None, **told: Any
    ) -> None:
        self._systems = systems
        self._environment: Mapping[str, str] = {
            "CELERY_TEST": json.dumps({"broker": server.url} | told),
            "PYTHONPATH": f"{PROGRAMS}:{repo_root() / 'docs' / 'snippets'}",
            **(environment or {}),
        }

    def send(self, *calls: tuple[str, dict[str, Any]]) -> None:
        self._systems.run("celery_app.py", "send", json.dumps(calls), environment=self._environment)

    def sizes(self, *queues: str) -> Any:
        return self._systems.ask("celery_app.py", "sizes", *queues, environment=self._environment)

    def inspect(self) -> Any:
        return self._systems.ask("celery_app.py", "inspect", environment=self._environment)

    def work(self, *words: str) -> Callable[[], None]:
        """Start a worker; what is returned kills it, and its children, at once."""
        process = self._systems.start("celery", "-A", "celery_app", *WORKER, *words, environment=self._environment)
        return lambda: self._systems.stop(process, kill=True)


MakeShop: TypeAlias = Callable[..., Shop]


@pytest.fixture
def make_shop(make_systems: MakeSystems, redis_server: RedisServer) -> MakeShop:
    """Give a function that makes applications; options as ``CELERY_TEST`` has them in tests/programs/celery_app.py."""
    return lambda **told: Shop(make_systems("systems"), redis_server, **told)


def waiting(source: Any) -> dict[str, int | None]:
    return {name: queue.live.waiting for (_, name), queue in read(source).items() if name}


@pytest.mark.proves("celery", "waiting", "first seen", "found")
def test_all_priorities_of_all_queues_of_two_applications(
    redis_server: RedisServer, make_source: MakeSource, make_shop: MakeShop
) -> None:
    shop, blog = make_shop(), make_shop(options={"global_keyprefix": "blog:"})
    eta = datetime.now(UTC) - timedelta(minutes=5)
    shop.send(
        *(("add", {"priority": priority}) for priority in range(10)),
        ("add", {"queue": "mail", "eta": eta.isoformat()}),
        ("add", {"queue": "mail", "countdown": 3600}),
    )
    blog.send(("add", {"queue": "mail", "priority": 9}))
    source = make_source(redis_server.url)
    found = read(source)
    assert {name: queue.live for (_, name), queue in found.items()} == {
        "celery": LiveJobs(waiting=10),
        "mail": LiveJobs(waiting=2),
        "blog:mail": LiveJobs(waiting=1),
        "": LiveJobs(active=0),
        "blog:": LiveJobs(active=0),
    }
    assert shop.sizes("celery", "mail") == {"celery": 10, "mail": 2, "unacked": 0}
    assert blog.sizes("celery", "mail") == {"celery": 0, "mail": 1, "unacked": 0}
    assert redis_server.client().llen("celery\x06\x163") == 3, "the steps are those that kombu uses"
    assert found["celery", "mail"].head_eligible_at == eta
    assert found["celery", "celery"].head_eligible_at is None, "nothing tells when a task was sent"
    assert found["celery", "celery"].head_first_seen_at is not None
    assert all(queue.error is None and queue.registry_workers is None for queue in found.values())
    told = make_source(redis_server.url, celery=CelerySettings(prefix="blog:"))
    assert waiting(told) == {"mail": 1}
    assert not {key for key in redis_server.command_calls() if key in {"smembers", "keys", "hgetall"}}


@pytest.mark.proves("celery", "waiting", "head")
def test_another_separator_other_steps_and_a_header_with_the_time(
    redis_server: RedisServer, make_source: MakeSource, make_shop: MakeShop
) -> None:
    steps = list(range(10))
    shop = make_shop(options={"sep": ":", "priority_steps": steps}, stamped=True)
    before = datetime.now(UTC)
    shop.send(*(("add", {"queue": "mail", "priority": priority}) for priority in reversed(range(1, 10))))
    told = CelerySettings(separator=":", priority_steps=tuple(steps), time_header="sent_at")
    mail = read(make_source(redis_server.url, celery=told))["celery", "mail"]
    assert mail.live.waiting == 9
    assert mail.head_eligible_at is not None
    assert before < mail.head_eligible_at < datetime.now(UTC)
    last_sent = json.loads(redis_server.client().lindex("mail:1", -1) or b"")["headers"]["sent_at"]
    assert mail.head_eligible_at.timestamp() == pytest.approx(last_sent), "the lowest step is taken first"


@pytest.mark.proves("celery", "active")
def test_what_workers_hold_is_active_also_after_a_kill(
    redis_server: RedisServer, make_source: MakeSource, make_shop: MakeShop
) -> None:
    shop = make_shop(conf={"task_acks_late": True})
    source = make_source(redis_server.url, discovery_interval=0.05)
    kill = shop.work("-Q", "late")
    client = redis_server.client()
    wait_for(lambda: client.smembers("_kombu.binding.late"), 20, what="the worker has told its queue")
    shop.send(("add", {"queue": "late", "countdown": 3600}), *([("hold", {"queue": "late", "args": [60]})] * 4))
    holds = wait_for(
        lambda: (now := shop.inspect())["scheduled"] == 1 and now["active"] == 1 and now, 20, what="the worker is busy"
    )
    held = wait_for(lambda: (now := read(source))["celery", "late"].live.waiting == 3 and now, what="one task is taken")
    assert set(held) == {("celery", "late"), ("celery", "")}, "the worker's own queues and events are none"
    assert held["celery", ""].live == LiveJobs(active=sum(holds.values()))
    assert shop.sizes("late") == {"late": 3, "unacked": 2}
    kill()
    assert read(source)["celery", ""].live == LiveJobs(active=2), "until another worker's sweep finds them"
    assert client.exists("_kombu.binding.celery.pidbox"), "the killed worker's node is still told there"


@pytest.mark.proves("celery", "waiting", "totals")
def test_a_worker_drains_and_the_snippet_counts(
    redis_server: RedisServer, make_source: MakeSource, make_shop: MakeShop
) -> None:
    shop = make_shop(backend=redis_server.url, counted=True)
    shop.send(
        *([("add", {"queue": "mail", "priority": 5})] * 2),
        ("hold", {"queue": "mail", "args": [0.2]}),
        ("fail", {"queue": "mail"}),
        ("flaky", {"queue": "mail"}),
        ("add", {}),
        ("hold", {"queue": "mail", "args": [60], "time_limit": 0.5}),
        ("die", {"queue": "mail"}),
    )
    source = make_source(redis_server.url, discovery_interval=0.05)
    assert waiting(source) == {"mail": 7, "celery": 1}
    shop.work("-Q", "mail,celery")
    client = redis_server.client()
    counted = wait_for(
        lambda: (now := client.hgetall("depthgauge:jobs:mail")).get(b"failed") == b"3" and now,
        20,
        what="the tasks are counted that fail, that are killed and whose process dies",
    )
    wait_for(lambda: client.hget("depthgauge:jobs:mail", "completed") == b"4", what="those that end well are counted")
    assert set(counted) == {b"completed", b"failed", b"runtime_ms"}
    assert 200 <= int(counted[b"runtime_ms"]) < 5000
    assert client.hget("depthgauge:jobs:celery", "completed") == b"1"
    drained = wait_for(lambda: not any(waiting(source).values()) and read(source), what="all is drained")
    assert set(drained) == {("celery", "mail"), ("celery", "celery"), ("celery", "")}, "results are no queues"
    wait_for(lambda: read(source)["celery", ""].live == LiveJobs(active=0), what="nothing is held any more")
    assert client.keys("celery-task-meta-*")
    assert client.hget("depthgauge:jobs:mail", "failed") == b"3", "none is counted twice"
    shown = wait_for(lambda: (now := read(source)["celery", "mail"]).completed_total == 4 and now, what="it is shown")
    assert shown.failed_total == 3


def test_a_redis_that_does_not_answer_harms_no_task(
    redis_server: RedisServer, make_redis: MakeRedis, make_shop: MakeShop
) -> None:
    frozen = make_redis()
    shop = make_shop(backend=redis_server.url, counted=True, environment={"DEPTHGAUGE_JOBS_URL": frozen.url})
    shop.send(*(("add", {"task_id": f"t{number}"}) for number in range(40)))
    frozen.pause()
    shop.work("-P", "solo")
    client: redis.Redis = redis_server.client()
    wait_for(lambda: client.get("celery-task-meta-t39"), 15, what="the last one has ended: no more than one has waited")
    metas = [json.loads(client.get(f"celery-task-meta-t{number}") or b"{}") for number in range(40)]
    assert {meta["status"] for meta in metas} == {"SUCCESS"}
    frozen.resume()
