"""Provisioning files: Grafana takes their keys, and uids, folders and rules agree with the dashboards."""

import re
from typing import Any, Final

import jsonschema
import pytest
import yaml

from tests.plugins.grafana_alerts import alert_file as read_alert_file
from tests.plugins.grafana_alerts import rendered, rules, seconds
from tests.plugins.grafana_sql import boards
from tests.plugins.repo import repo_root

pytestmark = pytest.mark.needs("source-tree")

UIDS: Final = {"prometheus": "depthgauge-prometheus", "grafana-postgresql-datasource": "depthgauge-timescaledb"}

_TEXT: Final = {"type": "string", "minLength": 1}
_DURATION: Final = {"type": "string", "pattern": r"^(\d+[hms])+$"}
QUERY: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["refId", "datasourceUid", "relativeTimeRange", "model"],
    "properties": {
        "refId": _TEXT,
        "queryType": {"type": "string"},
        "datasourceUid": _TEXT,
        "relativeTimeRange": {
            "type": "object",
            "additionalProperties": False,
            "required": ["from", "to"],
            "properties": {"from": {"type": "integer"}, "to": {"type": "integer"}},
        },
        "model": {"type": "object"},
    },
}
RULE: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["uid", "title", "condition", "data", "noDataState", "execErrState", "for", "annotations", "labels"],
    "properties": {
        "uid": {"type": "string", "minLength": 1, "maxLength": 40, "pattern": "^[a-zA-Z0-9_-]+$"},
        "title": {"type": "string", "minLength": 1, "maxLength": 190},
        "condition": _TEXT,
        "data": {"type": "array", "minItems": 1, "items": QUERY},
        "noDataState": {"enum": ["NoData", "OK", "Alerting", "KeepLast"]},
        "execErrState": {"enum": ["Error", "OK", "Alerting", "KeepLast"]},
        "for": _DURATION,
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "isPaused": {"type": "boolean"},
    },
}
FILE: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["apiVersion", "groups"],
    "properties": {
        "apiVersion": {"const": 1},
        "groups": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["orgId", "name", "folder", "interval", "rules"],
                "properties": {
                    "orgId": {"const": 1},
                    "name": {"type": "string", "minLength": 1, "maxLength": 190},
                    "folder": _TEXT,
                    "interval": _DURATION,
                    "rules": {"type": "array", "items": RULE},
                },
            },
        },
    },
}
"""What Grafana's reader of such files knows; a key that it does not know would go unheard."""


def sources(folder: str) -> list[dict[str, Any]]:
    path = repo_root() / "grafana" / folder / "datasources" / "depthgauge.yml"
    document = yaml.safe_load(path.read_text())
    assert document["apiVersion"] == 1
    assert document["prune"] is True
    found: list[dict[str, Any]] = document["datasources"]
    return found


@pytest.mark.parametrize(
    ("folder", "kinds"),
    [("provisioning", set(UIDS)), ("provisioning-database-only", {"grafana-postgresql-datasource"})],
)
def test_data_sources(folder: str, kinds: set[str]) -> None:
    found = {source["type"]: source for source in sources(folder)}
    assert set(found) == kinds
    assert {kind: source["uid"] for kind, source in found.items()} == {kind: UIDS[kind] for kind in kinds}
    assert [source.get("isDefault", False) for source in found.values()].count(True) == 1
    for source in found.values():
        assert (source["access"], source["editable"]) == ("proxy", False)
        assert source["jsonData"]["timeInterval"] == "15s"
    database = found["grafana-postgresql-datasource"]
    assert "://" not in database["url"]
    assert database["user"] == "depthgauge_reader"
    assert database["jsonData"]["database"] == "depthgauge"
    assert database["jsonData"]["timescaledb"] is True
    assert "database" not in database, "that is its place no longer"
    assert database["secureJsonData"] == {"password": "$__file{/run/secrets/reader_password}"}


def test_the_scrape_interval_is_the_data_sources() -> None:
    config = yaml.safe_load((repo_root() / "prometheus" / "prometheus.yml").read_text())
    assert config["global"]["scrape_interval"] == "15s"


def test_without_prometheus_only_the_dashboards_over_the_database_are_there() -> None:
    from grafana.source import alert_file

    path = repo_root() / "grafana" / "provisioning-database-only" / "dashboards" / "depthgauge.yml"
    (provider,) = yaml.safe_load(path.read_text())["providers"]
    assert provider["type"] == "file"
    assert provider["options"] == {"path": "/etc/grafana/dashboards/timescaledb"}
    assert provider["folder"] != alert_file.FOLDER


def test_rules_have_keys_that_grafana_knows() -> None:
    from grafana.source import alerts

    jsonschema.validate(read_alert_file(), FILE)
    found = read_alert_file()
    assert len({rule["uid"] for rule in rules().values()}) == len(alerts.alerts()) == len(rules())
    assert len({group["name"] for group in found["groups"]}) == len(found["groups"])
    for group in found["groups"]:
        for rule in group["rules"]:
            assert seconds(rule["for"]) % seconds(group["interval"]) == 0


def test_no_installation_gets_both_kinds_of_rules() -> None:
    # The folder for an installation with Prometheus has none of Grafana's own.
    assert not list((repo_root() / "grafana" / "provisioning").glob("alerting/*.y*ml"))


def test_rules_ask_the_provisioned_source_and_point_to_panels_that_exist() -> None:
    from grafana.source import alerts

    shown = {(uid, str(panel["id"])): panel["title"] for uid, board in boards().items() for panel in board["panels"]}
    for alert in alerts.alerts():
        rule = rules()[alert.name]
        assert [query["datasourceUid"] for query in rule["data"]] == ["depthgauge-timescaledb", "__expr__", "__expr__"]
        assert [query["refId"] for query in rule["data"]] == ["A", "B", "C"]
        assert rule["data"][0]["model"]["format"] == "table"
        places = rule["annotations"]["__dashboardUid__"], rule["annotations"]["__panelId__"]
        assert shown[places] == alert.panel
        assert rule["labels"]["severity"] in {"critical", "warning"}
        told = {key: text for key, text in rule["annotations"].items() if key != "runbook_url"}
        assert all("$" not in text for text in told.values()), "Grafana would look for a variable of its environment"
        assert re.fullmatch(r"[A-Z][^{]+\.", rule["annotations"]["summary"])


def test_rules_that_prometheus_has_too_are_the_same_and_have_a_runbook() -> None:
    from grafana.source import alerts

    document = yaml.safe_load((repo_root() / "prometheus" / "rules" / "depthgauge.yml").read_text())
    there = {rule["alert"]: rule for group in document["groups"] for rule in group["rules"] if "alert" in rule}
    for alert in alerts.alerts():
        assert (alert.name in there) is not alert.own, alert.name
        if not alert.own:
            rule, sister = rules()[alert.name], there[alert.name]
            assert rule["labels"] == sister["labels"]
            assert rule["for"] == sister.get("for", "0s")
            assert rule["annotations"]["summary"] == sister["annotations"]["summary"]
            assert rule["annotations"]["runbook_url"] == sister["annotations"]["runbook_url"]
            assert (repo_root() / "docs" / "runbooks" / f"{alert.name}.md").exists()


def test_thresholds_are_those_of_the_sisters() -> None:
    from cli.rules.table import GROUPS
    from grafana.source import alerts

    sisters = {alert.name: alert for group in GROUPS for alert in group.alerts}
    for alert in alerts.alerts():
        if alert.own:
            continue
        threshold, lasting = sisters[alert.name].threshold, sisters[alert.name].lasting
        if lasting is threshold:
            # What may be chosen is how long it lasts.
            assert seconds(alert.lasting) == threshold.default, alert.name
            assert alert.above == NEVER_ANSWERED.get(alert.name, 0), alert.name
        else:
            assert alert.above == threshold.default, alert.name


NEVER_ANSWERED: Final = {"DepthgaugeProbeDown": 0.99}
"""A rate of failures instead of a yes or no: all of them, but for what a division leaves."""


def test_what_rules_say_is_rendered_as_grafana_does() -> None:
    labels = frozenset((name, name) for name in LABELS)
    for title, rule in rules().items():
        told = rendered(rule["annotations"]["description"], labels, 7.0)
        assert "{{" not in told, title
        assert "7.0" not in told, title
    number = '{{ printf "%.0f" .Values.B.Value }}'
    assert rendered(number, labels, 1_000_000.0) == "1000000"
    duration = "{{ humanizeDuration .Values.B.Value }}"
    written = {0.25: "250ms", 7.5: "7.5s", 60.0: "1m 0s", 3601.9: "1h 0m 1s", 90_061.0: "1d 1h 1m 1s"}
    assert {seconds: rendered(duration, labels, seconds) for seconds in written} == written
    assert rendered("{{ if .Labels.nothing }}a{{ else }}b{{ end }}", labels, 1) == "b"
    with pytest.raises(AssertionError, match=r"Values\.B"):
        rendered("{{ .Values.B }}", labels, 7.0)


LABELS: Final = (*("host", "redis", "system", "queue", "supervisor", "process_group", "process", "kind", "target"),)


def test_rules_of_our_own_are_told_of() -> None:
    from grafana.source import alerts

    page = (repo_root() / "docs" / "grafana.md").read_text()
    own = {alert.name for alert in alerts.alerts() if alert.own}
    assert {name for name in re.findall(r"^#+ (\w+)$", page, re.MULTILINE) if name.startswith("Depthgauge")} == own


def test_the_file_is_fresh() -> None:
    from grafana.source import alert_file

    assert alert_file.FILE.read_text() == alert_file.text(), "run python -m grafana.source.alert_file"
