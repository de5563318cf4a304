"""Every rule for dashboards finds what it is there for: a good dashboard is broken in one place at a time."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.plugins.dashboard_rules import RULES, findings
from tests.plugins.dashboards import Json, Shelf, committed, expand, panels, variables
from tests.plugins.known_metrics import known_metrics
from tests.plugins.promql import read

pytestmark = pytest.mark.needs("source-tree")

Break = Callable[[Json], Any]


def variable(board: Json, name: str) -> Json:
    return next(each for each in variables(board) if each["name"] == name)


def first(board: Json, kind: str) -> Json:
    return next(panel for panel in panels(board) if panel["type"] == kind)


def expression(board: Json, text: str) -> None:
    first(board, "timeseries")["targets"][0]["expr"] = text


def mark(board: Json, text: str) -> None:
    board["annotations"]["list"][1]["target"]["expr"] = text


def link(board: Json, url: str) -> None:
    first(board, "stat")["fieldConfig"]["defaults"]["links"] = [{"title": "x", "url": url}]


def column(board: Json) -> Json:
    """Return the properties of the first override of a table that has a link."""
    for each in first(board, "table")["fieldConfig"]["overrides"]:
        for one in each["properties"]:
            if one["id"] == "links":
                found: Json = one
                return found
    raise AssertionError


SCOPE = 'job=~"$job", instance=~"$instance"'
BROKEN: list[tuple[str, Break]] = [
    ("template-datasource", lambda b: b["templating"]["list"].append({**variables(b)[0], "name": "other"})),
    ("template-datasource", lambda b: variables(b)[0].update(name="source")),
    ("template-datasource", lambda b: variables(b)[0].update(label="Where from")),
    ("template-job", lambda b: variable(b, "job").update(multi=False)),
    ("template-job", lambda b: b["templating"]["list"].remove(variable(b, "job"))),
    ("template-instance", lambda b: variable(b, "instance").update(allValue=".*")),
    ("template-instance", lambda b: variable(b, "instance").update(label="Host")),
    ("template-instance", lambda b: variable(b, "instance").update(datasource={"type": "prometheus", "uid": "P1"})),
    ("template-label-promql", lambda b: variable(b, "queue").update(query="label_values(jobqueue_jobs{, queue)")),
    ("template-label-promql", lambda b: variable(b, "queue").update(query="queues()")),
    ("template-on-time-change-reload", lambda b: variable(b, "queue").update(refresh=1)),
    ("panel-datasource", lambda b: first(b, "stat").update(datasource={"type": "prometheus", "uid": "P1"})),
    ("panel-datasource", lambda b: first(b, "stat")["targets"][0].pop("datasource")),
    ("panel-title-description", lambda b: first(b, "table").update(description="")),
    ("panel-title-description", lambda b: first(b, "stat").update(title=" ")),
    ("panel-units", lambda b: first(b, "timeseries")["fieldConfig"]["defaults"].pop("unit")),
    ("panel-units", lambda b: first(b, "timeseries")["fieldConfig"]["defaults"].update(unit="seconds")),
    ("panel-no-targets", lambda b: first(b, "timeseries").update(targets=[])),
    ("target-promql", lambda b: expression(b, f"sum(jobqueue_jobs{{{SCOPE}}}")),
    ("target-promql", lambda b: b["annotations"]["list"][1]["target"].update(expr="changes(")),
    ("target-rate-interval", lambda b: expression(b, f"rate(jobqueue_jobs_completed_total{{{SCOPE}}}[5m])")),
    ("target-job", lambda b: expression(b, 'jobqueue_jobs{job="x", instance=~"$instance"}')),
    ("target-instance", lambda b: expression(b, 'jobqueue_jobs{job=~"$job", instance=~"$job"}')),
    ("target-counter-agg", lambda b: expression(b, f"sum(jobqueue_jobs_completed_total{{{SCOPE}}})")),
    ("uneditable-dashboard", lambda b: b.update(editable=True)),
    ("frame", lambda b: b.update(schemaVersion=42)),
    ("frame", lambda b: b.update(refresh=False)),
    ("frame", lambda b: b.update(tags=["prometheus"])),
    ("frame", lambda b: b.update(id=7)),
    ("frame", lambda b: b.update(uid="Q")),
    ("frame", lambda b: b.update(description="")),
    ("unique", lambda b: b["panels"][1].update(id=b["panels"][2]["id"])),
    ("unique", lambda b: b["panels"][1].pop("id")),
    ("unique", lambda b: b["panels"][1].update(title=b["panels"][2]["title"])),
    ("unique", lambda b: first(b, "table")["targets"][1].update(refId="A")),
    ("unique", lambda b: variables(b)[1].update(name="instance")),
    ("unique", lambda b: b.update(title="Depthgauge / Overview")),
    ("grid", lambda b: b["panels"][1]["gridPos"].update(w=25)),
    ("grid", lambda b: b["panels"][2]["gridPos"].update(x=1)),
    ("grid", lambda b: b["panels"][1]["gridPos"].update(h=0)),
    ("panel-kind", lambda b: first(b, "stat").update(type="singlestat")),
    ("panel-kind", lambda b: first(b, "stat").update(description="Jobs")),
    ("thresholds", lambda b: first(b, "stat")["fieldConfig"]["defaults"]["thresholds"]["steps"][0].update(value=0)),
    ("thresholds", lambda b: first(b, "stat")["fieldConfig"]["defaults"]["thresholds"]["steps"].reverse()),
    ("one-source", lambda b: b.update(tags=["depthgauge", "timescaledb"])),
    ("one-source", lambda b: first(b, "stat").update(datasource={"type": "loki", "uid": "${datasource}"})),
    ("one-source", lambda b: b["annotations"]["list"][1].update(datasource={"type": "loki", "uid": "${datasource}"})),
    ("variables-defined", lambda b: expression(b, f'jobqueue_jobs{{{SCOPE}, queue="$qeue"}}')),
    ("variables-defined", lambda b: first(b, "stat").update(title="of ${queues}")),
    ("variables-defined", lambda b: b["templating"]["list"].append({**variable(b, "queue"), "name": "spare"})),
    ("variables-defined", lambda b: b["templating"]["list"].reverse()),
    ("variables-all", lambda b: variable(b, "queue").update(includeAll=False)),
    ("variables-all", lambda b: variable(b, "queue").update(sort=0)),
    ("variables-all", lambda b: variable(b, "queue").pop("allValue")),
    ("links", lambda b: b.update(links=[])),
    ("links", lambda b: b["links"][0].update(keepTime=False)),
    ("links", lambda b: b["links"][1].update(includeVars=True)),
    ("links", lambda b: b["links"].append({**b["links"][0], "tags": ["depthgauge", "nothing"]})),
    ("links", lambda b: link(b, "/d/depthgauge-nothing?${__url_time_range}")),
    ("links", lambda b: link(b, "/d/depthgauge-queues?var-queue=x")),
    ("links", lambda b: link(b, "/d/depthgauge-queues?var-qeue=x&${__url_time_range}")),
    ("links", lambda b: link(b, "/d/depthgauge-queues?${process:queryparam}&${__url_time_range}")),
    ("links", lambda b: column(b)["value"][0].update(url=column(b)["value"][0]["url"].replace("fields.queue", "fields.name"))),
    ("tables", lambda b: first(b, "table")["options"]["sortBy"][0].update(displayName="Age")),
    ("tables", lambda b: first(b, "table")["options"].update(sortBy=[])),
    ("tables", lambda b: first(b, "table")["fieldConfig"]["overrides"][0]["matcher"].update(options="Name")),
    ("tables", lambda b: first(b, "table")["targets"].pop()),
    ("tables", lambda b: first(b, "table").update(targets=first(b, "table")["targets"][:1])),
    ("metrics-known", lambda b: expression(b, f"jobqueue_job{{{SCOPE}}}")),
    ("metrics-known", lambda b: expression(b, f"rate(jobqueue_jobs{{{SCOPE}}}[$__rate_interval])")),
    ("metrics-known", lambda b: expression(b, f"depthgauge_sink_batch_duration_seconds_count{{{SCOPE}}}")),
    ("metrics-known", lambda b: variable(b, "queue").update(query="label_values(jobqueue_job, queue)")),
    ("labels-known", lambda b: expression(b, f'jobqueue_jobs{{{SCOPE}, kind="waiting"}}')),
    ("labels-known", lambda b: expression(b, f"sum by (name) (jobqueue_jobs{{{SCOPE}}})")),
    ("labels-known", lambda b: first(b, "timeseries")["targets"][0].update(legendFormat="{{name}}")),
    ("labels-known", lambda b: variable(b, "queue").update(query="label_values(jobqueue_jobs, target)")),
    ("marks-reach-back", lambda b: mark(b, f"increase(supervisor_process_restarts_total{{{SCOPE}}}[1m]) > 0")),
    ("marks-reach-back", lambda b: mark(b, f"supervisor_process_start_time_seconds{{{SCOPE}}} > time() - 60")),
    ("values-known", lambda b: expression(b, f'jobqueue_jobs{{{SCOPE}, state="pending"}}')),
    ("values-known", lambda b: expression(b, f'jobqueue_jobs_kept{{{SCOPE}, result=~"failed|lost"}}')),
    ("others-marked", lambda b: expression(b, f"process_resident_memory_bytes{{{SCOPE}}}")),
]  # fmt: skip


@pytest.fixture(scope="module")
def good() -> str:
    """All dashboards; the one of queues has an annotation, too."""
    boards = dict(committed().boards)
    mark = boards["depthgauge-processes"]["annotations"]["list"][1]
    expr = f"increase(supervisor_process_restarts_total{{{SCOPE}}}[$__rate_interval])"
    boards["depthgauge-queues"]["annotations"]["list"].append(
        {**mark, "expr": expr, "target": {**mark["target"], "expr": expr}}
    )
    return json.dumps(boards)


def test_the_dashboards_that_are_broken_here_are_good(good: str) -> None:
    shelf = Shelf(json.loads(good))
    assert findings(shelf.boards["depthgauge-queues"], shelf) == []


@pytest.mark.parametrize(("rule", "break_it"), BROKEN, ids=[f"{rule}-{n}" for n, (rule, _) in enumerate(BROKEN)])
def test_a_rule_finds_what_it_is_for(good: str, rule: str, break_it: Break) -> None:
    shelf = Shelf(json.loads(good))
    board = shelf.boards["depthgauge-queues"]

    break_it(board)

    assert list(RULES[rule](board, shelf)) != []


def test_every_rule_is_tested() -> None:
    assert {rule for rule, _ in BROKEN} == set(RULES)


def test_reading_promql() -> None:
    reading = read('sum by (a) (rate(x_total{job=~"$job"}[$__rate_interval])) / on (b) group_left (c) y - x_total')
    assert [(each.metrics, each.function, each.window) for each in reading.selectors] == [
        (("x_total",), "rate", "4m17s"),
        (("y",), None, None),
        (("x_total",), None, None),
    ]
    assert reading.labels == {"a", "b", "c"}
    assert read('{__name__=~"b|a"}').selectors[0].metrics == ("a", "b")
    assert read("max_over_time(x[5m:1m] @ end())").selectors[0].metrics == ("x",)


def test_variables_are_found_as_grafana_finds_them() -> None:
    def value(name: str, form: str | None) -> str | None:
        return None if name == "keep" else f"<{name}|{form}>"

    assert expand("$a ${b} ${c:csv} [[d]] ${e.f} $keep {{x}}", value) == (
        "<a|None> <b|None> <c|csv> <d|None> <e|None> $keep {{x}}"
    )


def test_the_table_of_metrics_is_read() -> None:
    known = known_metrics()
    assert known["depthgauge_sink_chunks"].labels == {"table", "storage"}
    assert known["depthgauge_probe_response_time_seconds_bucket"].labels == {"target", "le"}
    assert known["jobqueue_jobs_completed_total"].kind == "counter"
    assert "depthgauge_probe_response_time_seconds" not in known
    assert len(known) > 150
