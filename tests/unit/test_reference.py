"""The reference pages and the example: what they say is what the program does."""

import re
from pathlib import Path

import pytest

from cli.config import load, load_exporter, load_sink
from cli.inputs import Configuration
from cli.main import main
from cli.reading import Node
from cli.reference import PAGES, commands, configuration
from cli.schema import Role
from cli.table import all_sections
from tests.plugins.repo import repo_root
from tests.plugins.settings import MakeInputs


def nodes_of(configuration: Configuration, name: str) -> list[Node]:
    """Return the tables of a section, of one below another, too."""
    head, _, child = name.partition(".")
    nodes = list(configuration.tables.get(head, ()))
    return [inner for node in nodes for inner in node.children.get(child, ())] if child else nodes


@pytest.mark.needs("source-tree")
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_fresh(name: str) -> None:
    have = (repo_root() / "docs" / "reference" / name).read_text(encoding="utf-8")
    assert have == PAGES[name](), "run: python -m cli.reference docs/reference"


def test_the_pages_name_every_setting_and_every_command() -> None:
    page = configuration()
    for section in all_sections():
        assert section.header in page
        for key in section.keys:
            assert all(f"`{name}`" in page for name in (*key.names, *key.variables))
    assert all(f"## `depthgauge {name}`" in commands() for name in main.commands)


@pytest.mark.needs("source-tree")
def test_the_example_is_good_and_names_every_setting(make_inputs: MakeInputs, tmp_path: Path) -> None:
    text = (repo_root() / "docs" / "config.example.toml").read_text(encoding="utf-8")
    inputs = make_inputs(text)
    assert load_exporter(inputs).bus == load_sink(inputs).bus
    # What is commented out is written as it would have to be, and shows the default.
    plain = re.sub(r"^# (?=[a-z_]+ = )", "", text, flags=re.MULTILINE)
    plain = re.sub(r"^(password_file) = .*$", "password = 'x'", plain, flags=re.MULTILINE)
    plain = re.sub(r"^(token_file) = .*$", f"token = '{'x' * 32}'", plain, flags=re.MULTILINE)
    # Certificates are for TLS.
    plain = re.sub(r'^url = "redis:', 'url = "rediss:', plain, flags=re.MULTILINE)
    (tmp_path / "web.yml").write_text("# nothing\n")
    plain = plain.replace("/etc/depthgauge/web.yml", str(tmp_path / "web.yml"))
    whole = load(make_inputs(plain), frozenset({Role.EXPORTER, Role.SINK}))
    for section in all_sections():
        nodes = nodes_of(whole, section.name)
        for key in section.keys:
            assert any(key.name in node.values for node in nodes), f"{section.name}.{key.name}"
