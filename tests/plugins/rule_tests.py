"""Tests of rules for promtool: a compact table of them, and the YAML that is committed in prometheus/rules/tests.

A proof of an alert makes three tests: it fires at its threshold and not one step earlier; it stays quiet one step below it;
a missed scrape neither delays nor ends it. What is expected of texts is written out by hand, never taken from the rules.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

RUNBOOKS = "https://github.com/depthgauge/depthgauge/blob/main/docs/runbooks/"
WEB_1 = "web-1:10139"
WEB_2 = "web-2:10139"
SINK = "db-1:10140"
MARGIN = 12
"""Steps that series go on after the last look."""

Labels = Mapping[str, str]
Samples = Mapping[str, str]
"""Samples in promtool's notation by series."""


@dataclass(frozen=True, kw_only=True)
class Firing:
    """One alert that is expected, with everything in it."""

    labels: Labels
    summary: str
    description: str


@dataclass(frozen=True, kw_only=True)
class Case:
    """One test of an alert: what is seen at which minutes."""

    name: str
    alert: str
    samples: Samples
    quiet: Sequence[int] = ()
    firing: Mapping[int, Sequence[Firing]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One test of recording rules: the values of expressions at which minutes."""

    name: str
    samples: Samples
    values: Mapping[tuple[str, int], Sequence[tuple[Labels, float]]]


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What proves an alert."""

    alert: str
    severity: str
    samples: Samples
    fires_at: int
    labels: Labels
    summary: str
    description: str
    below: Mapping[str, Samples]
    """By what is shown: series instead of those above, with which it never fires."""
    missed: int | None = None
    """The minute at which a scrape is missed; the one before it fires unless told."""
    missed_scrape: Samples | None = None
    """For alerts about scrapes themselves: series with one missed scrape, of which nothing must come."""
    later: str | None = None
    """The description two minutes after it has fired, where it is another one."""

    @property
    def firing(self) -> Firing:
        """What is expected when it fires."""
        return Firing(
            labels={**self.labels, "severity": self.severity}, summary=self.summary, description=self.description
        )

    def cases(self) -> Iterator[Case]:
        """Make the tests."""
        firing = self.firing
        later = Firing(labels=firing.labels, summary=self.summary, description=self.later or self.description)
        at = self.fires_at
        yield Case(
            name=f"{self.alert} fires at its threshold, not one step earlier",
            alert=self.alert,
            samples=self.samples,
            quiet=(at - 1,),
            firing={at: (firing,), at + 2: (later,)},
        )
        for shown, instead in self.below.items():
            yield Case(
                name=f"{self.alert} stays quiet: {shown}",
                alert=self.alert,
                samples={**self.samples, **instead},
                quiet=(at - 1, at, at + 1, at + 5, at + 10),
            )
        if self.missed_scrape is not None:
            yield Case(
                name=f"{self.alert} survives a missed scrape: it is no outage",
                alert=self.alert,
                samples={**self.samples, **self.missed_scrape},
                quiet=(4, 5, 6, at, at + 5),
            )
            return
        missed = at - 1 if self.missed is None else self.missed
        yield Case(
            name=f"{self.alert} survives a missed scrape, before it fires and after",
            alert=self.alert,
            samples={name: with_missed(values, (missed, at + 2), at + MARGIN) for name, values in self.samples.items()},
            quiet=(at - 1,),
            firing={at: (firing,), at + 2: (later,), at + 3: (self._much_later(later),)},
        )

    def _much_later(self, later: Firing) -> Firing:
        if self.later is None:
            return later
        # Ages grow by a minute.
        older = re.sub(r"(\d+)m 0s", lambda found: f"{int(found[1]) + 1}m 0s", later.description)
        return Firing(labels=later.labels, summary=later.summary, description=older)


def series(metric: str, labels: Labels | None = None, *, instance: str = WEB_1, **more: str) -> str:
    """Return a series of an exporter, or of a sink where the instance is one."""
    job = "depthgauge-sink" if instance == SINK else "depthgauge-exporter"
    return selector(metric, {**(labels or {}), **more, "instance": instance, "job": job})


def selector(metric: str, labels: Labels) -> str:
    """Return a series with its labels sorted."""
    return f"{metric}{{{','.join(f'{name}={json.dumps(value)}' for name, value in sorted(labels.items()))}}}"


def expanded(notation: str) -> list[str]:
    """Return the samples one by one: ``1 2+3x2 _x2 stale``."""
    found: list[str] = []
    for word in notation.split():
        parts = re.fullmatch(r"(-?[\d.]+|_|stale)(?:([+-][\d.]+))?(?:x(\d+))?", word)
        assert parts is not None, word
        first, step, times = parts.groups()
        count = int(times or 0)
        if first == "_":
            found += ["_"] * (count or 1)
        elif step is None:
            found += [first] * (count + 1)
        else:
            found += [_number(float(first) + float(step) * index) for index in range(count + 1)]
    return found


def compressed(samples: Sequence[str]) -> str:
    """Return samples in promtool's notation, runs put together."""
    words: list[str] = []
    at = 0
    while at < len(samples):
        value = samples[at]
        end = at
        while end < len(samples) and samples[end] == value:
            end += 1
        count = end - at
        if value == "_":
            words.append("_" if count == 1 else f"_x{count}")
        elif value == "stale" or count == 1:
            words += [value] * count
        else:
            words.append(f"{value}x{count - 1}")
        at = end
    return " ".join(words)


def with_missed(notation: str, minutes: Sequence[int], upto: int) -> str:
    """Return the samples with scrapes missed: Prometheus notes then that the series are stale."""
    samples = expanded(notation)[: upto + 1]
    for minute in minutes:
        if minute < len(samples) and samples[minute] != "_":
            samples[minute] = "stale"
    return compressed(samples)


def document(title: str, tests: Sequence[Case | Figures]) -> str:
    """Return a file for ``promtool test rules``."""
    lines = [
        f"# {title}",
        "# Made by `pytest tests/contract/test_rules.py --update-golden` from tests/plugins/proofs_*.py.",
        "rule_files: [../depthgauge.yml]",
        "evaluation_interval: 1m",
        "tests:",
    ]
    for test in tests:
        lines += _test(test)
    return "\n".join(lines) + "\n"


def _test(test: Case | Figures) -> Iterator[str]:
    yield f"  - name: {json.dumps(test.name)}"
    yield "    interval: 1m"
    yield "    input_series:"
    for name, values in test.samples.items():
        yield f"      - series: '{name}'"
        yield f"        values: '{values}'"
    if isinstance(test, Figures):
        yield "    promql_expr_test:"
        for (expression, minute), samples in test.values.items():
            yield f"      - expr: {expression}"
            yield f"        eval_time: {minute}m"
            yield f"        exp_samples:{'' if samples else ' []'}"
            for labels, value in samples:
                yield f"          - labels: '{selector(expression, labels)}'"
                yield f"            value: {_number(value)}"
        return
    yield "    alert_rule_test:"
    looks: dict[int, Sequence[Firing]] = {**dict.fromkeys(test.quiet, ()), **test.firing}
    for minute, expected in sorted(looks.items()):
        yield f"      - eval_time: {minute}m"
        yield f"        alertname: {test.alert}"
        yield f"        exp_alerts:{'' if expected else ' []'}"
        for each in expected:
            yield f"          - exp_labels: {{{', '.join(f'{key}: {json.dumps(value)}' for key, value in sorted(each.labels.items()))}}}"
            yield "            exp_annotations:"
            yield f"              summary: {json.dumps(each.summary)}"
            yield f"              description: {json.dumps(each.description)}"
            yield f"              runbook_url: {RUNBOOKS}{test.alert}.md"


def _number(value: float) -> str:
    return f"{value:.15g}"
