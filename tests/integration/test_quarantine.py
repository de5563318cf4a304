"""``depthgauge quarantine`` on a real bus: what a sink put there is listed, sent again, or dropped."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from depthgauge import stream
from depthgauge.secrets import Secret
from sink import inbox
from sink.inbox import Entry, Inbox
from tests.plugins.redis_server import RedisServer
from tests.plugins.sinks import MakeSink, make_snapshot, publish, recent_slot, sequence
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("redis-server")


@pytest.fixture
def config(redis_server: RedisServer, tmp_path: Path) -> Path:
    file = tmp_path / "depthgauge.toml"
    file.write_text(f'[bus]\nurl = "{redis_server.url}"\n')
    return file


def call(config: Path, command: str, *arguments: str) -> Result:
    words = ["quarantine", command, "--config.file", str(config), *arguments]
    return CliRunner().invoke(main, words, catch_exceptions=False)


def listed(config: Path) -> list[dict[str, Any]]:
    result = call(config, "list", "--json")
    assert result.exit_code == 0, result.output
    return cast("list[dict[str, Any]]", json.loads(result.stdout))


def quarantined(server: RedisServer, *snapshots: Any, **fields: bytes) -> None:
    """Publish snapshots and put them into the quarantine, as a sink does."""
    bus = server.client()
    publish(bus, *snapshots, **fields)
    box = Inbox(Secret(server.url), "a", timeout=5)
    for name, found in cast("list[tuple[bytes, dict[bytes, bytes]]]", bus.xrange(stream.STREAM)):
        box.quarantine(Entry(name, found), "refused", "the database refuses a value in it")
    box.close()


def test_what_is_sent_again_is_written(
    config: Path, make_sink: MakeSink, redis_server: RedisServer, database: str
) -> None:
    quarantined(redis_server, *(make_snapshot(seq, base=recent_slot()) for seq in (1, 2, 3)))
    first, second, third = listed(config)
    assert (first["host"], first["run"], first["seq"], first["reason"]) == ("web-1", "r1", "1", "refused")
    assert first["complete"] is True
    assert first["size"] > 100
    assert abs(datetime.fromisoformat(first["quarantined_at"]) - datetime.now(UTC)) < timedelta(minutes=1)

    sink = make_sink(database, redis_server.url)
    assert call(config, "retry", first["id"]).stdout == "1 sent again\n"
    wait_for(lambda: sequence(database) == [1], 20)
    assert [kept["id"] for kept in listed(config)] == [second["id"], third["id"]]
    assert call(config, "drop", second["id"]).exit_code == 0
    assert call(config, "retry", "--all").stdout == "1 sent again\n"
    wait_for(lambda: sequence(database) == [1, 3], 20)
    assert sink.count("snapshots_duplicate_total") == 0
    assert call(config, "list").stdout == "The quarantine is empty.\n"


def test_a_list_for_people_has_a_line_an_entry(config: Path, redis_server: RedisServer) -> None:
    quarantined(redis_server, make_snapshot(7, base=recent_slot()), host=b"evil\n\x1b[31m")

    [line] = call(config, "list").stdout.splitlines()
    assert "seq=7" in line
    assert "host=evil\ufffd\ufffd[31m" in line
    assert "bytes: the database refuses a value in it" in line


def test_a_body_that_was_not_kept_cannot_be_sent_again(config: Path, redis_server: RedisServer) -> None:
    quarantined(redis_server, make_snapshot(1, base=recent_slot()), d=b"x" * (inbox.QUARANTINE_BODY + 1))
    [kept] = listed(config)
    assert (kept["complete"], kept["size"]) == (False, inbox.QUARANTINE_BODY + 1)

    result = call(config, "retry", kept["id"])
    assert result.exit_code == 1
    assert "stored without its body" in result.output
    assert redis_server.client().xlen(stream.STREAM) == 0
    assert call(config, "drop", "--all").stdout == "1 dropped\n"
    assert listed(config) == []


def test_a_body_of_a_mebibyte_is_kept(config: Path, redis_server: RedisServer) -> None:
    quarantined(redis_server, make_snapshot(1, base=recent_slot()), d=b"x" * inbox.QUARANTINE_BODY)
    [kept] = listed(config)

    assert call(config, "retry", kept["id"]).exit_code == 0
    [(_, fields)] = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis_server.client().xrange(stream.STREAM))
    assert len(fields[b"d"]) == inbox.QUARANTINE_BODY
    assert set(fields) == {b"v", b"host", b"run", b"seq", b"slot", b"d"}


def test_bodies_together_are_bounded(config: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "QUARANTINE_BYTES", 300_000)
    quarantined(redis_server, *(make_snapshot(seq, base=recent_slot()) for seq in range(1, 6)), d=b"x" * 100_000)

    complete = [kept["complete"] for kept in listed(config)]
    assert complete[0] is True
    assert complete[-1] is False


@pytest.mark.needs("postgres")
def test_what_falls_out_is_counted(
    config: Path,
    make_sink: MakeSink,
    redis_server: RedisServer,
    postgres_database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sink import consume
    from sink.migrate import migrate

    migrate(Secret(postgres_database))
    monkeypatch.setattr(inbox, "QUARANTINE_LENGTH", 3)
    monkeypatch.setattr(consume, "STATE_EVERY", 0.1)
    publish(redis_server.client(), *(make_snapshot(seq, base=recent_slot()) for seq in range(1, 6)), d=b"garbage")
    sink = make_sink(postgres_database, redis_server.url)
    wait_for(lambda: sink.count("snapshots_quarantined_total", reason="corrupt") == 5, 20)
    wait_for(lambda: sink.count("quarantine_entries") == 3, 20)

    assert sink.count("quarantine_evicted_total") == 2
    assert [kept["seq"] for kept in listed(config)] == ["3", "4", "5"]
    assert {kept["reason"] for kept in listed(config)} == {"corrupt"}


@pytest.mark.parametrize("name", ["1-1", "nonsense", "+", "-"])
@pytest.mark.parametrize("command", ["retry", "drop"])
def test_an_unknown_id_is_told(command: str, name: str, config: Path, redis_server: RedisServer) -> None:
    quarantined(redis_server, make_snapshot(1, base=recent_slot()))
    result = call(config, command, "--", name)

    assert result.exit_code == 1
    assert f"{name}: there is no such entry" in result.output
    assert len(listed(config)) == 1


def test_ids_or_all_are_wanted(config: Path) -> None:
    for ids in ((), ("1-1", "--all")):
        result = call(config, "drop", *ids)
        assert result.exit_code == 1
        assert "--all" in result.output


def test_without_a_bus_it_says_so(config: Path, redis_server: RedisServer) -> None:
    redis_server.stop()
    away = call(config, "list")
    assert away.exit_code == 1
    assert f"127.0.0.1:{redis_server.port}" in away.output
    config.write_text("[exporter]\n")
    none = call(config, "list")
    assert none.exit_code == 1
    assert "bus.url" in none.output
    assert "missing" in none.output
