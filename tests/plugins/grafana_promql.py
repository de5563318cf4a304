"""Boards for Prometheus, read from their JSON and asked as Grafana asks: variables, panels, annotations, tables."""

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from tests.plugins import dashboards
from tests.plugins.dashboard_lint import LABELLED
from tests.plugins.dashboards import Json, committed, expand, plugin
from tests.plugins.gallery import Result
from tests.plugins.prometheus import Prometheus

PLUGIN: Final = "prometheus"
Labels: TypeAlias = dict[str, str]
Row: TypeAlias = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a user looks at: a range of time, and what is chosen of each variable (nothing: all)."""

    start: float
    end: float
    step: float
    """Seconds between two points."""
    scrape: float
    """What the data source is told of how often Prometheus scrapes."""
    chosen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def rate_interval(self) -> float:
        """What ``$__rate_interval`` becomes."""
        return max(self.step + self.scrape, 4 * self.scrape)


def boards() -> dict[str, Json]:
    """Return the boards for Prometheus, by uid."""
    return {uid: board for uid, board in committed().boards.items() if plugin(board) == PLUGIN}


def written(board: Json, expression: str, asked: Asked) -> str:
    """Return an expression as Grafana sends it."""
    return expand(expression, _values(board, asked))


def run(
    prometheus: Prometheus, board: Json, target: Json, asked: Asked, *, alone: bool = False
) -> tuple[Result, float]:
    """Ask one query; return what came in the form that Grafana makes of it, and the seconds it took.

    ``alone`` says that the panel has no other: a table's value is then called otherwise.
    """
    expression = written(board, target["expr"], asked)
    began = time.perf_counter()
    if target.get("instant"):
        data = prometheus.ask("query", query=expression, time=asked.end)
    else:
        data = prometheus.ask("query_range", query=expression, start=asked.start, end=asked.end, step=asked.step)
    took = time.perf_counter() - began
    found: list[Json] = data["result"] if data["resultType"] != "scalar" else [{"metric": {}, "value": data["result"]}]
    if target["format"] == "table":
        return _table("Value" if alone else f"Value #{target['refId']}", target, found), took
    lines: dict[str, list[tuple[datetime, float | None]]] = {}
    for each in found:
        name = legend(target.get("legendFormat", ""), each["metric"])
        assert name not in lines, f"{target['expr']}: two lines are called {name!r}"
        lines[name] = list(_points(each.get("values") or [each["value"]], asked))
    return Result(ref_id=target["refId"], lines=lines), took


def is_empty(result: Result) -> bool:
    """Say whether a result has nothing to show."""
    return not result.rows and not any(value is not None for line in result.lines.values() for _, value in line)


def options(prometheus: Prometheus, board: Json, variable: Json, asked: Asked) -> list[str]:
    """Return what a variable may be chosen from."""
    found = LABELLED.match(variable["query"])
    assert found is not None, variable["query"]
    selector = written(board, found["selector"], asked)
    path = f"label/{found['label']}/values"
    values: list[str] = prometheus.ask(path, **{"match[]": selector, "start": asked.start, "end": asked.end})
    return sorted(values)


def legend(template: str, labels: Mapping[str, str]) -> str:
    """Return the name of a line; what a template does not say is said by the labels."""
    if template == "__auto":
        return ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items())) or "Value"
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda name: labels.get(name[1], ""), template)


def shown(panel: Json, results: Sequence[Result]) -> list[Row]:
    """Return the rows of a table panel as they are shown: merged, sorted, by the titles of the columns."""
    merged: list[Row] = []
    for result in results:
        for cells in result.rows:
            row = dict(zip(result.columns, cells, strict=True))
            # Grafana adds a row to all that do not contradict it.
            agreeing = [each for each in merged if all(each.get(name) in {None, value} for name, value in row.items())]
            for each in agreeing:
                each.update(row)
            if not agreeing:
                merged.append(row)
    steps = {each["id"]: each["options"] for each in panel["transformations"]}
    titles = steps["organize"]["renameByName"]
    names = sorted(steps["filterFieldsByName"]["include"]["names"], key=steps["organize"]["indexByName"].__getitem__)
    rows = [{titles.get(name, name): row.get(name) for name in names} for row in merged]
    (sort,) = panel["options"]["sortBy"]

    def key(row: Row) -> tuple[bool, Any]:
        value = row[sort["displayName"]]
        return (value is not None, value if value is not None else 0)

    return sorted(rows, key=key, reverse=bool(sort.get("desc")))


def marks(prometheus: Prometheus, board: Json, asked: Asked) -> Iterator[tuple[str, list[tuple[Labels, list[float]]]]]:
    """Give each annotation with the labels of the series that it finds, and when they have a value."""
    for each in dashboards.marks(board):
        expression = written(board, each["target"]["expr"], asked)
        data = prometheus.ask("query_range", query=expression, start=asked.start, end=asked.end, step=asked.step)
        yield each["name"], [(one["metric"], [moment for moment, _ in one["values"]]) for one in data["result"]]


def _values(board: Json, asked: Asked) -> Callable[[str, str | None], str | None]:
    all_of = {each["name"]: each.get("allValue") for each in dashboards.variables(board)}
    built_in = {
        "__interval": _duration(asked.step),
        "__rate_interval": _duration(asked.rate_interval),
        "__range": _duration(asked.end - asked.start),
    }

    def value(name: str, form: str | None) -> str | None:
        assert form is None, f"${{{name}:{form}}} in PromQL"
        if name in built_in:
            return built_in[name]
        chosen = asked.chosen.get(name, ())
        if not chosen:
            return str(all_of[name])
        # Within a text of PromQL, what escapes in an expression is escaped again.
        regular = [re.sub(r"([\\^$*+?.()|\[\]{}])", r"\\\1", each) for each in chosen]
        escaped = [each.replace("\\", "\\\\").replace('"', '\\"') for each in regular]
        return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"

    return value


def _duration(seconds: float) -> str:
    return f"{max(1, round(seconds))}s"


def _points(values: Sequence[Sequence[Any]], asked: Asked) -> Iterator[tuple[datetime, float | None]]:
    """Give the points of a line with None where a step is missing: Grafana leaves a gap there."""
    last: float | None = None
    for moment, text in values:
        if last is not None and moment - last > 1.5 * asked.step:
            yield datetime.fromtimestamp(last + asked.step, UTC), None
        last = float(moment)
        yield datetime.fromtimestamp(last, UTC), _number(text)


def _table(value: str, target: Json, found: Sequence[Json]) -> Result:
    names = sorted({name for each in found for name in each["metric"]})
    rows = tuple((*(each["metric"].get(name, "") for name in names), _number(each["value"][1])) for each in found)
    return Result(ref_id=target["refId"], columns=(*names, value), rows=rows)


def _number(text: str) -> float | None:
    number = float(text)
    return None if math.isnan(number) else number
