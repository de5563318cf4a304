"""What ``depthgauge check`` says of Redis and of the bus, against real servers."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from cli.aspects import bus, redis_servers
from cli.aspects.finding import Finding, Status
from cli.schema import Role
from depthgauge.secrets import Secret
from depthgauge.settings import BusSettings
from depthgauge.snapshot import Cycle, RedisQueues, Snapshot
from depthgauge.stream import HOSTS, LATEST_PREFIX, pack
from exporter.settings import ListSettings, RedisSettings
from tests.plugins.findings import only
from tests.plugins.redis_server import MakeRedis, RedisServer
from tests.plugins.repo import repo_root


def set_user(server: RedisServer, name: str, *rules: str) -> None:
    client: Any = server.client()
    client.execute_command("ACL", "SETUSER", name, *rules)


# Redis


BASE = "+time +info +scan +type +select"


def look_as(server: RedisServer, rules: str, **settings: Any) -> Sequence[Finding]:
    set_user(server, "reader", "reset", "on", ">pw", "~*", *rules.split())
    url = Secret(f"redis://reader:pw@127.0.0.1:{server.port}/0")
    return redis_servers.look(RedisSettings(name="r", url=url, **settings)).findings


def test_commands_that_the_user_may_not_run(redis_server: RedisServer) -> None:
    finding = only(look_as(redis_server, "+@read +select"))
    assert finding.status is Status.ERROR
    assert finding.message == "this user may not run info, time"
    assert finding.hint == "ACL SETUSER … +info +time"


def test_commands_that_the_systems_in_use_need(redis_server: RedisServer) -> None:
    redis_server.client().rpush("laravel_database_queues:emails", "{}")
    first, *_ = look_as(redis_server, f"{BASE} +llen +lindex +zcard +zrange", systems=("laravel",))
    assert first.status is Status.ERROR
    assert first.message == "this user may not run zcount"
    assert first.hint == "ACL SETUSER … +zcount"
    first, *_ = look_as(redis_server, f"{BASE} +llen +lindex +zcard +zrange")
    assert first.status is Status.ERROR, "it was found"
    assert "zcount" in first.message
    first, *_ = look_as(redis_server, f"{BASE} +lindex", systems=("rq",))
    assert first.status is Status.ERROR, "a system that is named is in use"
    assert {"exists", "llen", "sscan"} <= set(first.message.removeprefix("this user may not run ").split(", "))


def test_commands_that_only_systems_nobody_uses_would_need(redis_server: RedisServer) -> None:
    redis_server.client().rpush("laravel_database_queues:emails", "{}")
    rules = f"{BASE} +llen +lindex +zcard +zcount +zrange"
    findings = look_as(redis_server, rules)
    assert Status.ERROR not in {finding.status for finding in findings}
    first = findings[0]
    assert first.status is Status.WARNING
    assert "rq" in first.message
    assert "sscan" in first.message
    assert "laravel" not in first.message
    quiet = look_as(redis_server, rules, systems=("laravel",))
    assert {finding.status for finding in quiet} == {Status.OK}


def test_commands_of_systems_that_are_not_read_are_not_asked_for(redis_server: RedisServer) -> None:
    rules = "+time +info +scan +type +llen +lindex +select"
    set_user(redis_server, "reader", "on", ">pw", "~jobs*", *rules.split())
    url = Secret(f"redis://reader:pw@127.0.0.1:{redis_server.port}/0")
    lists = (ListSettings(key="jobs", name="jobs"),)
    found = redis_servers.look(RedisSettings(name="r", url=url, systems=("list",), lists=lists))
    assert found.findings[0].status is Status.OK, found
    assert found.run_id == redis_server.client().info("server")["run_id"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://:wrong@127.0.0.1:{port}/0", "check user name and password"),
        ("redis://127.0.0.1:{port}/99", "SELECT was refused"),
    ],
)
def test_a_redis_that_lets_us_not_in(url: str, words: str, make_redis: MakeRedis) -> None:
    server = make_redis("--requirepass", "pw") if "wrong" in url else make_redis()
    settings = RedisSettings(name="r", url=Secret(url.format(port=server.port)))
    finding = only(redis_servers.look(settings).findings)
    assert finding.status is Status.ERROR
    assert words in finding.message
    assert "wrong" not in finding.message.replace("WRONGPASS", "")


def test_an_empty_redis_and_a_key_of_the_wrong_type(redis_server: RedisServer) -> None:
    url = Secret(f"redis://127.0.0.1:{redis_server.port}/0")
    _, empty = redis_servers.look(RedisSettings(name="r", url=url)).findings
    assert (empty.status, empty.message) == (Status.WARNING, "no queue was found")
    redis_server.client().set("jobs", "a text")
    lists = (ListSettings(key="jobs", name="jobs"),)
    _, broken = redis_servers.look(RedisSettings(name="r", url=url, lists=lists)).findings
    assert broken.message == "1 queues cannot be read whole: list:jobs (wrong_type)"


# The bus


def test_a_bus_that_may_not_be_written_to(make_redis: MakeRedis) -> None:
    redis_server = make_redis("--appendonly", "yes")
    client = redis_server.client()
    set_user(redis_server, "w", "on", ">pw", "~depthgauge:*", "+ping", "+info", "+get", "+set", "+del")
    settings = BusSettings(url=Secret(f"redis://w:pw@127.0.0.1:{redis_server.port}/0"))
    finding = only(bus.look(settings, {Role.EXPORTER}, {}))
    assert finding.message == "this user may not run xadd, pexpire, zadd, memory, watch, unwatch, multi"
    set_user(redis_server, "w", "resetkeys", "~other:*", "+@all")
    finding = only(bus.look(settings, {Role.EXPORTER}, {}))
    assert (finding.status, finding.message[:25]) == (Status.ERROR, "it cannot be written to: ")
    set_user(redis_server, "w", "~depthgauge:*")
    assert only(bus.look(settings, {Role.EXPORTER, Role.SINK}, {})).status is Status.OK
    assert client.dbsize() == 0
    client.replicaof("127.0.0.1", 1)
    finding = only(bus.look(settings, {Role.SINK}, {}))
    assert "READONLY" in finding.message


def test_a_bus_that_may_lose_what_is_on_it(make_redis: MakeRedis) -> None:
    server = make_redis("--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru")
    url = Secret(f"redis://127.0.0.1:{server.port}/0")
    evicts, forgets = bus.look(BusSettings(url=url), {Role.EXPORTER}, {})
    assert (evicts.status, forgets.status) == (Status.ERROR, Status.WARNING)
    assert "maxmemory-policy allkeys-lru" in evicts.message
    assert "it keeps nothing on disk" in forgets.message
    allowed, _ = bus.look(BusSettings(url=url, allow_eviction=True), {Role.EXPORTER}, {})
    assert allowed.status is Status.WARNING


def test_one_name_that_means_two_servers(make_redis: MakeRedis) -> None:
    redis_server = make_redis("--appendonly", "yes")
    client = redis_server.client()
    now = datetime.now(UTC)
    other = Snapshot(
        host="web-2",
        run_id="r",
        seq=1,
        slot=now,
        taken_at=now,
        interval=15,
        cycle=Cycle(seconds=0),
        queues=(RedisQueues(observed_at=now, redis="default", run_id="b" * 40),),
    )
    client.zadd(HOSTS, {"web-2": 1, "gone": 0, "broken": 2})
    client.set(f"{LATEST_PREFIX}web-2", pack(other))
    client.set(f"{LATEST_PREFIX}broken", b"?")
    settings = BusSettings(url=Secret(f"redis://127.0.0.1:{redis_server.port}/0"))
    _, two = bus.look(settings, {Role.EXPORTER}, {"default": "a" * 40})
    assert (two.status, two.target) == (Status.WARNING, "default")
    assert two.message.startswith("host web-2 means another server by this name (run id bbbbbbbb…, here aaaaaaaa…)")
    only(bus.look(settings, {Role.EXPORTER}, {"default": "b" * 40, "another": "a" * 40}))


@pytest.mark.needs("source-tree")
def test_the_rights_that_the_pages_name_are_enough(make_redis: MakeRedis) -> None:
    server = make_redis("--appendonly", "yes")
    lines = [
        line.split()
        for page in ("redis.md", "bus.md")
        for line in (repo_root() / "docs" / page).read_text(encoding="utf-8").splitlines()
        if line.startswith("ACL SETUSER ")
    ]
    seen = set()
    for _, _, name, *rules in lines:
        set_user(server, name, *rules)
        (password,) = (rule[1:] for rule in rules if rule.startswith(">"))
        url = Secret(f"redis://{name}:{password}@127.0.0.1:{server.port}/0")
        if "+xadd" in rules:
            role = Role.SINK if "sink" in name else Role.EXPORTER
            findings = bus.look(BusSettings(url=url), {role}, {"default": "a" * 40} if role is Role.EXPORTER else {})
        else:
            findings = redis_servers.look(RedisSettings(name="r", url=url)).findings
        assert all("may not" not in f.message and "cannot" not in f.message for f in findings), (name, findings)
        assert findings[0].status is Status.OK
        seen.add(name)
    assert len(seen) >= 3
