"""Targets of dashboards for Prometheus. Data source and letter are put in by the board."""

from typing import Final

from grafana_foundation_sdk.builders import prometheus as builders
from grafana_foundation_sdk.models import prometheus

SCOPE: Final = 'job=~"$job", instance=~"$instance"'
"""What every selector has."""
QUEUE_SCOPE: Final = f'{SCOPE}, redis=~"$redis", system=~"$system", queue=~"$queue"'
PROCESS_SCOPE: Final = f'{SCOPE}, supervisor=~"$supervisor", group=~"$group", process=~"$process"'
BY_QUEUE: Final = "by (redis, system, queue)"


def series(expr: str, legend: str = "__auto") -> builders.Dataquery:
    """Return a query over the range of time; ``legend`` may have ``{{label}}`` in it."""
    return _query(expr).range().legend_format(legend).format(prometheus.PromQueryFormat.TIME_SERIES)


def instant(expr: str, legend: str = "__auto") -> builders.Dataquery:
    """Return a query for the end of the range, for stats and bars."""
    return _query(expr).instant().legend_format(legend).format(prometheus.PromQueryFormat.TIME_SERIES)


def rows(expr: str) -> builders.Dataquery:
    """Return a query for the end of the range whose series are the rows of a table."""
    return _query(expr).instant().legend_format("__auto").format(prometheus.PromQueryFormat.TABLE)


def _query(expr: str) -> builders.Dataquery:
    return builders.Dataquery().editor_mode(prometheus.QueryEditorMode.CODE).expr(" ".join(expr.split()))
