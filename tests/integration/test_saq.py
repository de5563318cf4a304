"""The SAQ reader beside the library itself as producer and worker, compared with ``Queue.info()``."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias

import pytest

from depthgauge.snapshot import LiveJobs, Queue
from exporter.sources.redis_queues import RedisQueuesSource
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import RedisServer
from tests.plugins.systems import MakeSystems, Systems
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("systems-redis5", "redis-server")

Ask: TypeAlias = Callable[..., Any]
NAME = "mail:eu"


@pytest.fixture
def systems(make_systems: MakeSystems) -> Systems:
    return make_systems("systems-redis5")


@pytest.fixture
def words(redis_server: RedisServer) -> dict[str, str]:
    return {"REDIS_URL": redis_server.url, "QUEUE": NAME}


@pytest.fixture
def ask(systems: Systems, words: dict[str, str]) -> Ask:
    """Give a function that runs the application's program and returns the queue's info as SAQ tells it afterwards."""
    return lambda *command: systems.ask("saq_app.py", *command, environment=words)


def reads(source: RedisQueuesSource) -> Queue:
    return read(source)["saq", NAME]


@pytest.mark.proves("saq", "waiting", "active", "delayed", "head", "totals", "workers", "found")
def test_a_queue_fills_is_worked_on_and_drains(
    redis_server: RedisServer, systems: Systems, words: dict[str, str], ask: Ask, make_source: MakeSource
) -> None:
    began = datetime.now(UTC)
    ask("nap", "0")
    ask("fail")
    ask("nap", "0", "3600")
    told = ask("nap", "0", "-60")
    source = make_source(redis_server.url)
    before = reads(source)
    assert (told["queued"], told["active"], told["scheduled"]) == (2, 0, 2)
    assert before.live == LiveJobs(waiting=3, active=0, delayed=1), "SAQ calls the overdue one scheduled"
    assert before.head_eligible_at is not None
    assert began.replace(microsecond=0) <= before.head_eligible_at <= datetime.now(UTC)
    assert (before.registry_workers, before.completed_total, before.failed_total) == (0, 0, 0)

    worker = systems.start("saq", "saq_app.settings", environment=words)
    wait_for(lambda: reads(source).registry_workers == 1, what="the worker has told about itself")
    wait_for(lambda: reads(source).failed_total == 1, what="the failing job was tried twice")
    done = wait_for(lambda: (now := reads(source)).completed_total == 2 and now, what="both naps are done")
    assert done.live == LiveJobs(waiting=0, active=0, delayed=1)
    assert done.head_eligible_at is None
    told = ask("nap", "30")
    (stats,) = (each["stats"] for each in told["workers"].values())
    assert (stats["complete"], stats["failed"]) == (2, 1)
    assert stats["retried"] >= 1, "a sweep that comes early may have put one back, too"

    wait_for(lambda: reads(source).live.active == 1, what="the long nap runs")
    systems.stop(worker, kill=True)
    assert ask("info")["active"] == 1
    wait_for(lambda: reads(source).registry_workers == 0, what="the killed worker's entry has expired")
    killed = reads(source)
    assert killed.live == LiveJobs(waiting=0, active=1, delayed=1), "its job stays until a sweep"
    assert (killed.completed_total, killed.failed_total) == (2, 1)

    systems.start("saq", "saq_app.settings", environment=words)
    wait_for(lambda: reads(source).live.active == 0, 20, what="another worker has swept it away")
    ask("nap", "0")
    swept = wait_for(lambda: (now := reads(source)).completed_total == 3 and now, what="the new worker counts on")
    assert swept.live == LiveJobs(waiting=0, active=0, delayed=1)
    # SAQ takes it for what is neither in a list nor running: between two of its counts a job may be in both or none.
    assert ask("info")["scheduled"] == 1


def test_a_retry_with_a_delay_is_delayed(
    redis_server: RedisServer, systems: Systems, words: dict[str, str], ask: Ask, make_source: MakeSource
) -> None:
    ask("fail", "3600")
    source = make_source(redis_server.url)
    assert reads(source).live == LiveJobs(waiting=1, active=0, delayed=0)
    systems.start("saq", "saq_app.settings", environment=words)
    wait_for(lambda: reads(source).live == LiveJobs(waiting=0, active=0, delayed=1), what="it waits for its second try")
    assert ask("info")["scheduled"] == 1
