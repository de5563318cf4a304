"""Our text is the library's, byte for byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from depthgauge.exposition import Metric, line_end, number

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.one_of(st.floats(), st.integers(min_value=-(2**60), max_value=2**60), st.booleans())


def by_library(metric: Metric, samples: list[tuple[tuple[str, ...], float]]) -> str:
    class Once:
        def collect(self) -> list[GaugeMetricFamily | CounterMetricFamily]:
            kind = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
            family = kind(metric.name, metric.help, labels=metric.labels)
            for labels, value in samples:
                family.add_metric(labels, value)
            return [family]

        def describe(self) -> list[GaugeMetricFamily]:
            return []

    registry = CollectorRegistry()
    registry.register(Once())
    return generate_latest(registry).decode()


@given(
    kind=st.sampled_from(["gauge", "counter"]),
    text=TEXT,
    samples=st.lists(st.tuples(st.tuples(TEXT, TEXT), VALUES), max_size=5),
)
def test_a_family_is_the_librarys(kind: str, text: str, samples: list[tuple[tuple[str, str], float]]) -> None:
    name = "x_total" if kind == "counter" else "x_y"
    metric = Metric(name=name, type=kind, help=text, labels=("zebra", "apple"))  # type: ignore[arg-type]  # one of two
    samples = [(labels, value + 0.0) for labels, value in samples]  # no -0.0: we write it as 0 on purpose
    ours = metric.header + "".join(
        metric.prefix(dict(zip(metric.labels, labels, strict=True))) + line_end(value) for labels, value in samples
    )

    assert ours == by_library(metric, list(samples))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.0"),
        (-0.0, "0.0"),
        (True, "1.0"),
        (1234567.0, "1.234567e+06"),
        (1e21, "1e+21"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (float("nan"), "NaN"),
        (1.5e-7, "1.5e-07"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_without_labels_there_are_no_braces() -> None:
    assert Metric(name="x", type="gauge", help="X.").prefix({}) == "x "


@pytest.mark.parametrize("labels", [{}, {"b": "1"}, {"a": "1", "b": "1"}])
def test_wrong_labels_are_refused(labels: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="has the labels"):
        Metric(name="x", type="gauge", help="X.", labels=("a",)).prefix(labels)
