"""The dashboards that are committed, and ways through their JSON that all their tests share."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from tests.plugins.repo import repo_root

Json: TypeAlias = dict[str, Any]

_VARIABLE: Final = re.compile(
    r"\$\{(?P<braced>\w+)(?P<path>\.[\w.]+|\[[^\]]*\])?(?::(?P<form>\w+))?\}|\$(?P<plain>\w+)|\[\[(?P<old>\w+)\]\]"
)
"""How Grafana finds variables in a text."""


@dataclass(frozen=True)
class Shelf:
    """Dashboards by uid: what links between them may lead to."""

    boards: Mapping[str, Json]


def folder() -> Path:
    """Return where the dashboards are."""
    return repo_root() / "grafana" / "dashboards"


def committed() -> Shelf:
    """Return the committed dashboards."""
    found = [json.loads(path.read_text()) for path in sorted(folder().glob("*/*.json"))]
    return Shelf({board["uid"]: board for board in found})


def panels(board: Json) -> Iterator[Json]:
    """Give the panels that show something."""
    return (panel for panel in board["panels"] if panel["type"] != "row")


def targets(board: Json) -> Iterator[tuple[Json, Json]]:
    """Give every target with its panel."""
    return ((panel, target) for panel in panels(board) for target in panel.get("targets", ()))


def marks(board: Json) -> Iterator[Json]:
    """Give the annotations that ask the data source."""
    return (each for each in board["annotations"]["list"] if not each.get("builtIn"))


def variables(board: Json) -> list[Json]:
    """Return the variables, the data source's too."""
    found: list[Json] = board["templating"]["list"]
    return found


def queries(board: Json) -> Iterator[tuple[str, str]]:
    """Give every PromQL expression or statement of a dashboard with the place where it stands."""
    for panel, target in targets(board):
        yield f"{place(panel)} {target.get('refId')}", target.get("expr") or target.get("rawSql") or ""
    for mark in marks(board):
        yield f"annotation {mark['name']}", mark["target"].get("expr") or mark["target"].get("rawSql") or ""


def place(panel: Json) -> str:
    """Return how a panel is called in findings."""
    return f"{panel.get('id')} {panel.get('title')}"


def plugin(board: Json) -> str:
    """Return the type of the first data source variable."""
    return next((str(each["query"]) for each in variables(board) if each["type"] == "datasource"), "")


def names_in(text: str) -> list[str]:
    """Return the names of the variables in a text."""
    return [found["braced"] or found["plain"] or found["old"] for found in _VARIABLE.finditer(text)]


def expand(text: str, value: Callable[[str, str | None], str | None]) -> str:
    """Put values for the variables in a text; ``value`` is given name and format, and gives None to leave it as it is."""

    def put(found: re.Match[str]) -> str:
        told = value(found["braced"] or found["plain"] or found["old"], found["form"])
        return found[0] if told is None else told

    return _VARIABLE.sub(put, text)


def texts(value: Any) -> Iterator[str]:
    """Give every text within a piece of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)
