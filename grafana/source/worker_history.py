"""The dashboard of the workers' history, out of the database: what every process did, and what it took."""

from grafana_foundation_sdk.models import common as models

from grafana.source import history_variables, sql, worker_questions
from grafana.source.board import POSTGRES, Board, Row
from grafana.source.columns import Column
from grafana.source.history_panels import lines
from grafana.source.looks import BYTES, COUNT, CPU, STATE_WORDS, Look
from grafana.source.panels import grid, number, states
from grafana.source.queue_history import process_marks


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid="depthgauge-worker-history",
        title="Depthgauge / Worker history",
        description="What every supervised process did, and whom the workers served: from PostgreSQL or TimescaleDB.",
        source=POSTGRES,
        variables=(history_variables.hosts(), *history_variables.processes(), *history_variables.queues()),
        rows=(_states(), _events(), _resources(), _workers()),
        annotations=(process_marks(),),
        since="now-24h",
        refresh="1m",
    )


def _states() -> Row:
    return Row(
        "Processes",
        (
            number(
                "At the end of the range",
                "Processes by what they did at the end of the range: in trouble is BACKOFF, FATAL or UNKNOWN.",
                sql.rows(worker_questions.running()),
                width=12,
            ),
            number(
                "In this range",
                "Starts, restarts included, and exits that nobody wanted: a status that is none of the program's exitcodes, or FATAL.",
                sql.rows(worker_questions.event_counts()),
                width=12,
            ),
            states(
                "States",
                "The state of each process: the first one known and every change after it. A host that sends nothing keeps the last "
                "one: see below whether all of them report. Only polled processes may have changed unseen in between.",
                sql.series(worker_questions.states()),
                height=12,
            ).span_nulls(span_nulls=True),
        ),
    )


def _events() -> Row:
    return Row(
        "Events",
        (
            lines(
                "Starts",
                "How often each process was started, restarts included.",
                worker_questions.starts(),
                width=8,
            ).draw_style(models.GraphDrawStyle.BARS),
            grid(
                "What happened",
                "The newest 200 changes of state of the range, those on the way to another one left out.",
                sql.rows(worker_questions.events()),
                columns=(
                    Column(field="occurred_at", title="Time", look=Look(unit="dateTimeAsIso"), width=170),
                    Column(field="host", title="Host"),
                    Column(field="name", title="Process"),
                    Column(field="before", title="From", look=STATE_WORDS),
                    Column(field="after", title="To", look=STATE_WORDS),
                    Column(field="exit_status", title="Exit status", look=Look(decimals=0)),
                    Column(field="expected", title="Expected"),
                    Column(field="source", title="Told by"),
                    Column(field="detail", title="Detail"),
                ),
                sort="Time",
                width=16,
            ),
        ),
    )


def _resources() -> Row:
    return Row(
        "Resources, kept for 7 days",
        (
            lines(
                "Memory",
                "Resident memory of each process and its descendants, at the beginning of each point.",
                worker_questions.memory(),
                look=BYTES,
            ),
            lines(
                "CPU",
                "CPU time a second of each process and its descendants; one whole CPU is 100 %.",
                worker_questions.cpu(),
                look=CPU,
            ),
        ),
    )


def _workers() -> Row:
    return Row(
        "Workers",
        (
            lines(
                "Workers by queue and day",
                "RUNNING processes that serve the queue, the mean of each day (UTC), added up over hosts.",
                worker_questions.by_day(),
                look=Look(minimum=0, decimals=1),
                width=8,
            ).draw_style(models.GraphDrawStyle.BARS),
            lines(
                "Worker processes by host",
                "RUNNING worker processes, each counted once whatever the number of its queues: their mean.",
                worker_questions.active_workers(),
                look=COUNT,
                width=8,
            ),
            lines(
                "Snapshots a minute",
                "Snapshots of each host that the sink has written. Where a line falls, other panels show less than there was.",
                worker_questions.reports(),
                look=Look(minimum=0, decimals=1),
                width=8,
            ),
        ),
    )
