"""What discovery remembers: over restarts, for 30 days, as far as it is wanted."""

import re
import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from depthgauge.secrets import Secret
from exporter.settings import PrefixSettings, RedisSettings
from exporter.sources import findings
from exporter.sources.findings import FORGET_AFTER, Findings
from exporter.sources.redis_queues import RedisQueuesSource
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import RedisServer
from tests.plugins.waiting import wait_for

P = "laravel_database_queues:"
SYSTEMS = ("laravel", "rq")


def source_with(folder: Path, url: str, name: str = "main") -> RedisQueuesSource:
    source = RedisQueuesSource(
        RedisSettings(name=name, url=Secret(url)), clock=lambda: datetime.now(UTC), timeout=5, state_dir=folder
    )
    source.discovery.findings.keeps = True
    return source


def names_after_restart(folder: Path, url: str, name: str = "main") -> set[tuple[str, str]]:
    source = source_with(folder, url, name)
    try:
        return set(read(source))
    finally:
        source.close()


@pytest.fixture
def emptied(redis_server: RedisServer, tmp_path: Path) -> Path:
    """Give a state folder of an exporter that has seen two queues, in a Redis that is empty now."""
    client = redis_server.client()
    client.rpush(f"{P}emails", "x")
    client.sadd("rq:queues", "rq:queue:high")
    assert names_after_restart(tmp_path, redis_server.url) == {("laravel", "emails"), ("rq", "high")}
    client.flushall()
    return tmp_path


def test_a_queue_that_was_seen_once_is_shown_after_a_restart(redis_server: RedisServer, emptied: Path) -> None:
    assert names_after_restart(emptied, redis_server.url) == {("laravel", "emails"), ("rq", "high")}
    assert names_after_restart(emptied.parent / "other", redis_server.url) == set(), (
        "another state folder knows nothing"
    )
    (file,) = (emptied / "discovered").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_another_database_held_is_not_taken_over(redis_server: RedisServer, emptied: Path) -> None:
    assert names_after_restart(emptied, redis_server.url.replace("/0", "/3")) == set()


def test_two_servers_have_a_file_each(redis_server: RedisServer, emptied: Path) -> None:
    assert names_after_restart(emptied, redis_server.url, "../other name") == set()
    assert {file.name for file in (emptied / "discovered").iterdir()} == {"main.json", "..%2Fother%20name.json"}


@pytest.mark.parametrize("content", [b"", b"{", b'{"server":"x"}', b'{"server":1,"systems":{}}', b"\xff" * 100])
def test_a_damaged_file_is_told_and_made_anew(
    redis_server: RedisServer, emptied: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (file,) = (emptied / "discovered").iterdir()
    file.write_bytes(content)
    redis_server.client().rpush(f"{P}late", "x")
    assert names_after_restart(emptied, redis_server.url) == {("laravel", "late")}
    assert "queues are looked for anew" in caplog.text
    redis_server.client().flushall()
    assert names_after_restart(emptied, redis_server.url) == {("laravel", "late")}


def test_a_folder_that_cannot_be_written_is_told_once(
    redis_server: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "discovered").write_text("no folder")
    source = source_with(tmp_path, redis_server.url)
    try:
        redis_server.client().rpush(f"{P}a", "x")
        assert set(read(source)) == {("laravel", "a")}
        redis_server.client().rpush(f"{P}b", "x")
        wait_for(lambda: source.discover_now(time.monotonic() + 5) and len(read(source)) == 2, what="both are read")
    finally:
        source.close()
    assert caplog.text.count("after a restart queues are looked for anew") == 1


def make(folder: Path | None, clock: Callable[[], float]) -> Findings:
    made = Findings("main", "redis://h/0", SYSTEMS, state_dir=folder, clock=clock)
    made.keeps = True
    return made


def test_who_only_looks_once_writes_nothing(redis_server: RedisServer, emptied: Path) -> None:
    (file,) = (emptied / "discovered").iterdir()
    before = file.read_bytes()
    source = source_with(emptied, redis_server.url)
    source.discovery.findings.keeps = False
    redis_server.client().rpush(f"{P}late", "x")
    try:
        assert ("laravel", "late") in read(source)
    finally:
        source.close()
    assert file.read_bytes() == before


def test_what_nothing_has_told_for_thirty_days_is_forgotten(tmp_path: Path) -> None:
    now = [1.8e9]
    found = make(tmp_path, lambda: now[0])
    found.add("rq", [(b"old", "x"), (b"kept", "y")])
    now[0] += FORGET_AFTER - 10
    found.add("rq", [(b"kept", "y")])
    found.forget()
    assert set(found.handles["rq"]) == {b"old", b"kept"}
    now[0] += 20
    found.forget()
    assert set(found.handles["rq"]) == {b"kept"}
    assert found.by("rq", b"old") is None
    found.save()
    later = make(tmp_path, lambda: now[0] + FORGET_AFTER)
    later.load(lambda system, handle: True)
    assert later.handles["rq"] == ()


def test_handles_are_bytes_of_any_kind(tmp_path: Path) -> None:
    raw = bytes(range(256))
    found = make(tmp_path, lambda: 1.8e9)
    found.add("laravel", [(raw, "list key")])
    found.save()
    again = make(tmp_path, lambda: 1.8e9)
    again.load(lambda system, handle: True)
    assert again.handles["laravel"] == (raw,)
    assert again.by("laravel", raw) == "list key"


def test_nothing_is_written_while_nothing_is_new(tmp_path: Path) -> None:
    now = [1.8e9]
    found = make(tmp_path, lambda: now[0])
    found.add("rq", [(b"a", "x")])
    found.save()
    file = tmp_path / "discovered" / "main.json"
    before = file.read_bytes()
    now[0] += 60
    found.add("rq", [(b"a", "x")])
    found.save()
    assert file.read_bytes() == before
    now[0] += findings.SAVE_EVERY
    found.add("rq", [(b"a", "x")])
    found.save()
    assert file.read_bytes() != before, "but once an hour, for when it was seen"


def test_a_file_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found = make(tmp_path, lambda: 1.8e9)
    found.add("rq", [(b"a", "x")])
    found.save()
    monkeypatch.setattr(findings, "MAX_BYTES", 20)
    again = make(tmp_path, lambda: 1.8e9)
    again.load(lambda system, handle: True)
    assert again.handles["rq"] == ()
    assert "more than 20 bytes" in caplog.text


def test_include_and_exclude_choose_among_what_is_found(
    redis_server: RedisServer, make_source: MakeSource, tmp_path: Path
) -> None:
    client = redis_server.client()
    for name in ("mail", "mail-slow", "tmp-1", "tmp-2", "reports"):
        client.rpush(f"{P}{name}", "x")
        client.sadd("rq:queues", f"rq:queue:{name}")

    def shown(**options: object) -> set[str]:
        return {name for _, name in read(make_source(redis_server.url, **options))}

    assert shown(exclude=(re.compile("tmp-.*"),)) == {"mail", "mail-slow", "reports"}
    assert shown(include=(re.compile("mail"), re.compile("rep.*"))) == {"mail", "reports"}, "the whole name"
    assert shown(include=(re.compile("mail.*"),), exclude=(re.compile(".*-slow"),)) == {"mail"}
    assert shown(exclude=(re.compile(".*"),), queues=("rq:tmp-9", "tmp-1")) == {"tmp-9", "tmp-1"}, (
        "configured ones stay"
    )


def test_what_is_remembered_of_another_prefix_than_the_configured_one_is_not_read(
    redis_server: RedisServer, emptied: Path
) -> None:
    settings = RedisSettings(
        name="main", url=Secret(redis_server.url), rq=PrefixSettings(prefix="shop"), laravel=PrefixSettings(prefix="s_")
    )
    source = RedisQueuesSource(settings, clock=lambda: datetime.now(UTC), timeout=5, state_dir=emptied)
    try:
        assert read(source) == {}
    finally:
        source.close()


def test_a_pattern_that_is_new_holds_for_what_is_remembered(redis_server: RedisServer, emptied: Path) -> None:
    settings = RedisSettings(name="main", url=Secret(redis_server.url), exclude=(re.compile("hi.*"),))
    source = RedisQueuesSource(settings, clock=lambda: datetime.now(UTC), timeout=5, state_dir=emptied)
    try:
        assert set(read(source)) == {("laravel", "emails")}
    finally:
        source.close()


def test_found_by_says_what_told_a_queue(redis_server: RedisServer, make_source: MakeSource) -> None:
    client = redis_server.client()
    client.zadd(f"{P}emails:delayed", {"x": 1})
    client.sadd("rq:queues", "rq:queue:high")
    client.hset("bull:mail:meta", "opts.maxLenEvents", 10_000)
    source = make_source(redis_server.url)
    read(source)
    found = {each.system: each for each in source.found_by()}
    assert found["laravel"].name == "emails"
    assert found["laravel"].prefix == "laravel_database_"
    assert found["laravel"].by == f"zset {P}emails:delayed"
    assert found["rq"].by == "named in rq:queues"
    assert (found["bullmq"].name, found["bullmq"].by) == ("mail", "its keys")


def test_a_redis_that_another_exporter_read_meanwhile_rebases_its_counters(
    redis_server: RedisServer, make_source: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_source(redis_server.url, systems=("rq",))
    rebased: list[str] = []
    (active,) = source._active
    monkeypatch.setattr(active.reader, "rebase", lambda: rebased.append(active.reader.system))
    read(source)
    assert rebased == []
    source.stand_by()
    source.stand_by()
    read(source)
    read(source)
    assert rebased == ["rq"]
