"""The compose file's services as processes, from the file itself: what is mounted, who may do what, and whether it all works.

No container engine is here, so images are not run: this machine's programs stand in for what is in them
(``tests/plugins/containers.py``), and Grafana is not there at all.
"""

import contextlib
import json
import re
import time
import urllib.error
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.plugins.compose import Compose, make_secrets
from tests.plugins.compose_stack import Running, filled_from_prometheus, filled_from_the_database
from tests.plugins.containers import Stack, copy_mounted
from tests.plugins.stack_database import StackDatabase
from tests.plugins.trixie import find_trixie
from tests.plugins.waiting import wait_for

pytestmark = [
    pytest.mark.needs(
        *(
            "source-tree",
            "namespaces",
            "debian-13",
            "redis-server",
            "rq",
            "supervisord",
            "prometheus",
            "alertmanager",
        ),
        "amtool",
    ),
    pytest.mark.timeout(300),
]

SOON = 120
"""Seconds from the start of the first service until the dashboards have numbers."""
HEALTHY = ("python3", "-c", "import sys, urllib.request as r; r.urlopen(sys.argv[1], timeout=3)")
"""What is asked of Prometheus instead of `promtool check healthy`, which Debian 12's promtool does not know."""


@pytest.fixture(scope="module")
def running(compose: Compose, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    trixie = find_trixie()
    assert trixie is not None
    folder = tmp_path_factory.mktemp("stack")
    for parent in (folder, *folder.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o011)
    top = folder / "top"
    copy_mounted(compose, top)
    make_secrets(top)
    stack = Stack(compose, folder)
    database = StackDatabase(trixie, compose.services["timescaledb"], stack.network, top / "secrets")
    began = time.monotonic()
    try:
        url = re.search(r"--url=(\S+)", " ".join(compose.services["prometheus"].healthcheck))
        assert url is not None
        instead = {"prometheus": [*HEALTHY, f"{url[1]}/-/healthy"]}
        for name in stack.order():
            if name == "timescaledb":
                database.up()
            elif name != "grafana":
                stack.up(name, check=instead.get(name))
        yield Running(stack, database, top / "secrets", began)
    finally:
        stack.close()
        database.remove()


@pytest.mark.parametrize("look", [filled_from_prometheus, filled_from_the_database])
def test_the_dashboards_fill(running: Running, look: Callable[[Running], dict[str, dict[str, bool]]]) -> None:
    """Most of every board within two minutes of the start; the rest wants failures, a longer time, or counters that RQ has not."""
    latest: dict[str, dict[str, bool]] = {}

    def most() -> bool:
        latest.update(look(running))
        return all(sum(panels.values()) > len(panels) / 2 for panels in latest.values())

    left = running.began + SOON - time.monotonic()
    assert left > 0, "it was not looked in time"
    with contextlib.suppress(AssertionError):
        wait_for(most, left, step=2)
    empty = {board: [title for title, has in panels.items() if not has] for board, panels in latest.items()}
    assert most(), f"less than half of a board after {SOON} s; empty: {empty}"
    assert len(latest) >= 3


def test_everybody_is_who_the_file_says_and_may_do_nothing_else(running: Running) -> None:
    for name, each in running.stack.containers.items():
        if each.service.is_one_shot:
            continue
        status = Path(f"/proc/{each.pid}/status").read_text()
        for field, ids in (("Uid", each.service.uid), ("Gid", each.service.gid)):
            assert re.search(rf"^{field}:\t{ids}\t{ids}\t{ids}\t{ids}$", status, re.MULTILINE), name
        assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE), name
        for kind in ("Prm", "Eff", "Bnd", "Amb"):
            assert re.search(rf"^Cap{kind}:\t0+$", status, re.MULTILINE), name
        mounts = Path(f"/proc/{each.pid}/mountinfo").read_text()
        assert re.search(r"^\d+ \d+ \S+ / / ro\b", mounts, re.MULTILINE), f"{name}'s root may be written to"
        for mount in each.service.mounts:
            touched = each.run(["sh", "-c", f"test -w {mount.target}"]).returncode == 0
            shared = mount.source == "supervisor" and name == "exporter"
            assert touched is not (mount.read_only or shared), f"{name}: {mount.target}"


def test_no_secret_is_in_a_command_line_or_an_environment(running: Running) -> None:
    secrets = {path.name: path.read_text().encode() for path in running.secrets.iterdir()}
    passwords = [re.sub(rb"^.*://\w+:|@.*$", b"", text) for text in secrets.values()]
    shown = b""
    for pid in running.stack.network.pids():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            shown += Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
    # The files' names are there, of arguments and of variables, so what is in them would be.
    assert b"\0/run/secrets/redis_password\0" in shown
    assert b"DEPTHGAUGE_API_TOKEN_FILE=/run/secrets/api_token\0" in shown
    assert not [name for name, text in secrets.items() if text in shown]
    assert not [text for text in passwords if text in shown]
    logs = "".join(each.text for each in running.stack.containers.values()).encode()
    assert not [text for text in passwords if text in logs]


def test_the_roles_can_do_what_they_are_for_and_no_more(running: Running) -> None:
    reader = running.reader
    rows = wait_for(lambda: running.select(reader, "SELECT count(*) FROM depthgauge.snapshots")[0][0], 60, what="rows")
    assert rows > 0
    for dsn, statement in (
        (reader, "DELETE FROM depthgauge.snapshots"),
        (reader, "INSERT INTO depthgauge.snapshots DEFAULT VALUES"),
        (reader, "CREATE TABLE depthgauge.mine ()"),
        (running.secret("sink_dsn").replace("@timescaledb:", "@127.0.0.1:"), "DELETE FROM depthgauge.snapshots"),
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            running.select(dsn, statement)
    # On a volume that has them already, and once more.
    again = running.stack.up("roles")
    assert "role depthgauge_reader kept" in again.text
    assert running.select(reader, "SELECT 1") == [(1,)]


def test_prometheus_scrapes_everything_and_has_its_rules(running: Running) -> None:
    prometheus = running.prometheus

    def up() -> bool:
        targets = prometheus.ask("targets")["activeTargets"]
        return bool(targets) and all(target["health"] == "up" for target in targets)

    wait_for(up, 60, what="all targets are up", step=0.5)
    config = running.container("prometheus").service.mounts[0]
    told = (running.stack.folder / "top" / config.source).read_text()
    jobs = set(re.findall(r"job_name: (\S+)", told))
    assert {target["labels"]["job"] for target in prometheus.ask("targets")["activeTargets"]} == jobs
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert {rule["type"] for rule in rules} == {"recording", "alerting"}
    assert [rule for rule in rules if rule.get("lastError")] == []
    (found,) = prometheus.ask("alertmanagers")["activeAlertmanagers"]
    assert found["url"].startswith("http://alertmanager:9093/")


def test_workers_queues_and_processes_are_seen(running: Running) -> None:
    def seen() -> bool:
        return len(running.query("supervisor_process_up == 1")) >= 4 and len(running.query("jobqueue_workers")) >= 2

    wait_for(seen, 60, what="processes and workers", step=0.5)
    workers = {dict(labels)["queue"]: value for labels, value in running.query("jobqueue_workers").items()}
    assert workers["mail"] == 3
    assert workers["reports"] == 1
    # They share their processes with the exporter, which runs as another user: all but the open files.
    assert len(running.query("supervisor_process_resident_memory_bytes")) >= 4
    assert running.query("supervisor_process_open_fds") == {}
    wait_for(lambda: max(running.query('jobqueue_jobs{queue="invoices",state="waiting"}').values(), default=0) > 0, 60)
    assert running.query('jobqueue_jobs_kept{queue="invoices",result="failed"} > 0') == {}


def test_without_the_workers_processes_only_their_resources_are_missing(running: Running) -> None:
    """What docs/compose.md says of the line `pid`: the exporter's own command, among no processes but its own."""

    def processes(*, alone: bool) -> tuple[list[Any], dict[str, int]]:
        command = ["depthgauge", "snapshot", "--config.file", "/etc/depthgauge/depthgauge.toml"]
        done = running.container("exporter").run(command, alone=alone)
        (supervisor,) = json.loads(done.stdout)["supervisors"]
        return supervisor["processes"], {each["queue"]: each["processes"] for each in supervisor["workers"]}

    beside, served = processes(alone=False)
    assert any(process.get("resources") for process in beside)
    apart, still_served = processes(alone=True)
    assert [process["name"] for process in apart] == [process["name"] for process in beside]
    assert not any(process.get("resources") for process in apart)
    assert served == still_served == {"mail": 3, "reports": 1}


def test_the_api_answers_with_its_token_live_and_from_history(running: Running) -> None:
    token = {"Authorization": f"Bearer {running.secret('api_token')}"}
    base = "http://127.0.0.1:10139/api/system/queue"
    with pytest.raises(urllib.error.HTTPError):
        running.get(f"{base}/stats")
    live = json.loads(running.get(f"{base}/stats", **token))
    assert live["source"] == "cache"
    assert set(live["pendingByQueue"]) == {"mail", "reports", "invoices"}

    def history() -> bool:
        now = datetime.now(UTC)
        span = f"start_date={(now - timedelta(hours=1)):%Y-%m-%dT%H:%M:%SZ}&end_date={(now + timedelta(minutes=1)):%Y-%m-%dT%H:%M:%SZ}"
        return bool(json.loads(running.get(f"{base}/historical?{span}", **token))["count"])

    wait_for(history, 60, what="history")


def test_an_alert_is_on_its_way_for_the_queue_that_nobody_works_on(running: Running) -> None:
    alert = 'ALERTS{alertname="JobQueueNoWorkers"}'
    found = wait_for(lambda: running.query(alert), 60, what=alert, step=0.5)
    assert {dict(labels)["queue"] for labels in found} == {"invoices"}


def test_redis_keeps_its_data_over_a_restart_and_everybody_finds_it_again(running: Running) -> None:
    ask = ["sh", "-c", 'REDISCLI_AUTH="$(cat /run/secrets/redis_password)" redis-cli "$@"', "sh"]
    before = running.container("redis")
    assert before.run([*ask, "set", "kept", "by the volume"]).stdout.strip() == "OK"
    assert before.stop() == 0

    after = running.stack.up("redis")

    assert after.run([*ask, "get", "kept"]).stdout.strip() == "by the volume"
    assert after.run(["redis-cli", "get", "kept"]).stdout.strip().startswith("NOAUTH")
    for name in ("workers", "exporter", "sink"):
        wait_for(running.container(name).is_healthy, 60, what=f"{name} is healthy again", step=0.5)


def test_they_stop_when_they_are_told_to(running: Running) -> None:
    for name in ("sink", "exporter", "workers", "prometheus", "alertmanager"):
        assert running.container(name).stop() == 0, running.container(name).text[-2000:]
    assert "Traceback" not in running.container("exporter").text + running.container("sink").text
