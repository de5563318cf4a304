"""An application of Celery, for producers and workers; what differs between tests stands in CELERY_TEST, as JSON.

Usage: celery_app.py send '[["add", {"queue": "high", "args": [1, 2]}], …]'    publishes tasks
       celery_app.py sizes QUEUE…       prints what kombu counts in each queue, and its unacked messages
       celery_app.py inspect            prints how many tasks the one worker runs, holds and has scheduled
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from celery import Celery
from celery.signals import before_task_publish

told: dict[str, Any] = json.loads(os.environ["CELERY_TEST"])
app = Celery("shop", broker=told["broker"], backend=told.get("backend"))
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options=told.get("options", {}),
    worker_prefetch_multiplier=1,
    worker_lost_wait=0.2,
    **told.get("conf", {}),
)
if told.get("counted"):
    importlib.import_module("depthgauge_celery")


def _add(one: int = 1, other: int = 2) -> int:
    return one + other


def _hold(seconds: float) -> None:
    time.sleep(seconds)


def _fail() -> None:
    raise ValueError("this task always fails")


def _flaky(self: Any) -> None:
    """Fail at the first try."""
    if self.request.retries == 0:
        raise self.retry(countdown=0, exc=ValueError("try again"))


def _die() -> None:
    """Take the pool's process away from under the worker."""
    os._exit(9)


TASKS = {
    "add": app.task(name="add")(_add),
    "hold": app.task(name="hold")(_hold),
    "fail": app.task(name="fail")(_fail),
    "flaky": app.task(name="flaky", bind=True)(_flaky),
    "die": app.task(name="die")(_die),
}


def _stamp(headers: dict[str, Any], **_: Any) -> None:
    headers["sent_at"] = time.time()


if told.get("stamped"):
    before_task_publish.connect(_stamp)


def send(calls: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Publish tasks."""
    with app.connection_for_write() as connection:
        for name, options in calls:
            TASKS[name].apply_async(connection=connection, **options)


def sizes(queues: Sequence[str]) -> dict[str, int]:
    """Return the number of messages by queue, counted by kombu in two ways, and of its unacked ones."""
    with app.connection_for_read() as connection, connection.channel() as channel:
        counted = {queue: channel._size(queue) for queue in queues}
        for queue, size in counted.items():
            if size:
                assert channel.queue_declare(queue, passive=True).message_count == size
        with channel.conn_or_acquire() as client:
            return counted | {"unacked": client.hlen(channel.unacked_key)}


def inspect() -> dict[str, int]:
    """Return how many tasks the worker tells of, by what it does with them."""
    asked = app.control.inspect(timeout=10, limit=1)
    return {what: len(next(iter(getattr(asked, what)().values()))) for what in ("active", "reserved", "scheduled")}


if __name__ == "__main__":
    word, *rest = sys.argv[1:]
    if word == "send":
        send(json.loads(rest[0]))
    else:
        print(json.dumps(sizes(rest) if word == "sizes" else inspect()))  # noqa: T201  what the test reads
