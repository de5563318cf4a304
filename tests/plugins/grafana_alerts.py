"""Grafana's own alert rules, evaluated as Grafana does: the statement's table becomes a number for each row, and those above the
threshold fire."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

import psycopg
import yaml

from tests.plugins.grafana_macros import Asked, expand
from tests.plugins.grafana_sql import NUMBERS, TEXTS
from tests.plugins.repo import repo_root

Labels = frozenset[tuple[str, str]]

_EITHER: Final = re.compile(r"\{\{ if \.Labels\.(\w+) \}\}(.*?)\{\{ else \}\}(.*?)\{\{ end \}\}")
_PLACE: Final = re.compile(r"\{\{(.*?)\}\}")
_DURATION: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def alert_file() -> dict[str, Any]:
    """Return the file of the rules."""
    path = repo_root() / "grafana" / "provisioning-database-only" / "alerting" / "depthgauge.yml"
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def rules() -> dict[str, dict[str, Any]]:
    """Return the rules by title."""
    return {rule["title"]: rule for group in alert_file()["groups"] for rule in group["rules"]}


def firing(
    connection: psycopg.Connection[Any], rule: Mapping[str, Any], moment: datetime, *, timescaledb: bool
) -> dict[Labels, float] | None:
    """Return what is above the rule's threshold at a moment, by labels; None where the statement returned nothing.

    A table of one column of numbers and texts besides becomes a number for each row, with the texts as labels. To reduce a
    number changes nothing.
    """
    query, reduced, compared = rule["data"]
    assert reduced["model"]["type"] == "reduce"
    assert reduced["model"]["expression"] == query["refId"]
    assert compared["model"]["type"] == "threshold"
    assert compared["model"]["expression"] == reduced["refId"]
    assert rule["condition"] == compared["refId"]
    span = query["relativeTimeRange"]
    asked = Asked(
        start=moment - timedelta(seconds=span["from"]),
        end=moment - timedelta(seconds=span["to"]),
        timescaledb=timescaledb,
        interval=timedelta(milliseconds=query["model"]["intervalMs"]),
    )
    cursor = connection.execute(expand(query["model"]["rawSql"], asked).encode())
    assert cursor.description is not None
    kinds = {column.name: column.type_code for column in cursor.description}
    (value,) = [name for name, kind in kinds.items() if kind in NUMBERS]
    labels = [name for name in kinds if name != value]
    assert all(kinds[name] in TEXTS for name in labels), (rule["title"], kinds)
    numbers: dict[Labels, float] = {}
    for row in cursor.fetchall():
        told = dict(zip(kinds, row, strict=True))
        assert all(told[name] is not None for name in labels), (rule["title"], told)
        key = frozenset((name, told[name]) for name in labels)
        assert key not in numbers, (rule["title"], "two rows with the same labels", told)
        assert told[value] is not None, (rule["title"], "no number", told)
        numbers[key] = float(told[value])
    if not numbers:
        return None
    (condition,) = compared["model"]["conditions"]
    assert condition["evaluator"]["type"] == "gt"
    (threshold,) = condition["evaluator"]["params"]
    return {key: number for key, number in numbers.items() if number > threshold}


def rendered(template: str, labels: Labels, number: float | None) -> str:
    """Return an annotation as Grafana writes it, as far as these rules use its templates; anything else fails.

    ``number`` is None where the statement returned nothing: then there are no labels either.
    """

    def put(found: re.Match[str]) -> str:
        text = found[1].strip()
        if label := re.fullmatch(r"\.Labels\.(\w+)", text):
            return dict(labels)[label[1]]
        form, _, argument = text.rpartition(" ")
        # A number without a form told is written as Go does: 7 or 7.0 or 1e+06, by version and size.
        assert argument == ".Values.B.Value", text
        assert number is not None, "no number"
        return _FORMS[form](number)

    assert "$" not in template, "Grafana would look for a variable of its environment"
    told = _EITHER.sub(lambda found: found[2] if dict(labels).get(found[1]) else found[3], template)
    return _PLACE.sub(put, told)


def _duration(number: float) -> str:
    """Return seconds as humanizeDuration does."""
    whole, sign = int(abs(number)), "-" if number < 0 else ""
    if whole < 60:
        return f"{number:.4g}s" if whole else f"{number * 1000:.4g}ms"
    days, hours, minutes, left = whole // 86_400, whole // 3600 % 24, whole // 60 % 60, whole % 60
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (left, "s")]
    first = next(place for place, (value, _) in enumerate(parts) if value)
    return sign + " ".join(f"{value}{unit}" for value, unit in parts[first:])


_FORMS: Final[Mapping[str, Callable[[float], str]]] = MappingProxyType(
    {
        'printf "%.0f"': lambda number: f"{number:.0f}",
        "humanizeDuration": _duration,
        "humanizePercentage": lambda number: f"{number * 100:.4g}%",
    }
)


def seconds(text: str) -> int:
    """Return a duration of Prometheus' form in seconds."""
    found = _DURATION.fullmatch(text)
    assert found is not None, text
    assert text, "no duration"
    return sum(int(number or 0) * unit for number, unit in zip(found.groups(), (3600, 60, 1), strict=True))
