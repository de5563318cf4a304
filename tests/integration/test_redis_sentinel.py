"""Reading what Sentinel watches: the master, a replica, a failover, and sentinels that are away, wrong or slow."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest
import redis

from depthgauge import redis_sentinel
from depthgauge.errors import ErrorKind, SourceError
from depthgauge.redis_link import Link, client
from depthgauge.redis_sentinel import SentinelLink
from depthgauge.secrets import Secret
from sink.inbox import Inbox
from tests.plugins.ports import free_port
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_sentinel import SERVICE, MakePretender, MakeSentinel, Sentinel
from tests.plugins.redis_server import MakeRedis, RedisServer
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("redis-server")

OK = b"+OK\r\n"
"""What a server says to CLIENT SETNAME."""
KEY = "laravel_database_queues:emails"
MakeLink: TypeAlias = Callable[..., SentinelLink]


@pytest.fixture
def make_link() -> Iterator[MakeLink]:
    links: list[SentinelLink] = []

    def make(url: str, *, seconds: float = 3.0) -> SentinelLink:
        links.append(SentinelLink(Secret(url), connect_timeout=seconds))
        return links[-1]

    yield make
    for link in links:
        link.close()


def ask(link: SentinelLink, *words: str | int, seconds: float = 3.0) -> object:
    (reply,) = link.exchange([words], deadline=time.monotonic() + seconds)
    return reply


def failure(link: SentinelLink, *, seconds: float = 3.0) -> SourceError:
    with pytest.raises(SourceError) as caught:
        ask(link, "PING", seconds=seconds)
    return caught.value


def port_of(link: SentinelLink) -> int:
    told = ask(link, "INFO", "server")
    assert isinstance(told, bytes)
    return int(told.partition(b"tcp_port:")[2].split()[0])


def replica_of(make_redis: MakeRedis, master: RedisServer) -> RedisServer:
    return make_redis("--replicaof", f"127.0.0.1 {master.port}", "--repl-diskless-sync-delay", "0")


def pair(make_redis: MakeRedis, make_sentinel: MakeSentinel) -> tuple[RedisServer, RedisServer, Sentinel]:
    """Return a master, its replica and the sentinel that watches them."""
    master = make_redis("--repl-diskless-sync-delay", "0")
    replica = replica_of(make_redis, master)
    client: Any = replica.client()
    wait_for(lambda: client.info("replication")["master_link_status"] == "up", what="the replica is in touch")
    sentinel = make_sentinel(master)
    wait_for(lambda: sentinel.sees_replicas(1), 20, what="the sentinel sees the replica")
    return master, replica, sentinel


def test_the_master_is_found_past_sentinels_that_are_down_wrong_or_silent(
    redis_server: RedisServer, make_sentinel: MakeSentinel, make_link: MakeLink, pretend: MakePretender
) -> None:
    sentinel = make_sentinel(redis_server)
    redis_server.client(db=2).set("k", "two")
    wrong = [pretend(*answers).port for answers in ((b"HTTP/1.1 400\r\n",), (OK, b"*2\r\n$1\r\nx\r\n:x\r\n"), ())]
    link = make_link(sentinel.url(before=(free_port(), *wrong), query="/2"))
    started = time.monotonic()
    assert ask(link, "GET", "k") == b"two"
    assert time.monotonic() - started < 2, "the silent one has a part of the time only"
    assert link.connects == 1
    link.close()
    started = time.monotonic()
    assert ask(link, "GET", "k") == b"two"
    assert time.monotonic() - started < 0.45, "the sentinel that answered is asked first from then on"
    assert link.connects == 2


def _set(bus: redis.Redis) -> bool:
    with contextlib.suppress(redis.ConnectionError):
        return bool(bus.set("after", "x"))
    return False


def test_a_failover_is_followed_by_readers_and_by_the_bus(
    make_redis: MakeRedis, make_sentinel: MakeSentinel, make_source: MakeSource, make_link: MakeLink
) -> None:
    master, replica, sentinel = pair(make_redis, make_sentinel)
    master.client().rpush(KEY, "a", "b")
    source, link = make_source(sentinel.url()), make_link(sentinel.url())
    bus, inbox = client(Secret(sentinel.url()), timeout=2.0), Inbox(Secret(sentinel.url()), "one", timeout=2.0)
    reading = make_link(sentinel.url(query="?role=replica"))
    assert bus.set("before", "x")
    assert inbox.read(10, wait=0) == []
    wait_for(lambda: replica.client().llen(KEY) == 2)
    assert read(source)["laravel", "emails"].live.waiting == 2
    assert (port_of(link), port_of(reading)) == (master.port, replica.port)
    first = source.collect().run_id
    master.kill()

    errors: list[SourceError] = []

    def readable() -> bool:
        try:
            return read(source)["laravel", "emails"].live.waiting == 2
        except SourceError as exc:
            errors.append(exc)
            return False

    wait_for(readable, 15, what="the new master is read", step=0.1)
    assert errors
    assert {each.kind for each in errors} <= {ErrorKind.CLOSED, ErrorKind.REFUSED, ErrorKind.NOT_FOUND}, errors
    assert port_of(link) == replica.port
    assert link.connects == 2
    wait_for(lambda: _set(bus), what="redis-py's client finds the new master, too")
    assert ask(link, "GET", "after") == b"x"
    assert inbox.read(10, wait=0) == [], "so does the sink"
    assert source.discover_now(time.monotonic() + 10)
    assert source.collect().run_id not in {None, first}
    error = failure(reading)
    assert error.kind is ErrorKind.NOT_FOUND
    assert f"knows no replica of '{SERVICE}' that is up" in str(error)
    bus.close()
    inbox.close()


def test_a_master_that_steps_down_alive_is_left_at_once(
    make_redis: MakeRedis, make_sentinel: MakeSentinel, make_link: MakeLink
) -> None:
    master, replica, sentinel = pair(make_redis, make_sentinel)
    link = make_link(sentinel.url())
    assert port_of(link) == master.port
    sentinel.ask("FAILOVER", SERVICE)
    wait_for(lambda: sentinel.master_port() == replica.port, 10, what="the sentinel names the other one")
    # What the sentinel does itself, some ten seconds later.
    master.client().replicaof("127.0.0.1", replica.port)
    master.client().client_kill_filter(_type="normal", skipme=True)
    replica.client().set("k", "new")
    assert ask(link, "GET", "k") == b"new"
    assert port_of(link) == replica.port


def test_the_sentinels_are_asked_again_while_all_seems_well(
    make_redis: MakeRedis, make_sentinel: MakeSentinel, make_link: MakeLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = make_redis(), make_redis()
    sentinel = make_sentinel(one)
    link = make_link(sentinel.url())
    assert port_of(link) == one.port
    # As if the one had been cut off from everybody but us.
    sentinel.ask("REMOVE", SERVICE)
    sentinel.ask("MONITOR", SERVICE, "127.0.0.1", str(other.port), "1")
    assert port_of(link) == one.port
    monkeypatch.setattr(redis_sentinel, "RECHECK", 0.0)
    assert port_of(link) == other.port
    sentinel.stop()
    assert port_of(link) == other.port, "where no sentinel can say, the server stays"


def test_a_server_of_another_role_is_refused(make_redis: MakeRedis, redis_server: RedisServer) -> None:
    replica = replica_of(make_redis, redis_server)
    link = Link(Secret(replica.url), connect_timeout=3, role="master")
    with pytest.raises(SourceError, match="it is a slave, no master") as caught:
        link.exchange([("PING",)], deadline=time.monotonic() + 3)
    assert caught.value.kind is ErrorKind.NOT_FOUND


def test_a_service_nobody_knows(redis_server: RedisServer, make_sentinel: MakeSentinel, make_link: MakeLink) -> None:
    sentinel = make_sentinel(redis_server)
    for query in ("", "?role=replica"):
        error = failure(make_link(sentinel.url("mail", query=query)))
        assert error.kind is ErrorKind.NOT_FOUND
        assert "knows no service 'mail'" in str(error)
    error = failure(make_link(sentinel.url(query="?role=replica")))
    assert error.kind is ErrorKind.NOT_FOUND
    assert "no sentinel led to a replica" in str(error)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b":5\r\n",
        b"*2\r\n$3\r\nh h\r\n$4\r\n6379\r\n",
        b"*2\r\n$1\r\nh\r\n$5\r\n99999\r\n",
        b"*3\r\n$1\r\nh\r\n$1\r\n1\r\n$1\r\n2\r\n",
        b"*99999999\r\n",
    ],
)
def test_garbage_from_a_sentinel(answer: bytes, make_link: MakeLink, pretend: MakePretender) -> None:
    port = pretend(OK, answer).port
    error = failure(make_link(f"redis+sentinel://127.0.0.1:{port}/jobs"))
    assert error.kind is ErrorKind.GARBAGE
    assert f"the sentinel at redis://127.0.0.1:{port}" in str(error)


def test_garbage_about_replicas(make_link: MakeLink, pretend: MakePretender) -> None:
    for answer in (b"*1\r\n$1\r\nx\r\n", b"*1\r\n*2\r\n$2\r\nip\r\n$1\r\nh\r\n"):
        url = f"redis+sentinel://127.0.0.1:{pretend(OK, answer).port}/jobs?role=replica"
        assert failure(make_link(url)).kind is ErrorKind.GARBAGE


def test_nothing_takes_longer_than_the_deadline(
    redis_server: RedisServer, make_sentinel: MakeSentinel, make_link: MakeLink, pretend: MakePretender
) -> None:
    silent = [pretend().port for _ in range(3)]
    hosts = ",".join(f"127.0.0.1:{port}" for port in silent)
    started = time.monotonic()
    error = failure(make_link(f"redis+sentinel://{hosts}/jobs"), seconds=0.6)
    assert error.kind is ErrorKind.TIMEOUT
    assert all(str(port) in str(error) for port in silent), "each of them is named"
    assert time.monotonic() - started < 1.2
    link = make_link(make_sentinel(redis_server).url())
    assert ask(link, "PING") == b"PONG"
    redis_server.pause()
    started = time.monotonic()
    error = failure(link, seconds=0.4)
    assert error.kind is ErrorKind.TIMEOUT
    assert time.monotonic() - started < 1.0
    redis_server.resume()
    assert ask(link, "PING") == b"PONG"


def test_logins_of_sentinels_and_servers_are_two(
    make_redis: MakeRedis, make_sentinel: MakeSentinel, make_link: MakeLink
) -> None:
    server = make_redis("--requirepass", "hunter2")
    sentinel = make_sentinel(server, lines=("requirepass sesame",))
    url = sentinel.url(query="?sentinel_password=sesame").replace("://", "://:hunter2@")
    assert ask(make_link(url), "PING") == b"PONG"
    for wrong, who in (
        (url.replace("sesame", "barley"), "the sentinel at"),
        (url.replace("hunter2", "hunter3"), "Redis"),
    ):
        error = failure(make_link(wrong))
        assert error.kind is ErrorKind.UNAUTHORIZED
        assert f"{who} at" in str(error) or who in str(error)
        assert not {"hunter2", "hunter3", "sesame", "barley"} & set(
            str(error).replace("@", " ").replace(":", " ").split()
        )


def test_the_documented_rights_on_sentinels_and_servers(
    redis_server: RedisServer, make_sentinel: MakeSentinel, make_link: MakeLink
) -> None:
    sentinel = make_sentinel(redis_server)
    server: Any = redis_server.client()
    command = client(Secret(f"redis://127.0.0.1:{sentinel.port}"), timeout=2)

    def allow(where: Any, *rules: str) -> None:
        where.execute_command("ACL", "SETUSER", "watch", "reset", "on", ">pw", "-@all", *rules)

    login = sentinel.url(query="?sentinel_username=watch&sentinel_password=pw").replace("://", "://watch:pw@")
    allow(command, "+sentinel|get-master-addr-by-name")
    allow(server, "+role", "+ping")
    assert ask(make_link(login), "PING") == b"PONG"
    allow(server, "+ping")
    error = failure(make_link(login))
    assert error.kind is ErrorKind.ACL_DENIED
    assert "ROLE was refused: NOPERM" in str(error)
    assert "'role' command" in str(error)
    allow(command, "+ping")
    error = failure(make_link(login))
    assert error.kind is ErrorKind.ACL_DENIED
    assert "sentinel|get-master-addr-by-name" in str(error)
    allow(command, "+sentinel|replicas")
    assert failure(make_link(f"{login}&role=replica")).kind is ErrorKind.NOT_FOUND, "allowed, but there is none"
    command.close()
