"""Every metric of both daemons with its labels, from the tables they are served by."""

from collections.abc import Mapping

from cli.reference import metric_labels


def metric_table() -> Mapping[str, frozenset[str]]:
    """Return the labels by name; a histogram stands under its three names."""
    found: dict[str, frozenset[str]] = {}
    for name, kind, labels in metric_labels():
        if kind == "histogram":
            found[f"{name}_bucket"] = frozenset((*labels, "le"))
            found[f"{name}_count"] = found[f"{name}_sum"] = frozenset(labels)
        else:
            found[name] = frozenset(labels)
    return found
