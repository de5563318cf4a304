"""The statements of the dashboards keep the rules for statements, and each rule finds what it is for."""

import copy

import pytest

from tests.plugins.dashboard_sql import findings
from tests.plugins.dashboards import Json
from tests.plugins.grafana_sql import boards

pytestmark = pytest.mark.needs("source-tree")


def test_the_dashboards_keep_the_rules() -> None:
    found = boards()
    assert len(found) == 3
    assert {uid: findings(board) for uid, board in found.items()} == {uid: [] for uid in found}


def _broken(old: str, new: str) -> Json:
    board = copy.deepcopy(boards()["depthgauge-queue-history"])
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            target["rawSql"] = target["rawSql"].replace(old, new)
    return board


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("$__timeGroup(moment, $__interval)", "time_bucket('1m', moment)", "works-everywhere"),
        ("$__timeGroup(moment, $__interval) AS", "$__timeGroup(moment, $__interval), moment AS", "works-everywhere"),
        ("$__timeGroup(moment, $__interval)", "$__timeGroup(moment, '1 minute')", "works-everywhere"),
        ("$__timeGroupAlias(moment,", "$__timeGroupAlias(greatest(moment),", "works-everywhere"),
        ("${host:sqlstring}", "${host}", "works-everywhere"),
        ("= ANY (ARRAY[${host:sqlstring}]::text[])", "IN (${host:sqlstring})", "takes-no-choice"),
        ("$__timeFilter(", "$__timeFiltre(", "works-everywhere"),
        ("FROM depthgauge.", "FROM ", "keeps-to-the-range"),
        ('AS "time"', "AS moment", "is-in-order"),
        ("ORDER BY", "-- ", "is-in-order"),
    ],
)
def test_each_rule_finds_what_it_is_for(old: str, new: str, rule: str) -> None:
    found = findings(_broken(old, new))
    assert found
    assert any(each.startswith(f"{rule}:") for each in found), found


def test_what_is_bound_to_no_range_is_found() -> None:
    board = copy.deepcopy(boards()["depthgauge-queue-history"])
    board["templating"]["list"][1]["query"] = "SELECT host FROM depthgauge.queue_metrics_1h"
    assert findings(board) == ["keeps-to-the-range: variable host: not bound to the range"]


def test_the_form_of_a_target_is_looked_at() -> None:
    board = copy.deepcopy(boards()["depthgauge-queue-history"])
    board["panels"][1]["targets"][0]["rawQuery"] = False
    board["annotations"]["list"][1]["enable"] = True
    assert [each.partition(":")[0] for each in findings(board)] == ["in-the-editor-as-it-is"] * 2
