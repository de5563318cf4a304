"""Rules about what dashboards for Prometheus ask for: every metric, label and value is one that the daemons serve."""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from tests.plugins.dashboard_lint import LABELLED, Rule
from tests.plugins.dashboards import Json, Shelf, marks, place, plugin, targets, variables
from tests.plugins.known_metrics import CLOSED, OTHERS, TARGET_LABELS, known_metrics
from tests.plugins.promql import COUNTING, Reading, Selector, read


def metrics_known(board: Json, _: Shelf) -> Iterator[str]:
    """Every metric is in the table of metrics, and what is a counter is treated as one."""
    for where, _legend, reading in _readings(board):
        for selector in reading.selectors:
            for name in selector.metrics:
                known = known_metrics().get(name)
                if known is None:
                    yield f"{where}: no metric {name}"
                elif known.kind == "counter" and selector.function not in COUNTING:
                    yield f"{where}: the counter {name} without rate or increase"
                elif known.kind == "gauge" and selector.function in COUNTING:
                    yield f"{where}: {selector.function} of the gauge {name}"


def labels_known(board: Json, _: Shelf) -> Iterator[str]:
    """Every label that is matched, grouped by or told in a legend is one of the metrics in the expression."""
    for where, legend, reading in _readings(board):
        everything = set(TARGET_LABELS)
        for selector in reading.selectors:
            mine = _labels(selector)
            everything |= mine
            wrong = {label for label, _sign, _value in selector.matchers} - mine - TARGET_LABELS - {"__name__"}
            yield from (f"{where}: {selector.metrics} has no label {name}" for name in sorted(wrong))
        used = reading.labels | set(re.findall(r"\{\{\s*(\w+)\s*\}\}", legend))
        yield from (f"{where}: no metric in it has the label {name}" for name in sorted(used - everything))


def values_known(board: Json, _: Shelf) -> Iterator[str]:
    """A label that is a closed set is compared with values of it."""
    for where, _legend, reading in _readings(board):
        for selector in reading.selectors:
            for label, _sign, value in selector.matchers:
                for name in selector.metrics:
                    closed = CLOSED.get((name, label))
                    wrong = set(value.split("|")) - closed if closed else set()
                    yield from (f"{where}: {name} has no {label} {each}" for each in sorted(wrong))


def others_marked(board: Json, _: Shelf) -> Iterator[str]:
    """Metrics that other programs serve, too, stand beside one that only ours do: all jobs may be chosen."""
    for where, _legend, reading in _readings(board):
        names = {name for selector in reading.selectors for name in selector.metrics}
        if names & OTHERS.keys() and not names - OTHERS.keys():
            yield f"{where}: {', '.join(sorted(names))} of any program"


def _readings(board: Json) -> Iterator[tuple[str, str, Reading]]:
    """Give every expression that parses with its place and the texts that its labels are put into."""
    if plugin(board) != "prometheus":
        return
    asked = [
        (f"{place(panel)} {target.get('refId')}", str(target.get("legendFormat", "")), str(target.get("expr", "")))
        for panel, target in targets(board)
    ]
    for mark in marks(board):
        told = f"{mark.get('titleFormat', '')} {mark.get('textFormat', '')}"
        asked.append((f"annotation {mark['name']}", told, str(mark["target"].get("expr", ""))))
    asked.extend(
        (f"variable {each['name']}", f"{{{{{found['label']}}}}}", found["selector"] or "vector(1)")
        for each in variables(board)
        if each["type"] == "query" and (found := LABELLED.match(str(each["query"])))
    )
    for where, legend, expression in asked:
        try:
            yield where, legend, read(expression)
        except ValueError:
            continue  # the rule target-promql says so


def _labels(selector: Selector) -> set[str]:
    return {label for name in selector.metrics if name in known_metrics() for label in known_metrics()[name].labels}


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {rule.__name__.replace("_", "-"): rule for rule in (metrics_known, labels_known, values_known, others_marked)}
)
