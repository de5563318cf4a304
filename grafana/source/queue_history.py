"""The dashboard of the queues' history, out of the database: which one is late, since when, and who worked on it."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import common as models

from grafana.source import annotations, history_variables, queue_questions, sql, worker_questions
from grafana.source.board import POSTGRES, Board, Row
from grafana.source.columns import Column
from grafana.source.history_panels import POINTS, lines
from grafana.source.looks import BAD, COUNT, NONE_IS_BAD, NONE_IS_GOOD, PER_SECOND, SECONDS, WAITING, Look
from grafana.source.panels import JOB_STATES, bars, colour, grid, number

_FLEET: Final = "Of several hosts that read the same Redis the highest number counts."
_ROWS: Final = "Up to 6 hours come from every snapshot, up to 3 days from five minutes, longer ranges from hours."


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid="depthgauge-queue-history",
        title="Depthgauge / Queue history",
        description="Which queue is late, since when, and who worked on it: from PostgreSQL or TimescaleDB.",
        source=POSTGRES,
        variables=(history_variables.hosts(), *history_variables.queues()),
        rows=(_end(), _waiting(), _work(), _people()),
        annotations=(process_marks(),),
        since="now-24h",
        refresh="1m",
    )


def process_marks() -> builders.AnnotationQuery:
    """Return the marks that all boards over the database have."""
    return annotations.from_sql("Unexpected exits and FATAL", worker_questions.marks(), color=BAD)


def _end() -> Row:
    return Row(
        "At the end of the range",
        (
            number(
                "Latest queue",
                "The queue whose oldest waiting job is oldest, and its age. Empty where nothing waits.",
                sql.series(queue_questions.latest_queue()),
                look=WAITING,
                width=6,
                background=True,
            ).text_mode(models.BigValueTextMode.VALUE_AND_NAME),
            number(
                "Waiting", f"Jobs ready to run, in all queues. {_FLEET}", sql.rows(queue_questions.total("waiting"))
            ),
            number("Processing", f"Jobs being worked on. {_FLEET}", sql.rows(queue_questions.total("processing"))),
            number(
                "Failed",
                "Jobs that failed for good and are kept, in all queues.",
                sql.rows(queue_questions.total("failed")),
                look=Look(steps=NONE_IS_GOOD, minimum=0, decimals=0),
            ),
            number(
                "Workers",
                "RUNNING processes that serve a queue, counted once for each queue, over all hosts.",
                sql.rows(queue_questions.total("workers")),
                look=Look(steps=NONE_IS_BAD, minimum=0, decimals=0),
                width=6,
            ),
            grid(
                "Queues, the latest first",
                f"Each queue as it was at the end of the range. {_FLEET} Workers are added up over hosts.",
                sql.rows(queue_questions.late_queues()),
                columns=(
                    Column(field="name", title="Queue"),
                    Column(field="oldest", title="Oldest job", look=WAITING),
                    Column(field="waiting", title="Waiting", look=COUNT),
                    Column(field="processing", title="Processing", look=COUNT),
                    Column(field="workers", title="Workers", look=COUNT),
                    Column(field="registered", title="Registered workers", look=COUNT),
                    Column(field="failed", title="Failed", look=Look(steps=NONE_IS_GOOD, minimum=0, decimals=0)),
                ),
                sort="Oldest job",
                height=8,
            ),
        ),
    )


def _waiting() -> Row:
    return Row(
        "What waits",
        (
            lines(
                "Oldest job",
                f"Age of the next job to run, the highest over time. {_ROWS}",
                queue_questions.backlog(queue_questions.OLDEST),
                look=WAITING,
                dashed=True,
            ),
            lines(
                "Waiting jobs",
                f"Jobs ready to run, the highest over time. {_FLEET}",
                queue_questions.backlog(queue_questions.PENDING),
            ),
            colour(
                lines(
                    "All jobs by state",
                    "Jobs of all queues chosen: waiting, processing, and delayed (for a time, for another attempt, for other jobs).",
                    queue_questions.totals(),
                    stacked=True,
                    width=8,
                ),
                {
                    "waiting": JOB_STATES["waiting"],
                    "processing": JOB_STATES["active"],
                    "delayed": JOB_STATES["delayed"],
                },
            ),
            lines(
                "Delayed jobs",
                "Jobs that wait for their time, for another attempt or for other jobs.",
                queue_questions.backlog(queue_questions.DELAYED),
                width=8,
            ),
            lines(
                "Failed jobs kept",
                "Jobs that failed for good, as long as the queue system keeps them.",
                queue_questions.backlog(queue_questions.FAILED),
                width=8,
            ),
        ),
    )


def _work() -> Row:
    return Row(
        "Work done",
        (
            lines(
                "Throughput",
                "Jobs completed a second, of queues that have a true counter.",
                queue_questions.throughput(),
                look=PER_SECOND,
                width=8,
            ),
            bars(
                "Completed in this range",
                "Jobs completed from the first point of the range to its end, of queues that have a true counter.",
                sql.series(queue_questions.completed()),
            ).max_data_points(POINTS),
            lines(
                "Processing time",
                "Mean time that a job takes, where the queue system tells it.",
                queue_questions.mean_of("avg_processing_time"),
                look=SECONDS,
                width=8,
            ),
        ),
    )


def _people() -> Row:
    return Row(
        "Who works",
        (
            lines(
                "Jobs being processed",
                f"Jobs taken and not finished yet, the highest over time. {_FLEET}",
                queue_questions.backlog(queue_questions.PROCESSING),
                width=8,
            ),
            lines(
                "Workers by queue",
                "RUNNING processes that serve the queue: the mean of each host, added up over hosts.",
                queue_questions.workers("workers", of_the_redis=False),
                width=8,
            ),
            lines(
                "Registered workers by queue",
                "Workers in the queue system's own registry, wherever they run: their mean.",
                queue_questions.workers("registry_workers", of_the_redis=True),
                width=8,
            ),
        ),
    )
