"""The dashboard of queues: how much waits and for how long, what gets done, and who works."""

from typing import Final

from grafana.source import queue_table, variables
from grafana.source.board import PROMETHEUS, Board, Row
from grafana.source.columns import Column
from grafana.source.looks import GOOD, PER_SECOND, RATIO, SECONDS, SINCE, TROUBLE, WAITING, WARN, Look, texts
from grafana.source.panels import JOB_STATES, Panel, Target, colour, grid, lines, number, states
from grafana.source.promql import (
    BY_QUEUE,
    SCOPE,
    backlog,
    instant,
    jobs,
    kept,
    named,
    queue,
    rows,
    series,
    top,
    wait,
    workers,
)

MOST: Final = 25
"""Queues that a graph shows at most."""
NAME: Final = "{{queue}} ({{system}}, {{redis}})"
FAILED: Final = 'result=~"failed|dead"'
PAUSE: Final = Look(texts=texts({0: ("running", GOOD), 1: ("paused", WARN)}), absent="unknown")


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid="depthgauge-queues",
        title="Depthgauge / Queues",
        description=(
            "How much waits in each queue and for how long, what gets done, and who works. "
            f"A graph by queue shows the {MOST} highest at each moment: choose fewer to see others."
        ),
        source=PROMETHEUS,
        variables=(
            *variables.scope("depthgauge_build_info"),
            _variable("redis", "Redis"),
            _variable("system", "System", 'redis=~"$redis"'),
            _variable("queue", "Queue", 'redis=~"$redis"', 'system=~"$system"'),
        ),
        rows=(
            _now(),
            Row("Backlog", _backlog()),
            Row("Throughput", _throughput()),
            Row("Who works", _workers()),
            Row("Jobs that are over and kept", _kept()),
        ),
    )


def _variable(name: str, label: str, *matchers: str) -> variables.Variable:
    selector = f"jobqueue_jobs{{{', '.join((SCOPE, *matchers))}}}"
    return variables.label_values(name, label, selector, everything=variables.ALL_OR_NONE)


def _now() -> Row:
    return Row(
        "Now",
        (
            number(
                "Oldest job",
                "How long the job that has waited longest has been waiting, in any of the chosen queues.",
                instant(f"max({wait(queue)})"),
                look=WAITING,
                width=4,
                background=True,
            ),
            _count("Waiting", "Jobs that a worker may take now, overdue delayed ones included.", "waiting"),
            _count("Active", "Jobs that are taken and not acknowledged yet.", "active"),
            _count("Delayed", "Jobs that are due later.", "delayed"),
            number(
                "Workers",
                "Running processes that serve the chosen queues, or workers in the queue systems' own registries, "
                "whichever are more. A worker of several queues counts in each.",
                instant(f"sum({workers(queue)})"),
                width=4,
            ),
            number(
                "Failed, kept",
                "Failed and dead jobs that the queue systems still hold.",
                instant(f"sum({backlog(queue('jobqueue_jobs_kept', FAILED))})"),
                look=TROUBLE,
                width=4,
            ),
            queue_table.table(
                "Queues",
                "The chosen queues, by how long their next job to run has waited.",
                queue,
                link=queue_table.LINK,
                height=8,
            ),
        ),
    )


def _count(title: str, description: str, state: str) -> Panel:
    return number(title, description, instant(f"sum({jobs(state, queue)})"), width=4)


def _backlog() -> tuple[Panel, ...]:
    by_state = f"max by (redis, system, queue, state) ({queue('jobqueue_jobs')})"
    return (
        lines(
            "How long the next job has waited",
            "Age of the next job to run of each queue: 0 while nothing waits, absent where the system stores no time "
            "and the job has not been seen before. Dashed: a minute, ten minutes.",
            _lines(wait(queue)),
            look=WAITING,
            dashed=True,
        ),
        lines(
            "Waiting jobs",
            "Jobs of each queue that a worker may take now.",
            _lines(jobs("waiting", queue)),
        ),
        colour(
            lines(
                "Jobs by state",
                "Jobs that still want work, of the chosen queues together.",
                series(f"sum by (state) ({by_state})", "{{state}}"),
                stacked=True,
            ),
            JOB_STATES,
        ),
        lines(
            "Time to work off what waits",
            "Waiting jobs divided by the jobs that end a second: how long it takes if nothing is added. Only of queues "
            "whose system keeps true counters.",
            _lines(f"{jobs('waiting', queue)} / ({_ended()} > 0)"),
            look=SECONDS,
        ),
    )


def _lines(expr: str) -> Target:
    """Ask for a line a queue, of the queues with the highest values."""
    return series(named(top(MOST, expr)), NAME)


def _ended() -> str:
    return f"({_rate('jobqueue_jobs_completed_total')} + {_rate('jobqueue_jobs_failed_total')})"


def _rate(metric: str) -> str:
    return f"max {BY_QUEUE} (rate({queue(metric)}[$__rate_interval]))"


def _throughput() -> tuple[Panel, ...]:
    return (
        lines(
            "Jobs completed a second",
            "Of queues whose system keeps a true counter.",
            _lines(_rate("jobqueue_jobs_completed_total")),
            look=PER_SECOND,
            width=8,
        ),
        lines(
            "Failures among the jobs that end",
            "Failed jobs among those that ended, of queues whose system keeps true counters.",
            _lines(f"{_rate('jobqueue_jobs_failed_total')} / ({_ended()} > 0)"),
            look=RATIO,
            width=8,
        ),
        lines(
            "Processing time",
            "Mean time of recent jobs, where the queue system tells it.",
            _lines(backlog(queue("jobqueue_processing_seconds"))),
            look=SECONDS,
            width=8,
        ),
    )


def _workers() -> tuple[Panel, ...]:
    registry = backlog(queue("jobqueue_registry_workers"))
    busy = backlog(queue("jobqueue_registry_workers_busy"))
    return (
        lines(
            "Processes",
            "RUNNING processes that serve each queue, over all hosts. A queue that none was ever known to serve is absent.",
            _lines(f"sum {BY_QUEUE} ({queue('jobqueue_workers')})"),
            stepped=True,
            width=8,
        ),
        lines(
            "Registered workers",
            "Workers of each queue in the queue system's own registry, wherever they run.",
            _lines(registry),
            stepped=True,
            width=8,
        ),
        lines(
            "Busy workers",
            "Registered workers that have a job, among all of the queue.",
            _lines(f"{busy} / ({registry} > 0)"),
            look=RATIO,
            width=8,
        ),
        lines(
            "Waiting jobs for each worker",
            "How many jobs wait for each worker of the queue; absent where no worker is known.",
            _lines(f"{jobs('waiting', queue)} / ({workers(queue)} > 0)"),
            look=Look(minimum=0, decimals=1),
        ),
        states(
            "Paused queues",
            "Whether somebody has paused the queue, where the system can.",
            _lines(backlog(queue("jobqueue_paused"))),
            look=PAUSE,
            width=12,
            height=8,
        ),
    )


def _kept() -> tuple[Panel, ...]:
    every = f"sum {BY_QUEUE} (max by (redis, system, queue, result) ({queue('jobqueue_jobs_kept')}))"
    newest = f"1000 * {backlog(queue('jobqueue_newest_failure_timestamp_seconds'))}"
    figure = queue_table.FIGURE
    return (
        grid(
            "Kept jobs",
            "Jobs that are over and that the queue system, or the application's table of failed jobs, still holds. The "
            "newest failure is known of such a table only.",
            *(rows(kept(result, queue)) for result in ("failed", "dead", "finished", "canceled")),
            rows(newest),
            # Beside any of the results, so that a column is never the only one: Grafana would call it by another name.
            rows(every),
            columns=(
                Column(field="queue", title="Queue"),
                Column(field="system", title="System", width=100),
                Column(field="redis", title="Redis", width=120),
                Column(field="Value #A", title="Failed", look=TROUBLE, width=100),
                Column(field="Value #B", title="Dead", look=TROUBLE, width=100),
                Column(field="Value #C", title="Finished", look=figure, width=100),
                Column(field="Value #D", title="Canceled", look=figure, width=100),
                Column(field="Value #F", title="All", look=figure, width=100),
                Column(field="Value #E", title="Newest failure", look=SINCE),
            ),
            sort="Failed",
            width=12,
            height=8,
        ),
        lines(
            "Kept jobs by result",
            "Jobs that are over and kept, of the chosen queues together.",
            series(
                f"sum by (result) (max by (redis, system, queue, result) ({queue('jobqueue_jobs_kept')}))", "{{result}}"
            ),
        ),
    )
