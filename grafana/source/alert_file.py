"""The file of Grafana's alert rules: ``python -m grafana.source.alert_file [--check]`` writes it."""

import argparse
import sys
from pathlib import Path
from typing import Any, Final

import yaml

from grafana.source import alerts
from grafana.source.board import POSTGRES

FILE: Final = Path(__file__).resolve().parents[1] / "provisioning-database-only" / "alerting" / "depthgauge.yml"
SOURCE_UID: Final = "depthgauge-timescaledb"
"""A rule cannot choose its data source: it has to be provisioned under this uid."""
FOLDER: Final = "Depthgauge alerts"
"""Not the dashboards' folder: Grafana would make it twice at its first start."""


def document() -> dict[str, Any]:
    """Return the file as data."""
    groups = [
        ("queues", "1m", alerts.queues()),
        ("processes", "1m", alerts.processes()),
        ("health", "1m", alerts.health()),
        ("depthgauge", "1m", alerts.own()),
    ]
    return {
        "apiVersion": 1,
        "groups": [
            {"orgId": 1, "name": name, "folder": FOLDER, "interval": every, "rules": [_rule(alert) for alert in found]}
            for name, every, found in groups
        ],
    }


def text() -> str:
    """Return the file's text."""
    head = (
        "# Made by python -m grafana.source.alert_file: change grafana/source/alerts.py instead.\n"
        "# For an installation without Prometheus: see docs/grafana.md.\n"
    )
    return head + yaml.dump(document(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=150)


def _rule(alert: alerts.Alert) -> dict[str, Any]:
    source = {"type": POSTGRES.plugin, "uid": SOURCE_UID}
    steps: list[dict[str, Any]] = [
        {
            "datasource": source,
            "editorMode": "code",
            "format": "table",
            "rawQuery": True,
            "rawSql": alert.question,
        },
        {"datasource": _EXPRESSION, "type": "reduce", "reducer": "last", "expression": "A"},
        {
            "datasource": _EXPRESSION,
            "type": "threshold",
            "expression": "B",
            "conditions": [{"evaluator": {"type": "gt", "params": [alert.above]}}],
        },
    ]
    return {
        "uid": f"dg-{alert.name.lower()}",
        "title": alert.name,
        "condition": "C",
        "data": [
            {
                "refId": letter,
                "relativeTimeRange": {"from": alert.seconds, "to": 0},
                "datasourceUid": model["datasource"]["uid"],
                "model": {"refId": letter, "intervalMs": 60_000, "maxDataPoints": 43_200, **model},
            }
            for letter, model in zip("ABC", steps, strict=True)
        ],
        "noDataState": alert.silence_is,
        "execErrState": "Error",
        "for": alert.lasting,
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": alert.runbook,
            "__dashboardUid__": alert.board.uid,
            "__panelId__": str(_panel_id(alert)),
        },
        "labels": {"severity": alert.severity},
        "isPaused": False,
    }


_EXPRESSION: Final = {"type": "__expr__", "uid": "__expr__"}


def _panel_id(alert: alerts.Alert) -> int:
    (number,) = [panel["id"] for panel in alert.board.document()["panels"] if panel["title"] == alert.panel]
    return int(number)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as they are."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  the signature is PyYAML's
        """Write everything out."""
        return True


def _as_it_is(dumper: yaml.SafeDumper, told: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", told, style="|" if "\n" in told else None)


_Dumper.add_representer(str, _as_it_is)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Write Grafana's alert rules.")
    parser.add_argument("--check", action="store_true", help="write nothing, say whether the file is as it should be")
    if not parser.parse_args().check:
        FILE.parent.mkdir(parents=True, exist_ok=True)
        FILE.write_text(text())
        return 0
    fresh = FILE.exists() and FILE.read_text() == text()
    if not fresh:
        sys.stderr.write(f"{FILE} is not fresh; run python -m grafana.source.alert_file\n")
    return 0 if fresh else 1


if __name__ == "__main__":
    sys.exit(main())
