"""Samples to Prometheus text format 0.0.4, byte for byte as prometheus_client writes them, many times faster.

What makes it fast: the part of a line before its value changes only when a new label set appears, so callers keep these
prefixes (:func:`prefix`) and a warm line is one concatenation.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_GO_EXPONENT: Final = 6
"""Digits before the point from which on Go, and so the library, writes a number with an exponent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """One metric family: a row of the table of metrics."""

    name: str
    """As scraped, so a counter's ends in ``_total``."""
    type: Literal["gauge", "counter", "histogram"]
    help: str
    """A full sentence."""
    labels: tuple[str, ...] = ()

    @property
    def header(self) -> str:
        """The HELP and TYPE lines."""
        text = self.help.replace("\\", r"\\").replace("\n", r"\n")
        return f"# HELP {self.name} {text}\n# TYPE {self.name} {self.type}\n"

    def prefix(self, labels: Mapping[str, str]) -> str:
        """Return a sample's line up to its value; the names of ``labels`` must be those of the metric."""
        if set(labels) != set(self.labels):
            raise ValueError(f"{self.name} has the labels {sorted(self.labels)}, not {sorted(labels)}")
        return prefix(self.name, labels)


def prefix(name: str, labels: Mapping[str, str]) -> str:
    """Return ``name{labels} `` with the labels sorted by name."""
    if not labels:
        return f"{name} "
    pairs = ",".join(f'{label}="{escape(value)}"' for label, value in sorted(labels.items()))
    return f"{name}{{{pairs}}} "


def escape(value: str) -> str:
    """Escape a label value."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


@lru_cache(maxsize=65_536)
def line_end(value: float) -> str:
    """Return a value as the library writes it, with the end of the line; -0.0 is written as 0."""
    return f"{number(value)}\n"


def number(value: float) -> str:
    """Return a value as the library writes it: Go's shortest form."""
    value = float(value) + 0.0
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    point = text.find(".")
    if value > 0 and point > _GO_EXPONENT:
        mantissa = f"{text[0]}.{text[1:point]}{text[point + 1 :]}".rstrip("0.")
        return f"{mantissa}e+{point - 1:02d}"
    return text
