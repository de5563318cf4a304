"""Alerts about queues: on time and on missing workers, not on length."""

from textwrap import indent
from typing import Final

from cli.rules.durations import short
from cli.rules.model import HOLD, Alert, Choices, Threshold
from cli.rules.recordings import FAILED_KEPT, FAILED_RATE, FAILURE_RATIO, WAIT, WAITING, WORKERS

MEMORY: Final = "1h"
"""For so long it counts that workers of a host were known of which nothing is heard now."""
LAST_WORD: Final = "1d"
"""For so long it counts that a queue was last known to have no worker, where nothing is told of its workers now."""
SHORTEST: Final = 300.0
"""Seconds without a change that are the least to tell that nothing was taken, at a scrape a minute."""
MIN_FAILURES: Final = 5
"""Fewer failures in five minutes make no ratio worth an alert."""

# What a system keeps for all its queues together has no name of a queue.
_WORDS: Final = (
    "Queue {{ if $labels.queue }}{{ $labels.queue }}{{ else }}(all together){{ end }}"
    " ({{ $labels.system }} in Redis {{ $labels.redis }})"
)

REDIS_DOWN: Final = Threshold(
    name="jobqueue.redis_down", default=180, unit="time", help="how long no exporter may read a Redis"
)
NO_WORKERS: Final = Threshold(
    name="jobqueue.no_workers", default=300, unit="time", help="how long jobs may wait without any worker"
)
WAIT_WARNING: Final = Threshold(
    name="jobqueue.wait", default=600, unit="time", help="how long the next job may wait before a warning"
)
WAIT_CRITICAL: Final = Threshold(
    name="jobqueue.wait_critical",
    default=3600,
    unit="time",
    help="how long the next job may wait before somebody is called",
)
STUCK: Final = Threshold(
    name="jobqueue.stuck",
    default=1800,
    unit="time",
    help="how long a queue may stand still although it has workers; more than your longest job takes",
)
RATIO: Final = Threshold(
    name="jobqueue.failure_ratio", default=0.1, unit="ratio", help="part of the jobs that may fail"
)
FAILED: Final = Threshold(
    name="jobqueue.failed", default=10, unit="count", help="failed jobs that an hour may add to those kept"
)
PAUSED: Final = Threshold(name="jobqueue.paused", default=3600, unit="time", help="how long a queue may be paused")


def _no_workers(c: Choices) -> str:
    own = c.of_exporters("jobqueue_workers")
    registry = c.of_exporters("jobqueue_registry_workers")
    # An exporter that starts anew does not know of workers that it has never seen running: the last that was known counts on.
    # By the minute: at every word of a day, thousands of queues would be more samples than Prometheus reads for one query.
    last_known = f"last_over_time({WORKERS}[{LAST_WORD}:1m])"
    # A host that had workers and says nothing now, or a registry, may have them still: silence is no zero.
    silent_host = c.each_queue("count", f"(max_over_time({own}[{MEMORY}]) > 0) unless {c.last('jobqueue_workers')}")
    had = c.each_queue("max", f"max_over_time({registry}[{MEMORY}])")
    has = c.each_queue("max", c.last("jobqueue_registry_workers"))
    on = f"on ({c.queue})"
    return (
        f"{WAITING} > 0\n"
        f"and {on}\n"
        f"(\n  {WORKERS} == 0\n  or\n  ({last_known} == 0) unless {on} {WORKERS}\n)\n"
        f"unless {on}\n{silent_host}\n"
        f"unless {on}\n(({had} > 0) unless {on} {has})"
    )


def _heads_seen(c: Choices, window: str) -> str:
    """Count for each exporter how often a head without a stored time was replaced in this window.

    An exporter that is started anew sees the same head for the first time again, which is no change. That is taken off
    only where it told of a head before and tells of one now: otherwise no start lies between two of its words.
    """
    first_seen = c.of_exporters("jobqueue_head_first_seen_timestamp_seconds")
    here = c.labels("job", "instance")
    starts = f"max by ({here}) (changes({c.of_exporters('process_start_time_seconds')}[{window}]))"
    return (
        f"clamp_min(\n"
        f"  (\n"
        f"    changes({first_seen}[{window}])\n"
        f"    and last_over_time({first_seen}[{HOLD}] offset {window})\n"
        f"    and last_over_time({first_seen}[{HOLD}])\n"
        f"  ) - on ({here}) group_left {starts}, 0\n"
        f")\n"
        f"or\n"
        f"changes({first_seen}[{window}])"
    )


def _nothing_taken(c: Choices, window: str, *, times_stored: bool) -> str:
    """Select queues of which no job was taken in this window, as far as heads and numbers tell.

    Changes are counted for each exporter by itself: where another one takes over nothing has changed. A queue that had
    heads of both kinds had two heads at least.
    """
    # Prometheus 3 leaves the first moment of a window out, so a queue that was emptied right then did not fall: hence the minimum.
    on = f"on ({c.queue})"
    stored = c.each_queue("max", f"changes({c.of_exporters('jobqueue_oldest_job_timestamp_seconds')}[{window}])")
    seen = c.each_queue("max", f"\n{indent(_heads_seen(c, window), '    ')}\n  ")
    heads = f"{seen} unless {on} {stored}"
    if times_stored:
        heads = f"{stored} unless {on} {seen}\n  or\n  {heads}"
    return (
        f"(\n  {heads}\n) == 0\n"
        f"and {on} resets({WAITING}[{window}]) == 0\n"
        f"and {on} min_over_time({WAITING}[{window}]) > 0\n"
        f"and {on} {WAITING} offset {window} > 0"
    )


def _window(c: Choices, threshold: Threshold) -> str:
    # Within a short window there may be one scrape only, which cannot tell that anything has changed.
    return short(max(c.thresholds[threshold.name], SHORTEST))


def _waits(c: Choices, threshold: Threshold) -> str:
    # Where no time is stored, a take-over begins the age anew; that nothing was taken for so long is known all the same.
    still = indent(_nothing_taken(c, _window(c, threshold), times_stored=False), "  ")
    known = f"{max(c.thresholds[threshold.name], SHORTEST):.15g}"
    return f"{WAIT} > {c.number(threshold)}\nor on ({c.queue})\n(\n{still}\n) + {known}"


def _stuck(c: Choices) -> str:
    window = _window(c, STUCK)
    on = f"on ({c.queue})"
    counters = ("jobqueue_jobs_completed_total", "jobqueue_jobs_failed_total")
    done = "\n  or\n  ".join(
        f"{c.each_queue('max', f'increase({c.of_exporters(counter)}[{window}])')} > 0" for counter in counters
    )
    return (
        f"{WAITING} > 0\n"
        f"and {on}\n(\n{indent(_nothing_taken(c, window, times_stored=True), '  ')}\n)\n"
        f"unless {on}\n(\n  {done}\n)\n"
        f"unless {on} {WORKERS} == 0\n"
        f"unless {on} {c.each_queue('max', c.last('jobqueue_paused'))} == 1"
    )


ALERTS: Final = (
    Alert(
        name="JobQueueRedisDown",
        severity="critical",
        threshold=REDIS_DOWN,
        expr=lambda c: f"max by ({c.labels('redis')}) ({c.last('jobqueue_up')}) == 0",
        lasting=REDIS_DOWN,
        summary="No exporter can read the queues in a Redis.",
        description="The queues in Redis {{ $labels.redis }} have not been read for {limit}: nothing is known of their jobs.",
    ),
    Alert(
        name="JobQueueNoWorkers",
        severity="critical",
        threshold=NO_WORKERS,
        expr=_no_workers,
        lasting=NO_WORKERS,
        summary="Jobs wait in a queue that no worker serves.",
        description=_WORDS + " has had waiting jobs and no worker for {limit}; {{ $value }} wait now.",
    ),
    Alert(
        name="JobQueueWaitTooLong",
        severity="warning",
        threshold=WAIT_WARNING,
        expr=lambda c: _waits(c, WAIT_WARNING),
        lasting="3m",
        summary="The next job of a queue has been waiting for too long.",
        description=_WORDS + ": its next job has been waiting for {{ $value | humanizeDuration }}, more than {limit}.",
    ),
    Alert(
        name="JobQueueWaitCritical",
        severity="critical",
        threshold=WAIT_CRITICAL,
        expr=lambda c: _waits(c, WAIT_CRITICAL),
        lasting="3m",
        summary="The next job of a queue has been waiting for far too long.",
        description=_WORDS + ": its next job has been waiting for {{ $value | humanizeDuration }}, more than {limit}.",
    ),
    Alert(
        name="JobQueueStuck",
        severity="critical",
        threshold=STUCK,
        expr=_stuck,
        summary="A queue with workers stands still.",
        description=_WORDS + " has {{ $value }} waiting jobs, and none was taken or done in {limit}.",
    ),
    Alert(
        name="JobQueueFailureRatioHigh",
        severity="warning",
        threshold=RATIO,
        expr=lambda c: (
            f"{FAILURE_RATIO} > {c.number(RATIO)}\nand on ({c.queue})\n{FAILED_RATE} * 300 >= {MIN_FAILURES}"
        ),
        lasting="10m",
        summary="Many jobs of a queue fail.",
        description=_WORDS + ": {{ $value | humanizePercentage }} of its jobs fail, more than {limit}.",
    ),
    Alert(
        name="JobQueueFailedJobs",
        severity="warning",
        threshold=FAILED,
        expr=lambda c: f"{FAILED_KEPT} - min_over_time({FAILED_KEPT}[1h]) > {c.number(FAILED)}",
        summary="Failed jobs of a queue pile up.",
        description=_WORDS + ": {{ $value }} jobs have failed for good within an hour, more than {limit}.",
    ),
    Alert(
        name="JobQueuePaused",
        severity="info",
        threshold=PAUSED,
        expr=lambda c: f"{c.each_queue('max', c.last('jobqueue_paused'))} == 1",
        lasting=PAUSED,
        summary="A queue has been paused for long.",
        description=_WORDS + " has been paused for {limit}: was it forgotten?",
    ),
)
