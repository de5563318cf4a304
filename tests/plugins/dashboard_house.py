"""Our own rules for dashboards: what Grafana would not say and users would only see."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import combinations
from types import MappingProxyType
from typing import Any, Final

from tests.plugins.dashboard_lint import LABELLED, Rule
from tests.plugins.dashboards import Json, Shelf, marks, names_in, panels, place, plugin, queries, texts, variables
from tests.plugins.promql import RATE_INTERVAL, Selector, read

TAG: Final = "depthgauge"
GRID: Final = 24
TYPES: Final = ("stat", "timeseries", "table", "state-timeline", "bargauge")
BUILT_IN: Final = re.compile(r"__\w+|timeFilter")
FOLDERS: Final = MappingProxyType({"prometheus": "prometheus", "grafana-postgresql-datasource": "timescaledb"})
LINK: Final = re.compile(r"^/d/(?P<uid>[\w-]+)(?:\?(?P<query>.*))?$")


def frame(board: Json, _: Shelf) -> Iterator[str]:
    """What every dashboard has: its version, time, refresh, tags; and nothing that only exports have."""
    wanted = {
        "schemaVersion": 39,
        "graphTooltip": 1,
        "timezone": "browser",
        "version": 1,
    }
    yield from (
        f"{key} is {board.get(key)!r}, not {value!r}" for key, value in wanted.items() if board.get(key) != value
    )
    if not isinstance(board.get("refresh"), str):
        yield "refresh is no text"
    if TAG not in board.get("tags", ()):
        yield f"has no tag {TAG}"
    yield from (f"has {key}" for key in ("id", "__inputs", "__requires", "time_options") if key in board)
    if not re.fullmatch(r"[a-z][a-z-]{7,39}", board.get("uid", "")):
        yield f"the uid {board.get('uid')!r} is not 8 to 40 small letters and dashes"
    if not str(board.get("description", "")).strip():
        yield "has no description"


def unique(board: Json, shelf: Shelf) -> Iterator[str]:
    """Ids of panels, letters of targets and names of variables are there once; titles of dashboards, too."""
    things: dict[str, list[Any]] = {
        "panel id": [panel.get("id") for panel in board["panels"]],
        "title": [panel.get("title") for panel in board["panels"]],
        "variable": [each["name"] for each in variables(board)],
    }
    for panel in panels(board):
        things[f"{place(panel)} letter"] = [each.get("refId") for each in panel.get("targets", ())]
    for what, values in things.items():
        yield from (f"{what} {value!r} is there {count} times" for value, count in Counter(values).items() if count > 1)
        yield from (f"{what} is missing" for value in values if not value)
    if [each["title"] for each in shelf.boards.values()].count(board["title"]) > 1:
        yield f"another dashboard is called {board['title']!r}"


def grid(board: Json, _: Shelf) -> Iterator[str]:
    """Panels lie on the grid and not on one another."""
    boxes = [(place(panel), panel["gridPos"]) for panel in board["panels"]]
    for where, box in boxes:
        if box["x"] < 0 or box["y"] < 0 or box["w"] < 1 or box["h"] < 1 or box["x"] + box["w"] > GRID:
            yield f"{where} is not on the grid: {box}"
    for (one, a), (other, b) in combinations(boxes, 2):
        if (
            a["x"] < b["x"] + b["w"]
            and b["x"] < a["x"] + a["w"]
            and a["y"] < b["y"] + b["h"]
            and b["y"] < a["y"] + a["h"]
        ):
            yield f"{one} lies on {other}"


def panel_kind(board: Json, _: Shelf) -> Iterator[str]:
    """Panels are of the kinds that every Grafana from 11 on has; a description is a sentence."""
    for panel in panels(board):
        if panel["type"] not in TYPES:
            yield f"{place(panel)} is a {panel['type']}"
        if not re.search(r"[.?!]$", panel.get("description", "")):
            yield f"{place(panel)}: the description is no sentence"


def thresholds(board: Json, _: Shelf) -> Iterator[str]:
    """Thresholds begin with null and ascend."""
    for panel in panels(board):
        config = panel.get("fieldConfig", {})
        found = [config["defaults"]["thresholds"]] if "thresholds" in config.get("defaults", {}) else []
        found += [
            each["value"]
            for override in config.get("overrides", ())
            for each in override["properties"]
            if each["id"] == "thresholds"
        ]
        for each in found:
            first, *others = [step["value"] for step in each["steps"]]
            if first is not None or None in others or others != sorted(others):
                yield f"{place(panel)}: thresholds {[first, *others]}"


def one_source(board: Json, _: Shelf) -> Iterator[str]:
    """One kind of data source a dashboard, the one its folder is for, everywhere."""
    kind = plugin(board)
    if FOLDERS.get(kind) not in board.get("tags", ()):
        yield f"the data source {kind!r} does not go with the tags {board.get('tags')}"
    asked = [each for each in variables(board) if each["type"] == "query"]
    asked += [each["target"] for each in marks(board)] + list(marks(board))
    for panel in panels(board):
        asked += [panel, *panel.get("targets", ())]
    for each in asked:
        if each.get("datasource") != {"type": kind, "uid": "${datasource}"}:
            yield f"{each.get('title') or each.get('name') or each.get('refId')}: data source {each.get('datasource')}"


def variables_defined(board: Json, _: Shelf) -> Iterator[str]:
    """Every variable that is used is defined, before its use by another variable; every one that is defined is used."""
    defined = [each["name"] for each in variables(board)]
    used = {name for _, query in queries(board) for name in names_in(query)}
    for position, each in enumerate(variables(board)):
        names = [name for name in names_in(str(each.get("query", ""))) if not BUILT_IN.fullmatch(name)]
        yield from (
            f"variable {each['name']} uses {name} before it" for name in names if name not in defined[:position]
        )
        used |= set(names)
    used |= {name for panel in board["panels"] for text in texts(panel) for name in names_in(text)}
    used |= {name for text in texts(list(marks(board))) for name in names_in(text)}
    yield from (
        f"variable {name} is not defined" for name in sorted(used - set(defined)) if not BUILT_IN.fullmatch(name)
    )
    yield from (f"variable {name} is not used" for name in defined if name not in used)


def variables_all(board: Json, _: Shelf) -> Iterator[str]:
    """Variables that ask the data source allow several values and all, sorted; with PromQL all is an expression."""
    for each in variables(board):
        if each["type"] != "query":
            continue
        if not (each.get("multi") and each.get("includeAll") and each.get("sort") == 1 and each.get("label")):
            yield f"variable {each['name']}: not for several, not for all, not sorted or without a label"
        found = LABELLED.match(str(each["query"]))
        if found and each.get("allValue") not in {".+", ".*"}:
            yield f"variable {each['name']}: all values are {each.get('allValue')!r}"


def links(board: Json, shelf: Shelf) -> Iterator[str]:
    """Links lead to dashboards that are there, with variables that these have, and keep the range of time.

    Variables go to dashboards of the same kind only: another kind would be given a data source that it cannot use.
    """
    by_tag = [each for each in board.get("links", ()) if each["type"] == "dashboards"]
    for kind, tag in FOLDERS.items():
        found = [each for each in by_tag if each["tags"] == [TAG, tag] and each["keepTime"]]
        if [each["includeVars"] for each in found] != [kind == plugin(board)]:
            yield f"has no link by the tags {TAG}, {tag} that keeps the time, and variables within its kind"
    for each in by_tag:
        if not any(
            set(each["tags"]) <= set(other["tags"]) for uid, other in shelf.boards.items() if uid != board["uid"]
        ):
            yield f"no other dashboard has the tags {each['tags']}"
    for panel in panels(board):
        for url in _urls(panel):
            yield from (f"{place(panel)}: {problem}" for problem in _broken(url, panel, board, shelf))


def _urls(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("url"), str):
            yield value["url"]
        for each in value.values():
            yield from _urls(each)
    elif isinstance(value, list):
        for each in value:
            yield from _urls(each)


def _broken(url: str, panel: Json, board: Json, shelf: Shelf) -> Iterator[str]:
    found = LINK.match(url)
    target = shelf.boards.get(found["uid"]) if found else None
    if found is None or target is None:
        yield f"{url} leads nowhere"
        return
    there = {each["name"] for each in variables(target)}
    query = found["query"] or ""
    passed = set(re.findall(r"var-(\w+)=", query)) | set(re.findall(r"\$\{(\w+):queryparam\}", query))
    yield from (f"{found['uid']} has no variable {name}" for name in sorted(passed - there))
    if "${__url_time_range}" not in query:
        yield f"{url} forgets the range of time"
    if plugin(target) != plugin(board) and "datasource" in query:
        yield f"{url} takes the data source to a dashboard of another kind"
    fields = set(re.findall(r"__data\.fields\.(\w+)", query))
    yield from (f"{url}: the table has no field {name}" for name in sorted(fields - set(_fields(panel))))


def _fields(panel: Json) -> Iterator[str]:
    for each in panel.get("transformations", ()):
        if each["id"] == "filterFieldsByName":
            yield from each["options"]["include"]["names"]


def tables(board: Json, _: Shelf) -> Iterator[str]:
    """A table is sorted by a column it has, its overrides are for columns it has, and each target is a column."""
    for panel in panels(board):
        if panel["type"] != "table":
            continue
        fields = set(_fields(panel))
        renamed: dict[str, str] = {}
        for each in panel.get("transformations", ()):
            if each["id"] == "organize":
                renamed = each["options"]["renameByName"]
        titles = {renamed.get(name, name) for name in fields}
        sort = [each["displayName"] for each in panel["options"].get("sortBy", ())]
        overrides = [each["matcher"]["options"] for each in panel["fieldConfig"]["overrides"]]
        yield from (f"{place(panel)}: no column {name}" for name in (*sort, *overrides) if name not in titles)
        if not sort:
            yield f"{place(panel)} is not sorted"
        letters = {each["refId"] for each in panel["targets"]}
        if plugin(board) == "prometheus" and len(letters) == 1 and fields & {f"Value #{each}" for each in letters}:
            yield f"{place(panel)}: the value of the only target is called Value"
        values = {name.removeprefix("Value #") for name in fields if name.startswith("Value #")}
        yield from (f"{place(panel)}: no target {letter}" for letter in sorted(values - letters))


def marks_reach_back(board: Json, _: Shelf) -> Iterator[str]:
    """Annotations look back to the step before, however long Grafana makes it: what lies between is missed otherwise."""
    for mark in marks(board) if plugin(board) == "prometheus" else ():
        windows = {selector.window for selector in _selectors(str(mark["target"].get("expr", "")))}
        if windows - {RATE_INTERVAL}:
            yield f"annotation {mark['name']} looks back over {', '.join(map(str, windows))}"


def _selectors(expression: str) -> tuple[Selector, ...]:
    try:
        return tuple(read(expression).selectors)
    except ValueError:
        return ()  # another rule's


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        rule.__name__.replace("_", "-"): rule
        for rule in (
            frame,
            unique,
            grid,
            panel_kind,
            thresholds,
            one_source,
            variables_defined,
            variables_all,
            links,
            tables,
            marks_reach_back,
        )
    }
)
