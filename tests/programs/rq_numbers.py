"""RQ's own view of a queue, and jobs in every state: run beside several versions of the library.

Usage: rq_numbers.py URL fill|pop|busy|numbers QUEUE
"""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from redis import Redis
from rq import Queue, Retry, Worker
from rq.intermediate_queue import IntermediateQueue


def fill(queue: Any) -> None:
    """Put a job on each way through RQ: two will end well, one fails for good, one is to be tried again in an hour."""
    queue.enqueue("operator.truediv", 1, 1)
    parent = queue.enqueue("operator.truediv", 1, 1)
    queue.enqueue("operator.truediv", 1, 0)
    queue.enqueue("operator.truediv", 1, 0, retry=Retry(max=1, interval=3600))
    queue.enqueue("time.sleep", 0, depends_on=queue.enqueue_in(timedelta(hours=1), "time.sleep", 0))
    queue.enqueue_at(datetime.now(UTC) - timedelta(minutes=2), "time.sleep", 0)
    queue.enqueue("time.sleep", 0, depends_on=parent).cancel()


def pop(queue: Any) -> None:
    """Take a job as a worker does before it has started it, and die."""
    queue.enqueue("time.sleep", 0)
    Queue.lmove(queue.connection, queue.key, None)


def busy(queue: Any) -> None:
    """Put a job that takes long."""
    queue.enqueue("time.sleep", 60)


def numbers(queue: Any) -> None:
    """Print what the library counts, by its own functions, without their cleaning."""
    kinds = ("started", "scheduled", "deferred", "finished", "failed", "canceled")
    counted = {kind: getattr(queue, f"{kind}_job_registry").get_job_count(cleanup=False) for kind in kinds}
    due = len(queue.scheduled_job_registry.get_jobs_to_schedule())
    intermediate = len(IntermediateQueue(queue.key, queue.connection).get_job_ids())
    workers = Worker.all(queue=queue)
    done = {"successful": 0, "unsuccessful": 0}
    for worker in workers:
        done["successful"] += worker.successful_job_count
        done["unsuccessful"] += worker.failed_job_count
    counted |= {"queued": queue.count, "due": due, "intermediate": intermediate, "workers": len(workers)} | done
    print(json.dumps(counted))  # noqa: T201  what the test reads


DOES: dict[str, Callable[[Any], None]] = {"fill": fill, "pop": pop, "busy": busy, "numbers": numbers}

if __name__ == "__main__":
    connection = Redis.from_url(sys.argv[1])
    for word in sys.argv[2:-1]:
        DOES[word](Queue(sys.argv[-1], connection=connection))
    connection.close()
