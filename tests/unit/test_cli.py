"""The command line: help, flags, exit status, errors as sentences."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import cli.main
from cli.main import main
from depthgauge import __version__
from depthgauge.errors import DepthgaugeError, SchemaError

COMMANDS = (
    "exporter",
    "sink",
    "migrate",
    "snapshot",
    "check",
    "queues",
    "history",
    "quarantine",
    "rules",
    "demo",
    "listen",
    "healthcheck",
)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("DEPTHGAUGE_")]:
        monkeypatch.delenv(name)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "depthgauge.toml"
    file.write_text("supervisor = []\nredis = []\n[bus]\nurl = 'redis://:hunter2@b'\n[sink]\ndsn = 'dbname=x'\n")
    return file


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    result = call(name, "--help")
    assert result.exit_code == 0
    assert f"Usage: main {name}" in result.output
    assert call(name, "-h").output == result.output


def test_help_lists_every_command() -> None:
    assert tuple(main.commands) == COMMANDS
    assert all(f"\n  {name} " in call("--help").output for name in COMMANDS)


@pytest.mark.parametrize("name", ["exporter", "sink"])
def test_daemons_have_the_flags_of_the_prometheus_world(name: str) -> None:
    output = call(name, "--help").output
    for flag in ("config.file", "config.check", "web.listen-address", "web.telemetry-path", "log.level", "log.format"):
        assert f"--{flag}" in output


@pytest.mark.parametrize(
    "arguments", [("--nope",), ("exporter", "--nope"), ("nope",), ("healthcheck", "nope"), ("exporter", "extra"), ()]
)
def test_a_wrong_flag_is_status_1(arguments: tuple[str, ...]) -> None:
    result = call(*arguments)
    assert result.exit_code == 1
    assert "Usage" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("name", ["exporter", "sink"])
def test_a_good_configuration_is_said_to_be(name: str, file: Path) -> None:
    result = call(name, "--config.file", str(file), "--config.check")
    assert (result.exit_code, result.stdout) == (0, f"{file} is good.\n")


@pytest.mark.parametrize("arguments", [("--config.check",), (), ("--print-config",)])
def test_a_bad_configuration_is_status_1_with_every_mistake(arguments: tuple[str, ...], file: Path) -> None:
    file.write_text("[exporter]\ninterval = 0\nhots = 'a'\n")
    result = call("exporter", "--config.file", str(file), *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "depthgauge: the configuration has 2 mistakes:",
        f"  {file}:2: exporter.interval: is 0, 1 to 3600 seconds is allowed",
        f"  {file}:3: exporter.hots: unknown setting, did you mean 'host'?",
    ]


def test_flags_are_checked_as_settings_are(file: Path) -> None:
    result = call("exporter", "--config.file", str(file), "--web.listen-address", "x", "--log.level", "loud")
    assert result.exit_code == 1
    assert "--web.listen-address: web.listen: item 1 is 'x'" in result.stderr
    assert "--log.level: log.level: is 'loud', allowed are debug, info, warn, error" in result.stderr


def test_the_effective_configuration_is_printed(file: Path) -> None:
    flags = ("--web.listen-address", ":1", "--web.listen-address", ":2", "--web.telemetry-path", "/m")
    result = call("exporter", "--config.file", str(file), "--print-config", *flags)
    assert result.exit_code == 0
    assert (
        'listen = [":1", ":2"]  # --web.listen-address\ntelemetry_path = "/m"  # --web.telemetry-path' in result.output
    )
    assert "hunter2" not in result.output


def test_the_file_may_be_named_by_a_variable(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPTHGAUGE_CONFIG_FILE", str(file))
    assert call("sink", "--config.check").output == f"{file} is good.\n"
    monkeypatch.setenv("DEPTHGAUGE_CONFIG_FILE", "/nope.toml")
    assert call("sink", "--config.file", str(file), "--config.check").output == f"{file} is good.\n"
    result = call("sink", "--config.check")
    assert result.exit_code == 1
    assert "variable DEPTHGAUGE_CONFIG_FILE: cannot read '/nope.toml'" in result.stderr


@pytest.mark.parametrize(("error", "status"), [(SchemaError("run it"), 3), (DepthgaugeError("mend it"), 1)])
def test_errors_are_sentences(error: DepthgaugeError, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(main.commands["demo"], "callback", fail)
    result = call("demo")
    assert (result.exit_code, result.stdout, result.stderr) == (status, "", f"depthgauge: {error}\n")


def test_migrate_says_what_is_wrong_with_the_database() -> None:
    environment = {"DEPTHGAUGE_SINK_DSN": "postgresql://me:hunter2@127.0.0.1:1/d"}
    result = CliRunner(env=environment).invoke(main, ["migrate", "--dry-run"], catch_exceptions=False)
    assert result.exit_code == 1
    assert "depthgauge: cannot migrate the database postgresql://me:********@127.0.0.1:1/d: " in result.stderr
    assert "hunter2" not in result.stderr


def test_as_a_process(tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cli.main", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=Path(cli.main.__file__).parents[1]
        )

    version = run("--version")
    assert version.returncode == 0
    assert re.fullmatch(rf"depthgauge {re.escape(__version__)} \(Python 3\.\d+\.\d+\S*, .+\)\n", version.stdout)
    helped = run("exporter", "--help")
    assert (helped.returncode, helped.stderr) == (0, "")
    assert helped.stdout.startswith("Usage: depthgauge exporter [OPTIONS]")
    (tmp_path / "bad.toml").write_text("x")
    bad = run("sink", "--config.file", str(tmp_path / "bad.toml"))
    assert (bad.returncode, bad.stdout) == (1, "")
    assert "Traceback" not in bad.stderr
    assert bad.stderr.startswith("depthgauge: the configuration has a mistake:\n")


def test_help_is_quick_since_it_loads_no_client() -> None:
    code = "import sys, cli.main; print(sorted({'redis', 'psycopg', 'psutil', 'supervisor'} & set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(cli.main.__file__).parents[1]
    )
    assert run.stdout == "[]\n"
