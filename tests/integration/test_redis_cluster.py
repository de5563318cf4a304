"""Reading a Redis Cluster: queues on all masters, slots that move, masters that die, hang or are replaced."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeAlias

import pytest
from redis.crc import key_slot

from depthgauge.errors import ErrorKind, SourceError
from depthgauge.redis_cluster import ClusterLink
from depthgauge.redis_link import Link
from depthgauge.resp import Command, Reply, ReplyError
from depthgauge.secrets import Secret
from exporter.settings import RedisSettings
from exporter.sources.redis_cluster_server import RedisClusterSource, redis_server_source
from tests.plugins.ports import free_port
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_cluster import ClusterNode, MakeCluster, RedisCluster
from tests.plugins.redis_sentinel import MakePretender
from tests.plugins.redis_server import RedisServer, valkey_binary
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("redis-server")

P = "laravel_database_queues:"
JOB = '{"id":"a","createdAt":1767225600}'
MakeLink: TypeAlias = Callable[..., ClusterLink]


@pytest.fixture
def make_link() -> Iterator[MakeLink]:
    links: list[ClusterLink] = []

    def make(url: str, *, seconds: float = 3.0) -> ClusterLink:
        links.append(ClusterLink(Secret(url), connect_timeout=seconds))
        return links[-1]

    yield make
    for link in links:
        link.close()


@pytest.fixture
def cluster(redis_cluster: RedisCluster) -> RedisCluster:
    for master in redis_cluster.masters:
        master.client().flushall()
    return redis_cluster


def send(link: ClusterLink, *commands: Command, seconds: float = 3.0) -> list[Reply]:
    return link.exchange(commands, deadline=time.monotonic() + seconds)


def key_of(name: str) -> str:
    """Return the key that Laravel has for a queue on a cluster: all keys of a queue are on one node by the tag in braces."""
    return f"{P}{{{name}}}"


def fill(cluster: RedisCluster) -> list[str]:
    """Put one job and one overdue one into a queue on each master; return their names."""
    names = [cluster.name_on(master, key_of("{}")) for master in cluster.masters]
    for key in map(key_of, names):
        cluster.at(key).rpush(key, JOB)
        cluster.at(key).zadd(f"{key}:delayed", {JOB: 1})
    return names


def waiting(found: dict[tuple[str, str], Any]) -> dict[str, int | None]:
    return {name: queue.live.waiting for (_, name), queue in found.items()}


def test_queues_of_all_masters_are_found_and_read_in_few_round_trips(
    cluster: RedisCluster, make_source: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = fill(cluster)
    source = make_source(cluster.url)
    found = read(source)
    assert waiting(found) == dict.fromkeys(names, 2)
    assert {queue.head_eligible_at for queue in found.values()} == {datetime(2026, 1, 1, tzinfo=UTC)}
    assert source.discovery.problem is None
    trips: list[object] = []
    exchange = Link._exchange

    def counted(link: Link, connection: Any, *args: Any) -> list[Reply]:
        trips.append(connection.port)
        return exchange(link, connection, *args)

    monkeypatch.setattr(Link, "_exchange", counted)
    source.discovery.close()
    assert waiting(read(source)) == dict.fromkeys(names, 2)
    assert set(trips) == {master.port for master in cluster.masters}
    assert all(trips.count(port) <= 3 for port in trips), "as many as of one server"


def test_scan_walks_every_master_once(cluster: RedisCluster, make_link: MakeLink) -> None:
    keys = {f"k{each}".encode() for each in range(200)}
    for key in keys:
        cluster.at(key.decode()).set(key, "x")
    link, cursor = make_link(cluster.url), b"0"
    seen: list[Reply] = []
    while True:
        (page,) = send(link, ("SCAN", cursor, "COUNT", 20))
        assert isinstance(page, list)
        following, found = page
        assert isinstance(following, bytes)
        assert isinstance(found, list)
        cursor = following
        seen += found
        if cursor == b"0":
            break
    assert set(seen) == keys
    assert link.skipped == ()
    assert send(link, ("SCAN", "zzz:1 5")) == [[b"0", []]], "a cursor of a master that is gone, and was the last one"


def test_the_clients_of_one_node_do_not_pass_for_those_of_all(cluster: RedisCluster, make_link: MakeLink) -> None:
    clients, clock = send(make_link(cluster.url), ("CLIENT", "LIST", "TYPE", "normal"), ("TIME",))
    assert isinstance(clients, ReplyError)
    assert isinstance(clock, list)


def test_slots_on_the_move_are_followed(cluster: RedisCluster, make_source: MakeSource) -> None:
    (name, *_), (one, other, *_) = fill(cluster), cluster.masters
    key, slot = key_of(name), key_slot(key_of(name).encode())
    source = make_source(cluster.url)
    everything = waiting(read(source))

    def move(here: ClusterNode, there: ClusterNode, *keys: str) -> None:
        client: Any = here.client()
        client.execute_command("MIGRATE", "127.0.0.1", there.port, "", 0, 5000, "KEYS", *keys)

    other.cluster("SETSLOT", slot, "IMPORTING", one.id)
    one.cluster("SETSLOT", slot, "MIGRATING", other.id)
    move(one, other, f"{key}:delayed")
    assert waiting(read(source)) == everything, "one key of the queue is here, the other one there: ASK"
    move(one, other, key)
    for node in cluster.masters:
        node.cluster("SETSLOT", slot, "NODE", other.id)
    assert waiting(read(source)) == everything, "MOVED"
    assert waiting(read(source)) == everything
    assert source._link.connects == 1, "nobody was replaced"
    other.cluster("SETSLOT", slot, "MIGRATING", one.id)
    one.cluster("SETSLOT", slot, "IMPORTING", other.id)
    move(other, one, key, f"{key}:delayed")
    for node in cluster.masters:
        node.cluster("SETSLOT", slot, "NODE", one.id)
    assert waiting(read(source)) == everything


def test_a_master_that_is_down_costs_its_own_queues_only(
    cluster: RedisCluster, make_source: MakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    names, down = fill(cluster), min(cluster.masters, key=lambda node: node.port)
    source = make_source(cluster.url)
    assert waiting(read(source)) == dict.fromkeys(names, 2)
    lost = next(name for name in names if cluster.owner(key_of(name)) is down)
    down.kill()
    try:
        found = read(source)
        assert waiting(found) == {name: None if name == lost else 2 for name in names}, "also without the first master"
        assert {name for (_, name), queue in found.items() if queue.error == "refused"} == {lost}
        assert {queue.error for (_, name), queue in found.items() if name != lost} == {None}
        told = [record.message for record in caplog.records if f"127.0.0.1:{down.port}" in record.message]
        assert len(told) == 1
        assert f"the node 127.0.0.1:{down.port} of the cluster cannot be read" in told[0]
        server = redis_server_source(RedisSettings(name="c", url=Secret(cluster.url)), clock=now, timeout=3)
        with pytest.raises(SourceError, match=str(down.port)) as caught:
            server.collect()
        assert caught.value.kind is ErrorKind.REFUSED
        server.close()
        fresh = make_source(cluster.url, systems=("laravel",))
        assert waiting(read(fresh)) == {name: 2 for name in names if name != lost}
        assert fresh.discover_now(time.monotonic() + 5)
        assert f":{down.port}" in str(fresh.discovery.problem), "and what was not looked at is told"
    finally:
        down.start()
        cluster.wait_whole()
    assert "laravel" in {system for system, _ in read(source)}
    assert any("answers again" in record.message for record in caplog.records)


def test_a_master_that_hangs_costs_half_the_time_and_its_own_queues_only(
    cluster: RedisCluster, make_source: MakeSource, make_link: MakeLink
) -> None:
    names, stuck = fill(cluster), cluster.masters[1]
    source, link = make_source(cluster.url, timeout=1.0), make_link(cluster.url)
    sizes = [("LLEN", key_of(name)) for name in names]
    assert send(link, *sizes) == [1, 1, 1]
    assert waiting(read(source)) == dict.fromkeys(names, 2)
    stuck.pause()
    try:
        started = time.monotonic()
        found = read(source)
        assert time.monotonic() - started < 1.2
        lost = next(name for name in names if cluster.owner(key_of(name)) is stuck)
        assert waiting(found) == {name: None if name == lost else 2 for name in names}
        assert found["laravel", lost].error == "timeout"
        others = {queue.head_eligible_at for (_, name), queue in found.items() if name != lost}
        assert others == {datetime(2026, 1, 1, tzinfo=UTC)}, "what was left sufficed for the heads"
        deadline = time.monotonic() + 0.6
        assert link.exchange(sizes, deadline=deadline)[0] == 1
        started = time.monotonic()
        lengths = link.exchange(sizes, deadline=deadline)
        assert time.monotonic() - started < 0.1, "under one deadline it is waited for once"
        assert isinstance(lengths[1], ReplyError)
        assert lengths[::2] == [1, 1]
    finally:
        stuck.resume()
        cluster.wait_whole()
    wait_for(lambda: waiting(read(source)) == dict.fromkeys(names, 2), what="it is asked again in the next cycle")


@pytest.mark.needs("valkey")
def test_a_replica_takes_over(make_cluster: MakeCluster, make_source: MakeSource) -> None:
    cluster = make_cluster(replica=True, binary=valkey_binary())
    names = fill(cluster)
    source = make_source(cluster.url)
    everything = waiting(read(source))
    assert everything == dict.fromkeys(names, 2)
    cluster.masters[0].kill()
    errors: list[SourceError] = []

    def whole() -> bool:
        try:
            return waiting(read(source)) == everything
        except SourceError as exc:
            errors.append(exc)
            return False

    wait_for(whole, 20, what="the replica's queues are read", step=0.1)
    assert source._link.connects == 2
    assert {each.kind for each in errors} <= {ErrorKind.UNREACHABLE}, "between the two the cluster is down"


def now() -> datetime:
    return datetime.now(UTC)


def test_how_the_cluster_is_are_sums(cluster: RedisCluster) -> None:
    fill(cluster)
    source = redis_server_source(RedisSettings(name="c", url=Secret(cluster.url)), clock=now, timeout=3)
    assert isinstance(source, RedisClusterSource)
    first = source.collect()
    assert (first.role, first.keys, first.hits_total, first.hit_ratio) == ("cluster", 6, 0, None)
    infos: list[Any] = [master.client().info() for master in cluster.masters]
    assert first.version == infos[0]["redis_version"]
    assert first.max_clients == sum(info["maxclients"] for info in infos)
    assert first.used_memory_bytes is not None
    assert abs(first.used_memory_bytes - sum(info["used_memory"] for info in infos)) < 3_000_000
    assert first.max_memory_bytes == 0, "no limit"
    assert first.ping_seconds is not None
    assert 0 < first.ping_seconds < 1
    for master, hits, misses in zip(cluster.masters, (3, 2, 1), (1, 0, 1), strict=True):
        there = cluster.name_on(master)
        master.client().set(there, "x")
        for key, times in ((there, hits), (f"{{{there}}}gone", misses)):
            for _ in range(times):
                master.client().get(key)
    second = source.collect()
    assert (second.hits_total, second.misses_total, second.hit_ratio) == (6, 2, 0.75)
    restarted = cluster.masters[2]
    restarted.client().config_resetstat()
    restarted.client().get(cluster.name_on(restarted))
    third = source.collect()
    assert (third.hits_total, third.misses_total) == (7, 2), "it never falls"
    source.close()


def rights(cluster: RedisCluster, *rules: str, nodes: list[ClusterNode] | None = None) -> str:
    for node in nodes or cluster.masters:
        client: Any = node.client()
        client.execute_command("ACL", "SETUSER", "watch", "reset", "on", ">hunter2", "-@all", "%R~*", *rules)
    return cluster.url.replace("://", "://watch:hunter2@")


def test_the_rights_that_a_cluster_needs(cluster: RedisCluster, make_link: MakeLink) -> None:
    url = rights(cluster, "+cluster|slots", "+time")
    assert isinstance(send(make_link(url), ("TIME",))[0], list)
    url = rights(cluster, "+time")
    with pytest.raises(SourceError, match=r"refused CLUSTER SLOTS: NOPERM.*'cluster\|slots'") as caught:
        send(make_link(url), ("TIME",))
    assert caught.value.kind is ErrorKind.ACL_DENIED
    with pytest.raises(SourceError, match="WRONGPASS") as caught:
        send(make_link(url.replace("hunter2", "hunter3")), ("TIME",))
    assert caught.value.kind is ErrorKind.UNAUTHORIZED
    assert "hunter" not in str(caught.value)


def test_a_single_server_is_no_cluster_and_a_node_is_no_single_server(
    redis_server: RedisServer,
    cluster: RedisCluster,
    make_link: MakeLink,
    make_source: MakeSource,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(SourceError, match=r"cluster support disabled.*write redis://"):
        send(make_link(f"redis+cluster://127.0.0.1:{redis_server.port}"), ("TIME",))
    fill(cluster)
    source = make_source(cluster.masters[0].url, queues=("laravel:q0", "laravel:q1", "laravel:q2"))
    assert "fault" in {queue.error for queue in read(source).values()}
    assert "write redis+cluster:// in its URL" in caplog.text


def test_seeds_that_are_down_wrong_or_silent(
    cluster: RedisCluster, make_link: MakeLink, pretend: MakePretender
) -> None:
    seeds = (free_port(), pretend(b"HTTP/1.1 400\r\n").port, pretend().port)
    url = cluster.url.replace("://", "://" + "".join(f"127.0.0.1:{port}," for port in seeds))
    started = time.monotonic()
    assert isinstance(send(make_link(url), ("TIME",))[0], list)
    assert time.monotonic() - started < 1.5
    link = make_link(f"redis+cluster://127.0.0.1:{seeds[2]}")
    started = time.monotonic()
    with pytest.raises(SourceError) as caught:
        send(link, ("TIME",), seconds=0.5)
    assert caught.value.kind is ErrorKind.TIMEOUT
    assert time.monotonic() - started < 1.0


def test_a_key_without_a_master_is_an_error_of_its_own(cluster: RedisCluster, make_link: MakeLink) -> None:
    link, key = make_link(cluster.url), "x"
    owner, slot = cluster.owner(key), key_slot(key.encode())
    for node in cluster.masters:
        node.cluster("DELSLOTS", slot)
    try:
        _, lost, kept = send(link, ("TIME",), ("LLEN", key), ("LLEN", "a"))
        assert isinstance(lost, ReplyError)
        assert lost.code == "CLUSTERDOWN"
        assert kept == 0
        # What a cluster does by default: it answers nothing while it is not whole.
        for node in cluster.masters:
            node.client().config_set("cluster-require-full-coverage", "yes")
            node.cluster("DELSLOTS", slot + 1)
        wait_for(lambda: {node.knows("cluster_state") for node in cluster.masters} == {"fail"})
        with pytest.raises(SourceError, match="the cluster is down: CLUSTERDOWN") as caught:
            send(link, ("TIME",), ("LLEN", key), ("LLEN", "a"))
        assert caught.value.kind is ErrorKind.UNREACHABLE
    finally:
        for node in cluster.masters:
            node.client().config_set("cluster-require-full-coverage", "no")
        owner.cluster("ADDSLOTS", slot, slot + 1)
        cluster.wait_whole()
