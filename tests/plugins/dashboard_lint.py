"""The rules of Grafana's dashboard-linter (0.2.0) for classic dashboards, each a function from a dashboard to findings.

Rules about PromQL hold for dashboards whose data source is Prometheus; the linter has none about SQL.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from tests.plugins.dashboards import Json, Shelf, marks, panels, place, plugin, targets, variables
from tests.plugins.promql import COUNTING, RATE_INTERVAL, RATES, Selector, read

Rule: TypeAlias = Callable[[Json, Shelf], Iterator[str]]

DATA: Final = ("bargauge", "gauge", "stat", "state-timeline", "table", "timeseries")
UNITS: Final = frozenset(
    {
        *("short", "none", "percent", "percentunit", "string", "bool", "bool_on_off", "bool_yes_no", "sishort"),
        *("bytes", "decbytes", "bits", "kbytes", "mbytes", "gbytes", "Bps", "binBps", "bps"),
        *("ops", "reqps", "rps", "wps", "iops", "cps", "eps", "mps", "rowsps", "opm", "rpm", "hertz"),
        *("ns", "µs", "ms", "s", "m", "h", "d", "dtdurations", "dtdurationms", "dthms", "clocks"),
        *("dateTimeAsIso", "dateTimeFromNow", "dateTimeAsSystem", "dateTimeAsLocal"),
    }
)
LABELLED: Final = re.compile(r"^label_values\((?:(?P<selector>.+),\s*)?(?P<label>\w+)\)$", re.DOTALL)


def template_datasource(board: Json, _: Shelf) -> Iterator[str]:
    """One data source variable, called ``datasource`` or by its type, with a label that says so."""
    found = [each for each in variables(board) if each["type"] == "datasource"]
    if len(found) != 1:
        yield f"{len(found)} data source variables, not one"
    for each in found:
        kind = str(each["query"])
        if each["name"] not in {"datasource", f"{kind}_datasource"}:
            yield f"the data source variable is called {each['name']}"
        if each.get("label") not in {"Data source", f"{kind.capitalize()} data source"}:
            yield f"the data source variable has the label {each.get('label')}"


def template_job(board: Json, _: Shelf) -> Iterator[str]:
    """A variable ``job`` for several or all."""
    yield from _target_variable(board, "job")


def template_instance(board: Json, _: Shelf) -> Iterator[str]:
    """A variable ``instance`` for several or all."""
    yield from _target_variable(board, "instance")


def _target_variable(board: Json, name: str) -> Iterator[str]:
    if plugin(board) != "prometheus":
        return
    found = next((each for each in variables(board) if each["name"] == name), None)
    if found is None:
        yield f"no variable {name}"
        return
    wanted = {"type": "query", "label": name.capitalize(), "multi": True, "allValue": ".+"}
    for key, value in wanted.items():
        if found.get(key) != value:
            yield f"variable {name}: {key} is {found.get(key)!r}, not {value!r}"
    if found.get("datasource", {}).get("uid") not in {"$datasource", "${datasource}"}:
        yield f"variable {name} asks another data source"


def template_label_promql(board: Json, _: Shelf) -> Iterator[str]:
    """The query of a variable is ``label_values`` of a selector that parses."""
    if plugin(board) != "prometheus":
        return
    for each in variables(board):
        if each["type"] != "query":
            continue
        found = LABELLED.match(str(each["query"]))
        if found is None:
            yield f"variable {each['name']}: {each['query']} is not label_values(selector, label)"
        elif found["selector"] and (problem := _problem(found["selector"])):
            yield f"variable {each['name']}: {problem}"


def template_on_time_change_reload(board: Json, _: Shelf) -> Iterator[str]:
    """Variables are asked anew when the range of time changes."""
    for each in variables(board):
        if each["type"] == "query" and each.get("refresh") != 2:
            yield f"variable {each['name']}: refresh is {each.get('refresh')}, not 2"


def panel_datasource(board: Json, _: Shelf) -> Iterator[str]:
    """Panels and targets name the data source by the variable."""
    for panel in panels(board):
        for each in (panel, *panel.get("targets", ())):
            if each.get("datasource", {}).get("uid") not in {"$datasource", "${datasource}"}:
                yield f"{place(panel)} {each.get('refId', '')} does not use the data source variable"


def panel_title_description(board: Json, _: Shelf) -> Iterator[str]:
    """Every panel says what it is."""
    for panel in panels(board):
        for key in ("title", "description"):
            if not str(panel.get(key, "")).strip():
                yield f"{place(panel)} has no {key}"


def panel_units(board: Json, _: Shelf) -> Iterator[str]:
    """Every panel has a unit that Grafana knows, or texts for its values."""
    for panel in panels(board):
        config = panel.get("fieldConfig", {})
        defaults = config.get("defaults", {})
        found = [
            each["value"]
            for override in config.get("overrides", ())
            for each in override["properties"]
            if each["id"] == "unit"
        ]
        found += [defaults["unit"]] if "unit" in defaults else []
        if not found and not defaults.get("mappings"):
            yield f"{place(panel)} has no unit"
        yield from (f"{place(panel)}: Grafana has no unit {unit}" for unit in found if unit not in UNITS)


def panel_no_targets(board: Json, _: Shelf) -> Iterator[str]:
    """Every panel that shows data asks for some."""
    for panel in panels(board):
        if panel["type"] in DATA and not panel.get("targets"):
            yield f"{place(panel)} has no targets"


def target_promql(board: Json, _: Shelf) -> Iterator[str]:
    """Every expression parses."""
    for where, expression in _expressions(board):
        if problem := _problem(expression):
            yield f"{where}: {problem}"


def target_rate_interval(board: Json, _: Shelf) -> Iterator[str]:
    """Rates are over ``$__rate_interval``."""
    for where, selector in _selectors(board):
        if selector.function in RATES and selector.window != RATE_INTERVAL:
            yield f"{where}: {selector.function} over {selector.window}"


def target_job(board: Json, _: Shelf) -> Iterator[str]:
    """Every selector is limited to the chosen jobs."""
    yield from _matched(board, "job")


def target_instance(board: Json, _: Shelf) -> Iterator[str]:
    """Every selector is limited to the chosen instances."""
    yield from _matched(board, "instance")


def _matched(board: Json, label: str) -> Iterator[str]:
    for where, selector in _selectors(board):
        if (label, "Re", f"value_of_{label}") not in selector.matchers:
            yield f'{where}: {"|".join(selector.metrics)} without {label}=~"${label}"'


def target_counter_agg(board: Json, _: Shelf) -> Iterator[str]:
    """Counters are shown by how they grow."""
    for where, selector in _selectors(board):
        if any(name.endswith("_total") for name in selector.metrics) and selector.function not in COUNTING:
            yield f"{where}: {'|'.join(selector.metrics)} without rate or increase"


def uneditable_dashboard(board: Json, _: Shelf) -> Iterator[str]:
    """Dashboards that come from files are not edited in the browser."""
    if board.get("editable") is not False:
        yield "can be edited"


def _expressions(board: Json) -> Iterator[tuple[str, str]]:
    if plugin(board) != "prometheus":
        return
    for panel, target in targets(board):
        yield f"{place(panel)} {target.get('refId')}", str(target.get("expr", ""))
    for mark in marks(board):
        yield f"annotation {mark['name']}", str(mark["target"].get("expr", ""))


def _selectors(board: Json) -> Iterator[tuple[str, Selector]]:
    """Give the selectors of all expressions that parse."""
    for where, expression in _expressions(board):
        if _problem(expression) is None:
            for selector in read(expression).selectors:
                yield where, selector


def _problem(expression: str) -> str | None:
    try:
        read(expression)
    except ValueError as exc:
        return f"{expression!r} is no PromQL: {exc}"
    return None


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        rule.__name__.replace("_", "-"): rule
        for rule in (
            template_datasource,
            template_job,
            template_instance,
            template_label_promql,
            template_on_time_change_reload,
            panel_datasource,
            panel_title_description,
            panel_units,
            panel_no_targets,
            target_promql,
            target_rate_interval,
            target_job,
            target_instance,
            target_counter_agg,
            uneditable_dashboard,
        )
    }
)
"""By their names in the linter. Its rules about Loki have nothing to look at here."""
