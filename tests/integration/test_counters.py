"""Counters by the convention, found and read in a real Redis; what docs/counters.md prints does what it says."""

import re
import subprocess
import time
from typing import Any

import pytest

from exporter.settings import ListSettings
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import RedisServer
from tests.plugins.repo import repo_root

MAIL = ListSettings(key="mail", name="mail")


def add(server: RedisServer, key: str, **fields: int) -> None:
    client: Any = server.client()
    for field, amount in fields.items():
        client.hincrby(key, field, amount)


def documented(language: str) -> str:
    """Return the block of code in this language that docs/counters.md has for one's own code."""
    text = (repo_root() / "docs" / "counters.md").read_text()
    (block,) = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return str(block)


def test_counters_are_found_and_shown_at_a_plain_list(redis_server: RedisServer, make_source: MakeSource) -> None:
    add(redis_server, "depthgauge:jobs:mail", completed=5, failed=1, runtime_ms=900)
    source = make_source(redis_server.url, systems=("list",), lists=(MAIL,))
    first = read(source)["list", "mail"]
    assert (first.completed_total, first.failed_total, first.processing_seconds) == (5, 1, None)
    add(redis_server, "depthgauge:jobs:mail", completed=1, failed=1, runtime_ms=500)
    second = read(source)["list", "mail"]
    assert (second.completed_total, second.failed_total) == (6, 2)
    assert second.processing_seconds == pytest.approx(0.25)
    redis_server.client().delete("depthgauge:jobs:mail")
    assert read(source)["list", "mail"].completed_total is None


def test_any_number_of_them_costs_no_round_trip(redis_server: RedisServer, make_source: MakeSource) -> None:
    client = redis_server.client()
    for number in range(50):
        client.rpush(f"laravel_database_queues:q{number}", "{}")
        add(redis_server, f"laravel_database_depthgauge:jobs:q{number}", completed=number + 1)
    source = make_source(redis_server.url)
    assert read(source)["laravel", "q7"].completed_total == 8
    client.config_resetstat()
    found = read(source)
    assert [found["laravel", f"q{number}"].completed_total for number in range(50)] == list(range(1, 51))
    calls = redis_server.command_calls()
    assert (calls["hmget"], calls["time"]) == (50, 1)
    assert "hgetall" not in calls


def test_a_key_that_is_no_hash_any_more_is_named_at_its_queue(
    redis_server: RedisServer, make_source: MakeSource
) -> None:
    add(redis_server, "depthgauge:jobs:mail", completed=5)
    source = make_source(redis_server.url, lists=(MAIL,))
    assert read(source)["list", "mail"].completed_total == 5
    redis_server.client().delete("depthgauge:jobs:mail")
    redis_server.client().set("depthgauge:jobs:mail", "5")
    found = read(source)["list", "mail"]
    assert (found.completed_total, found.error, found.live.waiting) == (None, "wrong_type", 0)


def test_counters_that_come_later_are_found_by_the_next_walk(
    redis_server: RedisServer, make_source: MakeSource
) -> None:
    source = make_source(redis_server.url, lists=(MAIL,))
    assert read(source)["list", "mail"].completed_total is None
    add(redis_server, "depthgauge:jobs:list:mail", completed=5)
    assert source.discover_now(time.monotonic() + 10)
    assert read(source)["list", "mail"].completed_total == 5


@pytest.mark.needs("source-tree", "redis-server")
def test_the_documented_lines_count(redis_server: RedisServer, make_source: MakeSource) -> None:
    exec(documented("python"), {"redis": redis_server.client()})
    command = documented("sh").rstrip() + f" -p {redis_server.port}"
    subprocess.run(["sh", "-c", command], check=True, capture_output=True, timeout=20)
    found = read(make_source(redis_server.url, lists=(MAIL,)))["list", "mail"]
    assert (found.completed_total, found.failed_total) == (2, 0)
    assert redis_server.client().hget("depthgauge:jobs:mail", "runtime_ms") == b"2500"
