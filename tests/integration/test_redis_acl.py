"""What reading needs: exactly the rights that docs/redis.md prints, and none that writes."""

import time
from typing import Any

import pytest

from depthgauge.errors import ErrorKind, SourceError
from exporter.settings import ListSettings, SortedSetSettings
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import RedisServer
from tests.plugins.repo import repo_root

pytestmark = [pytest.mark.needs("source-tree", "redis-server")]

P = "laravel_database_queues:"
PLAIN = {
    "lists": (ListSettings(key="jobs", name="jobs", processing="doing", time_field="at"),),
    "sorted_sets": (SortedSetSettings(key="due", name="due"),),
}


def soon() -> float:
    return time.monotonic() + 10


def documented() -> list[str]:
    """Return the words of the documented ACL SETUSER line, with a password."""
    text = (repo_root() / "docs" / "redis.md").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("ACL SETUSER "))
    return line.replace(">PASSWORD", ">pw").split()


def user(server: RedisServer, *, without: str | None = None, keys: str | None = None) -> str:
    words = [word for word in documented() if word != f"+{without}"]
    if without is not None:
        assert len(words) == len(documented()) - 1, f"{without} is not among the documented rights"
    if keys is not None:
        words = [word for word in words if word != "%R~*"] + keys.split()
    client: Any = server.client()
    client.execute_command(*words)
    return f"redis://{words[2]}:pw@127.0.0.1:{server.port}/0"


def fill(server: RedisServer) -> None:
    client = server.client()
    client.rpush(f"{P}emails", '{"id":"a","createdAt":1767225600}')
    client.zadd(f"{P}later:delayed", {"x": 1})
    client.sadd("rq:queues", "rq:queue:high", "rq:queue:low")
    client.rpush("rq:queue:high", "j1")
    client.hset("rq:job:j1", "enqueued_at", "2026-01-15T08:00:00.000000Z")
    client.zadd("rq:scheduled:low", {"j2": 1})
    client.sadd("rq:workers:high", "rq:worker:w")
    client.hset("rq:worker:w", mapping={"state": "idle", "birth": "x"})
    client.rpush("jobs", '{"at": 1767225600}')
    client.zadd("due", {"a": 1767225600})


def test_the_documented_rights_suffice(
    redis_server: RedisServer, make_source: MakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    fill(redis_server)
    everything = read(make_source(redis_server.url, **PLAIN))
    source = make_source(user(redis_server), **PLAIN)
    assert read(source) == everything
    assert len(everything) == 6
    assert all(queue.error is None for queue in everything.values())
    assert source.collect().run_id is not None
    assert source.discovery.problem is None
    assert caplog.records == []
    denied = {entry["object"] for entry in redis_server.client().acl_log()}
    assert denied <= {"client|setname"}


def test_the_documented_rights_reach_another_database(redis_server: RedisServer, make_source: MakeSource) -> None:
    redis_server.client(db=4).rpush(f"{P}emails", "x")
    url = user(redis_server).removesuffix("/0") + "/4"
    assert read(make_source(url))["laravel", "emails"].live.waiting == 1


@pytest.mark.parametrize(
    "right", ["llen", "lindex", "lrange", "zcard", "zcount", "zrange", "scard", "smembers", "hmget"]
)
def test_a_missing_right_is_named_and_harms_only_its_numbers(
    redis_server: RedisServer, make_source: MakeSource, caplog: pytest.LogCaptureFixture, right: str
) -> None:
    fill(redis_server)
    everything = read(make_source(redis_server.url, **PLAIN))
    found = read(make_source(user(redis_server, without=right), **PLAIN))
    assert set(found) == set(everything)
    denied = {key for key, queue in found.items() if queue.error == "acl_denied"}
    assert denied, f"somebody misses {right}"
    assert {key for key, queue in found.items() if queue != everything[key]} == denied
    assert any(f"'{right}' command" in record.message for record in caplog.records), caplog.text


def test_without_time_the_redis_counts_as_unreadable(redis_server: RedisServer, make_source: MakeSource) -> None:
    source = make_source(user(redis_server, without="time"), queues=("rq:high",))
    with pytest.raises(SourceError, match="'time' command") as caught:
        source.collect()
    assert caught.value.kind is ErrorKind.ACL_DENIED


@pytest.mark.parametrize("right", ["scan", "type", "sscan"])
def test_without_discovery_configured_queues_are_read(
    redis_server: RedisServer, make_source: MakeSource, caplog: pytest.LogCaptureFixture, right: str
) -> None:
    fill(redis_server)
    source = make_source(user(redis_server, without=right), queues=("rq:high", "laravel:emails"))
    found = read(source)
    assert found["rq", "high"].live.waiting == 1
    assert found["laravel", "emails"].live.waiting == 1
    assert all(queue.error is None for queue in found.values())
    assert f"'{right}' command" in caplog.text
    for _ in range(3):
        source.discover_now(soon())
    assert source.discovery.problem is not None
    assert caplog.text.count("cannot discover") == 1


def test_without_info_the_run_id_is_unknown(redis_server: RedisServer, make_source: MakeSource) -> None:
    part = make_source(user(redis_server, without="info"), queues=("rq:high",)).collect()
    assert part.run_id is None
    assert len(part.queues) == 1


def test_keys_out_of_reach_deny_only_their_queues(redis_server: RedisServer, make_source: MakeSource) -> None:
    fill(redis_server)
    source = make_source(user(redis_server, keys=f"%R~{P}* %R~rq:*"), queues=("rq:high", "laravel:emails"), **PLAIN)
    found = read(source)
    assert {key for key, queue in found.items() if queue.error} == {("list", "jobs"), ("zset", "due")}
    assert {found["list", "jobs"].error, found["zset", "due"].error} == {"acl_denied"}
    assert found["list", "jobs"].live.waiting is None


def test_no_command_that_writes_is_ever_sent(redis_server: RedisServer, make_source: MakeSource) -> None:
    fill(redis_server)
    client = redis_server.client()
    writing = {
        name
        for name, info in client.command().items()
        if "write" in {flag.decode() if isinstance(flag, bytes) else flag for flag in info["flags"]}
    }
    assert {"lpush", "zremrangebyscore", "srem", "expire"} <= writing
    client.config_resetstat()
    source = make_source(redis_server.url, queues=("rq:high", "laravel:gone"), **PLAIN)
    for _ in range(3):
        read(source)
        assert source.discover_now(soon())
    used = set(redis_server.command_calls())
    assert {"scan", "llen", "hmget", "time"} <= used
    assert not used & writing
    allowed = {word.removeprefix("+") for word in documented() if word.startswith("+")}
    ours = {"command", "config|resetstat", "client|setname", "client|setinfo", "hello"}
    assert used <= allowed | ours, "nothing is sent that the documentation does not name"


def test_keys_of_others_that_the_user_may_not_see_are_no_problem(
    redis_server: RedisServer, make_source: MakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    fill(redis_server)
    source = make_source(user(redis_server, keys=f"%R~{P}*"), systems=("laravel", "stream"))
    assert set(read(source)) == {("laravel", "emails"), ("laravel", "later")}
    assert source.discover_now(soon())
    assert source.discovery.problem is None
    assert caplog.records == []
