"""deploy/supervisor/depthgauge.conf under a real supervisord: both daemons and the listener run, reload, stop and come back."""

import os
import re
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from depthgauge.secrets import Secret
from sink.migrate import migrate
from tests.plugins import no_new_code
from tests.plugins.ports import free_port
from tests.plugins.redis_server import RedisServer
from tests.plugins.repo import repo_root
from tests.plugins.sinks import select
from tests.plugins.supervisord import Supervisord, running_supervisord
from tests.plugins.waiting import wait_for

pytestmark = [pytest.mark.needs("source-tree", "supervisord", "redis-server", "postgres"), pytest.mark.timeout(120)]

EXPORTER, SINK, LISTENER = "depthgauge-exporter", "depthgauge-sink", "depthgauge"


@dataclass(frozen=True)
class Installed:
    """The file as it would be installed, in a folder of the test's."""

    supervisord: Supervisord
    folder: Path
    ports: dict[str, int]
    dsn: str

    def samples(self, program: str, family: str) -> dict[str, float]:
        """Return the values of a metric by their first label's value."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[program]}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        return {
            next(iter(sample.labels.values()), ""): sample.value
            for each in text_string_to_metric_families(text)
            for sample in each.samples
            if sample.name == family
        }

    def log(self, name: str) -> str:
        return (self.folder / "log" / f"{name}.log").read_text()


def config_at(folder: Path, ports: dict[str, int]) -> str:
    """Return the file with this folder's paths, as the user of the tests, and with ports that are free."""
    text = (repo_root() / "deploy" / "supervisor" / "depthgauge.conf").read_text()
    # What systemd's units forbid may as well be forbidden here, to see that nothing misses it.
    bound = (
        "setpriv --bounding-set=-all --inh-caps=-all --no-new-privs" if os.geteuid() == 0 else "setpriv --no-new-privs"
    )
    own = f"{bound} {sys.executable} {no_new_code.__file__} {sys.executable} -m cli.main"
    text = text.replace("/opt/depthgauge/bin/depthgauge", own)
    for path, own in (("/etc/depthgauge", ""), ("/var/lib/depthgauge", "/state"), ("/var/log/depthgauge", "/log")):
        text = text.replace(path, f"{folder}{own}")
    text = re.sub(r"^user=depthgauge\n", "", text, flags=re.MULTILINE).replace(
        "directory=/\n", f"directory={repo_root()}\n"
    )
    for program, port in ports.items():
        command = rf"^(command=.* {program.partition('-')[2]} .*)$"
        text = re.sub(command, rf"\1 --web.listen-address 127.0.0.1:{port}", text, flags=re.MULTILINE)
    return text


@pytest.fixture
def installed(redis_server: RedisServer, postgres_database: str, tmp_path: Path) -> Iterator[Installed]:
    migrate(Secret(postgres_database))
    ports = {EXPORTER: free_port(), SINK: free_port()}
    for name in ("state", "log"):
        (tmp_path / name).mkdir()
    with running_supervisord([], sections=config_at(tmp_path, ports)) as supervisord:
        url = redis_server.url.rpartition("/")[0]
        (tmp_path / "depthgauge.toml").write_text(
            f'[exporter]\nhost = "web-1"\ninterval = 1\nstate_dir = "{tmp_path / "state"}"\n'
            f'[[supervisor]]\nname = "main"\nurl = "{supervisord.unix_url}"\n'
            f'[[redis]]\nurl = "{url}/0"\n[bus]\nurl = "{url}/1"\n[sink]\ndsn = "{postgres_database}"\n'
        )
        yield Installed(supervisord, tmp_path, ports, postgres_database)


def test_they_run_reload_stop_and_come_back(installed: Installed) -> None:
    supervisord = installed.supervisord
    started = {name: supervisord.wait_for_state(name, "RUNNING", 40) for name in (EXPORTER, SINK, LISTENER)}
    all_up = {LISTENER: 1.0, EXPORTER: 1.0, SINK: 1.0}
    wait_for(lambda: installed.samples(EXPORTER, "supervisor_process_up") == all_up, 20, what="all are seen, and up")
    wait_for(
        lambda: installed.samples(EXPORTER, "depthgauge_listener_up") == {"main": 1.0}, 20, what="the listener lives"
    )
    wait_for(lambda: select(installed.dsn, "SELECT count(*) FROM depthgauge.snapshots")[0][0] > 0, 20, what="rows")

    read = "depthgauge_config_last_reload_success_timestamp_seconds"
    before = installed.samples(EXPORTER, read)[""]
    supervisord.rpc.signalProcess(EXPORTER, "HUP")
    wait_for(lambda: installed.samples(EXPORTER, read)[""] > before, 10, what="the configuration was read again")

    for name in (EXPORTER, SINK):
        supervisord.rpc.stopProcess(name)
        ended = supervisord.info(name)
        assert (ended["statename"], ended["exitstatus"]) == ("STOPPED", 0), installed.log(name.partition("-")[2])
        supervisord.rpc.startProcess(name, False)
    again = {name: supervisord.wait_for_state(name, "RUNNING", 40)["pid"] for name in (EXPORTER, SINK)}
    assert all(pid != started[name]["pid"] for name, pid in again.items())

    # Killed, it is started again without a word from anybody.
    psutil.Process(again[SINK]).kill()
    wait_for(lambda: supervisord.info(SINK)["pid"] not in {0, again[SINK]}, 20, what="another sink")
    told = "SELECT DISTINCT process FROM depthgauge.process_events WHERE source = 'listener'"
    wait_for(lambda: {(EXPORTER,), (SINK,)} <= set(select(installed.dsn, told)), 20, what="the listener's events")

    family = supervisord.family()
    family[0].terminate()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []
