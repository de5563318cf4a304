"""Recording rules: every queue's numbers once, whoever tells them.

A backlog is a fact about a Redis, which several exporters may read: the largest counts. Workers are a fact about a host:
they are added up. A counter is rated for each exporter by itself, since at a take-over it goes on at another one.
"""

from typing import Final

from cli.rules.model import Choices, Recording

WAITING: Final = "queue:jobqueue_waiting:max"
WORKERS: Final = "queue:jobqueue_workers:sum"
WAIT: Final = "queue:jobqueue_wait_seconds:max"
FAILED_KEPT: Final = "queue:jobqueue_failed_kept:max"
COMPLETED_RATE: Final = "queue:jobqueue_jobs_completed:rate5m"
FAILED_RATE: Final = "queue:jobqueue_jobs_failed:rate5m"
FAILURE_RATIO: Final = "queue:jobqueue_jobs_failed_per_processed:ratio_rate5m"
DRAIN: Final = "queue:jobqueue_drain_seconds:estimate"


def _workers(c: Choices) -> str:
    own = c.each_queue("sum", c.last("jobqueue_workers"))
    registry = c.each_queue("max", c.last("jobqueue_registry_workers"))
    return f"(\n  {own}\n  +\n  {registry}\n)\nor\n{own}\nor\n{registry}"


def _wait(c: Choices) -> str:
    # The newest head of those told is the one now. First seen says since when an exporter knows it: who knows longest knows best.
    oldest = c.each_queue("max", c.last("jobqueue_oldest_job_timestamp_seconds"))
    first_seen = c.each_queue("min", c.last("jobqueue_head_first_seen_timestamp_seconds"))
    return f"time() - (\n  {oldest}\n  or\n  {first_seen}\n)\nand on ({c.queue})\n{WAITING} > 0"


def _failed_kept(c: Choices) -> str:
    kept = c.last("jobqueue_jobs_kept", 'result=~"failed|dead"')
    return c.each_queue("sum", f"\n  max by ({c.queue}, result) ({kept})\n")


def _rate(metric: str) -> "Recording":
    word = metric.removeprefix("jobqueue_jobs_").removesuffix("_total")
    return Recording(
        name=f"queue:{metric.removesuffix('_total')}:rate5m",
        help=f"Jobs {word} a second, over five minutes, where the queue system counts them.",
        expr=lambda c: c.each_queue("max", f"rate({c.of_exporters(metric)}[5m])"),
    )


def _ratio(c: Choices) -> str:
    return f"{FAILED_RATE}\n/ on ({c.queue})\n(({COMPLETED_RATE} + on ({c.queue}) {FAILED_RATE}) > 0)"


def _drain(c: Choices) -> str:
    # A job that has failed is off the queue too.
    done = f"({COMPLETED_RATE} + on ({c.queue}) {FAILED_RATE})\n  or\n  {COMPLETED_RATE}"
    return f"{WAITING}\n/ on ({c.queue})\n((\n  {done}\n) > 0)"


RECORDINGS: Final = (
    Recording(
        name=WAITING,
        help="Jobs that wait, overdue ones included.",
        expr=lambda c: c.each_queue("max", c.last("jobqueue_jobs", 'state="waiting"')),
    ),
    Recording(
        name=WORKERS,
        help="Workers: processes of all hosts and those of the queue system's registry; absent where nobody knows of any.",
        expr=_workers,
    ),
    Recording(
        name=WAIT,
        help="For how long the next job has been waiting; at least so long where the system stores no time.",
        expr=_wait,
    ),
    Recording(name=FAILED_KEPT, help="Failed and dead jobs that are kept.", expr=_failed_kept),
    _rate("jobqueue_jobs_completed_total"),
    _rate("jobqueue_jobs_failed_total"),
    Recording(
        name=FAILURE_RATIO,
        help="Part of the jobs that fail, among those that are done, over five minutes.",
        expr=_ratio,
    ),
    Recording(
        name=DRAIN,
        help="In how many seconds all waiting jobs would be done or have failed at the rate of the last five minutes, without new ones.",
        expr=_drain,
    ),
)
