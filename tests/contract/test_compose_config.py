"""What the compose file mounts says what it means: the configurations, against the services that read and are named in them."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from cli.config import load_exporter, load_sink
from cli.inputs import Inputs
from exporter.settings import ExporterSettings
from sink.settings import SinkSettings
from tests.plugins.compose import SECRETS, Compose
from tests.plugins.dockerfile import load_dockerfile
from tests.plugins.repo import repo_root

pytestmark = pytest.mark.needs("source-tree")

OWN = ("exporter", "sink")


def settings(compose: Compose, compose_secrets: Path, tmp_path: Path) -> tuple[ExporterSettings, SinkSettings]:
    """Load what the exporter and the sink load, each with no other secret than its own."""
    loaded: dict[str, Any] = {}
    for name, load in (("exporter", load_exporter), ("sink", load_sink)):
        service = compose.services[name]
        own = tmp_path / name
        own.mkdir()
        for secret in service.secrets:
            (own / secret).write_text((compose_secrets / secret).read_text())
        config = own / "depthgauge.toml"
        config.write_text((repo_root() / "docker" / "depthgauge.toml").read_text().replace(SECRETS, str(own)))
        environ = {key: value.replace(SECRETS, str(own)) for key, value in service.environment.items()}
        loaded[name] = load(Inputs(hostname="c", pid=1, file=config, environ=environ))
    return loaded["exporter"], loaded["sink"]


def test_our_configuration_loads_with_the_secrets_that_each_service_gets(
    compose: Compose, compose_secrets: Path, tmp_path: Path
) -> None:
    exporter, sink = settings(compose, compose_secrets, tmp_path)
    service = compose.services["exporter"]
    assert exporter.bus is not None
    assert exporter.history is not None
    # The spool outlives the container, in a folder that the image gives to the service's user.
    (state,) = (mount for mount in service.mounts if mount.source == "state")
    assert state.target == str(exporter.state_dir)
    (folder,) = load_dockerfile()["depthgauge"].folders
    assert (folder.path, folder.uid, folder.gid, folder.mode) == (state.target, service.uid, service.gid, 0o700)
    assert [token.reveal() for token in exporter.web.tokens] == [(compose_secrets / "api_token").read_text()]
    for url in (exporter.redis[0].url, exporter.bus.url, sink.bus.url, sink.dsn, exporter.history.dsn):
        host = re.search(r"@([\w.-]+):\d+/", url.reveal())
        assert host is not None
        assert host[1] in compose.services
    for probe in exporter.probes:
        named = re.search(r"//([\w.-]+):(\d+)/", probe.url.reveal())
        assert named is not None
        assert compose.services[named[1]].port_of(named[2]) == int(named[2])
    published = {port.split(":")[1] for name in OWN for port in compose.services[name].ports}
    assert published == {exporter.web.listen[0].rpartition(":")[2], sink.web.listen[0].rpartition(":")[2]}


def test_the_exporter_reads_the_socket_that_the_workers_make(
    compose: Compose, compose_secrets: Path, tmp_path: Path
) -> None:
    exporter, _ = settings(compose, compose_secrets, tmp_path)
    text = (repo_root() / "docker" / "supervisord.conf").read_text()
    (supervisor,) = exporter.supervisors
    (file,) = re.findall(r"^file=(.+)$", text, re.MULTILINE)
    assert supervisor.url == f"unix://{file}"
    for name in ("workers", "exporter"):
        (mount,) = (mount for mount in compose.services[name].mounts if mount.source == "supervisor")
        assert file.startswith(f"{mount.target}/"), name
    programs = re.findall(r"^\[program:(.+)\]$", text, re.MULTILINE)
    assert all(any(rule.program.fullmatch(program) for rule in supervisor.rules) for program in programs)
    served = {queue for rule in supervisor.rules for queue in rule.queues}
    assert served < set(exporter.redis[0].queues), "one queue is there that nobody works on"
    asked = compose.services["workers"].healthcheck[4:]
    assert {name.removesuffix(":*") for name in asked} <= set(programs)


def prometheus_config() -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe", pure=True).load(
        (repo_root() / "prometheus" / "prometheus.yml").read_text()
    )
    return loaded


def test_prometheus_scrapes_services_that_exist_as_often_as_snapshots_are_taken(
    compose: Compose, compose_secrets: Path, tmp_path: Path
) -> None:
    config = prometheus_config()
    exporter, _ = settings(compose, compose_secrets, tmp_path)
    assert config["global"]["scrape_interval"] == f"{exporter.interval:g}s"
    alertmanagers = config.get("alerting", {}).get("alertmanagers", [])
    for job in (*config["scrape_configs"], *alertmanagers):
        for static in job["static_configs"]:
            for target in static["targets"]:
                host, port = target.split(":")
                name = "prometheus" if host == "localhost" else host
                assert compose.services[name].port_of(port) == int(port), target
                assert set(compose.services[name].networks) & set(compose.services["prometheus"].networks), target


def test_prometheus_finds_its_rules_where_they_are_mounted(compose: Compose) -> None:
    mounts = {mount.target: mount.source for mount in compose.services["prometheus"].mounts}
    (config,) = (target for target in mounts if target.endswith("prometheus.yml"))
    patterns = prometheus_config()["rule_files"]
    assert patterns
    for pattern in patterns:
        # A relative path starts at the configuration's folder.
        place = Path(config).parent / pattern
        assert list((repo_root() / mounts[str(place.parent)]).glob(place.name)), pattern


def test_each_service_reads_its_configuration_where_it_is_mounted(compose: Compose) -> None:
    for name in ("prometheus", "alertmanager"):
        service = compose.services[name]
        flags = dict(word.split("=", 1) for word in service.command)
        targets = {mount.target for mount in service.mounts}
        assert flags["--config.file"] in targets, name
        storage = [value for flag, value in flags.items() if flag.endswith(("tsdb.path", "storage.path"))]
        assert len(storage) == 1
        assert storage[0] in targets, name
    files = {mount.target for mount in compose.services["redis"].mounts}
    assert str((compose.services["redis"].entrypoint or ())[1]) in files
    assert str((compose.services["roles"].entrypoint or ())[1]) in {m.target for m in compose.services["roles"].mounts}
    conf = compose.services["workers"].command[-1]
    assert conf in {mount.target for mount in compose.services["workers"].mounts}
    assert load_dockerfile()["workers"].command == compose.services["workers"].command


@pytest.mark.needs("promtool")
def test_promtool_finds_the_configuration_good() -> None:
    command = ("promtool", "check", "config", str(repo_root() / "prometheus" / "prometheus.yml"))
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rules found" in done.stdout


@pytest.mark.needs("amtool")
def test_amtool_finds_the_configuration_good() -> None:
    path = repo_root() / "prometheus" / "alertmanager.yml"
    done = subprocess.run(["amtool", "check-config", str(path)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_password_stands_in_a_line_that_starts_something() -> None:
    """Redis writes another title over its command line, so nobody would see it there later; for a moment, everybody does."""
    for name in ("redis-entry.sh", "supervisord.conf"):
        text = (repo_root() / "docker" / name).read_text()
        started = re.findall(r"^(?:exec |command=)(.*)$", text, re.MULTILINE)
        assert started, name
        assert not [line for line in started if re.search(r"\$|`|--requirepass|://[^/]*@", line)], name


def test_grafana_finds_what_it_is_provisioned_with(compose: Compose) -> None:
    service = compose.services["grafana"]
    mounts = {mount.target: repo_root() / mount.source for mount in service.mounts if not mount.is_volume}
    provisioning = mounts["/etc/grafana/provisioning"]
    providers = YAML(typ="safe", pure=True).load((provisioning / "dashboards" / "depthgauge.yml").read_text())[
        "providers"
    ]
    for provider in providers:
        (target,) = (target for target in mounts if f"{provider['options']['path']}/".startswith(f"{target}/"))
        folder = Path(provider["options"]["path"].replace(target, str(mounts[target])))
        assert list(folder.rglob("*.json")), provider
    sources = YAML(typ="safe", pure=True).load((provisioning / "datasources" / "depthgauge.yml").read_text())
    for source in sources["datasources"]:
        host, _, port = source["url"].removeprefix("http://").partition(":")
        other = compose.services[host]
        assert set(other.networks) & set(service.networks), host
        assert int(port) in {5432, *(other.port_of(each.split(":")[1]) for each in other.ports)}, source["url"]
    assert compose.services["timescaledb"].environment["POSTGRES_DB"] in {
        source["jsonData"].get("database") for source in sources["datasources"]
    }
