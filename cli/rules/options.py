"""From the options of ``depthgauge rules`` to choices; every mistake is told at once."""

import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final
from urllib.parse import urlsplit

from cli.rules.durations import seconds_of
from cli.rules.model import EXPORTERS, RUNBOOKS, SINKS, Choices, Threshold
from cli.rules.table import ALERTS, THRESHOLDS
from depthgauge.errors import DepthgaugeError

_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_MATCHER: Final = re.compile(r' *([a-zA-Z_][a-zA-Z0-9_]*) *(=~|!~|!=|=) *"((?:[^"\\\n]|\\.)*)" *')
_ESCAPE: Final = re.compile(r'\\(?:[abfnrtv\\"]|[0-3][0-7]{2}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})')
"""What PromQL knows after a backslash within double quotes."""
_OWN: Final = ("__name__", "le", "redis", "system", "queue", "state", "result", "target", "kind", "step")
"""Labels that the rules select or aggregate by themselves."""
_DAYS: Final = 86_400.0
_MOST: Final = {"time": 30 * _DAYS, "ratio": 1.0, "count": 1e9}
_WORDS: Final = {
    "time": "a time from 1s to 30d, such as 600, 10m or 1h30m",
    "ratio": "a ratio above 0 and up to 1, such as 0.9",
    "count": "a number from 0 to 1000000000",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """The options as they were given."""

    exporters: str | None = None
    sinks: str | None = None
    by: Sequence[str] = ()
    thresholds: Sequence[str] = ()
    """``name=value``."""
    without: Sequence[str] = ()
    runbooks: str | None = None


def choices_of(asked: Asked) -> Choices:
    """Return what the options mean; raise DepthgaugeError with every mistake."""
    problems: list[str] = []
    exporters = EXPORTERS if asked.exporters is None else asked.exporters.strip()
    sinks = SINKS if asked.sinks is None else asked.sinks.strip()
    problems += (f"--selector {exporters}: {problem}" for problem in _wrong_in_selector(exporters))
    problems += (f"--sink-selector {sinks}: {problem}" for problem in _wrong_in_selector(sinks))
    problems += _wrong_labels(asked.by)
    problems += _unknown("--without ", asked.without, [alert.name for alert in ALERTS], "alerts")
    runbooks = RUNBOOKS if asked.runbooks is None else asked.runbooks
    if (
        urlsplit(runbooks).scheme not in {"http", "https"}
        or not urlsplit(runbooks).netloc
        or re.search(r"[\s{}]", runbooks)
    ):
        problems.append(f"--runbook-url {runbooks}: is no http or https URL that a runbook's name could follow")
    thresholds = {threshold.name: threshold.default for threshold in THRESHOLDS}
    for text in asked.thresholds:
        name, _, value = text.partition("=")
        problem = _set(thresholds, name.strip(), value.strip())
        if problem:
            problems.append(f"--threshold {text}: {problem}")
    if problems:
        lines = "".join(f"\n  {problem}" for problem in problems)
        raise DepthgaugeError(f"the rules cannot be printed so:{lines}")
    return Choices(
        exporters=exporters, sinks=sinks, by=tuple(dict.fromkeys(asked.by)), thresholds=thresholds, runbooks=runbooks
    )


def threshold_lines() -> Iterator[str]:
    """Yield a line for each threshold: its name, its default, what it is."""
    width = max(len(f"{each.name}={default_of(each)}") for each in THRESHOLDS)
    for each in THRESHOLDS:
        yield f"{f'{each.name}={default_of(each)}':<{width}}  {each.help}"


def default_of(threshold: Threshold) -> str:
    """Return a threshold's default as an option would give it."""
    return f"{threshold.default:.15g}" if threshold.unit == "ratio" else threshold.text(threshold.default)


def _set(thresholds: dict[str, float], name: str, text: str) -> str | None:
    """Set one threshold; return what is wrong with it."""
    known = {threshold.name: threshold for threshold in THRESHOLDS}
    if name not in known:
        return next(_unknown("", (name,), list(known), "thresholds"))
    unit = known[name].unit
    value = seconds_of(text) if unit == "time" else _number(text)
    if value is None or not 0 <= value <= _MOST[unit] or (value == 0 and unit != "count"):
        return f"{text or 'nothing'} is not allowed, {_WORDS[unit]} is wanted"
    if unit == "time" and not value.is_integer():
        return "whole seconds are wanted"
    thresholds[name] = value
    return None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _unknown(option: str, names: Sequence[str], known: Collection[str], what: str) -> Iterator[str]:
    for name in names:
        if name not in known:
            close = get_close_matches(name, known, 1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            yield f"{option}{name}: is none of the {what}{hint}; there are: {', '.join(known)}"


def _wrong_labels(names: Sequence[str]) -> Iterator[str]:
    for name in names:
        if _LABEL.fullmatch(name) is None:
            yield f"--by {name}: is no name of a label, such as cluster"
        elif name in _OWN or name in {"job", "instance"}:
            yield f"--by {name}: the rules use this label themselves; a label that tells installations apart is wanted"


def _wrong_in_selector(text: str) -> Iterator[str]:
    example = """such as job="depthgauge",env=~"prod|staging" is wanted"""
    if not text:
        yield f"is empty; the inside of braces {example}"
        return
    if text.startswith("{"):
        yield "has braces around it; leave them out"
        return
    at = 0
    while at < len(text):
        found = _MATCHER.match(text, at)
        if found is None:
            yield f"{text[at:]!r} is no matcher; the inside of braces {example}"
            return
        yield from _wrong_in_matcher(*found.groups())
        at = found.end()
        if at < len(text) and text[at] != ",":
            yield f"a comma is wanted before {text[at:]!r}"
            return
        at += 1
        if at == len(text):
            yield "ends with a comma; leave it out"


def _wrong_in_matcher(label: str, operator: str, value: str) -> Iterator[str]:
    if label in _OWN:
        yield f"the rules select by {label} themselves; a label of the scrape, such as job, is wanted"
    unknown = [found[0] for found in re.finditer(r"\\.", value) if _ESCAPE.match(value, found.start()) is None]
    for escape in dict.fromkeys(unknown):
        yield f"PromQL knows no {escape} within double quotes; write \\{escape}"
    if operator in {"=~", "!~"} and not unknown:
        try:
            re.compile(value.replace("\\\\", "\\"))
        except re.error as exc:
            # Go knows other escapes than Python.
            if not exc.msg.startswith("bad escape"):
                yield f"{value!r} is no regular expression: {exc.msg}"
