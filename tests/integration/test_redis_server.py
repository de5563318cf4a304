"""How a Redis is, read from real servers: Debian's Redis and Valkey."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeAlias

import pytest
import redis

from depthgauge.errors import ErrorKind, SourceError
from depthgauge.secrets import Secret
from exporter.settings import RedisSettings
from exporter.sources.redis_server import RedisServerSource
from tests.plugins.proxy import MakeProxy
from tests.plugins.redis_server import MakeRedis, RedisServer, valkey_binary
from tests.plugins.repo import repo_root
from tests.plugins.waiting import wait_for

MakeServerSource: TypeAlias = Callable[..., RedisServerSource]


@pytest.fixture
def make_server_source() -> Iterator[MakeServerSource]:
    sources: list[RedisServerSource] = []

    def make(url: str, *, timeout: float = 5.0) -> RedisServerSource:
        settings = RedisSettings(name="main", url=Secret(url))
        sources.append(RedisServerSource(settings, clock=lambda: datetime.now(UTC), timeout=timeout))
        return sources[-1]

    yield make
    for source in sources:
        source.close()


def failure(source: RedisServerSource) -> SourceError:
    with pytest.raises(SourceError) as caught:
        source.collect()
    return caught.value


def look_up(server: RedisServer, *, hits: int, misses: int) -> None:
    client = server.client()
    client.set("there", "x")
    for key, times in (("there", hits), ("absent", misses)):
        for _ in range(times):
            client.get(key)


@pytest.mark.parametrize("brand", ["redis", "valkey"])
def test_a_server_and_its_known_hit_rate(
    brand: str, make_redis: MakeRedis, make_server_source: MakeServerSource
) -> None:
    options = ("--maxmemory", "100mb", "--maxclients", "123")
    server = make_redis(*options, binary=valkey_binary() if brand == "valkey" else None)
    source = make_server_source(server.url)
    first = source.collect()
    assert first.hit_ratio is None, "there is nothing to compare with yet"
    look_up(server, hits=30, misses=10)
    server.client(db=3).mset({"a": 1, "b": 2})
    part = source.collect()
    assert part.hit_ratio == 0.75
    assert (part.hits_total, part.misses_total) == ((first.hits_total or 0) + 30, (first.misses_total or 0) + 10)
    info: Any = server.client().info()
    assert part.version == info.get("valkey_version", info["redis_version"])
    assert (part.redis, part.run_id, part.role) == ("main", info["run_id"], "master")
    assert part.keys == 3
    assert (part.max_memory_bytes, part.max_clients) == (100 << 20, 123)
    assert part.used_memory_bytes == pytest.approx(info["used_memory"], rel=0.2)
    assert (part.clients or 0) >= 2
    assert (part.blocked_clients, part.evicted_total, part.rejected_total) == (0, 0, 0)
    assert (part.commands_total or 0) >= 40
    assert part.uptime_seconds is not None
    assert part.ping_seconds is not None
    assert 0 < part.ping_seconds < 1
    look_up(server, hits=1, misses=0)
    assert source.collect().hit_ratio == 1.0, "since the reading before only"
    assert source.collect().hit_ratio is None, "without lookups there is no ratio"


def test_another_run_and_counters_set_back_begin_anew(
    redis_server: RedisServer, make_server_source: MakeServerSource
) -> None:
    source = make_server_source(redis_server.url)
    look_up(redis_server, hits=1, misses=1)
    before = source.collect()
    redis_server.stop()
    assert failure(source).kind is ErrorKind.REFUSED
    redis_server.start()
    look_up(redis_server, hits=9, misses=1)
    after = source.collect()
    assert after.run_id != before.run_id
    assert after.hit_ratio is None, "more lookups than before, but of another run"
    look_up(redis_server, hits=4, misses=1)
    assert source.collect().hit_ratio == 0.8
    redis_server.client().config_resetstat()
    look_up(redis_server, hits=1, misses=0)
    assert source.collect().hit_ratio is None
    look_up(redis_server, hits=1, misses=1)
    assert source.collect().hit_ratio == 0.5


def test_what_is_evicted_expired_refused_and_blocked(
    make_redis: MakeRedis, make_server_source: MakeServerSource
) -> None:
    server = make_redis("--maxclients", "6", "--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru")
    source = make_server_source(server.url)
    source.collect()
    client = server.client()
    client.set("gone", "x", px=1)
    wait_for(lambda: not client.exists("gone"), what="a key expires, before it can be evicted")
    for number in range(400):
        client.set(f"large:{number}", "x" * 20_000)
    waiting = threading.Thread(target=lambda: server.client().blpop(["nothing"], timeout=30), daemon=True)
    waiting.start()
    wait_for(lambda: source.collect().blocked_clients == 1, what="a client that waits is seen")

    def is_full() -> bool:
        try:
            server.client().ping()
        except redis.exceptions.RedisError:
            return True
        return False

    wait_for(is_full, what="a client more than allowed is refused")
    part = source.collect()
    assert part.expired_total == 1
    assert (part.evicted_total or 0) > 100
    assert (part.rejected_total or 0) >= 1
    client.lpush("nothing", "at last")
    waiting.join(10)


def test_the_time_of_a_ping_is_that_of_the_way_there_too(
    redis_server: RedisServer, make_proxy: MakeProxy, make_server_source: MakeServerSource
) -> None:
    proxy = make_proxy(("127.0.0.1", redis_server.port))
    source = make_server_source(f"redis://127.0.0.1:{proxy.port}/0")
    never = threading.Event()

    def delay(_: int, data: bytes) -> None:
        if b"PING" in data:
            never.wait(0.3)

    proxy.heralds.append(delay)
    seconds = source.collect().ping_seconds
    assert seconds is not None
    assert 0.3 <= seconds < 1


@pytest.mark.needs("source-tree")
def test_a_user_with_the_rights_that_the_page_names(
    redis_server: RedisServer, make_server_source: MakeServerSource
) -> None:
    page = (repo_root() / "docs" / "redis.md").read_text(encoding="utf-8")
    (line,) = (line.split() for line in page.splitlines() if line.startswith("ACL SETUSER depthgauge "))
    client: Any = redis_server.client()
    client.execute_command(*line)
    source = make_server_source(f"redis://depthgauge:PASSWORD@127.0.0.1:{redis_server.port}/0")
    assert source.collect().ping_seconds is not None
    source.collect()
    refused = {entry["object"] for entry in client.acl_log()}
    assert refused <= {"client|setname"}


def test_what_a_user_may_not_run(
    redis_server: RedisServer, make_server_source: MakeServerSource, caplog: pytest.LogCaptureFixture
) -> None:
    client: Any = redis_server.client()
    client.execute_command("ACL", "SETUSER", "u", "on", ">pw", "-@all", "+info")
    source = make_server_source(f"redis://u:pw@127.0.0.1:{redis_server.port}/0")
    for _ in range(3):
        assert source.collect().ping_seconds is None
    assert sum("refuses PING" in record.getMessage() for record in caplog.records) == 1
    client.execute_command("ACL", "SETUSER", "u", "-info", "+ping")
    error = failure(source)
    assert error.kind is ErrorKind.ACL_DENIED
    assert "INFO was refused" in str(error)
    assert "+info" in str(error)
    assert "pw" not in str(error)


def test_a_frozen_server_is_left_at_the_deadline(
    redis_server: RedisServer, make_server_source: MakeServerSource
) -> None:
    source = make_server_source(redis_server.url, timeout=0.5)
    source.collect()
    redis_server.pause()
    started = time.monotonic()
    assert failure(source).kind is ErrorKind.TIMEOUT
    assert time.monotonic() - started < 2
    redis_server.resume()
    assert source.collect().ping_seconds is not None


def test_a_script_that_blocks_the_server(redis_server: RedisServer, make_server_source: MakeServerSource) -> None:
    client: Any = redis_server.client()
    client.config_set("busy-reply-threshold", 50)
    source = make_server_source(redis_server.url)
    source.collect()

    def run() -> None:
        with pytest.raises(redis.exceptions.ResponseError):
            redis_server.client().eval("while true do end", 0)

    script = threading.Thread(target=run, daemon=True)
    script.start()
    try:
        error = wait_for(lambda: _busy(source), what="it answers BUSY")
    finally:
        wait_for(lambda: _killed(client), what="the script is ended")
        script.join(10)
    assert error.kind is ErrorKind.BUSY
    assert source.collect().ping_seconds is not None


def _busy(source: RedisServerSource) -> SourceError | None:
    try:
        source.collect()
    except SourceError as exc:
        return exc
    return None


def _killed(client: Any) -> bool:
    try:
        client.script_kill()
    except redis.exceptions.ResponseError as exc:
        return "NOTBUSY" in str(exc)
    return False
