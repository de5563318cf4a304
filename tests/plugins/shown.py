"""What a snapshot comes to, read back from whoever shows it: a page of metrics, a row, an answer of the API."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Totals:
    """What one exporter's snapshot comes to."""

    pending: float | None
    processing: float | None
    delayed: float | None
    failed: float | None
    completed: float | None
    workers: float | None
    workers_by_queue: Mapping[str, float]
    pending_by_queue: Mapping[str, float]
    failed_by_queue: Mapping[str, float]


class Scrape:
    """The samples of a page, by name and labels."""

    def __init__(self, text: str) -> None:
        self._samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def series(self, name: str, **labels: str) -> list[tuple[Mapping[str, str], float]]:
        found = [(each.labels, each.value) for each in self._samples if each.name == name]
        return [(have, value) for have, value in found if labels.items() <= have.items()]

    def value(self, name: str, **labels: str) -> float | None:
        """Return the one sample; None where there is none."""
        found = self.series(name, **labels)
        assert len(found) <= 1, found
        return found[0][1] if found else None

    def sum(self, name: str, **labels: str) -> float | None:
        found = self.series(name, **labels)
        return sum(value for _, value in found) if found else None

    def by_queue(self, name: str, **labels: str) -> Counter[str]:
        found: Counter[str] = Counter()
        for have, value in self.series(name, **labels):
            found[have["queue"]] += int(value)
        return found


def of_metrics(page: Scrape) -> Totals:
    """Return the totals as a dashboard adds them up."""

    def together(name: str, **values: tuple[str, ...]) -> float | None:
        [(label, some)] = values.items()
        known = [found for each in some if (found := page.sum(name, **{label: each})) is not None]
        return sum(known) if known else None

    failed = page.by_queue("jobqueue_jobs_kept", result="failed")
    for queue, dead in page.by_queue("jobqueue_jobs_kept", result="dead").items():
        failed[queue] += dead
    return Totals(
        pending=page.sum("jobqueue_jobs", state="waiting"),
        processing=page.sum("jobqueue_jobs", state="active"),
        delayed=together("jobqueue_jobs", state=("delayed", "retry", "blocked")),
        failed=together("jobqueue_jobs_kept", result=("failed", "dead")),
        completed=page.sum("jobqueue_jobs_completed_total"),
        workers=page.sum("jobqueue_worker_processes"),
        workers_by_queue=dict(page.by_queue("jobqueue_workers")),
        pending_by_queue=dict(page.by_queue("jobqueue_jobs", state="waiting")),
        failed_by_queue=dict(failed),
    )


def of_row(row: Row) -> Totals:
    """Return the totals of a row of ``queue_metrics``."""
    return Totals(
        pending=row["pending_jobs"],
        processing=row["processing_jobs"],
        delayed=row["delayed_jobs"],
        failed=row["failed_jobs"],
        completed=row["completed_jobs"],
        workers=row["active_workers"],
        workers_by_queue=row["workers_by_queue"],
        pending_by_queue=row["pending_by_queue"],
        failed_by_queue=row["failed_by_queue"],
    )


def of_stats(reply: Row) -> Totals:
    """Return the totals of an answer of ``GET /api/system/queue/stats``."""
    return Totals(
        pending=reply["pending"],
        processing=reply["processing"],
        delayed=reply["delayed"],
        failed=reply["failed"],
        completed=reply["completed"],
        workers=reply["workers"],
        workers_by_queue=reply["workersByQueue"],
        pending_by_queue=reply["pendingByQueue"],
        failed_by_queue=reply["failedByQueue"],
    )
