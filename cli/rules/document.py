"""The table of rules as a YAML document. Pure: the same choices, the same bytes."""

import json
from collections.abc import Collection, Iterator
from textwrap import indent

from cli.rules.model import Alert, Choices, Group, Recording
from cli.rules.table import GROUPS


def document(choices: Choices, *, told: str = "", without: Collection[str] = ()) -> str:
    """Return the rules; ``told`` are the options they were chosen by, ``without`` the names of alerts to leave out."""
    lines = [
        f"# Made by: depthgauge rules{' ' if told else ''}{' '.join(told.split())}",
        "# Change nothing here: print it again with other selectors and thresholds (depthgauge rules --help, docs/alerts.md).",
        "# The recordings of a group stand before the alerts that use them.",
        "groups:",
    ]
    for group in GROUPS:
        lines += _group(group, choices, without)
    return "\n".join(lines) + "\n"


def limit_of(alert: Alert, choices: Choices) -> str:
    """Return an alert's threshold as its sentences have it."""
    return alert.threshold.text(choices.thresholds[alert.threshold.name])


def lasting_of(alert: Alert, choices: Choices) -> str:
    """Return for how long the expression has to be true, as a duration; empty for not at all."""
    return alert.lasting if isinstance(alert.lasting, str) else choices.time(alert.lasting)


def _group(group: Group, choices: Choices, without: Collection[str]) -> Iterator[str]:
    alerts = [alert for alert in group.alerts if alert.name not in without]
    if not alerts and not group.recordings:
        return
    yield f"  # {group.help}."
    yield f"  - name: {group.name}"
    yield "    rules:"
    for recording in group.recordings:
        yield from _recording(recording, choices)
    for alert in alerts:
        yield from _alert(alert, choices)


def _recording(recording: Recording, choices: Choices) -> Iterator[str]:
    yield f"      # {recording.help}"
    yield f"      - record: {recording.name}"
    yield from _expression(recording.expr(choices))


def _alert(alert: Alert, choices: Choices) -> Iterator[str]:
    yield f"      - alert: {alert.name}"
    yield from _expression(alert.expr(choices))
    lasting = lasting_of(alert, choices)
    if lasting:
        yield f"        for: {lasting}"
    yield "        labels:"
    yield f"          severity: {alert.severity}"
    yield "        annotations:"
    yield f"          summary: {_text(alert.summary)}"
    yield f"          description: {_text(alert.description.replace('{limit}', limit_of(alert, choices)))}"
    yield f"          runbook_url: {_text(f'{choices.runbooks}{alert.name}.md')}"


def _expression(text: str) -> Iterator[str]:
    yield "        expr: |-"
    yield indent(text, " " * 10)


def _text(value: str) -> str:
    """Return a text in quotes: what JSON writes is YAML."""
    return json.dumps(value, ensure_ascii=False)
