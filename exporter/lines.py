"""Samples into lines: what the renderers of all families share."""

from collections import Counter
from collections.abc import Iterable
from typing import TypeAlias, TypeVar

from depthgauge.exposition import Metric, line_end
from exporter.budget import Needs
from exporter.series import Prefixes, Series

T = TypeVar("T")
K = TypeVar("K")

Lines: TypeAlias = dict[str, list[str]]
"""Sample lines by metric name."""


def add(lines: Lines, metric: Metric, value: float, **labels: str) -> None:
    """Add one sample."""
    lines[metric.name].append(metric.prefix(labels) + line_end(value))


def add_entities(
    lines: Lines, series: tuple[Series[T], ...], prefixes: Prefixes[K, T], entities: Iterable[tuple[K, T]]
) -> None:
    """Add every series of every entity that has a value."""
    plan = [(lines[each.metric.name].append, each.value) for each in series]
    for key, entity in entities:
        for line, (append, get) in zip(prefixes.of(key), plan, strict=True):
            value = get(entity)
            if value is not None:
                append(line + line_end(value))
    prefixes.forget_unused()


def needs(series: tuple[Series[T], ...], entity: T) -> Needs:
    """Return how many series an entity has, by family."""
    return Counter(each.metric.name for each in series if each.value(entity) is not None)
