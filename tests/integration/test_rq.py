"""The RQ reader beside the library itself as producer and worker."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import psutil
import pytest

from depthgauge.snapshot import KeptJobs, LiveJobs
from exporter.command_lines.rq import RqCommandLine
from exporter.settings import PrefixSettings
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import RedisServer
from tests.plugins.systems import MakeSystems
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("rq")

StartWorker: TypeAlias = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start_worker(redis_server: RedisServer) -> Iterator[StartWorker]:
    workers: list[subprocess.Popen[bytes]] = []

    def start(*words: str, environment: dict[str, str] | None = None) -> "subprocess.Popen[bytes]":
        workers.append(
            subprocess.Popen(
                [sys.executable, "-m", "rq.cli", "worker", "--url", redis_server.url, "--quiet", *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        )
        return workers[-1]

    yield start
    for worker in workers:
        if worker.poll() is None:
            for process in (*psutil.Process(worker.pid).children(recursive=True), psutil.Process(worker.pid)):
                process.kill()
        worker.wait(20)


def burst(start_worker: StartWorker, *queues: str) -> None:
    assert start_worker("--burst", *queues).wait(60) == 0


def rq_queue(name: str, server: RedisServer) -> Any:
    from rq import Queue

    return Queue(name, connection=server.client())


@pytest.mark.proves("rq", "waiting", "head", "kept")
def test_queued_finished_and_failed(
    redis_server: RedisServer, start_worker: StartWorker, make_source: MakeSource
) -> None:
    queue = rq_queue("high", redis_server)
    before = datetime.now(UTC)
    first = queue.enqueue("operator.truediv", 1, 1)
    queue.enqueue("operator.truediv", 1, 0)
    source = make_source(redis_server.url)
    waiting = read(source)["rq", "high"]
    assert waiting.live == LiveJobs(waiting=2, active=0, delayed=0, blocked=0)
    assert waiting.head_eligible_at is not None
    assert before <= waiting.head_eligible_at <= datetime.now(UTC)
    assert waiting.head_eligible_at == first.enqueued_at
    burst(start_worker, "high")
    done = read(source)["rq", "high"]
    assert done.live == LiveJobs(waiting=0, active=0, delayed=0, blocked=0)
    assert done.kept == KeptJobs(finished=1, failed=1, canceled=0)
    assert done.head_eligible_at is None
    assert done.registry_workers == 0, "the worker of the burst said good-bye"


@pytest.mark.proves("rq", "delayed", "blocked", "kept")
def test_deferred_scheduled_and_canceled(redis_server: RedisServer, make_source: MakeSource) -> None:
    queue = rq_queue("low", redis_server)
    parent = queue.enqueue("time.sleep", 0)
    queue.enqueue("time.sleep", 0, depends_on=parent)
    queue.enqueue_in(timedelta(hours=1), "time.sleep", 0)
    queue.enqueue("time.sleep", 0).cancel()
    found = read(make_source(redis_server.url))["rq", "low"]
    assert found.live == LiveJobs(waiting=1, active=0, delayed=1, blocked=1)
    assert found.kept == KeptJobs(finished=0, failed=0, canceled=1)


def test_a_scheduled_job_that_is_overdue_waits_for_a_scheduler(
    redis_server: RedisServer, make_source: MakeSource
) -> None:
    queue = rq_queue("low", redis_server)
    due = datetime.now(UTC) - timedelta(minutes=2)
    queue.enqueue_at(due, "time.sleep", 0)
    found = read(make_source(redis_server.url))["rq", "low"]
    assert found.live == LiveJobs(waiting=1, active=0, delayed=0, blocked=0)
    assert found.head_eligible_at is not None
    assert abs(found.head_eligible_at - due) < timedelta(seconds=1)


@pytest.mark.proves("rq", "active", "workers", "command line")
def test_a_started_job_is_active_and_its_worker_busy(
    redis_server: RedisServer, start_worker: StartWorker, make_source: MakeSource
) -> None:
    rq_queue("high", redis_server).enqueue("time.sleep", 60)
    source = make_source(redis_server.url)
    worker = start_worker("-n", "w1", "high", "low")
    found = wait_for(
        lambda: (now := read(source)["rq", "high"]).registry_workers_busy == 1 and now, what="the worker is busy"
    )
    found = wait_for(lambda: (now := read(source)["rq", "high"]).live.active == 1 and now, what="the job is at work")
    assert found.live == LiveJobs(waiting=0, active=1, delayed=0, blocked=0)
    assert found.registry_workers == 1
    assert found.completed_total is None, "the worker counts for both of its queues together"
    assert RqCommandLine().serves(psutil.Process(worker.pid).cmdline()) == ["high", "low"]


def test_a_killed_worker_is_not_counted_once_its_hash_is_gone(
    redis_server: RedisServer, start_worker: StartWorker, make_source: MakeSource
) -> None:
    rq_queue("high", redis_server)
    source = make_source(redis_server.url, queues=("rq:high",))
    worker = start_worker("-n", "w1", "high")
    wait_for(lambda: read(source)["rq", "high"].registry_workers == 1, what="the worker is registered")
    assert read(source)["rq", "high"].registry_workers_busy == 0
    worker.kill()
    worker.wait(20)
    client = redis_server.client()
    client.delete("rq:worker:w1")  # what its TTL does after 480 s
    assert client.smembers("rq:workers:high") == {b"rq:worker:w1"}, "RQ leaves the name behind"
    assert read(source)["rq", "high"].registry_workers == 0


@pytest.mark.proves("rq", "paused")
def test_suspended_workers_are_a_paused_queue(redis_server: RedisServer, make_source: MakeSource) -> None:
    from rq.suspension import resume, suspend

    rq_queue("high", redis_server).enqueue("time.sleep", 0)
    source = make_source(redis_server.url)
    assert read(source)["rq", "high"].paused is False
    suspend(redis_server.client())
    assert read(source)["rq", "high"].paused is True
    resume(redis_server.client())
    assert read(source)["rq", "high"].paused is False


def test_the_head_whose_hash_expired_is_passed_over(redis_server: RedisServer, make_source: MakeSource) -> None:
    queue = rq_queue("high", redis_server)
    gone, next_one = queue.enqueue("time.sleep", 0), queue.enqueue("time.sleep", 0)
    redis_server.client().delete(f"rq:job:{gone.id}")  # what a job's ttl does
    found = read(make_source(redis_server.url))["rq", "high"]
    assert found.live.waiting == 2
    assert found.head_eligible_at == next_one.enqueued_at


@pytest.mark.proves("rq", "found")
def test_two_applications_with_a_prefix_each_do_not_mix(redis_server: RedisServer, make_source: MakeSource) -> None:
    script = (
        "import sys, redis, rq; connection = redis.Redis.from_url(sys.argv[1]);"
        "[rq.Queue(name, connection=connection).enqueue('time.sleep', 0) for name in sys.argv[2:]]; connection.close()"
    )
    jobs = {"shop:rq": ("mail", "mail", "mail", "low"), "rq": ("mail",)}
    for prefix, names in jobs.items():
        subprocess.run(
            [sys.executable, "-c", script, redis_server.url, *names],
            env={"RQ_KEY_PREFIX": prefix},
            check=True,
            timeout=60,
        )
    assert redis_server.client().exists("shop:rq:queue:mail")
    found = read(make_source(redis_server.url))
    assert {name: queue.live.waiting for (_, name), queue in found.items()} == {
        "shop:rq:mail": 3,
        "rq:mail": 1,
        "low": 1,
    }
    told = read(make_source(redis_server.url, rq=PrefixSettings(prefix="shop:rq")))
    assert {name: queue.live.waiting for (_, name), queue in told.items()} == {"mail": 3, "low": 1}


def test_sets_of_other_systems_tell_no_queue_of_rq(redis_server: RedisServer, make_source: MakeSource) -> None:
    client = redis_server.client()
    client.sadd("resque:queues", "high", "queue:low", "rq:queue:x")
    client.sadd("resque:workers", "host:1:high", "worker:2")
    client.sadd("sidekiq:queues", "high")
    client.set("shop:queues", "x")
    client.rpush("other:queues", "other:queue:high")
    client.sadd("other:workers", "x")
    client.sadd("a b:queues", "a b:queue:high")
    source = make_source(redis_server.url, systems=("rq",))
    assert read(source) == {}
    assert source.discovery.problem is None


@pytest.mark.proves("rq", "found")
def test_a_queue_with_workers_that_never_had_a_job_is_found(
    redis_server: RedisServer, start_worker: StartWorker, make_source: MakeSource
) -> None:
    source = make_source(redis_server.url, discovery_interval=0.05)
    start_worker("-n", "w1", "new", "other")
    found = wait_for(lambda: ("rq", "other") in (now := read(source)) and now, what="both queues are found")
    assert set(found) == {("rq", "new"), ("rq", "other")}, "and nothing by the name of both"
    assert not redis_server.client().exists("rq:queues")
    assert found["rq", "new"].registry_workers == 1
    assert found["rq", "new"].completed_total is None, "its worker serves another queue too"


@pytest.mark.proves("rq", "totals", "mean seconds")
def test_totals_of_a_queue_whose_workers_serve_nothing_else(
    redis_server: RedisServer, start_worker: StartWorker, make_source: MakeSource
) -> None:
    queue = rq_queue("high", redis_server)
    source = make_source(redis_server.url, queues=("rq:high",))
    assert read(source)["rq", "high"].completed_total is None, "nobody has counted anything"
    worker = start_worker("-n", "w1", "high")
    wait_for(lambda: read(source)["rq", "high"].completed_total == 0, what="the worker is known")
    queue.enqueue("time.sleep", 0.2)
    queue.enqueue("operator.truediv", 1, 0)
    done = wait_for(lambda: (now := read(source)["rq", "high"]).failed_total == 1 and now, what="both are done")
    assert done.completed_total == 1
    assert done.processing_seconds is not None
    assert 0.1 <= done.processing_seconds < 1
    queue.enqueue("operator.truediv", 1, 1)
    wait_for(lambda: queue.finished_job_registry.get_job_count(cleanup=False) == 2, what="one more")
    worker.terminate()
    worker.wait(20)
    parted = read(source)["rq", "high"]
    assert (parted.registry_workers, parted.completed_total, parted.failed_total) == (0, 2, 1)


VERSIONS = [
    pytest.param("systems", "3.0", marks=pytest.mark.needs("systems")),
    pytest.param("systems-redis5", "2.6", marks=pytest.mark.needs("systems-redis5")),
]


@pytest.mark.proves("rq", "waiting", "active", "delayed", "blocked", "kept", "workers")
@pytest.mark.parametrize(("environment", "version"), VERSIONS)
def test_the_numbers_are_those_of_the_library(
    redis_server: RedisServer, make_source: MakeSource, make_systems: MakeSystems, environment: str, version: str
) -> None:
    systems = make_systems(environment)
    source = make_source(redis_server.url, queues=("rq:high",))

    def ask(*words: str) -> Any:
        return systems.ask("rq_numbers.py", redis_server.url, *words, "high")

    def compare(own: Any) -> None:
        found = read(source)["rq", "high"]
        assert found.live == LiveJobs(
            waiting=own["queued"] + own["due"],
            active=own["started"] + own["intermediate"],
            delayed=own["scheduled"] - own["due"],
            blocked=own["deferred"],
        )
        assert found.kept == KeptJobs(finished=own["finished"], failed=own["failed"], canceled=own["canceled"])
        assert found.registry_workers == own["workers"]

    before = ask("fill", "numbers")
    assert (before["queued"], before["due"], before["scheduled"], before["deferred"]) == (4, 1, 2, 1)
    compare(before)
    worker = systems.start("rq", "worker", "--url", redis_server.url, "--quiet", "high")
    client = redis_server.client()
    wait_for(lambda: client.zcard("rq:scheduled:high") == 3, 20, what="the last of the four waits to be tried again")
    after = ask("busy", "numbers")
    assert (after["finished"], after["failed"], after["successful"], after["unsuccessful"]) == (2, 1, 2, 2)
    wait_for(lambda: client.zcard("rq:wip:high") == 1, what="the long job is at work")
    systems.stop(worker, kill=True)
    lost = ask("pop", "numbers")
    assert (lost["started"], lost["intermediate"]) == (1, 1), (
        "what a killed worker had, and what another one had popped"
    )
    compare(lost)
    (member,) = client.smembers("rq:workers:high")
    used: Any = client.hget(member, "version")
    assert used.startswith(version.encode()), "this is the version that was meant"
