"""docs/reference/alerts.md: the tables of alerts, thresholds and recordings."""

from collections.abc import Iterator
from typing import Final

from cli.rules.document import lasting_of, limit_of
from cli.rules.options import Asked, choices_of, default_of
from cli.rules.table import GROUPS, THRESHOLDS

_INTRODUCTION: Final = """\
The rules of [prometheus/rules](../../prometheus/rules/depthgauge.yml), which `depthgauge rules` prints; how to use and to change them: [alerts.md](../alerts.md).

* **critical**: somebody is called now. **warning**: a ticket. **info**: to be read beside others.
* *more than* and *for* are what the expression compares with, and for how long it has to be true; what has a name is a threshold.
"""


def alerts() -> str:
    """Return the page."""
    lines = [
        "# Alerts and recorded figures",
        "",
        "<!-- Made by `python -m cli.reference docs/reference`; change cli/rules instead. -->",
        "",
    ]
    lines += [_INTRODUCTION]
    for group in GROUPS:
        lines += [
            f"## {group.help}",
            "",
            "| alert | severity | when | threshold | more than | for |",
            "|---|---|---|---|---|---|",
        ]
        lines += _alerts(group.name)
        lines += [""]
    lines += ["## Thresholds", "", "`depthgauge rules --threshold NAME=VALUE`; a time is `600`, `10m` or `1h30m`.", ""]
    lines += ["| name | default | what it is |", "|---|---|---|"]
    lines += [f"| `{each.name}` | {default_of(each)} | {each.help} |" for each in THRESHOLDS]
    lines += ["", "## Recorded figures", "", "| series | what it is |", "|---|---|"]
    lines += [f"| `{each.name}` | {each.help} |" for group in GROUPS for each in group.recordings]
    return "\n".join(lines) + "\n"


def _alerts(name: str) -> Iterator[str]:
    choices = choices_of(Asked())
    for alert in next(group for group in GROUPS if group.name == name).alerts:
        lasts = alert.lasting is alert.threshold
        cells = (
            f"[{alert.name}](../runbooks/{alert.name}.md)",
            alert.severity,
            alert.summary,
            f"`{alert.threshold.name}`",
            "" if lasts else limit_of(alert, choices),
            lasting_of(alert, choices),
        )
        yield f"| {' | '.join(cells)} |"
