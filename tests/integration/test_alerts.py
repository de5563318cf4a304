"""The rules at work: promtool's tests of them, a real Prometheus and Alertmanager, the inhibitions, the runbooks' SQL."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
import rq
import yaml
from click.testing import CliRunner

from cli.main import main
from depthgauge.secrets import Secret
from sink.migrate import migrate
from tests.plugins.alertmanager import Alertmanager, MakeAlertmanager, selected
from tests.plugins.daemons import MakeDaemon
from tests.plugins.prometheus import MakePrometheus, Prometheus
from tests.plugins.redis_server import RedisServer
from tests.plugins.repo import repo_root
from tests.plugins.rule_files import FILES
from tests.plugins.supervisord import MakeSupervisord, Program, python
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("source-tree")

Q = {"redis": "default", "system": "rq", "queue": "mail"}


def alertmanager_yml() -> Path:
    return repo_root() / "prometheus" / "alertmanager.yml"


@pytest.fixture(scope="module")
def promtool_runs() -> Iterator[Mapping[str, "Future[subprocess.CompletedProcess[str]]"]]:
    """Run all files of tests, two at a time."""
    folder = repo_root() / "prometheus" / "rules" / "tests"

    def run(name: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["promtool", "test", "rules", str(folder / name)], check=False, capture_output=True, text=True, timeout=100
        )

    with ThreadPoolExecutor(max_workers=2) as pool:
        yield {name: pool.submit(run, name) for name in FILES}


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("name", FILES)
def test_promtool_passes(name: str, promtool_runs: Mapping[str, "Future[subprocess.CompletedProcess[str]]"]) -> None:
    done = promtool_runs[name].result()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


def printed(*options: str) -> str:
    result = CliRunner().invoke(main, ["rules", *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def states(prometheus: Prometheus, alert: str) -> dict[str, str]:
    """Return the state of an alert by queue."""
    found = prometheus.query(f'ALERTS{{alertname="{alert}"}}')
    return {dict(labels)["queue"]: dict(labels)["alertstate"] for labels in found}


@pytest.mark.needs("prometheus", "alertmanager", "redis-server", "rq", "supervisord")
def test_jobs_without_workers_are_told_from_the_exporter_to_the_alertmanager(
    make_daemon: MakeDaemon,
    make_prometheus: MakePrometheus,
    make_alertmanager: MakeAlertmanager,
    make_supervisord: MakeSupervisord,
    redis_server: RedisServer,
) -> None:
    with redis.Redis(port=redis_server.port) as client:
        for name in ("dead", "served"):
            rq.Queue(name, connection=client).enqueue("builtins.print")
    sleeper = python("import time; time.sleep(600)")
    supervisord = make_supervisord([Program("work-dead", sleeper), Program("work-served", sleeper)])
    exporter = make_daemon(
        "exporter",
        "[exporter]\ninterval = 1\n"
        f'[[supervisor]]\nname = "main"\nurl = "{supervisord.unix_url}"\n'
        '[[supervisor.queues]]\nprogram = "work-(?P<queue>.+)"\nsystem = "rq"\n'
        f'[[redis]]\nname = "default"\nurl = "{redis_server.url}"\n',
    ).ready()
    wait_for(lambda: exporter.value("jobqueue_workers", queue="dead") == 1, 20)
    alertmanager = make_alertmanager(alertmanager_yml())
    prometheus = make_prometheus(
        rules=printed("--selector", 'job="exporter"', "--threshold", "jobqueue.no_workers=4s"),
        alertmanager=alertmanager.address,
        exporter=exporter.url.removeprefix("http://"),
    )
    wait_for(lambda: prometheus.query("queue:jobqueue_workers:sum"), 30)

    supervisord.rpc.stopProcess("work-dead")
    wait_for(lambda: states(prometheus, "JobQueueNoWorkers").get("dead") == "pending", 20)
    wait_for(lambda: states(prometheus, "JobQueueNoWorkers").get("dead") == "firing", 20)
    wait_for(alertmanager.alerts, 20, what="the alert arrives")
    (arrived,) = [each for each in alertmanager.alerts() if each["labels"]["alertname"] == "JobQueueNoWorkers"]
    assert arrived["labels"]["queue"] == "dead"
    assert arrived["receivers"] == [{"name": "call"}]
    assert arrived["annotations"]["description"] == (
        "Queue dead (rq in Redis default) has had waiting jobs and no worker for 4s; 1 wait now."
    )

    supervisord.rpc.startProcess("work-dead")
    wait_for(lambda: not states(prometheus, "JobQueueNoWorkers"), 20, what="the alert ends when the worker is back")
    assert prometheus.rule_problems() == {}


@pytest.mark.needs("prometheus", "redis-server", "rq")
def test_an_alert_outlives_the_exporter_that_raised_it(
    make_daemon: MakeDaemon, make_prometheus: MakePrometheus, redis_server: RedisServer
) -> None:
    """Two exporters know one Redis; the one that reads it is killed, and the other takes over."""
    with redis.Redis(port=redis_server.port) as client:
        rq.Queue("mail", connection=client).enqueue("builtins.print")
    config = (
        "supervisor = []\n[exporter]\ninterval = 1\nhost = '{}'\n"
        f"[[redis]]\nname = 'default'\nurl = '{redis_server.url}'\n[bus]\nurl = '{redis_server.url}'\n"
    )
    exporters = [make_daemon("exporter", config.format(host)).ready() for host in ("web-1", "web-2")]
    prometheus = make_prometheus(
        rules=printed("--selector", 'job="exporter"', "--threshold", "jobqueue.no_workers=2s"),
        exporter=",".join(each.url.removeprefix("http://") for each in exporters),
    )

    def holder() -> str | None:
        told = prometheus.query_all('jobqueue_jobs{state="waiting"}')
        return told[0]["instance"] if len(told) == 1 else None

    wait_for(lambda: states(prometheus, "JobQueueNoWorkers") == {"mail": "firing"}, 30)
    before = wait_for(holder, 20, what="one of the two reads the Redis")
    since = prometheus.query('ALERTS_FOR_STATE{alertname="JobQueueNoWorkers"}')
    (killed,) = [each for each in exporters if each.url.endswith(before)]
    killed.kill()

    wait_for(lambda: holder() not in {None, before}, 20, what="the other reads it")
    assert states(prometheus, "JobQueueNoWorkers") == {"mail": "firing"}
    assert prometheus.query('ALERTS_FOR_STATE{alertname="JobQueueNoWorkers"}') == since
    assert prometheus.query('count_over_time(ALERTS{alertname=~"JobQueue(RedisDown|Stuck|Wait.*)"}[5m])') == {}
    assert prometheus.query('ALERTS{alertname="DepthgaugeExporterDown", alertstate="pending"}')


@pytest.fixture
def alertmanager(make_alertmanager: MakeAlertmanager) -> Alertmanager:
    return make_alertmanager(alertmanager_yml())


def inhibitions() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(alertmanager_yml().read_text())["inhibit_rules"]
    return found


@pytest.mark.needs("alertmanager")
def test_what_says_more_holds_back_what_says_less(alertmanager: Alertmanager) -> None:
    """Each pair that an inhibition joins, with labels of its own, and beside it one that differs in one label."""
    fired: list[dict[str, str]] = []
    expected: set[tuple[str, str]] = set()
    for number, rule in enumerate(rule for rule in inhibitions() if rule.get("equal")):
        for source in selected(rule["source_matchers"]):
            for target in selected(rule["target_matchers"]):
                place = f"{number}-{source}-{target}"
                same = dict.fromkeys(rule["equal"], place)
                fired += [{"alertname": source, **same}, {"alertname": target, **same}]
                expected.add((target, place))
                for label in rule["equal"]:
                    other = {**same, label: f"{place}-other"}
                    fired.append({"alertname": target, **other, "beside": label})
    alertmanager.fire(*fired)

    def held() -> set[tuple[str, str]]:
        return {
            (labels["alertname"], next(value for name, value in labels.items() if name != "alertname"))
            for labels in alertmanager.held_back()
        }

    wait_for(lambda: len(alertmanager.alerts()) == len(fired), 10)
    wait_for(lambda: held() == expected, 10, what=f"held back are {expected}")
    assert not [labels for labels in alertmanager.held_back() if "beside" in labels]
    assert len(expected) > 20


@pytest.mark.needs("alertmanager")
def test_a_sink_that_cannot_write_explains_that_history_stands_still(alertmanager: Alertmanager) -> None:
    lagging = {"alertname": "DepthgaugeSinkLagging", "severity": "warning"}
    down = {"alertname": "DepthgaugeSinkDown", "instance": "db-2:10140", "severity": "warning"}
    alertmanager.fire(lagging, down, {"alertname": "JobQueueNoWorkers", **Q, "severity": "critical"})
    wait_for(lambda: len(alertmanager.alerts()) == 3, 10)
    assert alertmanager.held_back() == []
    alertmanager.fire({"alertname": "DepthgaugeSinkCannotWrite", "instance": "db-1:10140", "severity": "warning"})
    wait_for(lambda: alertmanager.held_back() == [lagging], 10)


@pytest.mark.needs("amtool")
def test_amtool_finds_the_configuration_good_and_routes_by_severity() -> None:
    done = subprocess.run(
        ["amtool", "check-config", str(alertmanager_yml())], check=False, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(inhibitions())} inhibit rules" in done.stdout
    for severity, receiver in {"critical": "call", "warning": "tickets", "info": "nobody"}.items():
        routed = subprocess.run(
            ["amtool", "config", "routes", "test", f"--config.file={alertmanager_yml()}", f"severity={severity}"],
            check=True,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert routed.stdout.strip() == receiver


@pytest.mark.needs("amtool")
def test_the_inhibitions_in_the_docs_are_those_of_the_file(tmp_path: Path) -> None:
    text = (repo_root() / "docs" / "alerts.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```yaml\n(inhibit_rules:\n.*?)```", text, re.DOTALL)
    assert yaml.safe_load(shown)["inhibit_rules"] == inhibitions()
    file = tmp_path / "alertmanager.yml"
    file.write_text(f"route: {{receiver: x}}\nreceivers: [{{name: x}}]\n{shown}")
    done = subprocess.run(
        ["amtool", "check-config", str(file)], check=False, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("postgres")
def test_the_sql_of_the_runbooks_can_be_asked(postgres_database: str) -> None:
    migrate(Secret(postgres_database))
    asked = 0
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        for path in sorted((repo_root() / "docs" / "runbooks").glob("*.md")):
            for block in re.findall(r"```sql\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
                connection.execute(block.encode())
                asked += 1
    assert asked > 5
