"""PromQL read by promql-parser: which series an expression selects, and what is done to them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import promql_parser

from tests.plugins.dashboards import expand

RATE_INTERVAL: Final = "4m17s"
"""What ``$__rate_interval`` becomes: a duration that nobody would write."""
BUILT_IN: Final[Mapping[str, str]] = MappingProxyType(
    {"__rate_interval": RATE_INTERVAL, "__interval": "23s", "__range": "6h13m", "__range_s": "22380"}
)
RATES: Final = frozenset({"rate", "irate"})
COUNTING: Final = RATES | {"increase"}
"""Functions that a counter may be in."""


@dataclass(frozen=True)
class Selector:
    """One selector: the metrics it may mean, its matchers, the function around its range."""

    metrics: tuple[str, ...]
    matchers: tuple[tuple[str, str, str], ...]
    function: str | None = None
    window: str | None = None


@dataclass
class Reading:
    """What an expression consists of."""

    selectors: list[Selector] = field(default_factory=list)
    labels: set[str] = field(default_factory=set)
    """Labels that are grouped by, joined on or carried over."""


def sample(name: str, form: str | None = None) -> str | None:
    """Return what stands for a variable while an expression is only read."""
    del form
    return BUILT_IN.get(name, None if name.startswith("__") else f"value_of_{name}")


def read(expression: str) -> Reading:
    """Parse an expression with its variables expanded; raises ValueError where it is no PromQL."""
    reading = Reading()
    _visit(promql_parser.parse(expand(expression, sample)), reading, None)
    return reading


def _visit(node: Any, reading: Reading, function: str | None) -> None:
    """Go down; ``function`` is the one that is called on this very node."""
    kind = type(node).__name__
    if kind == "VectorSelector":
        reading.selectors.append(_selector(node, function, None))
    elif kind == "MatrixSelector":
        window = promql_parser.display_duration(node.range)
        reading.selectors.append(_selector(node.vector_selector, function, window))
    elif kind == "Call":
        for argument in node.args:
            _visit(argument, reading, node.func.name)
    elif kind == "BinaryExpr":
        if node.modifier is not None:
            matching = node.modifier.matching
            reading.labels.update(matching.labels if matching is not None else (), node.modifier.group_labels or ())
        _visit(node.lhs, reading, None)
        _visit(node.rhs, reading, None)
    else:
        if kind == "AggregateExpr" and node.modifier is not None:
            reading.labels.update(node.modifier.labels)
        if kind not in {"NumberLiteral", "StringLiteral"}:
            _visit(node.expr, reading, None)


def _selector(node: Any, function: str | None, window: str | None) -> Selector:
    matchers = tuple((each.name, str(each.op).removeprefix("MatchOp."), each.value) for each in node.matchers.matchers)
    names = {value for name, _, value in matchers if name == "__name__"}
    metrics = tuple(sorted(each for value in names for each in value.split("|"))) if node.name is None else (node.name,)
    return Selector(metrics, matchers, function, window)
