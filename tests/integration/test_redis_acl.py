"""What reading needs: exactly the rights that docs/redis.md prints, and none that writes."""

import re
import time
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec import structs

from depthgauge.errors import ErrorKind, SourceError
from depthgauge.snapshot import Queue
from exporter.queues import SYSTEMS
from exporter.queues.counters import COMMANDS as COUNTER_COMMANDS
from exporter.queues.system import QueueSystem
from tests.plugins.every_system import PLAIN, WAITING, fill_every_system
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import RedisServer
from tests.plugins.repo import repo_root

pytestmark = [pytest.mark.needs("source-tree", "redis-server")]

P = "laravel_database_queues:"


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
    fill_every_system(client)
    client.zadd(f"{P}later:delayed", {"x": 1})


def steady(queues: Mapping[tuple[str, str], Queue]) -> Mapping[tuple[str, str], Queue]:
    """Return the queues without what depends on who looks, and when; and without what needs rights beyond those of the line."""
    return {
        key: structs.replace(
            queue,
            head_first_seen_at=None,
            throughput=None,
            error=None,
            registry_workers=None if key[0] in {"bull", "bullmq"} else queue.registry_workers,
        )
        for key, queue in queues.items()
    }


def test_the_documented_rights_suffice(
    redis_server: RedisServer, make_source: MakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    fill(redis_server)
    everything = read(make_source(redis_server.url, **PLAIN))
    source = make_source(user(redis_server), **PLAIN)
    found = read(source)
    assert steady(found) == steady(everything)
    assert set(WAITING) <= set(everything)
    assert all(queue.error is None for queue in found.values())
    assert all(queue.error is None for queue in everything.values())
    assert source.collect().run_id is not None
    assert source.discovery.problem is None
    assert caplog.records == []
    denied = {entry["object"] for entry in redis_server.client().acl_log()}
    assert denied <= {"client|setname", "client|list"}, "what is optional"


def test_the_documented_rights_reach_another_database(redis_server: RedisServer, make_source: MakeSource) -> None:
    redis_server.client(db=4).rpush(f"{P}emails", "x")
    url = user(redis_server).removesuffix("/0") + "/4"
    assert read(make_source(url))["laravel", "emails"].live.waiting == 1


def rights(system: QueueSystem) -> set[str]:
    """Return the rights that the documentation gives a system, those it can do without apart."""
    text = (repo_root() / "docs" / "redis.md").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith(f"| `{system.name}` |"))
    needed = line.partition("; ")[0].replace("\\|", "/")
    return {word.replace("/", "|") for word in re.findall(r"`([a-z/]+)`", needed.partition("|")[2].partition("|")[2])}


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_the_documentation_names_the_rights_of_each_system(system: QueueSystem) -> None:
    assert rights(system) == system.commands


def test_the_line_has_the_rights_of_all_systems_and_no_other() -> None:
    line = {word.removeprefix("+") for word in documented() if word.startswith("+")}
    base = {"select", "time", "info", "ping", "scan", "type"}
    assert line == base.union(*(system.commands for system in SYSTEMS), COUNTER_COMMANDS)


NEEDED = sorted(set().union(*(system.commands for system in SYSTEMS)))


@pytest.mark.parametrize("right", NEEDED)
def test_a_missing_right_is_named_and_harms_only_its_numbers(
    redis_server: RedisServer, make_source: MakeSource, caplog: pytest.LogCaptureFixture, right: str
) -> None:
    fill(redis_server)
    client: Any = redis_server.client()
    client.hset("dramatiq:more.msgs", "m", "{}")
    everything = read(make_source(redis_server.url, **PLAIN))
    found = read(make_source(user(redis_server, without=right), **PLAIN))
    owners = {system.name for system in SYSTEMS if right in system.commands}
    changed = {key for key, queue in steady(everything).items() if steady(found).get(key) != queue}
    assert {system for system, _ in changed} <= owners
    denied = {key for key, queue in found.items() if queue.error == "acl_denied"}
    assert {key for key in changed if key in found} <= denied, "what is there and lacks a number says so"
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


def test_keys_of_others_that_the_user_may_not_see_are_no_problem(
    redis_server: RedisServer, make_source: MakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    fill(redis_server)
    source = make_source(user(redis_server, keys=f"%R~{P}*"), systems=("laravel", "stream"))
    assert set(read(source)) == {("laravel", "emails"), ("laravel", "later")}
    assert source.discover_now(soon())
    assert source.discovery.problem is None
    assert caplog.records == []
