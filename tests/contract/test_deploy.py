"""What is in deploy/ is good: each unit by systemd's own tools, each command and name against ours."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from cli.build import LISTEN
from cli.config import load_exporter, load_sink
from cli.inputs import Inputs
from cli.main import main
from cli.schema import Role
from cli.table import all_sections
from tests.plugins.dockerfile import load_dockerfile
from tests.plugins.repo import repo_root

pytestmark = pytest.mark.needs("source-tree")

PROGRAM = "/opt/depthgauge/bin/depthgauge"
UNITS = ("depthgauge-exporter", "depthgauge-sink", "depthgauge-migrate")
DROP_INS = {"exporter-secrets.conf": "depthgauge-exporter", "sink-secrets.conf": "depthgauge-sink"}
EXPOSED = 15
"""What `systemd-analyze security` may find at most, in tenths: 1.5 of 10."""


def systemd() -> Path:
    return repo_root() / "deploy" / "systemd"


def text_of(unit: str) -> str:
    return (systemd() / f"{unit}.service").read_text()


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with the units and their drop-ins, of a program that is there."""
    for unit in UNITS:
        (tmp_path / f"{unit}.service").write_text(text_of(unit).replace(PROGRAM, "/bin/true"))
    for name, unit in DROP_INS.items():
        folder = tmp_path / f"{unit}.service.d"
        folder.mkdir()
        shutil.copy(systemd() / name, folder / "secrets.conf")
    return tmp_path


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *words], check=False, capture_output=True, text=True)


def found_wrong(installed: Path) -> str:
    """Return what systemd says of the units: it warns of a name that it does not know, with status 0."""
    done = analyze("verify", *(str(installed / f"{unit}.service") for unit in UNITS))
    return done.stdout + done.stderr + ("" if done.returncode == 0 else f"status {done.returncode}")


@pytest.mark.needs("systemd-analyze")
def test_systemd_knows_every_directive(installed: Path) -> None:
    assert found_wrong(installed) == ""


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize(
    "line", ["[Service]\nMemoryMaximum=1G", "[Service]\nProtectSystem=strictly", "[Unit]\nWatches=x"]
)
def test_a_mistake_would_be_found(installed: Path, line: str) -> None:
    with (installed / "depthgauge-sink.service.d" / "secrets.conf").open("a") as file:
        file.write(f"\n{line}\n")
    assert found_wrong(installed) != ""


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("unit", UNITS)
def test_the_units_expose_little(installed: Path, unit: str) -> None:
    path = str(installed / f"{unit}.service")
    done = analyze("security", "--offline=true", f"--threshold={EXPOSED}", "--no-pager", path)
    assert done.returncode == 0, done.stdout + done.stderr
    (told,) = re.findall(r"Overall exposure level .*: (\d+\.\d+)", done.stdout)
    assert float(told) <= EXPOSED / 10


def commands() -> Iterator[tuple[str, list[str]]]:
    """Give every command line of ours in deploy/, and where it stands."""
    for unit in UNITS:
        (line,) = re.findall(r"^ExecStart=(.*)$", text_of(unit), re.MULTILINE)
        yield unit, line.split()
    for name, section in supervisor_sections().items():
        yield name, section["command"].split()


def supervisor_sections() -> dict[str, dict[str, str]]:
    parser = RawConfigParser(inline_comment_prefixes=(" ;", "\t;"))
    parser.read_string((repo_root() / "deploy" / "supervisor" / "depthgauge.conf").read_text())
    return {name: dict(parser[name]) for name in parser.sections()}


def test_commands_exist_and_take_these_flags() -> None:
    found = list(commands())
    assert len(found) == 6
    for where, (program, command, *line) in found:
        assert program == PROGRAM, where
        shown = CliRunner().invoke(main, [command, "--help"])
        assert shown.exit_code == 0, where
        assert all(flag in shown.output for flag in line if flag.startswith("--")), where


def test_variables_exist_and_name_credentials_that_are_loaded() -> None:
    known = {name: key for section in all_sections() for key in section.keys for name in key.variables}
    texts = {unit: text_of(unit) for unit in UNITS} | {name: (systemd() / name).read_text() for name in DROP_INS}
    for where, text in texts.items():
        given = dict(re.findall(r"^Environment=(\w+)=(.*)$", text, re.MULTILINE))
        loaded = dict(re.findall(r"^LoadCredential=([\w.]+):(.*)$", text, re.MULTILINE))
        assert set(given) <= set(known), where
        assert {value for name, value in given.items() if known[name].secret} == {f"%d/{name}" for name in loaded}, (
            where
        )
        assert all(path == f"/etc/depthgauge/{name}" for name, path in loaded.items()), where


def test_the_daemons_start_with_what_the_units_give_them(tmp_path: Path) -> None:
    """The configuration needs neither a password nor a connection string in it."""
    config = tmp_path / "depthgauge.toml"
    config.write_text('[[redis]]\nurl = "redis://queues:6379/0"\n[bus]\nurl = "redis://bus:6379/0"\n')
    for name, text in (
        ("dsn", "postgresql://depthgauge_writer@db/depthgauge"),
        ("password", "pass"),
        ("token", "t" * 16),
    ):
        (tmp_path / name).write_text(text)
    environ = {}
    for text in (*(text_of(unit) for unit in UNITS[:2]), *((systemd() / name).read_text() for name in DROP_INS)):
        for name, value in re.findall(r"^Environment=(\w+)=(.*)$", text, re.MULTILINE):
            _, _, credential = value.partition("%d/")
            environ[name] = (
                str(tmp_path / credential.rpartition(".")[2]) if credential else value.replace("%S", str(tmp_path))
            )
    inputs = Inputs(hostname="web-1", pid=1, file=config, environ=environ)

    exporter, sink = load_exporter(inputs), load_sink(inputs)

    assert exporter.history is not None
    assert exporter.history.dsn.reveal() == sink.dsn.reveal() == "postgresql://depthgauge_writer@db/depthgauge"
    assert exporter.redis[0].url.reveal() == "redis://:pass@queues:6379/0"
    assert sink.bus.url.reveal() == "redis://:pass@bus:6379/0"
    assert exporter.state_dir == tmp_path / "depthgauge"


def test_the_exporter_may_see_the_processes_that_it_measures() -> None:
    """What would hide them, or the socket's peer, is said of the others and not of it."""
    hiding = ("ProtectProc", "PrivateUsers", "DynamicUser")
    for unit in UNITS:
        assert all((f"\n{name}=" in text_of(unit)) is (unit != "depthgauge-exporter") for name in hiding), unit
    assert "\nStateDirectory=depthgauge\n" in text_of("depthgauge-exporter")
    # A disk at /home is to be seen, and both daemons' metrics of themselves need /proc/stat.
    assert "\nProtectHome=read-only\n" in text_of("depthgauge-exporter")
    assert not any("\nProcSubset=" in text_of(unit) for unit in UNITS[:2])


def test_no_watchdog_is_asked_for_that_nobody_feeds() -> None:
    assert all(f"\nType={'oneshot' if unit.endswith('migrate') else 'exec'}\n" in text_of(unit) for unit in UNITS)
    assert not any("WatchdogSec" in text_of(unit) for unit in UNITS)


@pytest.mark.needs("systemd-analyze")
def test_the_user_can_be_made() -> None:
    done = subprocess.run(
        ["systemd-sysusers", "--dry-run", str(systemd() / "depthgauge.sysusers")],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^User=(.*)$", text_of("depthgauge-exporter"), re.MULTILINE)
    assert " depthgauge " in (systemd() / "depthgauge.sysusers").read_text()


def test_the_pod_in_the_docs_names_what_is_there() -> None:
    text = (repo_root() / "docs" / "deploy.md").read_text()
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    pod: dict[str, Any] = YAML(typ="safe", pure=True).load(block)["spec"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    mounted = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
    assert mounted == volumes
    (exporter,) = (each for each in pod["containers"] if each["name"] == "exporter")
    shown = CliRunner().invoke(main, [exporter["args"][0], "--help"])
    assert all(flag in shown.output for flag in exporter["args"] if flag.startswith("--"))
    paths = {mount["mountPath"] for mount in exporter["volumeMounts"]}
    assert str(Path(exporter["args"][-1]).parent) in paths
    variables = {name for section in all_sections() for key in section.keys for name in key.variables}
    for given in exporter["env"]:
        assert given["name"] in variables
        assert "value" not in given or str(Path(given["value"]).parent) in paths
    (port,) = exporter["ports"]
    assert f":{port['containerPort']}" in LISTEN[Role.EXPORTER]
    for probe, path in (("livenessProbe", "/-/healthy"), ("readinessProbe", "/-/ready")):
        assert exporter[probe]["httpGet"] == {"path": path, "port": port["name"]}
    image = load_dockerfile()["depthgauge"]
    security = exporter["securityContext"]
    assert image.user == f"{security['runAsUser']}:{security['runAsGroup']}"
    assert {folder.path for folder in image.folders} <= paths
    assert pod["securityContext"]["fsGroup"] == security["runAsGroup"]
