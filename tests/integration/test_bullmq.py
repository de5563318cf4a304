"""The BullMQ reader beside the library itself, four generations of it, as producer and worker under node."""

from datetime import UTC, datetime
from typing import Any

import pytest

from depthgauge.snapshot import KeptJobs, LiveJobs, Queue
from exporter.settings import PrefixSettings
from exporter.sources.redis_queues import RedisQueuesSource
from tests.plugins.bullmq import BullStation, MakeStation
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import RedisServer
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("bullmq")

HOUR = 3_600_000
VERSIONS = ("bullmq3", "bullmq4", "bullmq5", "bullmq")


def at(milliseconds: float) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def compare(source: RedisQueuesSource, station: BullStation, name: str, *, overdue: int = 0) -> tuple[Queue, Any]:
    """Read, ask the library afterwards (its counting may write), compare what both tell, and return both."""
    ours = read(source)["bullmq", name]
    theirs = station.ask("numbers", queue=name)
    counts = theirs["counts"]
    ready = counts["waiting"] + counts.get("paused", 0) + counts.get("prioritized", 0)
    assert ours.live == LiveJobs(
        waiting=ready + overdue,
        active=counts["active"],
        delayed=counts["delayed"] - overdue,
        blocked=counts["waiting-children"],
    )
    assert ours.kept == KeptJobs(finished=counts["completed"], failed=counts["failed"])
    assert (ours.completed_total or 0, ours.failed_total or 0) == (theirs["completed"], theirs["failed"])
    assert ours.registry_workers == theirs["workers"]
    assert ours.paused is theirs["paused"]
    assert ours.error is None
    return ours, theirs


@pytest.mark.parametrize("package", VERSIONS)
def test_a_queue_goes_through_all_its_states(
    package: str, redis_server: RedisServer, make_station: MakeStation, make_source: MakeSource
) -> None:
    station = make_station(package, redis_server)

    def add(data: dict[str, Any] | None = None, **opts: Any) -> Any:
        return station.ask("add", queue="mail", data=data or {}, opts=opts)

    first = add({"ms": 30})
    add({"fail": True})
    add({"fail": True}, attempts=3, backoff={"type": "fixed", "delay": HOUR})
    add(delay=HOUR)
    add(priority=5)
    urgent = add(priority=1)
    source = make_source(redis_server.url)
    waiting, _ = compare(source, station, "mail")
    assert waiting.live == LiveJobs(waiting=5, active=0, delayed=1, blocked=0)
    ahead = urgent if package == "bullmq3" else first  # since 4.0 prioritized jobs come after the others
    assert waiting.head_eligible_at == at(ahead["timestamp"])
    assert waiting.completed_total is None, "no worker has kept metrics"
    assert waiting.processing_seconds is None
    assert waiting.registry_workers == 0

    last = add(lifo=True)
    assert compare(source, station, "mail")[0].head_eligible_at == at(last["timestamp"])

    station.ask("pause", queue="mail")
    add()
    paused, _ = compare(source, station, "mail")
    assert paused.live.waiting == 7
    assert paused.paused is True
    assert paused.head_eligible_at == at(last["timestamp"])
    station.ask("resume", queue="mail")
    assert compare(source, station, "mail")[0].paused is False

    station.ask("work", queue="mail")
    wait_for(lambda: read(source)["bullmq", "mail"].live.waiting == 0, what="the worker has run what was ready")
    wait_for(lambda: read(source)["bullmq", "mail"].live.active == 0, what="and has ended the last one")
    done, _ = compare(source, station, "mail")
    assert done.live == LiveJobs(waiting=0, active=0, delayed=2, blocked=0), "the failed one with a backoff waits"
    assert done.kept == KeptJobs(finished=5, failed=1)
    assert (done.completed_total, done.failed_total) == (5, 1)
    assert done.registry_workers == 1
    assert done.head_eligible_at is None
    spans = station.ask("spans", queue="mail")
    assert done.processing_seconds == pytest.approx(sum(spans) / len(spans) / 1000, abs=0.05)
    assert done.processing_seconds > 0.004, "one of five took 30 ms"

    add({"hold": "x"})
    wait_for(lambda: read(source)["bullmq", "mail"].live.active == 1, what="a job is at work")
    compare(source, station, "mail")
    station.kill()
    killed = wait_for(lambda: (now := read(source)["bullmq", "mail"]).registry_workers == 0 and now, what="it is gone")
    assert killed.live.active == 1, "its job counts as taken until another worker notices"


@pytest.mark.parametrize("package", VERSIONS)
def test_overdue_jobs_wait_and_markers_are_no_jobs(
    package: str, redis_server: RedisServer, make_station: MakeStation, make_source: MakeSource
) -> None:
    station = make_station(package, redis_server)
    due = station.ask("add", queue="late", opts={"delay": 5})
    station.ask("add", queue="late", opts={"delay": HOUR})
    urgent = station.ask("add", queue="urgent", opts={"priority": 3})
    station.ask("add", queue="lifo", opts={"delay": HOUR})
    stack = [station.ask("add", queue="lifo", opts={"lifo": True}) for _ in range(5)]
    client = redis_server.client()
    if package in {"bullmq3", "bullmq4"}:
        assert client.lrange("bull:late:wait", 0, -1)[0].startswith(b"0:")
        assert client.lindex("bull:lifo:wait", 0).startswith(b"0:"), "the marker is at the other end"
    source = make_source(redis_server.url)
    late = wait_for(lambda: (now := read(source)["bullmq", "late"]).live.waiting == 1 and now, what="one is overdue")
    assert late.live == LiveJobs(waiting=1, active=0, delayed=1, blocked=0)
    assert late.head_eligible_at == at(due["timestamp"] + 5)
    compare(source, station, "late", overdue=1)
    found = read(source)
    assert found["bullmq", "urgent"].live.waiting == 1
    assert found["bullmq", "urgent"].head_eligible_at == at(urgent["timestamp"])
    assert found["bullmq", "lifo"].live == LiveJobs(waiting=5, active=0, delayed=1, blocked=0)
    assert found["bullmq", "lifo"].head_eligible_at == at(stack[-1]["timestamp"])
    compare(source, station, "urgent")

    station.ask("promote", queue="late", id=due["id"])
    promoted, _ = compare(source, station, "late")
    assert promoted.live == LiveJobs(waiting=1, active=0, delayed=1, blocked=0)
    assert promoted.head_eligible_at == at(due["timestamp"] + 5), "the job forgets its delay, its options do not"


@pytest.mark.parametrize("package", VERSIONS)
def test_a_flow_blocks_its_parent(
    package: str, redis_server: RedisServer, make_station: MakeStation, make_source: MakeSource
) -> None:
    station = make_station(package, redis_server)
    child = {"name": "child", "queueName": "parts", "data": {}}
    station.ask("flow", tree={"name": "parent", "queueName": "whole", "data": {}, "children": [child, child]})
    if package == "bullmq3":
        assert not redis_server.client().exists("bull:parts:meta"), "nobody has made a Queue"
    source = make_source(redis_server.url)
    found = read(source)
    assert found["bullmq", "whole"].live == LiveJobs(waiting=0, active=0, delayed=0, blocked=1)
    assert found["bullmq", "parts"].live == LiveJobs(waiting=2, active=0, delayed=0, blocked=0)
    assert len(found) == 2, "none of them is taken for one of Bull's"
    compare(source, station, "whole")
    compare(source, station, "parts")
    station.ask("work", queue="parts")
    wait_for(lambda: read(source)["bullmq", "whole"].live.waiting == 1, what="the parent is ready")
    compare(source, station, "whole")


@pytest.mark.parametrize("package", ["bullmq3", "bullmq"])
def test_a_retried_job_is_eligible_since_its_last_attempt(
    package: str, redis_server: RedisServer, make_station: MakeStation, make_source: MakeSource
) -> None:
    station = make_station(package, redis_server)
    job = station.ask("add", queue="mail", data={"fail": True}, opts={"attempts": 2, "backoff": 1})
    station.ask("pause", queue="mail")
    station.ask("resume", queue="mail")
    station.ask("work", queue="mail", opts={"settings": {"backoffStrategy": None}})
    source = make_source(redis_server.url)
    wait_for(lambda: read(source)["bullmq", "mail"].kept.failed == 1, what="both attempts failed")
    station.ask("stop")
    redis_server.client().zrem("bull:mail:failed", job["id"])
    redis_server.client().rpush("bull:mail:wait", job["id"])  # what retrying by hand does
    times = station.ask("job", queue="mail", id=job["id"])
    assert times["processedOn"] > job["timestamp"]
    assert read(source)["bullmq", "mail"].head_eligible_at == at(times["processedOn"])


@pytest.mark.parametrize("package", ["bullmq5", "bullmq"])
def test_named_workers_of_this_database_are_counted(
    package: str, redis_server: RedisServer, make_station: MakeStation, make_source: MakeSource
) -> None:
    station = make_station(package, redis_server)
    elsewhere = make_station(package, redis_server, database=1)
    for each in (station, elsewhere):
        each.ask("add", queue="mail", data={}, opts={"delay": HOUR})
        each.ask("work", queue="mail")
    station.ask("work", queue="mail", opts={"name": "one:w:two"})
    station.ask("work", queue="mailing")
    source = make_source(redis_server.url)
    wait_for(lambda: read(source)["bullmq", "mail"].registry_workers == 2, what="both workers are connected")
    assert len(read(source)) == 2 - 1, "a queue that only has a worker has no keys"
    (theirs,) = {each.ask("numbers", queue="mail")["workers"] for each in (station, elsewhere)}
    assert theirs == 3, "the library itself counts those of all databases"
    station.ask("stop")
    wait_for(lambda: read(source)["bullmq", "mail"].registry_workers == 0, what="they are gone")


def test_without_the_right_to_the_list_of_clients_only_workers_are_unknown(
    redis_server: RedisServer, make_station: MakeStation, make_source: MakeSource
) -> None:
    make_station("bullmq", redis_server).ask("add", queue="mail")
    rights = "+time +info +scan +type +select +llen +lrange +lindex +zcard +zcount +zrange +hmget +exists".split()
    client = redis_server.client()
    client.execute_command("ACL", "SETUSER", "watcher", "on", ">word", "resetkeys", "-@all", "%R~*", *rights)
    source = make_source(f"redis://watcher:word@127.0.0.1:{redis_server.port}/0")
    found = read(source)["bullmq", "mail"]
    assert found.live.waiting == 1
    assert found.registry_workers is None
    assert found.error is None
    read(source)
    refused = [each for each in client.acl_log() if each["object"] == "client|list"]
    assert sum(int(each["count"]) for each in refused) == 1, "what was refused is not asked for at every reading"
    client.execute_command("ACL", "SETUSER", "watcher", "+client|list")
    nameless = make_source(f"redis://watcher:word@127.0.0.1:{redis_server.port}/0")
    assert read(nameless)["bullmq", "mail"].registry_workers is None, "we do not see our own name: names may be hidden"
    client.execute_command("ACL", "SETUSER", "watcher", "+client|setname")
    named = make_source(f"redis://watcher:word@127.0.0.1:{redis_server.port}/0")
    assert read(named)["bullmq", "mail"].registry_workers == 0


def test_prefixes_are_told_apart_and_other_keys_are_left_alone(
    redis_server: RedisServer, make_station: MakeStation, make_source: MakeSource
) -> None:
    client = redis_server.client()
    client.hset("app:users:meta", mapping={"version": "", "rows": 3} | {"paused": 1})
    client.delete("app:users:meta")
    client.hset("app:users:meta", "rows", 3)
    client.set("app:user:1:id", 1)
    client.xadd("shop:orders:events", {"a": 1})
    client.set("shop:orders:id", 1)
    for package, prefix, names in (
        ("bullmq", "bull", ["mail", "{tagged}"]),
        ("bullmq5", "{bull}", ["mail"]),
        ("bullmq", "shop:eu", ["images"]),
        ("bullmq3", "bull", ["a:b"]),
    ):
        station = make_station(package, redis_server, prefix=prefix)
        for name in names:
            station.ask("add", queue=name)
    source = make_source(redis_server.url)
    found = read(source)
    assert set(found) == {("bullmq", name) for name in ("bull:mail", "{bull}:mail", "{tagged}", "images", "a:b")}
    assert all(queue.live.waiting == 1 for queue in found.values())
    told = read(make_source(redis_server.url, bullmq=PrefixSettings(prefix="shop:eu"), queues=("bullmq:mail",)))
    assert {name: queue.live.waiting for (_, name), queue in told.items()} == {"mail": 0, "images": 1}


def test_a_queue_that_was_found_stays(
    redis_server: RedisServer, make_station: MakeStation, make_source: MakeSource
) -> None:
    station = make_station("bullmq", redis_server)
    station.ask("add", queue="mail")
    source = make_source(redis_server.url)
    assert read(source)["bullmq", "mail"].live.waiting == 1
    station.ask("pause", queue="mail")
    station.ask("obliterate", queue="mail")
    assert not redis_server.client().keys("bull:mail:*")
    assert read(source)["bullmq", "mail"].live == LiveJobs(waiting=0, active=0, delayed=0, blocked=0)
