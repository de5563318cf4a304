"""``depthgauge queues`` as a user runs it: what is there, by what it was found, and a configuration that pins it."""

import json
import tomllib
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.config import load_exporter
from cli.main import main
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import RedisServer
from tests.plugins.settings import MakeInputs

P = "laravel_database_queues:"


def run(url: str, *words: str) -> Result:
    environment = {"DEPTHGAUGE_REDIS_URL": url, "DEPTHGAUGE_SUPERVISOR_URL": "http://127.0.0.1:1/RPC2"}
    return CliRunner(env=environment).invoke(main, ["queues", *words], catch_exceptions=False)


@pytest.fixture
def filled(redis_server: RedisServer) -> RedisServer:
    client = redis_server.client()
    client.rpush(f"{P}emails", "{}", "{}")
    client.sadd("rq:queues", "rq:queue:high")
    return redis_server


def test_what_was_found_and_by_what(filled: RedisServer) -> None:
    done = run(filled.url)
    assert done.exit_code == 0
    lines = [line.split() for line in done.stdout.splitlines()]
    assert next(line for line in lines if line[:1] == ["laravel"])[:5] == ["laravel", "emails", "2", "0", "0"]
    assert f"list {P}emails" in done.stdout
    assert "named in rq:queues" in done.stdout


def test_the_configuration_pins_what_was_found(
    filled: RedisServer, make_inputs: MakeInputs, make_source: MakeSource
) -> None:
    answer = json.loads(run(filled.url, "--json").stdout)
    (found,) = answer["redis"]
    assert [(each["system"], each["name"], each["live"]["waiting"]) for each in found["queues"]] == [
        ("laravel", "emails", 2),
        ("rq", "high", 0),
    ]
    assert found["error"] is None
    pinned = tomllib.loads(found["config"])["redis"][0]
    assert pinned["systems"] == ["laravel", "rq"]
    assert pinned["laravel"] == {"prefix": "laravel_database_"}
    (settings,) = load_exporter(make_inputs(found["config"])).redis
    assert settings.url.reveal() == filled.url
    filled.client().flushall()
    names = {
        "systems": settings.systems,
        "queues": settings.queues,
        "laravel": settings.laravel,
        "rq": settings.rq,
    }
    assert set(read(make_source(filled.url, **names))) == {("laravel", "emails"), ("rq", "high")}, "without their keys"


def test_two_applications_are_told_apart(redis_server: RedisServer) -> None:
    client = redis_server.client()
    client.rpush("shop_queues:default", "{}")
    client.rpush("blog_queues:default", "{}")
    done = run(redis_server.url)
    assert "list shop_queues:default" in done.stdout
    assert "list blog_queues:default" in done.stdout
    assert "several prefixes" in done.stdout
    assert "prefix =" not in done.stdout


def test_an_empty_redis(redis_server: RedisServer) -> None:
    done = run(redis_server.url)
    assert done.exit_code == 0
    assert "No queue was found" in done.stdout
    assert "[[redis]]" not in done.stdout


def test_a_redis_that_cannot_be_read_and_its_password(redis_server: RedisServer) -> None:
    client: Any = redis_server.client()
    client.execute_command("ACL", "SETUSER", "reader", "on", ">hidden", "~*", "+@read", "+time", "+info", "+select")
    client.rpush(f"{P}emails", "{}")
    good = f"redis://reader:hidden@127.0.0.1:{redis_server.port}/0"
    done = run(good)
    assert done.exit_code == 0
    assert "hidden" not in done.output
    assert "password_file" in done.stdout
    assert f'url = "redis://127.0.0.1:{redis_server.port}/0"\nusername = "reader"' in done.stdout
    bad = run(good.replace("hidden", "wrong-one"))
    assert bad.exit_code == 1
    assert "check user name and password" in bad.stdout
    assert "wrong-one" not in bad.output
    redis_server.stop()
    assert run(redis_server.url).exit_code == 1
