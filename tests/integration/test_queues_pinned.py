"""What ``depthgauge queues`` prints as configuration: it loads, and gives the same queues where nothing can be looked for."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.config import load_exporter
from cli.main import main
from cli.pin import as_toml
from depthgauge.secrets import Secret
from exporter.queues.naming import FoundQueue
from exporter.settings import RedisSettings
from exporter.sources.redis_queues import RedisQueuesSource
from tests.plugins.certificates import Authority
from tests.plugins.every_system import LARAVEL, WAITING, fill_every_system
from tests.plugins.ports import free_port
from tests.plugins.queue_source import read
from tests.plugins.redis_server import MakeRedis, RedisServer
from tests.plugins.settings import MakeInputs

Numbers = dict[tuple[str, str], Any]

STRANGE = (
    'say "x"',
    "back\\slash",
    "a\x01b\x7f\x9b",
    "qué 🎉",
    "with blank ",
    "a" * 200,
    "\u202eabc",
    "x:y/z",
    "nul\0nul",
)


def run(url: str, *words: str) -> Result:
    environment = {"DEPTHGAUGE_REDIS_URL": url, "DEPTHGAUGE_SUPERVISOR_URL": "http://127.0.0.1:1/RPC2"}
    return CliRunner(env=environment).invoke(main, ["queues", *words], catch_exceptions=False)


def look(url: str, *words: str) -> Any:
    done = run(url, "--json", *words)
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)["redis"]
    assert all(each["found_by"] for each in found["queues"])
    return found


def numbers(found: Any) -> Numbers:
    return {(each["system"], each["name"]): {**each["live"], **each["kept"]} for each in found["queues"]}


def pinned(found: Any, make_inputs: MakeInputs) -> RedisSettings:
    (settings,) = load_exporter(make_inputs(found["config"])).redis
    return settings


def unsought(server: RedisServer, settings: RedisSettings) -> Numbers:
    """Return what is read with these settings by a user who may not walk over the keys."""
    client: Any = server.client()
    client.execute_command("ACL", "SETUSER", "default", "-scan")
    source = RedisQueuesSource(settings, clock=lambda: datetime.now(UTC), timeout=5)
    try:
        queues = read(source).values()
    finally:
        source.close()
        client.execute_command("ACL", "SETUSER", "default", "+scan")
    return {
        (queue.system, queue.name): {
            **{name: getattr(queue.live, name) for name in queue.live.__struct_fields__},
            **{name: getattr(queue.kept, name) for name in queue.kept.__struct_fields__},
        }
        for queue in queues
    }


def test_every_system(redis_server: RedisServer, make_inputs: MakeInputs) -> None:
    fill_every_system(redis_server.client())
    found = look(redis_server.url)
    settings = pinned(found, make_inputs)
    assert set(settings.systems) == {system for system, _ in WAITING} - {"list", "zset"}
    assert unsought(redis_server, settings) == numbers(found)
    by = {(each["system"], each["name"]): each["found_by"] for each in found["queues"]}
    assert by == {
        ("laravel", "emails"): by["laravel", "emails"],
        ("celery", "celery"): "named in _kombu.binding.celery",
        ("celery", ""): "with the queues of celery",
        ("rq", "high"): "named in rq:queues",
        ("sidekiq", "mailers"): "named in queues",
        ("sidekiq", ""): "with the queues of sidekiq",
        ("resque", "images"): "named in resque:queues",
        ("resque", ""): "with the queues of resque",
        ("bullmq", "video"): "keys bull:video:…",
        ("bull", "audio"): "keys bull:audio:…",
        ("dramatiq", "default"): "hash dramatiq:default.msgs",
        ("arq", "arq:queue"): by["arq", "arq:queue"],
        ("huey", "app"): by["huey", "app"],
        ("taskiq", "taskiq"): "list taskiq",
        ("saq", "default"): by["saq", "default"],
        ("stream", "orders/billing"): "groups of the stream orders",
    }
    assert by["laravel", "emails"] in {f"list {LARAVEL}emails", f"zset {LARAVEL}emails:reserved"}
    assert by["arq", "arq:queue"] in {"zset arq:queue", "string arq:queue:health-check"}
    assert by["huey", "app"] in {"list huey.redis.app", "zset huey.schedule.app"}
    assert by["saq", "default"] in {"list saq:default:queued", "zset saq:default:incomplete"}


def put(client: Any, system: str, name: bytes, prefix: bytes | None = None) -> None:
    """Put two waiting jobs into a queue of a system, and what tells it."""
    home = PREFIXES[system][0] if prefix is None and system in PREFIXES else prefix or b""
    key = {
        "laravel": home + b"queues:" + name,
        "celery": home + name,
        "rq": home + b":queue:" + name,
        "sidekiq": (home + b":" if home else b"") + b"queue:" + name,
        "resque": home + b":queue:" + name,
        "bullmq": home + b":" + name + b":wait",
        "bull": home + b":" + name + b":wait",
        "dramatiq": home + b":" + name,
        "saq": b"saq:" + name + b":queued",
    }.get(system, name)
    if system in {"taskiq", "stream"}:
        client.xgroup_create(key, "taskiq" if system == "taskiq" else "workers", id="0", mkstream=True)
        client.xadd(key, {"a": "1"})
        client.xadd(key, {"a": "1"})
        return
    if system == "arq":
        client.zadd(key, {"1": 1, "2": 2})
        client.set(key + b":health-check", "j_complete=0 j_failed=0 j_retried=0 j_ongoing=0 queued=2")
        return
    client.rpush(key, "{}", "{}")
    separator = b"\x06\x16"
    if system == "celery":
        client.sadd(home + b"_kombu.binding.x", b"x" + separator + separator + name)
    elif system == "rq":
        client.sadd(home + b":queues", key)
    elif system == "sidekiq":
        start = home + b":" if home else b""
        client.sadd(start + b"queues", name)
        client.set(start + b"stat:processed", 1)
        client.zadd(start + b"schedule", {"{}": 4e9})
    elif system == "resque":
        client.sadd(home + b":queues", name)
        client.hset(home + b":workers:heartbeat", "a:1:x", "2026-01-15T08:00:00Z")
    elif system == "bullmq":
        client.hset(home + b":" + name + b":meta", "opts.maxLenEvents", 10_000)
    elif system == "bull":
        client.set(home + b":" + name + b":id", 2)
    elif system == "dramatiq":
        client.hset(key + b".msgs", mapping={"1": "{}", "2": "{}"})
        client.zadd(home + b":__heartbeats__", {"a": 1})


PREFIXES: dict[str, tuple[bytes, bytes]] = {
    "laravel": (b"laravel_database_", b"shop_database_"),
    "celery": (b"", b"shop:"),
    "rq": (b"rq", b"shop:rq"),
    "sidekiq": (b"", b"shop"),
    "resque": (b"resque", b"shop:resque"),
    "bullmq": (b"bull", b"shop"),
    "bull": (b"bull", b"shop"),
    "dramatiq": (b"dramatiq", b"shop"),
}


@pytest.mark.parametrize("system", [*sorted(set(PREFIXES) - {"dramatiq"}), "arq", "taskiq", "saq", "stream"])
def test_strange_names(system: str, redis_server: RedisServer, make_inputs: MakeInputs) -> None:
    client = redis_server.client()
    # Sidekiq and Resque have no NUL in a name: two parts of a handle are parted by one.
    names = [name for name in STRANGE if "\0" not in name or system not in {"sidekiq", "resque", "laravel"}]
    for name in names:
        put(client, system, name.encode())
    put(client, system, b"\xff\xfe")
    found = look(redis_server.url)
    shown = {name: each for name, each in numbers(found).items() if name[1]}
    assert len(shown) == len(names) + 1
    assert {each["waiting"] for each in shown.values()} == {2}
    assert "1, whose names are no UTF-8" in found["config"]
    assert found["config"].replace("\n", "").isprintable()
    assert not any("configuration" in each["found_by"] for each in found["queues"])
    told = unsought(redis_server, pinned(found, make_inputs))
    assert told == {name: each for name, each in numbers(found).items() if name in told}
    assert len([name for _, name in told if name]) >= len(names), "sets of names tell the one that is no UTF-8 too"


@pytest.mark.parametrize("system", PREFIXES)
def test_another_prefix(system: str, redis_server: RedisServer, make_inputs: MakeInputs) -> None:
    client = redis_server.client()
    first, other = PREFIXES[system]
    put(client, system, b"mail", other)
    found = look(redis_server.url)
    settings = pinned(found, make_inputs)
    assert getattr(settings, system).prefix == other.decode()
    assert unsought(redis_server, settings) == numbers(found)
    assert numbers(found)[system, "mail"]["waiting"] == 2

    put(client, system, b"mail", first)
    put(client, system, b"idle", first)
    found = look(redis_server.url)
    settings = pinned(found, make_inputs)
    assert getattr(settings, system).prefix is None
    assert f"{system} has several prefixes here" in found["config"]
    between = "" if system in {"laravel", "celery"} else ":"
    labels = {name for _, name in numbers(found)}
    assert {f"{first.decode()}{between if first or system != 'sidekiq' else ':'}mail", "idle"} <= labels
    assert {each["waiting"] for (_, name), each in numbers(found).items() if name.endswith(("mail", "idle"))} == {2}
    assert not any("configuration" in each["found_by"] for each in found["queues"])


@pytest.mark.parametrize(
    ("url", "lines"),
    [
        ("redis://h:1/0", ['url = "redis://h:1/0"']),
        ("redis://:secret@h/0", ['url = "redis://h/0"', "# password_file ="]),
        ("unix://me@/run/r.sock?db=2", ['url = "unix:///run/r.sock?db=2"', 'username = "me"']),
        ("redis+cluster://me:secret@a,b:7", ['url = "redis+cluster://a,b:7"', 'username = "me"', "# password_file ="]),
        ("redis+sentinel://me:secret@a,b/s/0?sentinel_password=secret", ["# url_file ="]),
    ],
)
def test_addresses(url: str, lines: list[str]) -> None:
    text = as_toml(RedisSettings(name="x", url=Secret(url)), [FoundQueue("saq", "q", b"q", {}, "")]).splitlines()
    told = text[2 : text.index('systems = ["saq"]')]
    assert [line.partition(' "/etc')[0] for line in told] == lines
    assert "secret" not in "".join(told)


def test_horizon(redis_server: RedisServer, make_inputs: MakeInputs) -> None:
    """Its prefix is pinned beside that of the queues, the braces of a cluster stay."""
    client = redis_server.client()
    put(client, "laravel", b"{mail}", b"shop:")
    client.sadd("{crm-horizon}:measured_queues", "{crm-horizon}:queue:mail", "{crm-horizon}:queue:idle")
    client.hset("{crm-horizon}:queue:mail", mapping={"throughput": 3, "runtime": 10})
    found = look(redis_server.url)
    settings = pinned(found, make_inputs)
    assert (settings.laravel.prefix, settings.horizon.prefix) == ("shop:", "{crm-horizon}:")
    assert settings.queues == ("laravel:idle", "laravel:mail", "laravel:{mail}")
    assert unsought(redis_server, settings) == numbers(found)
    assert numbers(found)["laravel", "mail"]["waiting"] == 2
    by = {(each["system"], each["name"]): each["found_by"] for each in found["queues"]}
    assert by == {
        ("laravel", "mail"): by["laravel", "mail"],
        ("laravel", "idle"): "named in {crm-horizon}:measured_queues",
        ("horizon", ""): "with the queues of horizon",
    }


def test_very_many_queues_are_a_table_that_can_be_read(redis_server: RedisServer, make_inputs: MakeInputs) -> None:
    client = redis_server.client()
    pipe = client.pipeline(transaction=False)
    for number in range(5000):
        pipe.rpush(f"{LARAVEL}q{number}", "{}")
    pipe.rpush(f"{LARAVEL}q77", *["{}"] * 9)
    pipe.sadd("rq:queues", "rq:queue:broken")
    pipe.set("rq:queue:broken", "x")
    pipe.execute()
    done = run(redis_server.url)
    lines = done.stdout.splitlines()
    assert len(lines) < 230
    assert any(line.startswith("laravel  q77 ") for line in lines)
    assert any(line.startswith("rq       broken ") and "[wrong_type]" in line for line in lines)
    assert "and 4801 more, in which fewer jobs wait; --json tells them all" in lines
    found = look(redis_server.url)
    assert len(found["queues"]) == 5001
    assert "# 5001 queues: name those that matter" in found["config"]
    assert pinned(found, make_inputs).laravel.prefix == "laravel_database_"


def test_what_is_configured_already_is_kept(redis_server: RedisServer, tmp_path: Path, make_inputs: MakeInputs) -> None:
    client = redis_server.client()
    put(client, "rq", b"high")
    put(client, "rq", b"tmp-1")
    client.rpush("jobs", "{}")
    file = tmp_path / "given.toml"
    file.write_text(
        f'[[redis]]\nname = "main"\nurl = "{redis_server.url}"\nqueues = ["rq:idle"]\nexclude = ["tmp-.*"]\n'
        '[[redis.list]]\nkey = "jobs"\n'
    )
    found = look(redis_server.url, "--config.file", str(file))
    assert {each["name"]: each["found_by"] for each in found["queues"]} == {
        "high": "named in rq:queues",
        "idle": "the configuration",
        "jobs": "the configuration",
    }
    assert "# and what is configured already: exclude, [[redis.list]]" in found["config"]
    assert pinned(found, make_inputs).queues == ("rq:idle", "rq:high")


def test_a_login_is_not_printed_and_tls_is(
    make_redis: MakeRedis, authority: Authority, tmp_path: Path, make_inputs: MakeInputs
) -> None:
    certificate, key = authority.issue("localhost", "127.0.0.1")
    authority.write_to(tmp_path / "ca.pem")
    port = free_port()
    server = make_redis(
        *("--tls-port", str(port), "--tls-auth-clients", "no"),
        *(
            "--tls-cert-file",
            str(certificate),
            "--tls-key-file",
            str(key),
            "--tls-ca-cert-file",
            str(tmp_path / "ca.pem"),
        ),
    )
    client: Any = server.client()
    client.execute_command("ACL", "SETUSER", "me:too", "on", ">p@s:s", "~*", "&*", "+@all")
    put(client, "rq", b"high")
    url = f"rediss://me%3Atoo:p%40s%3As@127.0.0.1:{port}/0?ssl_ca_certs={tmp_path / 'ca.pem'}"
    done = run(url)
    assert done.exit_code == 0, done.output
    assert "p%40s" not in done.output
    found = look(url)
    assert "p%40s" not in json.dumps(found)
    assert 'username = "me:too"' in found["config"]
    password = tmp_path / "password"
    password.write_text("p@s:s")
    lines = [re.sub(r"^# (password_file = ).*", rf'\1"{password}"', line) for line in found["config"].splitlines()]
    (settings,) = load_exporter(make_inputs("\n".join(lines))).redis
    assert unsought(server, settings) == numbers(found)
