"""The Sidekiq reader beside Sidekiq itself (6.4) as producer and worker, and beside the numbers of its own API."""

import signal
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from depthgauge.snapshot import KeptJobs, LiveJobs, Queue
from exporter.sources.redis_queues import RedisQueuesSource
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import RedisServer
from tests.plugins.sidekiq import SidekiqApp
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("sidekiq")


def queues(source: RedisQueuesSource) -> Mapping[str, Queue]:
    found = read(source)
    assert {system for system, _ in found} <= {"sidekiq"}
    return {name: queue for (_, name), queue in found.items()}


def sizes(found: Mapping[str, Queue]) -> Mapping[str, int | None]:
    return {name: queue.live.waiting for name, queue in found.items() if name}


@pytest.mark.proves("sidekiq", "waiting", "delayed", "head", "found")
def test_pushed_jobs_wait_and_scheduled_ones_are_delayed(
    sidekiq: SidekiqApp, redis_server: RedisServer, make_source: MakeSource
) -> None:
    told = sidekiq.tell("mail:ok", "mail:ok", "low:ok", "mail:ok:0:3600", "mail:ok:0:1")
    at = datetime.now(UTC)
    source = make_source(redis_server.url)
    found = queues(source)
    assert sizes(found) == told["queues"] == {"mail": 2, "low": 1}
    assert all(queue.error is None for queue in found.values())
    for name, latency in told["latencies"].items():
        head = found[name].head_eligible_at
        assert head is not None
        assert abs(at - timedelta(seconds=latency) - head) < timedelta(seconds=1), "Sidekiq's own latency"
    assert found["mail"].live == LiveJobs(waiting=2, active=0)
    assert found["mail"].registry_workers == 0
    assert sum((found[""].live.delayed or 0, found[""].live.waiting or 0)) == told["scheduled"] == 2
    due = wait_for(lambda: (now := queues(source))[""].live.waiting == 1 and now, what="one of the jobs is due")
    assert due[""].live == LiveJobs(waiting=1, active=0, delayed=1, retry=0)
    client: Any = redis_server.client()
    ((_, score),) = client.zrange("schedule", 0, 0, withscores=True)
    assert due[""].head_eligible_at == datetime.fromtimestamp(float(score), UTC)
    assert sidekiq.tell()["scheduled"] == 2, "nobody has moved it"


@pytest.mark.proves("sidekiq", "active", "retry", "kept", "totals", "workers")
def test_a_process_runs_fails_retries_and_drains(
    sidekiq: SidekiqApp, redis_server: RedisServer, make_source: MakeSource
) -> None:
    sidekiq.tell("mail:ok", "mail:ok", "low:hold", "mail:hold", "mail:fail:3", "low:fail:0", "other:ok")
    sidekiq.start("-q", "mail,2", "-q", "low", "-c", "4")
    source = make_source(redis_server.url)

    def settled() -> Mapping[str, Queue] | None:
        found = queues(source)
        running = [found[name].live.active for name in ("mail", "low")]
        return found if found[""].failed_total == 2 and running == [1, 1] else None

    found = wait_for(settled, what="two jobs run, two have failed")
    told = sidekiq.tell()
    assert told["running"] == {"low": 1, "mail": 1}
    assert {name: queue.live.active for name, queue in found.items()} == {"": 0, "mail": 1, "low": 1, "other": 0}
    assert sizes(found) == told["queues"] == {"mail": 0, "low": 0, "other": 1}
    assert found[""].live == LiveJobs(waiting=0, active=0, delayed=0, retry=1)
    assert told["retry"] == 1
    assert found[""].kept == KeptJobs(dead=told["dead"])
    assert told["dead"] == 1
    assert found[""].completed_total == told["processed"] - told["failed"] == 2
    assert told["processes"] == [{"queues": ["mail", "low"], "busy": 2}]
    workers = {name: (each.registry_workers, each.registry_workers_busy) for name, each in queues(source).items()}
    assert workers == {"": (1, 1), "mail": (1, 1), "low": (1, 1), "other": (0, 0)}
    sidekiq.let_go()
    sidekiq.let_go()

    def drained() -> Mapping[str, Queue] | None:
        # A beat writes totals and work first, then the process: what is between the two is told by neither.
        found = queues(source)
        return found if found[""].completed_total == 4 and found["mail"].registry_workers_busy == 0 else None

    done = wait_for(drained, what="both are done")
    assert {name: queue.live.active for name, queue in done.items()} == {"": 0, "mail": 0, "low": 0, "other": 0}
    assert done["mail"].registry_workers == 1


@pytest.mark.proves("sidekiq", "workers")
def test_a_quiet_process_serves_no_queue_and_a_killed_one_is_gone_with_its_hash(
    sidekiq: SidekiqApp, redis_server: RedisServer, make_source: MakeSource
) -> None:
    sidekiq.tell("mail:hold")
    process = sidekiq.start("-q", "mail", "-c", "1")
    source = make_source(redis_server.url)
    wait_for(lambda: queues(source)["mail"].live.active == 1, what="the job runs")
    assert queues(source)["mail"].registry_workers == 1
    process.send_signal(signal.SIGTSTP)
    wait_for(lambda: queues(source)["mail"].registry_workers == 0, what="the process takes no more jobs")
    assert queues(source)["mail"].live.active == 1, "but has one still"
    process.kill()
    process.wait(20)
    assert queues(source)["mail"].live.active == 1, "until its hash is gone"
    client: Any = redis_server.client()
    (identity,) = client.smembers("processes")
    assert 0 < client.ttl(identity) <= 60
    client.expire(identity, 0)  # what happens after 60 s
    gone = queues(source)
    assert (gone["mail"].live.active, gone["mail"].registry_workers) == (0, 0)
    assert client.smembers("processes") == {identity}, "Sidekiq leaves the name behind, and so did we"
    assert sidekiq.tell()["processes"] == []


@pytest.mark.proves("sidekiq", "workers")
def test_a_process_that_ends_says_good_bye(
    sidekiq: SidekiqApp, redis_server: RedisServer, make_source: MakeSource
) -> None:
    process = sidekiq.start("-q", "mail", "-c", "1")
    source = make_source(redis_server.url, discovery_interval=0.2)
    found = wait_for(
        lambda: source.discover_now(time.monotonic() + 5) and queues(source),
        what="a queue that was never pushed to is found by the process that serves it",
    )
    assert found["mail"].registry_workers == 1
    process.terminate()
    wait_for(lambda: queues(source)["mail"].registry_workers == 0, 20, what="it has left")
    assert process.wait(20) == 0
