"""The README's table of queue systems says what the tests prove, cell by cell."""

import ast
from pathlib import Path

import pytest

from exporter.queues import NAMES, SYSTEMS
from tests.plugins.repo import repo_root
from tests.plugins.systems_table import COLUMNS, END, START, TITLES, command_line_systems, proofs, table

pytestmark = pytest.mark.needs("source-tree")

LIBRARIES = {
    "laravel": {"laravel"},
    "celery": {"systems"},
    "rq": {"rq", "systems", "systems-redis5"},
    "sidekiq": {"sidekiq"},
    "resque": set[str](),
    "bullmq": {"bullmq"},
    "bull": {"bullmq"},
    "dramatiq": {"systems"},
    "arq": {"systems-redis5"},
    "huey": {"systems"},
    "taskiq": {"systems"},
    "saq": {"systems-redis5"},
    "stream": {"redis-server"},
    "list": {"redis-server"},
    "zset": {"redis-server"},
}
"""The parts that are a system's own library; that of streams, lists and sorted sets is Redis itself."""


def test_the_table_in_the_readme_is_fresh() -> None:
    text = (repo_root() / "README.md").read_text(encoding="utf-8")
    assert START + table(repo_root()) + END in text, "run: python -m tests.plugins.systems_table"


def test_every_system_has_a_title_and_its_library() -> None:
    assert set(TITLES) == set(LIBRARIES) == NAMES


def test_marks_name_systems_and_columns_that_there_are() -> None:
    for system, column in proofs(repo_root() / "tests" / "integration"):
        assert system in NAMES
        assert column in COLUMNS, (system, column)


def test_what_is_proven_by_a_library_runs_beside_that_library() -> None:
    folder = repo_root() / "tests" / "integration"
    for (system, column), tests in proofs(folder).items():
        for test in tests:
            path, _, name = test.partition("::")
            allowed = {"supervisord"} | LIBRARIES[system] if column == "command line" else LIBRARIES[system]
            assert needs(folder / path, name) & allowed, f"{test} proves {system}: {column} without the library"


def needs(path: Path, name: str) -> set[str]:
    """Return the parts that a test needs, its module's among them."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    places: list[ast.AST] = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    places += [node.value for node in tree.body if isinstance(node, ast.Assign) and "pytestmark" in ast.unparse(node)]
    calls = [
        call
        for place in places
        for node in (place.decorator_list if isinstance(place, ast.FunctionDef) else [place])
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.needs"
    ]
    return {ast.literal_eval(argument) for call in calls for argument in call.args}


@pytest.mark.parametrize("system", [system.name for system in SYSTEMS])
def test_what_every_system_has_to_prove(system: str) -> None:
    proven = {column for name, column in proofs(repo_root() / "tests" / "integration") if name == system}
    if LIBRARIES[system]:
        assert "waiting" in proven
        assert proven & {"head", "first seen"} or system == "zset"
    if system in command_line_systems():
        assert "command line" in proven or not LIBRARIES[system]
