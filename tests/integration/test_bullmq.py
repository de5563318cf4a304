"""The BullMQ reader beside the library itself, four generations of it, as producer and worker under node."""

import uuid
from typing import Any

import pytest

from depthgauge.snapshot import KeptJobs, LiveJobs, Queue
from exporter.settings import PrefixSettings
from exporter.sources.redis_queues import RedisQueuesSource
from tests.plugins.bullmq import BullStage, BullStation, MakeStation, Moment
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import RedisServer
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("bullmq")

HOUR = 3_600_000
VERSIONS = ("bullmq3", "bullmq4", "bullmq5", "bullmq")


def compare(source: RedisQueuesSource, station: BullStation, name: str, *, overdue: int = 0) -> Queue:
    """Read, ask the library afterwards (its counting may write), compare what both tell, and return ours."""
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
    return ours


@pytest.mark.parametrize("package", VERSIONS)
@pytest.mark.proves(
    "bullmq", "waiting", "active", "delayed", "kept", "head", "totals", "mean seconds", "workers", "paused", "found"
)
def test_a_queue_goes_through_all_its_states(package: str, bull_stage: BullStage, make_source: MakeSource) -> None:
    station = bull_stage.station(package)
    mail = f"mail-{package}-{uuid.uuid4().hex[:6]}"  # a second try meets an empty one, too

    def add(data: dict[str, Any] | None = None, **opts: Any) -> Any:
        return station.ask("add", queue=mail, data=data or {}, opts=opts)

    def ours() -> Queue:
        return read(source)["bullmq", mail]

    first = add({"ms": 30})
    add({"fail": True})
    add({"fail": True}, attempts=3, backoff={"type": "fixed", "delay": HOUR})
    add(delay=HOUR)
    add(priority=5)
    urgent = add(priority=1)
    source = make_source(bull_stage.server.url)
    waiting = compare(source, station, mail)
    assert waiting.live == LiveJobs(waiting=5, active=0, delayed=1, blocked=0)
    ahead = urgent if package == "bullmq3" else first  # since 4.0 prioritized jobs come after the others
    assert waiting.head_eligible_at == Moment(ahead["timestamp"])
    assert waiting.completed_total is None, "no worker has kept metrics"
    assert waiting.processing_seconds is None
    assert waiting.registry_workers == 0

    last = add(lifo=True)
    assert compare(source, station, mail).head_eligible_at == Moment(last["timestamp"])

    station.ask("pause", queue=mail)
    add()
    paused = compare(source, station, mail)
    assert paused.live.waiting == 7
    assert paused.paused is True
    assert paused.head_eligible_at == Moment(last["timestamp"])
    station.ask("resume", queue=mail)
    assert compare(source, station, mail).paused is False

    station.ask("work", queue=mail)
    wait_for(
        lambda: (now := ours()).live.waiting == 0 and now.live.active == 0, what="the worker has run what was ready"
    )
    done = compare(source, station, mail)
    assert done.live == LiveJobs(waiting=0, active=0, delayed=2, blocked=0), "the failed one with a backoff waits"
    assert done.kept == KeptJobs(finished=5, failed=1)
    assert (done.completed_total, done.failed_total) == (5, 1)
    assert done.registry_workers == 1
    assert done.head_eligible_at is None
    spans = station.ask("spans", queue=mail)
    assert len(spans) == 5
    assert max(spans) >= 29
    assert done.processing_seconds == pytest.approx(sum(spans) / 5 / 1000)

    add({"hold": "x"})
    wait_for(lambda: ours().live.active == 1, what="a job is at work")
    compare(source, station, mail)
    station.kill()
    killed = wait_for(lambda: (now := ours()).registry_workers == 0 and now, what="the worker is gone")
    assert killed.live.active == 1, "its job counts as taken until another worker notices"


@pytest.mark.parametrize("package", VERSIONS)
def test_overdue_jobs_wait_and_markers_are_no_jobs(
    package: str, bull_stage: BullStage, make_source: MakeSource
) -> None:
    station = bull_stage.station(package)
    late, urgent, lifo = (f"{name}-{package}" for name in ("late", "urgent", "lifo"))
    due = station.ask("add", queue=late, opts={"delay": 5})
    station.ask("add", queue=late, opts={"delay": HOUR})
    first = station.ask("add", queue=urgent, opts={"priority": 3})
    station.ask("add", queue=lifo, opts={"delay": HOUR})
    stack = [station.ask("add", queue=lifo, opts={"lifo": True}) for _ in range(5)]
    client: Any = bull_stage.server.client()
    if package in {"bullmq3", "bullmq4"}:
        assert client.lindex(f"bull:{late}:wait", 0).startswith(b"0:"), "there is a marker"
        assert client.lindex(f"bull:{lifo}:wait", 0).startswith(b"0:"), "it is at the other end"
    source = make_source(bull_stage.server.url)
    found = wait_for(lambda: (now := read(source))["bullmq", late].live.waiting == 1 and now, what="one is overdue")
    assert found["bullmq", late].live == LiveJobs(waiting=1, active=0, delayed=1, blocked=0)
    assert found["bullmq", late].head_eligible_at == Moment(due["timestamp"] + 5)
    assert found["bullmq", urgent].live.waiting == 1
    assert found["bullmq", urgent].head_eligible_at == Moment(first["timestamp"])
    assert found["bullmq", lifo].live == LiveJobs(waiting=5, active=0, delayed=1, blocked=0)
    assert found["bullmq", lifo].head_eligible_at == Moment(stack[-1]["timestamp"])
    compare(source, station, late, overdue=1)
    compare(source, station, urgent)

    station.ask("promote", queue=late, id=due["id"])
    promoted = compare(source, station, late)
    assert promoted.live == LiveJobs(waiting=1, active=0, delayed=1, blocked=0)
    assert promoted.head_eligible_at == Moment(due["timestamp"] + 5), "the job forgets its delay, its options do not"

    station.ask("pause", queue=urgent)
    station.ask("add", queue=urgent, opts={"delay": HOUR})
    assert compare(source, station, urgent).live == LiveJobs(waiting=1, active=0, delayed=1, blocked=0)


@pytest.mark.parametrize("package", VERSIONS)
@pytest.mark.proves("bullmq", "blocked")
def test_a_flow_blocks_its_parent(package: str, bull_stage: BullStage, make_source: MakeSource) -> None:
    station = bull_stage.station(package)
    whole, parts = f"whole-{package}", f"parts-{package}"
    child = {"name": "child", "queueName": parts, "data": {}}
    station.ask("flow", tree={"name": "parent", "queueName": whole, "data": {}, "children": [child, child]})
    if package == "bullmq3":
        assert not bull_stage.server.client().exists(f"bull:{parts}:meta"), "nobody has made a Queue"
    source = make_source(bull_stage.server.url)
    found = read(source)
    assert found["bullmq", whole].live == LiveJobs(waiting=0, active=0, delayed=0, blocked=1)
    assert found["bullmq", parts].live == LiveJobs(waiting=2, active=0, delayed=0, blocked=0)
    assert {system for system, _ in found} == {"bullmq"}, "none of them is taken for one of Bull's"
    compare(source, station, whole)
    compare(source, station, parts)
    station.ask("work", queue=parts)
    wait_for(lambda: read(source)["bullmq", whole].live.waiting == 1, what="the parent is ready")
    compare(source, station, whole)


@pytest.mark.parametrize("package", VERSIONS)
def test_a_retried_job_is_eligible_since_its_last_attempt(
    package: str, bull_stage: BullStage, make_source: MakeSource
) -> None:
    station = bull_stage.station(package)
    retried = f"retried-{package}"
    job = station.ask("add", queue=retried, data={"fail": True}, opts={"attempts": 2, "backoff": HOUR})
    station.ask("work", queue=retried)
    source = make_source(bull_stage.server.url)
    wait_for(lambda: read(source)["bullmq", retried].live.delayed == 1, what="the first attempt has failed")
    station.ask("stop")
    station.ask("promote", queue=retried, id=job["id"])
    ours = compare(source, station, retried)
    assert ours.live.waiting == 1
    times = station.ask("job", queue=retried, id=job["id"])
    assert times["processedOn"] >= job["timestamp"]
    assert ours.head_eligible_at == Moment(times["processedOn"])


@pytest.mark.parametrize("package", ["bullmq5", "bullmq"])
def test_named_workers_of_this_database_are_counted(
    package: str, bull_stage: BullStage, make_station: MakeStation, make_source: MakeSource
) -> None:
    station = bull_stage.station(package)
    elsewhere = make_station(package, bull_stage.server, database=1)
    crew, crewing = f"crew-{package}", f"crew-{package}ing"
    for each in (station, elsewhere):
        each.ask("work", queue=crew)
    station.ask("work", queue=crew, opts={"name": "one:w:two"})
    station.ask("work", queue=crewing)
    source = make_source(bull_stage.server.url, queues=(f"bullmq:{crew}", f"bullmq:{crewing}"))
    wait_for(lambda: read(source)["bullmq", crew].registry_workers == 2, what="both workers are connected")
    wait_for(lambda: read(source)["bullmq", crewing].registry_workers == 1, what="so is the one of the other queue")
    assert station.ask("numbers", queue=crew)["workers"] == 3, "the library itself counts those of all databases"
    station.ask("stop")
    wait_for(lambda: read(source)["bullmq", crew].registry_workers == 0, what="they are gone")


def test_without_the_right_to_the_list_of_clients_only_workers_are_unknown(
    bull_stage: BullStage, make_source: MakeSource
) -> None:
    bull_stage.station("bullmq").ask("add", queue="seen")
    rights = [
        "+time",
        "+info",
        "+scan",
        "+type",
        "+select",
        "+llen",
        "+lrange",
        "+lindex",
        "+zcard",
        "+zcount",
        "+zrange",
        "+hmget",
        "+exists",
    ]
    client: Any = bull_stage.server.client()
    client.execute_command("ACL", "SETUSER", "watcher", "on", ">word", "resetkeys", "-@all", "%R~*", *rights)
    url = f"redis://watcher:word@127.0.0.1:{bull_stage.server.port}/0"
    source = make_source(url)
    found = read(source)["bullmq", "seen"]
    assert found.live.waiting == 1
    assert found.registry_workers is None
    assert found.error is None
    read(source)
    refused = [each for each in client.acl_log() if each["object"] == "client|list"]
    assert sum(int(each["count"]) for each in refused) == 1, "what was refused is not asked for at every reading"
    client.execute_command("ACL", "SETUSER", "watcher", "+client|list")
    assert read(make_source(url))["bullmq", "seen"].registry_workers is None, (
        "without our own name in it it tells nothing"
    )
    client.execute_command("ACL", "SETUSER", "watcher", "+client|setname")
    assert read(make_source(url))["bullmq", "seen"].registry_workers == 0


def test_prefixes_are_told_apart_and_other_keys_are_left_alone(
    redis_server: RedisServer, make_station: MakeStation, make_source: MakeSource
) -> None:
    client: Any = redis_server.client()
    client.hset("app:users:meta", "rows", 3)
    client.set("app:users:id", 1)
    client.xadd("shop:orders:events", {"a": 1})
    client.set("shop:orders:id", 1)
    stations = [
        (make_station("bullmq", redis_server), ["mail", "{tagged}"]),
        (make_station("bullmq4", redis_server, prefix="{bull}"), ["mail"]),
        (make_station("bullmq4", redis_server, prefix="shop:eu"), ["images"]),
        (make_station("bullmq3", redis_server), ["a:b"]),
    ]
    for station, names in stations:
        for name in names:
            station.ask("add", queue=name)
    found = read(make_source(redis_server.url))
    assert set(found) == {("bullmq", name) for name in ("bull:mail", "{bull}:mail", "{tagged}", "images", "a:b")}
    assert all(queue.live.waiting == 1 for queue in found.values())
    told = read(make_source(redis_server.url, bullmq=PrefixSettings(prefix="shop:eu"), queues=("bullmq:mail",)))
    assert {name: queue.live.waiting for (_, name), queue in told.items()} == {"mail": 0, "images": 1}


def test_a_queue_that_was_found_stays(bull_stage: BullStage, make_source: MakeSource) -> None:
    station = bull_stage.station("bullmq")
    station.ask("add", queue="gone")
    source = make_source(bull_stage.server.url)
    assert read(source)["bullmq", "gone"].live.waiting == 1
    station.ask("pause", queue="gone")
    station.ask("obliterate", queue="gone")
    assert not bull_stage.server.client().keys("bull:gone:*")
    assert read(source)["bullmq", "gone"].live == LiveJobs(waiting=0, active=0, delayed=0, blocked=0)
