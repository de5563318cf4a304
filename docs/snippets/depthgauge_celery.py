"""Counts what Celery's workers have done, for Depthgauge: Celery itself keeps no totals.

Copy this file beside your application and import it where the application is made::

    app = Celery("shop", broker="redis://localhost:6379/0")
    import depthgauge_celery

For each queue the workers then add to the hash ``depthgauge:jobs:QUEUE``, one round trip a task:

* ``completed``: tasks that ended well,
* ``failed``: tasks that ended in an error for good, also by their time limit or because their process died. A run that is to
  be tried again is no failure, and is not counted,
* ``runtime_ms``: how long the runs that are counted took, in milliseconds (not those that were killed).

Ignored, rejected and revoked tasks are not counted, nor those run with ``task_always_eager``.

The hash is kept in the Redis of ``broker_url``, or where the environment variable ``DEPTHGAUGE_JOBS_URL`` says (``redis://…``,
``rediss://…``, ``unix://…``). It has to be the Redis, and the database, whose queues Depthgauge reads. Its user needs the right to
``HINCRBY`` on ``depthgauge:jobs:*``; ``global_keyprefix`` is not put before that key. Where another queue system, or another
application, has a queue of the same name there, say in ``DEPTHGAUGE_JOBS_NAMES`` what comes before the queue's name in the
key: ``celery:``, and after that what Depthgauge shows before it, as in ``celery:blog:``.

A Redis that does not answer costs a task at most a second, and then no task for half a minute; the log says so, and no task
is harmed. Needs redis-py, which Celery's Redis broker brings along.
"""

import logging
import os
import time
from collections import deque

import redis
from celery import current_app
from celery.signals import task_failure, task_prerun, task_received, task_success
from redis.backoff import NoBackoff
from redis.retry import Retry

log = logging.getLogger(__name__)

PAUSE = 30.0
"""Seconds without counting after Redis could not be reached."""
TIMEOUT = 0.5
"""Seconds that connecting may take, and the answer."""
KEPT = 10_000
"""Tasks of which the worker's main process remembers the queue: only it sees one whose process died or was killed."""


class Counter:
    """What one process counts, and its connection: a process of the pool shares none with the one that forked it."""

    def __init__(self):
        self.taken = {}
        self.failures = deque(maxlen=100)
        self._pid = None
        self._client = None
        self._paused_until = 0.0

    def add(self, queue, field, began):
        """Add one task to the queue's hash, and how long it took if it is known when it began."""
        if time.monotonic() < self._paused_until:
            return
        key = f"depthgauge:jobs:{os.environ.get('DEPTHGAUGE_JOBS_NAMES', '')}{queue}"
        try:
            with self._connected().pipeline(transaction=False) as pipe:
                # All are there from the first count on: a counter that begins at 1 hides its first step from rate().
                for name in ("completed", "failed"):
                    pipe.hincrby(key, name, int(name == field))
                pipe.hincrby(key, "runtime_ms", 0 if began is None else round((time.monotonic() - began) * 1000))
                pipe.execute()
        except (redis.RedisError, OSError) as error:
            self._paused_until = time.monotonic() + PAUSE
            log.warning("depthgauge: no task is counted for %d s: %s", PAUSE, error)

    def _connected(self):
        if self._pid != os.getpid():
            url = os.environ.get("DEPTHGAUGE_JOBS_URL") or current_app.conf.broker_url
            self._client = redis.Redis.from_url(
                url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=Retry(NoBackoff(), 0)
            )
            self._pid = os.getpid()
        return self._client


counter = Counter()


@task_received.connect
def _received(request=None, **_):
    while len(counter.taken) >= KEPT:
        del counter.taken[next(iter(counter.taken))]
    counter.taken[request.id] = request.delivery_info


@task_prerun.connect
def _began(task=None, **_):
    task.request.depthgauge_began = time.monotonic()


@task_success.connect
def _ended_well(sender=None, **_):
    _count("completed", sender.request, None)


@task_failure.connect
def _failed(sender=None, task_id=None, **_):
    # A task that is killed by its time limit is told twice.
    if task_id not in counter.failures:
        counter.failures.append(task_id)
        _count("failed", sender.request, task_id)


def _count(field, request, task_id):
    try:
        if request.is_eager:
            return
        info = request.delivery_info or counter.taken.get(task_id)
        if info:
            counter.add(queue_of(info), field, getattr(request, "depthgauge_began", None))
    except Exception:
        log.exception("depthgauge: a task was not counted")


def queue_of(info):
    """Return the queue that a message came from: kombu tells the exchange and the routing key that it was sent with."""
    exchange, key = info.get("exchange"), info.get("routing_key")
    for queue in current_app.amqp.queues.values() if exchange else ():
        if queue.exchange.name == exchange and queue.routing_key == key:
            return queue.name
    return key
