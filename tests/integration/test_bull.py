"""The Bull reader beside the library itself as producer and worker under node, and beside BullMQ under the same prefix."""

from typing import Any

import pytest

from depthgauge.snapshot import KeptJobs, LiveJobs, Queue
from exporter.settings import PrefixSettings
from exporter.sources.redis_queues import RedisQueuesSource
from tests.plugins.bullmq import BullStation, MakeStation, Moment
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import RedisServer
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("bullmq")

HOUR = 3_600_000


def compare(source: RedisQueuesSource, station: BullStation, name: str, *, overdue: int = 0) -> Queue:
    """Read, ask the library afterwards, compare what both tell, and return ours."""
    ours = read(source)["bull", name]
    theirs = station.ask("numbers", queue=name)
    counts = theirs["counts"]
    assert ours.live == LiveJobs(
        waiting=counts["waiting"] + counts["paused"] + overdue,
        active=counts["active"],
        delayed=counts["delayed"] - overdue,
    )
    assert ours.kept == KeptJobs(finished=counts["completed"], failed=counts["failed"])
    assert (ours.completed_total or 0, ours.failed_total or 0) == (theirs["completed"], theirs["failed"])
    assert ours.registry_workers == theirs["workers"]
    assert ours.paused is theirs["paused"]
    assert ours.error is None
    return ours


@pytest.mark.proves(
    "bull", "waiting", "active", "delayed", "kept", "head", "totals", "mean seconds", "workers", "paused", "found"
)
def test_a_queue_goes_through_all_its_states(
    redis_server: RedisServer, make_station: MakeStation, make_source: MakeSource
) -> None:
    station = make_station("bull", redis_server)

    def add(data: dict[str, Any] | None = None, **opts: Any) -> Any:
        return station.ask("add", queue="mail", data=data or {}, opts=opts)

    def ours() -> Queue:
        return read(source)["bull", "mail"]

    add({"ms": 30})
    add({"fail": True})
    add({"fail": True}, attempts=3, backoff={"type": "fixed", "delay": HOUR})
    add(delay=HOUR)
    add(priority=5)
    urgent = add(priority=1)
    due = add(delay=5)
    source = make_source(redis_server.url)
    wait_for(lambda: ours().live.waiting == 6, what="one is overdue")
    waiting = compare(source, station, "mail", overdue=1)
    assert waiting.live == LiveJobs(waiting=6, active=0, delayed=1)
    assert waiting.head_eligible_at == Moment(urgent["timestamp"]), "prioritized jobs run first"
    assert waiting.completed_total is None, "no worker has kept metrics"
    assert waiting.processing_seconds is None
    assert waiting.registry_workers == 0

    station.ask("promote", queue="mail", id=due["id"])
    compare(source, station, "mail")
    last = add(lifo=True)
    assert compare(source, station, "mail").head_eligible_at == Moment(last["timestamp"])

    station.ask("pause", queue="mail")
    assert redis_server.client().exists("bull:mail:meta"), "for BullMQ's sake, which must not take it for its own"
    add()
    paused = compare(source, station, "mail")
    assert paused.live.waiting == 8
    assert paused.paused is True
    assert paused.head_eligible_at == Moment(last["timestamp"])
    assert set(read(make_source(redis_server.url))) == {("bull", "mail")}
    station.ask("resume", queue="mail")
    assert compare(source, station, "mail").paused is False

    station.ask("work", queue="mail")
    wait_for(
        lambda: (now := ours()).live.waiting == 0 and now.live.active == 0, what="the worker has run what was ready"
    )
    done = compare(source, station, "mail")
    assert done.live == LiveJobs(waiting=0, active=0, delayed=2), "the failed one with a backoff waits"
    assert done.kept == KeptJobs(finished=6, failed=1)
    assert (done.completed_total, done.failed_total) == (6, 1)
    assert done.registry_workers == 1
    assert done.head_eligible_at is None
    assert done.processing_seconds is not None
    assert 0 < done.processing_seconds < 1

    add({"hold": "x"})
    wait_for(lambda: ours().live.active == 1, what="a job is at work")
    compare(source, station, "mail")
    station.kill()
    killed = wait_for(lambda: (now := ours()).registry_workers == 0 and now, what="the worker is gone")
    assert killed.live.active == 1, "its job counts as taken until another worker notices"


def test_bull_and_bullmq_under_one_prefix_are_told_apart(
    redis_server: RedisServer, make_station: MakeStation, make_source: MakeSource
) -> None:
    client = redis_server.client()
    client.set("app:user:1:id", 1)
    bull, bullmq = make_station("bull", redis_server), make_station("bullmq", redis_server)
    for name in ("old", "moved", "gone"):
        bull.ask("add", queue=name)
    bullmq.ask("add", queue="new")
    make_station("bull", redis_server, prefix="shop").ask("add", queue="a:b")
    source = make_source(redis_server.url, queues=("old", "new"), discovery_interval=0.1)
    found = read(source)
    both = {("bull", name) for name in ("old", "moved", "gone", "b")} | {("bullmq", "new")}
    assert set(found) == both
    assert all(queue.live.waiting == 1 for queue in found.values())
    told = read(make_source(redis_server.url, systems=("bull",), bull=PrefixSettings(prefix="shop")))
    assert set(told) == {("bull", "a:b")}, "a name with a colon is known by a known prefix"

    client.delete("bull:gone:id", "bull:gone:wait", "bull:gone:1")
    bullmq.ask("add", queue="moved")
    moved = wait_for(
        lambda: ("bullmq", "moved") in (now := read(source)) and now, what="the other library has taken over"
    )
    assert set(moved) == both - {("bull", "moved")} | {("bullmq", "moved")}
    assert moved["bullmq", "moved"].live.waiting == 2, "it goes on with the same list"
    assert moved["bull", "gone"].live.waiting == 0, "a queue that was found stays"
