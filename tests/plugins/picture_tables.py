"""Tables as a dashboard shows them: several targets merged, columns chosen, ordered and named, cells with text and colour."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from tests.plugins.gallery import Result
from tests.plugins.units import shown

Panel: TypeAlias = Mapping[str, Any]
Look: TypeAlias = Mapping[str, Any]


def arranged(panel: Panel, results: Sequence[Result]) -> tuple[list[str], list[list[object]]]:
    """Return headings and rows, as the panel's transformations and its order of rows say."""
    columns, rows = joined(results)
    keep = [name for name in columns if name not in {"Time", "__name__"}]
    names: Mapping[str, str] = {}
    for step in panel.get("transformations", ()):
        if step["id"] == "organize":
            order = step["options"].get("indexByName", {})
            keep = sorted((name for name in columns if name in order), key=lambda name: order[name])
            names = step["options"].get("renameByName", {})
    places = [columns.index(name) for name in keep]
    headings = [names.get(name, name) for name in keep]
    cells = [[row[place] for place in places] for row in rows]
    for order in reversed(panel.get("options", {}).get("sortBy", ())):
        if order["displayName"] in headings:
            cells = _sorted(cells, headings.index(order["displayName"]), descending=order.get("desc", False))
    return headings, cells


def _sorted(cells: list[list[object]], at: int, *, descending: bool) -> list[list[object]]:
    """Sort by a column, rows without a value last."""
    have = [row for row in cells if row[at] is not None]
    have.sort(key=lambda row: (isinstance(row[at], str), row[at]), reverse=descending)
    return have + [row for row in cells if row[at] is None]


def joined(results: Sequence[Result]) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Return a panel's tables as one: those of several targets are merged by the columns that they share."""
    tables = [result for result in results if result.columns]
    if not tables:
        return (), []
    columns, rows = tables[0].columns, list(tables[0].rows)
    for result in tables[1:]:
        shared = [name for name in result.columns if name in columns and not name.startswith("Value")]
        own = [name for name in result.columns if name not in shared]
        index = {tuple(row[result.columns.index(name)] for name in shared): row for row in result.rows}
        merged: list[tuple[object, ...]] = []
        for row in rows:
            other = index.pop(tuple(row[columns.index(name)] for name in shared), None)
            merged.append((*row, *(None if other is None else other[result.columns.index(name)] for name in own)))
        for row in index.values():
            told = dict(zip(result.columns, row, strict=True))
            merged.append(tuple(told.get(name) for name in (*columns, *own)))
        columns, rows = (*columns, *own), merged
    return columns, rows


def look_of(panel: Panel, column: str | None = None) -> Look:
    """Return how a panel's values look (unit, thresholds, mappings), or those of one of its columns."""
    look = dict(panel.get("fieldConfig", {}).get("defaults", {}))
    for override in panel.get("fieldConfig", {}).get("overrides", ()):
        if column is not None and override["matcher"] == {"id": "byName", "options": column}:
            look.update({each["id"]: each["value"] for each in override["properties"]})
    return look


def text_and_color(look: Look, value: object) -> tuple[str, str | None]:
    """Return a value's text, and the colour that mappings or thresholds give it."""
    if value is None:
        return "", None
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S"), None
    key = f"{value:g}" if isinstance(value, float | int) else str(value)
    for mapping in look.get("mappings", ()):
        told = mapping["options"].get(key) if mapping["type"] == "value" else None
        if told is not None:
            return str(told.get("text", key)), told.get("color")
    if not isinstance(value, float | int):
        return str(value), None
    color = None
    for step in look.get("thresholds", {}).get("steps", ()):
        if step.get("value") is None or value >= step["value"]:
            color = step["color"]
    return shown(value, str(look.get("unit", "short"))), color
