"""What Grafana makes of a query and of its answer, where the tests make the same of it."""

from dataclasses import replace
from typing import Any

import pytest

from tests.plugins.gallery import Result
from tests.plugins.grafana_promql import Asked, is_empty, legend, run, shown, written

ASKED = Asked(start=1000.0, end=1060.0, step=5, scrape=15)
BOARD: dict[str, Any] = {
    "templating": {
        "list": [
            {"name": "datasource", "type": "datasource"},
            {"name": "job", "type": "query", "allValue": ".+"},
            {"name": "queue", "type": "query", "allValue": ".*"},
        ]
    }
}


class Scripted:
    """A Prometheus that gives one answer and remembers the question."""

    def __init__(self, result: list[dict[str, Any]]) -> None:
        self.result = result
        self.asked: list[dict[str, Any]] = []

    def ask(self, path: str, **parameters: object) -> Any:
        self.asked.append({"path": path, **parameters})
        return {"resultType": "matrix", "result": self.result}


@pytest.mark.parametrize(
    ("chosen", "text"),
    [
        ({}, 'x{job=~".+", queue=~".*"}'),
        ({"job": ("a",)}, 'x{job=~"a", queue=~".*"}'),
        ({"job": ("a", "b"), "queue": ("mail.high",)}, 'x{job=~"(a|b)", queue=~"mail\\\\.high"}'),
        ({"queue": ('a"b',)}, 'x{job=~".+", queue=~"a\\"b"}'),
        ({"queue": ("a-b c",)}, 'x{job=~".+", queue=~"a-b c"}'),
    ],
)
def test_choices_become_regular_expressions(chosen: dict[str, tuple[str, ...]], text: str) -> None:
    asked = replace(ASKED, chosen=chosen)
    assert written(BOARD, 'x{job=~"$job", queue=~"${queue}"}', asked) == text


def test_intervals() -> None:
    expression = "rate(x[$__rate_interval]) + x[$__interval] + x[$__range]"
    assert written(BOARD, expression, ASKED) == "rate(x[60s]) + x[5s] + x[60s]"
    assert written(BOARD, "[$__rate_interval]", replace(ASKED, step=120)) == "[135s]"


def test_legends() -> None:
    labels = {"queue": "mail", "redis": "r"}
    assert legend("{{queue}} of {{ redis }}{{none}}", labels) == "mail of r"
    assert legend("__auto", labels) == 'queue="mail", redis="r"'
    assert legend("__auto", {}) == "Value"


def test_lines_have_gaps_where_steps_are_missing() -> None:
    values = [[1000, "1"], [1005, "2"], [1020, "NaN"], [1025, "4"]]
    server: Any = Scripted([{"metric": {"queue": "a"}, "values": values}])
    target = {"refId": "A", "expr": "x", "legendFormat": "{{queue}}", "format": "time_series"}

    result, _ = run(server, BOARD, target, ASKED)

    assert [(moment.timestamp(), value) for moment, value in result.lines["a"]] == [
        *((1000, 1.0), (1005, 2.0), (1010, None), (1020, None), (1025, 4.0)),
    ]
    assert not is_empty(result)
    assert server.asked[0] == {"path": "query_range", "query": "x", "start": 1000.0, "end": 1060.0, "step": 5}
    server.result = [{"metric": {"queue": "a", "state": each}, "values": values} for each in "xy"]
    with pytest.raises(AssertionError, match="two lines are called 'a'"):
        run(server, BOARD, target, ASKED)
    server.result = [{"metric": {"queue": "a"}, "values": [[1000, "NaN"]]}]
    assert is_empty(run(server, BOARD, target, ASKED)[0])


def test_a_table_is_merged_sorted_and_renamed() -> None:
    server: Any = Scripted([])
    target = {"refId": "A", "expr": "x", "format": "table", "instant": True}
    server.result = [{"metric": {"queue": name}, "value": [1060, value]} for name, value in (("a", "1"), ("b", "7"))]
    first, _ = run(server, BOARD, target, ASKED)
    server.result = [{"metric": {"queue": name}, "value": [1060, "3"]} for name in ("b", "c")]
    second, _ = run(server, BOARD, {**target, "refId": "B"}, ASKED)
    alone, _ = run(server, BOARD, target, ASKED, alone=True)
    panel = {
        "transformations": [
            {"id": "merge", "options": {}},
            {"id": "filterFieldsByName", "options": {"include": {"names": ["queue", "Value #B", "Value #A"]}}},
            {
                "id": "organize",
                "options": {
                    "indexByName": {"queue": 0, "Value #B": 1, "Value #A": 2},
                    "renameByName": {"queue": "Queue", "Value #A": "Age"},
                },
            },
        ],
        "options": {"sortBy": [{"displayName": "Age", "desc": True}]},
    }

    assert first == Result(ref_id="A", columns=("queue", "Value #A"), rows=(("a", 1.0), ("b", 7.0)))
    assert alone.columns == ("queue", "Value")
    assert shown(panel, [first, second]) == [
        {"Queue": "b", "Value #B": 3.0, "Age": 7.0},
        {"Queue": "a", "Value #B": None, "Age": 1.0},
        {"Queue": "c", "Value #B": 3.0, "Age": None},
    ]
    versions = Result(ref_id="B", columns=("Value #B",), rows=((2.0,),))
    assert [row["Value #B"] for row in shown(panel, [first, versions])] == [2.0, 2.0]
