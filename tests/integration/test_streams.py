"""The reader of streams beside Redis and Valkey themselves."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from depthgauge.snapshot import LiveJobs, Queue
from exporter.settings import StreamSettings
from exporter.sources.redis_queues import RedisQueuesSource
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import RedisServer, redis_binary, valkey_binary
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("redis-server")


@pytest.fixture(scope="module", params=["redis", "valkey"])
def started(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    binary = valkey_binary() if request.param == "valkey" else redis_binary()
    server = RedisServer(tmp_path_factory.mktemp("streams"), binary=binary).start()
    yield server
    server.stop()


@pytest.fixture
def server(started: RedisServer) -> RedisServer:
    started.client().flushall()
    return started


def take(client: Any, count: int, *, group: str = "workers", consumer: str = "w1") -> list[bytes]:
    ((_, entries),) = client.xreadgroup(group, consumer, {"orders": ">"}, count=count)
    return [name for name, _ in entries]


def reads(source: RedisQueuesSource, name: str = "orders/workers") -> Queue:
    return read(source)["stream", name]


@pytest.mark.proves("stream", "waiting", "active", "head", "totals", "workers")
def test_a_group_fills_works_and_drains(server: RedisServer, make_source: MakeSource) -> None:
    client: Any = server.client()
    client.xgroup_create("orders", "workers", id="0", mkstream=True)
    source = make_source(server.url)
    assert reads(source).live == LiveJobs(waiting=0, active=0)
    first, second, *_ = [client.xadd("orders", {"job": number}) for number in range(5)]
    waiting = reads(source)
    assert waiting.live == LiveJobs(waiting=5, active=0)
    assert waiting.head_eligible_at is not None
    assert f"{waiting.head_eligible_at.timestamp() * 1000:.0f}" == first.decode().partition("-")[0]
    assert (waiting.registry_workers, waiting.registry_workers_busy) == (0, 0), "jobs wait and nobody asks"

    taken = take(client, 2)
    assert taken == [first, second]
    client.xack("orders", "workers", first)
    working = reads(source)
    assert working.live == LiveJobs(waiting=3, active=1)
    assert (working.registry_workers, working.registry_workers_busy) == (1, 1)
    assert working.completed_total == 1

    taken += take(client, 10)
    client.xack("orders", "workers", *taken)
    drained = reads(source)
    assert drained.live == LiveJobs(waiting=0, active=0)
    assert client.xlen("orders") == 5, "Redis keeps them all the same"
    assert (drained.completed_total, drained.head_eligible_at) == (5, None)
    client.delete("orders")
    assert reads(source).live == LiveJobs(waiting=0, active=0)


def test_deleted_and_trimmed_entries(server: RedisServer, make_source: MakeSource) -> None:
    client = server.client()
    client.xgroup_create("orders", "workers", id="0", mkstream=True)
    names = [client.xadd("orders", {"job": number}) for number in range(10)]
    client.xack("orders", "workers", *take(client, 3))
    source = make_source(server.url)
    client.xdel("orders", names[5])
    assert client.xinfo_groups("orders")[0]["lag"] is None, "Redis does not know any more"
    assert reads(source).live.waiting == 6
    client.xtrim("orders", maxlen=4, approximate=False)
    assert reads(source).live.waiting == 4
    client.xdel("orders", *names)
    assert reads(source).live.waiting == 0
    client.xack("orders", "workers", client.xadd("orders", {"job": "x"}), *take(client, 9))
    client.xdel("orders", client.xadd("orders", {"job": "y"}))
    drained = reads(source)
    assert (drained.live.waiting, drained.head_eligible_at) == (0, None), "the tail was deleted before it was read"


def test_a_backlog_that_redis_does_not_tell_is_counted_from_either_end(
    server: RedisServer, make_source: MakeSource
) -> None:
    client = server.client()
    client.xgroup_create("orders", "workers", id="0", mkstream=True)
    pipe = client.pipeline(transaction=False)
    for number in range(4000):
        pipe.xadd("orders", {"job": number})
    names = pipe.execute()
    source = make_source(server.url)
    take(client, 500)
    client.xdel("orders", names[600])
    assert reads(source).live.waiting == 3499, "by what is behind the group"
    take(client, 1000)
    client.xdel("orders", names[1600])
    between = reads(source)
    assert (between.live.waiting, between.error) == (None, "too_large"), "too far from both ends"
    assert between.head_eligible_at is not None
    take(client, 2000)
    client.xdel("orders", names[3600])
    assert reads(source).live.waiting == 497, "by what is ahead of it"


@pytest.mark.proves("stream", "found")
def test_every_group_of_every_stream_is_found_and_streams_without_are_not(
    server: RedisServer, make_source: MakeSource
) -> None:
    client = server.client()
    for key, group in (("orders", "workers"), ("orders", "audit"), ("mail:eu", "smtp")):
        client.xgroup_create(key, group, id="0", mkstream=True)
    client.xgroup_create("depthgauge:snapshots", "sink", id="0", mkstream=True)
    client.xadd("bull:mail:events", {"event": "added"})
    client.set("orders/2", "x")
    source = make_source(server.url, discovery_interval=0.05)
    assert set(read(source)) == {("stream", "orders/workers"), ("stream", "orders/audit"), ("stream", "mail:eu/smtp")}
    client.xgroup_create("bull:mail:events", "auditors", id="0")
    wait_for(lambda: ("stream", "bull:mail:events/auditors") in read(source), what="a group that came later is found")


def test_a_configured_group_has_its_own_name(server: RedisServer, make_source: MakeSource) -> None:
    client = server.client()
    client.xgroup_create("orders", "workers", id="0", mkstream=True)
    client.xadd("orders", {"job": "x"})
    told = StreamSettings(key="orders", group="workers", name="shop orders")
    found = read(make_source(server.url, systems=("stream",), streams=(told,)))
    assert {name: queue.live.waiting for (_, name), queue in found.items()} == {"shop orders": 1}
    lone = read(make_source(server.url, systems=("rq",), queues=("stream:orders/workers",)))
    assert {name: queue.live.waiting for (_, name), queue in lone.items()} == {"orders/workers": 1}


def test_a_consumer_that_waits_is_seen_where_the_server_tells_it(server: RedisServer, make_source: MakeSource) -> None:
    client = server.client()
    client.xgroup_create("orders", "workers", id="0", mkstream=True)
    source = make_source(server.url)
    waiter = server.client()
    blocked = threading.Thread(target=waiter.xreadgroup, args=("workers", "w1", {"orders": ">"}, 1, 5000))
    blocked.start()
    wait_for(lambda: client.info("clients")["blocked_clients"] == 1, what="the consumer waits")
    tells = "inactive" in str(client.xinfo_consumers("orders", "workers"))
    assert reads(source).registry_workers == (1 if tells else None), "Redis before 7.2 does not show it yet"
    client.xadd("orders", {"job": "x"})
    blocked.join(10)
    served = reads(source)
    assert (served.live, served.registry_workers, served.registry_workers_busy) == (LiveJobs(waiting=0, active=1), 1, 1)


def test_a_group_that_is_told_to_have_read_more_than_there_is(server: RedisServer, make_source: MakeSource) -> None:
    """Redis then tells a lag below 0."""
    client: Any = server.client()
    entries = [client.xadd("orders", {"job": number}) for number in range(3)]
    client.execute_command("XGROUP", "CREATE", "orders", "workers", "0", "ENTRIESREAD", "100")
    source = make_source(server.url)
    assert reads(source).live.waiting == 3
    client.execute_command("XGROUP", "SETID", "orders", "workers", entries[0], "ENTRIESREAD", "100")
    assert reads(source).live.waiting == 2
    client.execute_command("XGROUP", "SETID", "orders", "workers", "$", "ENTRIESREAD", "100")
    assert reads(source).live.waiting == 0
