"""What the README and the pages print for users to copy is taken by the program."""

import re
from pathlib import Path

import pytest

from cli.config import load_exporter, load_sink
from cli.main import main
from tests.plugins.repo import repo_root
from tests.plugins.settings import MakeInputs

pytestmark = pytest.mark.needs("source-tree")


def blocks(page: str, language: str) -> list[str]:
    text = (repo_root() / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_configuration_loads(make_inputs: MakeInputs, tmp_path: Path) -> None:
    secret = tmp_path / "sink.dsn"
    secret.write_text("postgresql://depthgauge@db/metrics")
    text = re.sub(r"/etc/depthgauge/\w+\.dsn", str(secret), "\n".join(blocks("README.md", "toml")))

    exporter, sink = load_exporter(make_inputs(text)), load_sink(make_inputs(text))

    assert exporter.supervisors[0].rules[0].program.fullmatch("mailer-high")
    assert exporter.bus is not None
    assert sink.bus == exporter.bus
    assert exporter.history is not None
    assert exporter.databases[0].failed_jobs is not None
    assert [probe.name for probe in exporter.probes] == ["site"]


def test_the_examples_of_queue_systems_load(make_inputs: MakeInputs) -> None:
    examples = blocks("docs/queues.md", "toml")
    assert len(examples) > 10
    for example in examples:
        whole = example if example.startswith("[[redis]]") else f"[[redis]]\n{example}"
        assert load_exporter(make_inputs(whole)).redis, example


def test_the_commands_exist() -> None:
    lines = [line for block in blocks("README.md", "console") for line in block.splitlines() if line.startswith("$ ")]
    commands = [found[1] for line in lines if (found := re.search(r"bin/depthgauge (\w+)", line))]
    assert set(commands) == {"check", "snapshot", "exporter", "migrate", "sink"}
    assert set(commands) <= set(main.commands)
    targets = {found[1] for line in lines if (found := re.search(r"\$ make (\w+)", line))}
    makefile = (repo_root() / "Makefile").read_text()
    assert targets
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
