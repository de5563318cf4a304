"""Every metric that Depthgauge serves, as queries see it: its kind and its labels, from the tables they are served by."""

from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Final

from cli.reference import metric_labels
from depthgauge.snapshot import KeptJobs, LiveJobs, ProcessState

OTHERS: Final = MappingProxyType(
    {
        "up": "gauge",
        "scrape_duration_seconds": "gauge",
        "scrape_samples_scraped": "gauge",
        "process_cpu_seconds_total": "counter",
        "process_resident_memory_bytes": "gauge",
        "process_virtual_memory_bytes": "gauge",
        "process_start_time_seconds": "gauge",
        "process_open_fds": "gauge",
        "process_max_fds": "gauge",
    }
)
"""Of Prometheus itself, and of every process that prometheus_client serves: other programs have them, too."""
TARGET_LABELS: Final = frozenset({"job", "instance"})
CLOSED: Final = MappingProxyType(
    {
        ("jobqueue_jobs", "state"): frozenset(LiveJobs.__struct_fields__),
        ("jobqueue_jobs_kept", "result"): frozenset(KeptJobs.__struct_fields__),
        ("supervisor_processes", "state"): frozenset(state.name for state in ProcessState),
    }
)
"""Labels that have these values and no others."""


@dataclass(frozen=True)
class Known:
    """One metric: its kind, and its labels beside those that Prometheus adds."""

    kind: str
    labels: frozenset[str] = frozenset()


@cache
def known_metrics() -> MappingProxyType[str, Known]:
    """Return all metrics by the names that queries use, those of others too."""
    return MappingProxyType({**{name: Known(kind) for name, kind in OTHERS.items()}, **own_metrics()})


@cache
def own_metrics() -> MappingProxyType[str, Known]:
    """Return what the daemons' own tables have: a histogram is its three names."""
    found: dict[str, Known] = {}
    for name, kind, labels in metric_labels():
        if kind == "histogram":
            found[f"{name}_bucket"] = Known("counter", frozenset((*labels, "le")))
            found[f"{name}_sum"] = found[f"{name}_count"] = Known("counter", frozenset(labels))
        else:
            found[name] = Known(kind, frozenset(labels))
    return MappingProxyType(found)
