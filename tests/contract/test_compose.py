"""The compose file says what it means: schema, paths, commands, names."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from cli.config import load_exporter, load_sink
from cli.inputs import Inputs
from cli.main import main
from tests.plugins.repo import repo_root

pytestmark = pytest.mark.needs("source-tree")

OWN = ("migrate", "exporter", "sink")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe", pure=True).load((repo_root() / "docker-compose.yml").read_text())
    return loaded


def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


def test_it_fits_the_schema() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"),
            str(repo_root() / "docker-compose.yml"),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_services_are_pinned_and_hardened(compose: dict[str, Any]) -> None:
    for name, service in services(compose).items():
        assert re.search(r":v?\d+\.\d+", service["image"]), f"{name}: no pinned version"
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert int(str(service["user"]).partition(":")[0]) > 0, f"{name} runs as root"
        assert "healthcheck" in service or name == "migrate", name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert "mem_limit" in service, name


def test_mounts_and_secrets_exist(compose: dict[str, Any]) -> None:
    volumes, secrets = set(compose["volumes"]), set(compose["secrets"])
    script = (repo_root() / "docker" / "secrets.sh").read_text()
    for name, service in services(compose).items():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert source in volumes or (repo_root() / source).is_file(), f"{name}: {source}"
        assert set(service.get("secrets", [])) <= secrets, name
        assert set(service.get("networks", [])) <= set(compose["networks"]), name
        assert set(service.get("depends_on", {})) <= set(services(compose)), name
    for secret in compose["secrets"].values():
        assert secret["file"].removeprefix("./") in script, f"docker/secrets.sh does not make {secret['file']}"


def test_our_commands_exist_and_take_these_flags(compose: dict[str, Any]) -> None:
    for name in OWN:
        service = services(compose)[name]
        lines = [service["command"]]
        if "healthcheck" in service:
            program, *line = service["healthcheck"]["test"][1:]
            assert program == "depthgauge"
            lines.append(line)
        for line in lines:
            shown = CliRunner().invoke(main, [line[0], "--help"])
            assert shown.exit_code == 0, shown.output
            assert all(flag in shown.output for flag in line if flag.startswith("--")), line


def test_our_configuration_loads_with_the_secrets_that_each_service_gets(
    compose: dict[str, Any], tmp_path: Path
) -> None:
    text = (repo_root() / "docker" / "depthgauge.toml").read_text()
    used = set(re.findall(r"/run/secrets/(\w+)", text))
    for name in OWN:
        assert set(services(compose)[name]["secrets"]) <= used | {"redis_password"}, name
    subprocess.run(["sh", str(copied(tmp_path) / "docker" / "secrets.sh")], check=True, capture_output=True)
    config = tmp_path / "depthgauge.toml"
    config.write_text(text.replace("/run/secrets", str(tmp_path / "secrets")))
    inputs = Inputs(hostname="c", pid=1, file=config)

    exporter, sink = load_exporter(inputs), load_sink(inputs)

    names = set(services(compose))
    assert exporter.bus is not None
    # The spool outlives the container, in a folder that the image gives to the service's user.
    assert f"state:{exporter.state_dir}" in services(compose)["exporter"]["volumes"]
    owner, group = services(compose)["exporter"]["user"].split(":")
    dockerfile = (repo_root() / "Dockerfile").read_text()
    assert f"--owner={owner} --group={group} --mode=0700 {exporter.state_dir}" in dockerfile
    for url in (exporter.redis[0].url, exporter.bus.url, sink.bus.url, sink.dsn):
        host = re.search(r"@([\w.-]+):\d+/", url.reveal())
        assert host is not None
        assert host[1] in names
    published = {port.split(":")[1] for name in OWN for port in services(compose)[name].get("ports", [])}
    assert published == {exporter.web.listen[0].rpartition(":")[2], sink.web.listen[0].rpartition(":")[2]}


def copied(folder: Path) -> Path:
    """Return a folder that has docker/secrets.sh, so that the secrets are made there."""
    target = folder / "docker"
    target.mkdir()
    (target / "secrets.sh").write_text((repo_root() / "docker" / "secrets.sh").read_text())
    return folder


def test_prometheus_scrapes_services_that_exist_as_often_as_snapshots_are_taken(compose: dict[str, Any]) -> None:
    config = YAML(typ="safe", pure=True).load((repo_root() / "prometheus" / "prometheus.yml").read_text())
    exporter = load_exporter(Inputs(hostname="c", pid=1, file=no_secrets(repo_root())))
    assert config["global"]["scrape_interval"] == f"{exporter.interval:g}s"
    for job in config["scrape_configs"]:
        assert job["sample_limit"] > 0
        for static in job["static_configs"]:
            for target in static["targets"]:
                host, port = target.split(":")
                assert any(line.endswith(f":{port}") for line in services(compose)[host]["ports"])


def no_secrets(top: Path) -> Path:
    return top / "docs" / "config.example.toml"


@pytest.mark.needs("promtool")
def test_promtool_finds_the_configuration_good() -> None:
    done = subprocess.run(
        ["promtool", "check", "config", str(repo_root() / "prometheus" / "prometheus.yml")],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dockerfile_copies_what_exists() -> None:
    for line in (repo_root() / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            *sources, _ = line.removeprefix("COPY ").split()
            assert all((repo_root() / source).exists() for source in sources), line
