"""What is read beside queues, as a whole: switches, the daemon, one snapshot, and what ``check`` says of it."""

import json
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.aspects import health
from cli.aspects.finding import Status
from cli.main import main
from depthgauge.secrets import Secret
from exporter.assembly import Assembly
from exporter.collect import EveryoneCollects
from exporter.settings import Collectors, ExporterSettings, ProbeSettings, RedisSettings
from exporter.sources.uptime import FILE, load
from tests.plugins.certificates import Authority
from tests.plugins.daemons import MakeDaemon
from tests.plugins.findings import only
from tests.plugins.ports import free_port
from tests.plugins.redis_server import RedisServer
from tests.plugins.site import MakeSite
from tests.plugins.waiting import wait_for

PROC = Path("/proc")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVERYTHING = {("redis", "default"), ("redis_server", "default"), ("host", "h"), ("probe", "site")}


@pytest.mark.parametrize("off", [None, "redis", "host", "probe"])
def test_each_kind_has_a_switch(off: str | None, redis_server: RedisServer, make_site: MakeSite) -> None:
    site = make_site()
    settings = ExporterSettings(
        host="h",
        redis=(RedisSettings(name="default", url=Secret(redis_server.url)),),
        probes=(ProbeSettings(name="site", url=Secret(site.url)),),
        collectors=Collectors(**({off: False} if off else {})),
    )
    assembly = Assembly(settings, run_id="r", leases=EveryoneCollects())
    try:
        snapshot = assembly.collector.take(NOW, seq=0)
    finally:
        assembly.close()
    kinds = {"redis": "redis_server"}.get(off or "", off)
    assert {(each.kind, each.target) for each in snapshot.sources} == {
        source for source in EVERYTHING if source[0] != kinds
    }
    assert all(each.ok for each in snapshot.sources)
    assert len(snapshot.redis_servers) == (off != "redis")
    assert (snapshot.machine is not None) == (off != "host")
    assert len(snapshot.probes) == (off != "probe")


def config(redis: str, site: str, more: str = "") -> str:
    return f"""
supervisor = []
[exporter]
host = "h"
interval = 1
{more}
[[redis]]
url = "{redis}"
[[probe]]
name = "site"
url = "{site}"
every = 0.1
"""


def test_the_daemon_samples_and_remembers(
    redis_server: RedisServer, make_site: MakeSite, make_daemon: MakeDaemon, tmp_path: Path
) -> None:
    site = make_site()
    state = tmp_path / "state"
    state.mkdir()
    daemon = make_daemon("exporter", config(redis_server.url, site.url, f'state_dir = "{state}"')).ready()
    wait_for(lambda: len(site.requests) >= 15, what="it asks more often than it collects")
    for kind, target in EVERYTHING:
        assert daemon.value("depthgauge_source_up", kind=kind, target=target) == 1.0, daemon.text
    first = load(state / FILE)
    assert daemon.stop() == 0
    last = load(state / FILE)
    assert first is not None
    assert last is not None
    assert last.current.uptime >= first.current.uptime
    assert last.current.boot_id == (PROC / "sys/kernel/random/boot_id").read_text().strip()
    assert last.earlier == ()
    again = make_daemon("exporter", config(redis_server.url, site.url, f'state_dir = "{state}"')).ready()
    assert again.stop() == 0
    after = load(state / FILE)
    assert after is not None
    assert after.earlier == (), "a restart of the exporter is no reboot"
    assert "Traceback" not in daemon.text + again.text


def test_a_stop_does_not_wait_for_what_hangs(
    redis_server: RedisServer, make_site: MakeSite, make_daemon: MakeDaemon
) -> None:
    site = make_site()
    daemon = make_daemon("exporter", config(redis_server.url, site.url)).ready()
    site.delays = [30.0] * 10
    redis_server.pause()
    asked = len(site.requests)
    wait_for(lambda: len(site.requests) > asked, what="an attempt is in flight")
    before = datetime.now(UTC)
    assert daemon.stop() == 0
    assert datetime.now(UTC) - before < timedelta(seconds=4)


def test_one_snapshot_leaves_no_thread_and_no_file(
    redis_server: RedisServer, make_site: MakeSite, tmp_path: Path
) -> None:
    site = make_site()
    state = tmp_path / "state"
    state.mkdir()
    file = tmp_path / "depthgauge.toml"
    file.write_text(config(redis_server.url, site.url, f'state_dir = "{state}"'))
    threads = set(threading.enumerate())
    runner = CliRunner(env={name: None for name in os.environ if name.startswith("DEPTHGAUGE_")})
    result = runner.invoke(main, ["snapshot", "--config.file", str(file)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    snapshot = json.loads(result.stdout)
    assert snapshot["machine"]["uptime_ratio"] == 1.0
    assert [each["version"] for each in snapshot["redis_servers"]]
    assert [(each["status"], each["response"]["total"]["count"]) for each in snapshot["probes"]] == [(200, 1)]
    lines = [line for line in result.stdout.splitlines() if '"buckets": [' in line]
    assert [line.count(",") for line in lines] == [65, 65], "a histogram takes one line"
    assert len(site.requests) == 1
    assert list(state.iterdir()) == []
    # The probed site's own threads aside.
    wait_for(
        lambda: (
            not [thread for thread in set(threading.enumerate()) - threads if not thread.name.startswith("Thread-")]
        ),
        what="all threads have ended",
    )


# What check says


def test_check_of_a_redis(redis_server: RedisServer) -> None:
    finding = only(health.look_at_redis(RedisSettings(name="r", url=Secret(redis_server.url))))
    assert (finding.status, finding.aspect, finding.target) == (Status.OK, "redis_server", "r")
    assert "without a limit" in finding.message
    client: Any = redis_server.client()
    client.config_set("maxmemory", "64mb")
    assert "MiB of 64 MiB" in only(health.look_at_redis(RedisSettings(name="r", url=Secret(redis_server.url)))).message
    client.execute_command("ACL", "SETUSER", "u", "on", ">pw", "-@all", "+info")
    settings = RedisSettings(name="r", url=Secret(f"redis://u:pw@127.0.0.1:{redis_server.port}/0"))
    finding = only(health.look_at_redis(settings))
    assert (finding.status, finding.hint) == (Status.WARNING, "ACL SETUSER … +ping")
    client.execute_command("ACL", "SETUSER", "u", "-info")
    finding = only(health.look_at_redis(settings))
    assert finding.status is Status.ERROR
    assert "INFO was refused" in finding.message


def test_check_of_this_host(tmp_path: Path) -> None:
    finding = only(health.look_at_host(ExporterSettings(host="h"), PROC))
    assert finding.status is Status.OK
    assert f"{os.cpu_count()} CPUs" in finding.message
    assert "without exporter.state_dir a reboot is not told" in finding.message
    settings = ExporterSettings(host="h", state_dir=tmp_path)
    assert "no uptime known yet" in only(health.look_at_host(settings, PROC)).message
    (tmp_path / FILE).write_text('{"current": {"begin": 0, "uptime": 100}}')
    assert "up 100.0% of what is known" in only(health.look_at_host(settings, PROC)).message
    (tmp_path / FILE).write_text("?")
    finding = only(health.look_at_host(settings, PROC))
    assert finding.status is Status.WARNING
    assert str(tmp_path / FILE) in finding.message
    finding = only(health.look_at_host(settings, tmp_path / "none"))
    assert finding.status is Status.ERROR
    assert "collectors.host = false" in finding.message


def test_check_of_a_probe(make_site: MakeSite, authority: Authority) -> None:
    now = datetime.now(UTC)
    site = make_site(authority.context("127.0.0.1", not_after=now + timedelta(days=20)))
    settings = ProbeSettings(name="p", url=Secret(f"{site.url}?token=hunter2"), ca_file=authority.ca_file)
    finding = only(health.look_at_probe(settings))
    assert finding.status is Status.OK
    assert f"{site.url} answers 200 in 0." in finding.message
    assert "its certificate ends on 20" in finding.message
    finding = only(health.look_at_probe(settings, now=now + timedelta(days=7)))
    assert (finding.status, finding.hint) == (Status.WARNING, "renew the certificate")
    site.status = 500
    finding = only(health.look_at_probe(settings))
    assert finding.status is Status.ERROR
    assert "answers 500" in finding.message
    plain = ProbeSettings(name="p", url=Secret(f"http://me:hunter2@127.0.0.1:{free_port()}/"))
    refused = only(health.look_at_probe(plain))
    assert (refused.status, refused.hint) == (Status.ERROR, "reason refused, see docs/health.md")
    assert "hunter2" not in f"{finding}{refused}"
    assert len(site.requests) == 3
