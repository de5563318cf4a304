"""All queue systems in one Redis: each finds its own and nothing else, nobody writes, three round trips suffice."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from exporter.queues import SYSTEMS
from tests.plugins.every_system import PLAIN, WAITING, fill_every_system
from tests.plugins.queue_source import CountTrips, MakeSource, read
from tests.plugins.redis_server import MakeRedis, RedisServer, valkey_binary


@pytest.fixture
def filled(redis_server: RedisServer) -> RedisServer:
    fill_every_system(redis_server.client())
    return redis_server


def waiting(source: Any) -> dict[tuple[str, str], int | None]:
    return {key: queue.live.waiting for key, queue in read(source).items() if key[1]}


def test_each_system_finds_its_own_and_nothing_else(filled: RedisServer, make_source: MakeSource) -> None:
    assert waiting(make_source(filled.url, **PLAIN)) == WAITING
    assert {system for system, _ in WAITING} == {system.name for system in SYSTEMS}, "every system is in this test"


def test_no_number_is_missing_for_a_reason_nobody_knows(filled: RedisServer, make_source: MakeSource) -> None:
    assert {key: queue.error for key, queue in read(make_source(filled.url, **PLAIN)).items() if queue.error} == {}


@pytest.mark.needs("valkey")
def test_valkey_is_read_the_same(make_redis: MakeRedis, make_source: MakeSource) -> None:
    server = make_redis(binary=valkey_binary())
    fill_every_system(server.client())
    assert waiting(make_source(server.url, **PLAIN)) == WAITING


@pytest.mark.parametrize("system", [system.name for system in SYSTEMS])
def test_one_system_that_is_named_reads_no_other(filled: RedisServer, make_source: MakeSource, system: str) -> None:
    found = waiting(make_source(filled.url, systems=(system,), **{k: v for k, v in PLAIN.items() if is_of(k, system)}))
    assert found == {key: count for key, count in WAITING.items() if key[0] == system}


def is_of(option: str, system: str) -> bool:
    return {"lists": "list", "sorted_sets": "zset"}[option] == system


def test_a_cycle_over_all_systems_takes_three_round_trips(
    filled: RedisServer, make_source: MakeSource, count_trips: CountTrips
) -> None:
    source = make_source(filled.url, **PLAIN)
    read(source)
    trips = count_trips(source)
    assert waiting(source) == WAITING
    assert len(trips) <= 3, trips


@pytest.fixture
def digested(make_redis: MakeRedis) -> RedisServer:
    """Give a filled server that tells the digest of all it holds."""
    server = make_redis("--enable-debug-command", "yes")
    fill_every_system(server.client())
    return server


@pytest.fixture
def monitored(digested: RedisServer) -> Iterator["Monitor"]:
    monitor = Monitor(digested.port)
    yield monitor
    monitor.close()


class Monitor:
    """What MONITOR shows of a server, from now on."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._socket.sendall(b"MONITOR\r\n")
        assert self._socket.recv(5) == b"+OK\r\n"
        self._text = b""

    def until(self, mark: bytes) -> list[str]:
        """Return the names of all commands up to one that has this mark in it."""
        while mark not in self._text:
            self._text += self._socket.recv(65536)
        lines = self._text.partition(mark)[0].decode("utf-8", "replace").splitlines()
        return [line.split('"')[1].lower() for line in lines if line.startswith("+") and '"' in line]

    def close(self) -> None:
        self._socket.close()


def test_nothing_is_written_while_all_systems_are_found_and_read(
    digested: RedisServer, monitored: Monitor, make_source: MakeSource
) -> None:
    client: Any = digested.client()
    before = client.execute_command("DEBUG", "DIGEST")
    source = make_source(digested.url, **PLAIN)
    for _ in range(2):
        assert waiting(source) == WAITING
        assert source.discover_now(time.monotonic() + 10)
    client.echo("the end of it")
    seen = set(monitored.until(b"the end of it"))
    writing = {
        name
        for name, info in client.command().items()
        if "write" in {flag.decode() if isinstance(flag, bytes) else flag for flag in info["flags"]}
    }
    assert {"lpush", "hincrby", "zremrangebyscore", "srem", "expire", "xack"} <= writing
    assert not seen & writing
    assert {"llen", "zcard", "scan"} <= seen
    assert client.execute_command("DEBUG", "DIGEST") == before


def test_what_is_sent_is_what_the_systems_name(filled: RedisServer, make_source: MakeSource) -> None:
    client = filled.client()
    for system in SYSTEMS:
        client.config_resetstat()
        options = {k: v for k, v in PLAIN.items() if is_of(k, system.name)}
        source = make_source(filled.url, systems=(system.name,), **options)
        read(source)
        assert source.discover_now(time.monotonic() + 10)
        used = {name for name in filled.command_calls() if name not in OURS}
        assert used <= system.commands | system.optional, f"{system.name} sends more than it names"


OURS = {"time", "info", "scan", "type", "config|resetstat", "client|setname", "client|setinfo", "hello", "select"}
"""What every source sends, and the test itself."""
