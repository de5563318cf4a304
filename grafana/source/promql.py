"""Targets of dashboards for Prometheus, and the selectors in them. Data source and letter are put in by the board.

A backlog is a fact about a Redis, which several exporters may read: its maximum is taken. Workers are a fact about a
host: they are added up.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from grafana_foundation_sdk.builders import prometheus as builders
from grafana_foundation_sdk.models import prometheus

SCOPE: Final = 'job=~"$job", instance=~"$instance"'
"""What every selector has."""
BY_QUEUE: Final = "by (redis, system, queue)"
BY_PROCESS: Final = "by (instance, supervisor, group, process)"
"""With the instance: supervisords of several hosts may have the same name."""
OURS: Final = "depthgauge_config_last_reload_successful"
"""What every exporter and every sink serves, and nothing else does."""

Select: TypeAlias = Callable[..., str]
"""Gives a selector: ``select("jobqueue_jobs", 'state="waiting"')``."""


def own(metric: str, *matchers: str) -> str:
    """Select a metric of the chosen jobs and instances."""
    return f"{metric}{{{', '.join((SCOPE, *matchers))}}}"


def queue(metric: str, *matchers: str) -> str:
    """Select a metric of the chosen queues."""
    return own(metric, 'redis=~"$redis"', 'system=~"$system"', 'queue=~"$queue"', *matchers)


def process(metric: str, *matchers: str) -> str:
    """Select a metric of the chosen processes."""
    return own(metric, 'supervisor=~"$supervisor"', 'group=~"$group"', 'process=~"$process"', *matchers)


def jobs(state: str, select: Select) -> str:
    """Return the jobs of each queue that are in a state."""
    return backlog(select("jobqueue_jobs", f'state="{state}"'))


def kept(result: str, select: Select) -> str:
    """Return the jobs of each queue that are over and kept."""
    return backlog(select("jobqueue_jobs_kept", f'result="{result}"'))


def ours(metric: str) -> str:
    """Select a metric that other programs serve too, of exporters and sinks only: all jobs may be chosen."""
    return f"({own(metric)} and on (job, instance) {own(OURS)})"


def up() -> str:
    """Select ``up`` of exporters and sinks: of jobs that have served our metrics within the range of time."""
    return f"({own('up')} and on (job) last_over_time({own(OURS)}[$__range] @ end()))"


def backlog(selector: str) -> str:
    """Return a number of each queue, however many exporters tell it."""
    return f"max {BY_QUEUE} ({selector})"


def wait(select: Select) -> str:
    """Return how long the next job of each queue has waited: 0 where none waits, absent where it is not known."""
    told = select("jobqueue_oldest_job_timestamp_seconds")
    seen = select("jobqueue_head_first_seen_timestamp_seconds")
    return f"(clamp_min(max {BY_QUEUE} (time() - ({told} or {seen})), 0) or {jobs('waiting', select)} == 0)"


def workers(select: Select) -> str:
    """Return the workers of each queue: processes on the hosts and the queue system's registry, whichever is more."""
    hosts = f"sum {BY_QUEUE} ({select('jobqueue_workers')})"
    registry = backlog(select("jobqueue_registry_workers"))
    return f"(({hosts} >= {registry}) or {registry} or {hosts})"


def nobody(select: Select) -> str:
    """Return 1 for each queue that has jobs waiting and no worker anywhere, 0 for the others; absent without a source."""
    return f"(({jobs('waiting', select)} > bool 0) * on (redis, system, queue) ({workers(select)} == bool 0))"


def top(count: int, expr: str) -> str:
    """Return the highest series at each moment: with thousands of them a graph is slow and says nothing."""
    return f"topk({count}, {expr})"


def named(expr: str) -> str:
    """Give what a system keeps for all its queues together a name in place of the empty label, for legends."""
    return f'label_replace({expr}, "queue", "(all queues)", "queue", "")'


def down(selector: str) -> str:
    """Return how many of these are 0."""
    return f"sum({selector} == bool 0)"


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
