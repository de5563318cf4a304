"""What a rule is: frozen types, and what may be chosen when rules are printed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from cli.rules.durations import short

Severity = Literal["critical", "warning", "info"]
"""critical: somebody is called now. warning: a ticket. info: to be read beside others."""

HOLD: Final = "2m"
"""How far back a value may lie: one missed scrape must neither raise an alert nor end it.

A series that ended (another exporter took over the lease) is still seen for as long; what that could raise has to last for
three minutes at least.
"""

EXPORTERS: Final = 'job="depthgauge-exporter"'
SINKS: Final = 'job="depthgauge-sink"'
RUNBOOKS: Final = "https://github.com/depthgauge/depthgauge/blob/main/docs/runbooks/"


@dataclass(frozen=True, kw_only=True, slots=True)
class Threshold:
    """One number that may be chosen."""

    name: str
    default: float
    unit: Literal["time", "ratio", "count"]
    help: str

    def text(self, value: float) -> str:
        """Return a value as expressions and sentences have it: ``10m``, ``80%``, ``5``."""
        if self.unit == "time":
            return short(value)
        return f"{value * 100:.15g}%" if self.unit == "ratio" else f"{value:.15g}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """What expressions are made with: selectors, further labels, thresholds."""

    exporters: str = EXPORTERS
    sinks: str = SINKS
    """The insides of braces."""
    by: tuple[str, ...] = ()
    """Labels that tell installations apart; every aggregation keeps them."""
    thresholds: Mapping[str, float]
    """Of every name."""
    runbooks: str = RUNBOOKS
    """What a runbook's URL begins with."""

    def number(self, threshold: Threshold) -> str:
        """Return the threshold as a number of its unit; times are seconds."""
        return f"{self.thresholds[threshold.name]:.15g}"

    def time(self, threshold: Threshold) -> str:
        """Return the threshold as a duration of PromQL."""
        return short(self.thresholds[threshold.name])

    def of_exporters(self, metric: str, *matchers: str) -> str:
        """Select series of the exporters."""
        return _selected(metric, self.exporters, *matchers)

    def of_sinks(self, metric: str, *matchers: str) -> str:
        """Select series of the sinks."""
        return _selected(metric, self.sinks, *matchers)

    def last(self, metric: str, *matchers: str) -> str:
        """Return each exporter's newest value, a missed scrape ago at the most."""
        return f"last_over_time({self.of_exporters(metric, *matchers)}[{HOLD}])"

    def last_of_sinks(self, metric: str, *matchers: str) -> str:
        """Return each sink's newest value, a missed scrape ago at the most."""
        return f"last_over_time({self.of_sinks(metric, *matchers)}[{HOLD}])"

    def grown(self, metric: str, window: str) -> str:
        """Return by how much each exporter's counter has grown: whole numbers, which increase() would make fractions of.

        A counter that began anew counts from its new beginning.
        """
        return _grown(self.of_exporters(metric), window)

    def grown_of_sinks(self, metric: str, window: str, *matchers: str) -> str:
        """Return the same of the sinks."""
        return _grown(self.of_sinks(metric, *matchers), window)

    def labels(self, *names: str) -> str:
        """Return a list of labels for ``by`` and ``on``."""
        return ", ".join((*self.by, *names))

    @property
    def queue(self) -> str:
        """The labels of a queue."""
        return self.labels("redis", "system", "queue")

    def each_queue(self, operation: str, vector: str) -> str:
        """Aggregate over everybody who tells of a queue."""
        return f"{operation} by ({self.queue}) ({vector})"

    def each_target(self, operation: str, vector: str) -> str:
        """Aggregate over everybody who tells of a server."""
        return f"{operation} by ({self.labels('target')}) ({vector})"

    def overall(self, operation: str, vector: str) -> str:
        """Aggregate over everybody of one installation."""
        return f"{operation} by ({', '.join(self.by)}) ({vector})" if self.by else f"{operation}({vector})"


def _grown(vector: str, window: str) -> str:
    return f"last_over_time({vector}[{HOLD}]) - min_over_time({vector}[{window}])"


def _selected(metric: str, *matchers: str) -> str:
    within = ",".join(filter(None, matchers))
    return f"{metric}{{{within}}}" if within else metric


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """One recording rule."""

    name: str
    help: str
    expr: Callable[[Choices], str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """One alerting rule."""

    name: str
    severity: Severity
    threshold: Threshold
    """The number that may be chosen for it; ``{limit}`` in its texts."""
    expr: Callable[[Choices], str]
    lasting: Threshold | str = ""
    """For how long the expression has to be true: the threshold itself, or a duration; empty for not at all."""
    summary: str
    """A sentence that is the same for every instance."""
    description: str
    """What is wrong where; a template of Prometheus."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Rules that are evaluated one after the other, recordings first."""

    name: str
    help: str
    recordings: Sequence[Recording] = ()
    alerts: Sequence[Alert] = ()
