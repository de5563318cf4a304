"""The dashboards are fresh, fit the schema, and keep to the rules of Grafana's linter and our own."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from jsonschema.exceptions import best_match
from ruamel.yaml import YAML

from tests.plugins.dashboard_rules import findings
from tests.plugins.dashboard_schema import schema
from tests.plugins.dashboards import Json, Shelf, committed, folder, plugin, targets
from tests.plugins.repo import repo_root

pytestmark = pytest.mark.needs("source-tree")


@pytest.fixture(scope="module")
def shelf() -> Shelf:
    return committed()


def test_they_are_what_the_generator_writes(tmp_path: Path) -> None:
    from grafana.source.main import stale, write

    assert stale(folder()) == [], "run python -m grafana.source.main"
    write(tmp_path)
    assert stale(tmp_path) == []
    (tmp_path / "prometheus" / "old.json").write_text("{}")
    path = tmp_path / "prometheus" / "depthgauge-overview.json"
    path.write_text(path.read_text() + " ")
    assert stale(tmp_path) == ["prometheus/depthgauge-overview.json", "prometheus/old.json"]
    write(tmp_path)
    assert stale(tmp_path) == []


def test_the_generator_says_what_is_not_fresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from grafana.source.main import main

    def run(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["main", *words, str(tmp_path)])
        return main()

    assert run("--check") == 1
    assert "prometheus/depthgauge-queues.json" in capsys.readouterr().err
    assert run() == 0
    assert run("--check") == 0


def test_they_are_where_their_names_say(shelf: Shelf) -> None:
    paths = {str(path.relative_to(folder())) for path in folder().glob("*/*.json")}
    kinds = {"prometheus": "prometheus", "grafana-postgresql-datasource": "timescaledb"}
    assert paths == {f"{kinds[plugin(board)]}/{uid}.json" for uid, board in shelf.boards.items()}
    assert len(paths) == len(shelf.boards) >= 4


def test_they_fit_the_schema(shelf: Shelf) -> None:
    for uid, board in shelf.boards.items():
        assert problem(board) is None, f"{uid}: {problem(board)}"


def test_they_keep_to_the_rules(shelf: Shelf) -> None:
    assert {uid: found for uid, board in shelf.boards.items() if (found := findings(board, shelf))} == {}


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (("panels", 1, "fieldConfig", "defaults", "uint"), "short", "defaults"),
        (("panels", 1, "options", "colourMode"), "value", "options"),
        (("panels", 1, "options", "colorMode"), "colour", "colorMode"),
        (("panels", 1, "targets", 0, "expression"), "up", "0"),
        (("panels", 1, "gridPos", "w"), "3", "w"),
        (("panels", 1, "type"), "graph", "type"),
        (("templating", "list", 1, "multi"), "yes", "multi"),
        (("schemaVersion",), "39", "schemaVersion"),
        (("panels", 0, "title"), None, "title"),
        (("rows",), [], ""),
    ],
)
def test_the_schema_refuses(shelf: Shelf, path: tuple[str | int, ...], value: Any, where: str) -> None:
    board = json.loads(json.dumps(shelf.boards["depthgauge-overview"]))
    place: Any = board
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value

    found = problem(board)

    assert found is not None
    assert found.partition(":")[0].rpartition(".")[2] == where, found


def problem(board: Json) -> str | None:
    """Return where a dashboard does not fit and why; None where it does."""
    validator = jsonschema.Draft7Validator(schema(plugin(board)))
    found = best_match(validator.iter_errors(board))
    return None if found is None else f"{'.'.join(map(str, found.absolute_path))}: {found.message[:300]}"


def test_the_provisioning_finds_them(shelf: Shelf) -> None:
    top = repo_root()
    loaded = YAML(typ="safe", pure=True).load(
        (top / "grafana" / "provisioning" / "dashboards" / "depthgauge.yml").read_text()
    )

    assert loaded["apiVersion"] == 1
    (provider,) = loaded["providers"]
    assert provider["type"] == "file"
    assert provider["allowUiUpdates"] is False
    assert provider["folder"]
    assert provider["folderUid"]
    assert "foldersFromFilesStructure" not in provider["options"], "folder and structure exclude one another"
    # Grafana reads the folder with all that is below it; what is mounted there is grafana/dashboards.
    assert provider["options"] == {"path": "/etc/grafana/dashboards"}
    assert set(provider) <= {
        *("name", "orgId", "type", "folder", "folderUid", "allowUiUpdates", "disableDeletion", "updateIntervalSeconds"),
        "options",
    }
    titles = [board["title"] for board in shelf.boards.values()]
    assert len(set(titles)) == len(titles), "two dashboards of one folder have the same title"


def test_the_page_names_the_panels_that_stay_empty_without_true_counters(shelf: Shelf) -> None:
    needed = re.compile(
        r"jobqueue_jobs_(completed|failed)_total|jobqueue_processing_seconds|\bcompleted\b|avg_processing"
    )
    page = (repo_root() / "docs" / "dashboards.md").read_text()
    (told,) = [line for line in page.splitlines() if line.strip().startswith("So these stay empty for them")]
    found = {
        panel["title"]
        for board in shelf.boards.values()
        for panel, target in targets(board)
        if needed.search(target.get("expr") or target["rawSql"])
    }
    assert found == set(re.findall(r'"([^"]+)"', told))
