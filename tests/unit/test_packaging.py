"""The distribution holds what it should, and the locks hold what the distribution asks for."""

import importlib.metadata
import importlib.resources
import re
import tomllib
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from depthgauge import __version__
from exporter.web.static import read_files
from tests.plugins.repo import repo_root

FLOORS = ("depthgauge", "exporter", "sink", "cli")
LOCKS = {"runtime": (), "demo": ("demo",), "test": ("demo", "test")}

source_tree = pytest.mark.needs("source-tree")


def project() -> dict[str, Any]:
    return tomllib.loads((repo_root() / "pyproject.toml").read_text())


def locked(name: str) -> dict[str, str]:
    lines = (repo_root() / "requirements" / f"{name}.txt").read_text().splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith((" ", "#"))]
    assert all(len(pin) == 2 for pin in pins), f"{name}.txt pins something other than by ==: {pins}"
    return {canonicalize_name(name): version for name, version in pins}


def packages_on_disk(top: Path) -> Iterator[str]:
    for floor in FLOORS:
        for init in (top / floor).rglob("__init__.py"):
            yield ".".join(init.parent.relative_to(top).parts)
    for init in (top / "sql").rglob("__init__.py"):
        yield ".".join(("sink", *init.parent.relative_to(top).parts))


@source_tree
def test_the_list_of_packages_equals_the_folders() -> None:
    assert sorted(project()["tool"]["setuptools"]["packages"]) == sorted(packages_on_disk(repo_root()))


@source_tree
def test_every_folder_with_code_is_a_package() -> None:
    top = repo_root()
    folders = {
        path.parent
        for floor in (*FLOORS, "sql")
        for path in (top / floor).rglob("*.*")
        if path.suffix in {".py", ".sql"}
    }
    without = sorted(str(folder) for folder in folders if not (folder / "__init__.py").exists())
    assert not without, "an __init__.py is missing in these"


@source_tree
def test_every_data_file_of_the_packages_would_be_shipped() -> None:
    top = repo_root()
    data = project()["tool"]["setuptools"]["package-data"]
    packed = {
        path
        for package, patterns in data.items()
        if package != "*"
        for pattern in patterns
        for path in top.joinpath(*package.split(".")).glob(pattern)
    }
    left_out = [
        str(path)
        for floor in (*FLOORS, "sql")
        for path in (top / floor).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".py"
        if path not in packed and not any(path.match(pattern) for pattern in data["*"])
    ]
    assert not left_out, "package-data in pyproject.toml names no pattern for these"


def sql_files(folder: Traversable, prefix: str = "") -> Iterator[str]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from sql_files(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".sql"):
            yield prefix + entry.name


@source_tree
def test_sql_is_read_as_a_resource_of_the_sink() -> None:
    sql = repo_root() / "sql"
    assert sorted(sql_files(importlib.resources.files("sink.sql"))) == sorted(
        str(path.relative_to(sql)) for path in sql.rglob("*.sql")
    )


def test_the_sql_folders_hold_sql() -> None:
    folders = {name.rpartition("/")[0] for name in sql_files(importlib.resources.files("sink.sql"))}
    assert {"migrations", "idempotent", "timescale", "plain"} <= folders


def test_the_status_page_is_read_as_a_resource_of_the_exporter() -> None:
    names = set(read_files())
    assert {"index.html", "app.js", "style.css", "uplot/uPlot.iife.min.js", "uplot/LICENSE"} <= names


@pytest.mark.parametrize("floor", FLOORS)
def test_no_other_distribution_provides_our_packages(floor: str) -> None:
    assert set(importlib.metadata.packages_distributions()[floor]) == {"depthgauge"}


def test_the_command_is_installed_and_the_version_is_the_packages() -> None:
    distribution = importlib.metadata.distribution("depthgauge")
    (command,) = (point for point in distribution.entry_points if point.group == "console_scripts")
    assert command.name == "depthgauge"
    assert callable(command.load())
    assert distribution.version == __version__


@source_tree
def test_the_changelog_knows_this_version() -> None:
    headings = re.findall(r"^## (\S+)", (repo_root() / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] in {"Unreleased", __version__}
    assert len(headings) == len(set(headings))


@source_tree
def test_lines_of_the_changelog_have_one_form() -> None:
    lines = [line for line in (repo_root() / "CHANGELOG.md").read_text().splitlines() if line.startswith(("*", "-"))]
    form = re.compile(r"\* \[(FEATURE|ENHANCEMENT|BUGFIX|CHANGE)\] [a-z][a-z, -]*: [A-Z`].*\.( \(#\d+\))?$")
    assert lines
    assert [line for line in lines if not form.match(line)] == []


@source_tree
@pytest.mark.parametrize("lock", LOCKS)
def test_every_dependency_is_locked_in_a_version_it_allows(lock: str) -> None:
    declared = project()["project"]
    extras = [text for extra in LOCKS[lock] for text in declared["optional-dependencies"][extra]]
    wanted = [Requirement(text) for text in (*declared["dependencies"], *extras)]
    pins = locked(lock)
    wrong = [
        f"{requirement} is {pins.get(canonicalize_name(requirement.name), 'missing')}"
        for requirement in wanted
        if requirement.name != "depthgauge"
        if pins.get(canonicalize_name(requirement.name), "0") not in requirement.specifier
    ]
    assert not wrong, "run `make lock`"


@source_tree
def test_the_locks_agree_with_each_other() -> None:
    everything = locked("test")
    for lock in ("runtime", "demo"):
        assert locked(lock).items() <= everything.items()
    assert locked("runtime").items() <= locked("demo").items()


@source_tree
@pytest.mark.parametrize("lock", LOCKS)
def test_locks_name_no_place_to_fetch_from(lock: str) -> None:
    text = (repo_root() / "requirements" / f"{lock}.txt").read_text()
    assert not re.search(r"://|@ |^ *--|^/|^\.", text, re.MULTILINE)


def test_this_environment_has_the_locked_versions() -> None:
    """What runs here is what was locked, at least where the distribution itself names a dependency."""
    wanted = [Requirement(text) for text in importlib.metadata.requires("depthgauge") or []]
    unmet = [
        str(requirement)
        for requirement in wanted
        if requirement.marker is None or requirement.marker.evaluate({"extra": "demo"})
        if importlib.metadata.version(requirement.name) not in requirement.specifier
    ]
    assert not unmet
