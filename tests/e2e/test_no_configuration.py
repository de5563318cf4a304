"""Nothing is configured but a Redis, in which the real libraries of many systems have put jobs: all are told, nothing else."""

import json
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.plugins.bullmq import BullStation
from tests.plugins.daemons import MakeDaemon
from tests.plugins.laravel import LaravelApp
from tests.plugins.redis_server import RedisServer
from tests.plugins.sidekiq import SidekiqApp
from tests.plugins.systems import MakeSystems

pytestmark = [
    pytest.mark.needs("systems", "systems-redis5", "bullmq", "sidekiq", "laravel", "redis-server", "promtool"),
    pytest.mark.timeout(120),
]

IDLE = {"waiting": 0, "active": 0, "delayed": 0}
EXPECTED: dict[tuple[str, str], dict[str, int]] = {
    ("rq", "default"): {"waiting": 5, "active": 0, "delayed": 1, "blocked": 1},
    ("rq", "old"): {"waiting": 1, "active": 0, "delayed": 0, "blocked": 0},
    ("celery", "celery"): {"waiting": 2},
    ("celery", "high"): {"waiting": 2},
    ("celery", ""): {"active": 0},
    ("dramatiq", "default"): IDLE | {"waiting": 1, "delayed": 1},
    ("dramatiq", "mail.eu"): IDLE | {"waiting": 1},
    ("arq", "arq:queue"): IDLE | {"waiting": 1, "delayed": 1},
    ("huey", "shop"): {"waiting": 1, "delayed": 0},
    ("huey", "urgent"): {"waiting": 2, "delayed": 0},
    ("taskiq", "taskiq"): {"waiting": 2},
    ("taskiq", "bulk"): {"waiting": 1, "active": 0},
    ("saq", "default"): IDLE | {"waiting": 1, "delayed": 1},
    ("sidekiq", "mail"): {"waiting": 2, "active": 0},
    ("sidekiq", "default"): {"waiting": 1, "active": 0},
    ("sidekiq", ""): IDLE | {"delayed": 1, "retry": 0},
    ("bullmq", "video"): IDLE | {"waiting": 2, "delayed": 1, "blocked": 0},
    ("bullmq", "flow"): IDLE | {"blocked": 1},
    ("bull", "audio"): IDLE | {"waiting": 1, "delayed": 1},
    ("laravel", "default"): IDLE | {"waiting": 1},
    ("laravel", "emails"): IDLE | {"delayed": 1},
    ("stream", "orders/billing"): {"waiting": 1, "active": 1},
}
"""Live jobs by system, queue and state; a state that is missing is one that the system does not tell."""


@pytest.fixture
def stations(redis_server: RedisServer) -> Iterator[dict[str, BullStation]]:
    made = {package: BullStation(package, redis_server) for package in ("bullmq", "bull")}
    yield made
    for each in made.values():
        each.kill()


@pytest.fixture
def producers(
    redis_server: RedisServer,
    make_systems: MakeSystems,
    stations: dict[str, BullStation],
    sidekiq: SidekiqApp,
    laravel: LaravelApp,
) -> list[Callable[[], object]]:
    """Give what puts the jobs there, one function a system; each starts programs of its own."""
    url = redis_server.url
    new, old = make_systems("systems"), make_systems("systems-redis5")
    celery = {"CELERY_TEST": json.dumps({"broker": url})}

    def send_with_celery() -> None:
        high = [["add", {"queue": "high", "priority": step}] for step in (0, 6)]
        new.run(
            "celery_app.py", "send", json.dumps([["add", {}], ["add", {"countdown": 60}], *high]), environment=celery
        )

    def send_with_dramatiq() -> None:
        orders = [["hold", None], ["hold", 60_000], ["mail", None]]
        new.run("dramatiq_app.py", json.dumps(orders), environment={"REDIS_URL": url})

    def send_with_huey(name: str, kind: str, *priorities: int | None) -> None:
        orders = [["hold", None, priority] for priority in priorities]
        new.run("huey_app.py", json.dumps(orders), environment={"REDIS_URL": url, "NAME": name, "KIND": kind})

    def send_with_taskiq(broker: str, queue: str, *words: str) -> None:
        environment = {"REDIS_URL": url, "BROKER": broker, "QUEUE": queue, "MARKS": str(redis_server.folder)}
        new.run("taskiq_app.py", *words, environment=environment)

    def send_with_saq() -> None:
        old.run("saq_app.py", "nap", "1", environment={"REDIS_URL": url})
        old.run("saq_app.py", "nap", "1", "60", environment={"REDIS_URL": url})

    def send_with_bulls() -> None:
        for package, queue in (("bullmq", "video"), ("bull", "audio")):
            stations[package].ask("add", queue=queue)
            stations[package].ask("add", queue=queue, opts={"delay": 60_000})
        child = {"name": "child", "queueName": "video"}
        stations["bullmq"].ask("flow", tree={"name": "parent", "queueName": "flow", "children": [child]})

    def send_with_laravel() -> None:
        laravel.dispatch("default", "a")
        laravel.dispatch("emails", "b", delay=60)

    def add_to_a_stream() -> None:
        client = redis_server.client()
        client.xgroup_create("orders", "billing", id="0", mkstream=True)
        client.xadd("orders", {"order": "1"})
        client.xadd("orders", {"order": "2"})
        client.xreadgroup("billing", "web-1", {"orders": ">"}, count=1)

    return [
        lambda: new.run("rq_numbers.py", url, "fill", "default"),
        lambda: old.run("rq_numbers.py", url, "busy", "old"),
        send_with_celery,
        send_with_dramatiq,
        lambda: old.run("arq_app.py", json.dumps([["hold", 0], ["hold", 60]]), environment={"REDIS_URL": url}),
        lambda: send_with_huey("shop", "RedisHuey", None),
        lambda: send_with_huey("urgent", "PriorityRedisHuey", 1, 5),
        lambda: send_with_taskiq("list", "taskiq", "1", "fail"),
        lambda: send_with_taskiq("stream", "bulk", "1"),
        send_with_saq,
        lambda: sidekiq.tell("mail:x", "mail:x", "default:x", "mail:x:0:60"),
        send_with_bulls,
        send_with_laravel,
        add_to_a_stream,
    ]


def test_all_that_is_there_is_told_and_nothing_else(
    redis_server: RedisServer, producers: list[Callable[[], object]], make_daemon: MakeDaemon
) -> None:
    with ThreadPoolExecutor(max_workers=4) as pool:
        for done in [pool.submit(each) for each in producers]:
            done.result()

    exporter = make_daemon("exporter", None, environ={"DEPTHGAUGE_REDIS_URL": redis_server.url}).ready()
    told: dict[tuple[str, str], dict[str, int]] = {}
    for labels, value in exporter.samples("jobqueue_jobs").items():
        each = dict(labels)
        assert each["redis"] == "default"
        told.setdefault((each["system"], each["queue"]), {})[each["state"]] = int(value)
    assert told == EXPECTED
    assert exporter.value("jobqueue_up") == 1.0
    page = exporter.get("/metrics")
    assert page is not None
    families = [each for each in text_string_to_metric_families(page) if each.name.startswith("jobqueue_")]
    named = {
        (each.labels["system"], each.labels["queue"])
        for family in families
        for each in family.samples
        if "system" in each.labels
    }
    assert named == set(EXPECTED)
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=page, check=False, capture_output=True, text=True, timeout=30
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    loud = [line for line in exporter.text.splitlines() if "level=info" not in line]
    assert [line for line in loud if "no supervisord was found" not in line] == []
