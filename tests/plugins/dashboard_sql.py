"""Rules for statements in dashboards, which Grafana's linter has none for: what would break on another edition, or be read wrongly."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final

from tests.plugins.dashboards import Json, marks, names_in, queries, targets, variables
from tests.plugins.grafana_macros import Asked, MacroError, expand

Rule = Callable[[Json], Iterator[str]]

_MACRO: Final = re.compile(r"\$(__\w+)\(([^)]*)\)(.?)", re.DOTALL)
_TABLE: Final = re.compile(r"\b(?:FROM|JOIN)\s+(?!LATERAL\b)([a-z_][\w.]*)")
_NAMED: Final = re.compile(r"\b(\w+) AS \(")
_TIME: Final = re.compile(r"\$__(timeFilter|timeFrom|timeTo)\(")


def statements(board: Json) -> Iterator[tuple[str, str]]:
    """Give every statement of a dashboard, those of its variables too."""
    yield from queries(board)
    yield from ((f"variable {each['name']}", each["query"]) for each in variables(board) if each["type"] == "query")


def in_the_editor_as_it_is(board: Json) -> Iterator[str]:
    """Targets are raw statements, and their form is told."""
    for panel, target in targets(board):
        told = (target.get("editorMode"), target.get("rawQuery"), target.get("format") in {"time_series", "table"})
        if told != ("code", True, True):
            yield f"{panel['title']} {target.get('refId')}: {told}"
        if target.get("format") == "time_series" and panel["type"] == "table":
            yield f"{panel['title']}: a table of a time series"
    for mark in marks(board):
        if mark["target"].get("format") != "table" or mark.get("enable") is not False:
            yield f"annotation {mark['name']}: not a table, or on from the start"


def works_everywhere(board: Json) -> Iterator[str]:
    """Nothing that plain PostgreSQL lacks, and macros that Grafana understands with TimescaleDB and without."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    chosen = {name: ("a", "b") for _, text in statements(board) for name in names_in(text)}
    for where, text in statements(board):
        if re.search(r"\btime_bucket|\bfirst\(|\blast\(|_gapfill", text):
            yield f"{where}: a function of TimescaleDB"
        for name, arguments, behind in _MACRO.findall(text):
            if "(" in arguments:
                yield f"{where}: ${name} has a bracket in its argument, where Grafana would cut it"
            if name == "__timeGroup" and behind == ",":
                yield f"{where}: Grafana puts an alias behind ${name} when a comma follows"
        for timescaledb in (False, True):
            asked = Asked(start=now - timedelta(hours=1), end=now, timescaledb=timescaledb, variables=chosen)
            try:
                left = re.search(r"\$\w+", expand(text, asked))
            except MacroError as problem:
                yield f"{where}: {problem}"
            else:
                if left is not None:
                    yield f"{where}: {left[0]} is left"


def takes_no_choice(board: Json) -> Iterator[str]:
    """A statement is SQL also where a variable has no values: ``IN ()`` is none."""
    for where, text in statements(board):
        if re.search(r"\bIN\s*\(\s*\$\{", text):
            yield f"{where}: IN of a choice"


def keeps_to_the_range(board: Json) -> Iterator[str]:
    """Every statement is about the range of the dashboard, and its tables have their schema."""
    for where, text in statements(board):
        if not _TIME.search(text):
            yield f"{where}: not bound to the range"
        own = set(_NAMED.findall(text))
        for table in _TABLE.findall(text):
            if table not in own and not table.startswith("depthgauge.") and not table.startswith("unnest"):
                yield f"{where}: {table} without its schema"


def is_in_order(board: Json) -> Iterator[str]:
    """Time series have a column of time and ascend."""
    for panel, target in targets(board):
        text = target["rawSql"]
        if target["format"] == "time_series" and not re.search(r'AS "time"|\$__timeGroupAlias\(', text):
            yield f"{panel['title']} {target['refId']}: no column time"
        if target["format"] == "time_series" and "ORDER BY" not in text.rpartition(")\n")[2]:
            yield f"{panel['title']} {target['refId']}: in no order"


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        rule.__name__.replace("_", "-"): rule
        for rule in (in_the_editor_as_it_is, works_everywhere, takes_no_choice, keeps_to_the_range, is_in_order)
    }
)


def findings(board: Json) -> list[str]:
    """Return what is wrong with the statements of a dashboard: ``rule: what``."""
    return [f"{name}: {found}" for name, rule in RULES.items() for found in rule(board)]
