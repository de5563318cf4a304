"""Counts what Celery's workers have done, for Depthgauge: Celery itself keeps no totals.

Copy this file beside your application and import it where the application is made::

    app = Celery("shop", broker="redis://localhost:6379/0")
    import depthgauge_celery

For each queue the worker then adds to the hash ``depthgauge:jobs:QUEUE``, one round trip a task:

=============  ====================================================================================================
``completed``  tasks that ended well
``failed``     tasks that ended in an error for good; a run that is to be tried again is no failure and is not counted
``runtime_ms`` how long the runs that are counted took, together, in milliseconds
=============  ====================================================================================================

Ignored, rejected and revoked tasks, and tasks run with ``task_always_eager``, are not counted.

The hash is kept where the broker is, or where the environment variable ``DEPTHGAUGE_JOBS_URL`` says
(``redis://…``, ``rediss://…``, ``unix://…``). It has to be the Redis, and the database, that Depthgauge reads the queues from;
``global_keyprefix`` is not put before it. The user of that URL needs the command ``HINCRBY`` on ``depthgauge:jobs:*``.

A Redis that cannot be reached costs a task at most a second, and then none for half a minute; it is logged and harms no task.
Needs redis-py, which Celery's Redis broker brings along.
"""

import logging
import os
import time

import redis
from celery import current_app
from celery.signals import task_failure, task_prerun, task_received, task_success

log = logging.getLogger(__name__)

PAUSE = 30.0
"""Seconds without counting after Redis could not be reached."""
TIMEOUT = 0.5
"""Seconds that connecting, and the answer, may take."""
KEPT = 10_000
"""Queues remembered of tasks under way: only the worker's main process sees a task whose process died."""

_clients = {}
_queues = {}
_paused_until = 0.0


@task_received.connect
def _received(request=None, **_):
    while len(_queues) >= KEPT:
        del _queues[next(iter(_queues))]
    _queues[request.id] = queue_of(request.delivery_info)


@task_prerun.connect
def _began(task=None, **_):
    task.request.depthgauge_began = time.monotonic()


@task_success.connect
def _ended_well(sender=None, **_):
    _count("completed", sender.request, None)


@task_failure.connect
def _failed(sender=None, task_id=None, **_):
    _count("failed", sender.request, task_id)


def queue_of(delivery_info):
    """Return the queue that a message came from: kombu tells the exchange and the routing key it was sent with."""
    exchange, key = delivery_info.get("exchange") or "", delivery_info.get("routing_key") or ""
    if exchange:
        for queue in current_app.amqp.queues.values():
            if queue.exchange.name == exchange and queue.routing_key == key:
                return queue.name
    return key


def _count(field, request, task_id):
    try:
        if request.is_eager:
            return
        if request.id is None:
            # The main process tells of a task whose own process was lost or ran into its time limit.
            queue, began = _queues.get(task_id), None
        else:
            queue, began = queue_of(request.delivery_info or {}), getattr(request, "depthgauge_began", None)
        if queue:
            _add(queue, field, began)
    except Exception:
        log.exception("depthgauge: a task was not counted")


def _add(queue, field, began):
    global _paused_until
    if time.monotonic() < _paused_until:
        return
    key = f"depthgauge:jobs:{queue}"
    try:
        with _client().pipeline(transaction=False) as pipe:
            pipe.hincrby(key, field, 1)
            if began is not None:
                pipe.hincrby(key, "runtime_ms", round((time.monotonic() - began) * 1000))
            pipe.execute()
    except redis.RedisError as error:
        _paused_until = time.monotonic() + PAUSE
        log.warning("depthgauge: tasks are not counted for %d s: %s", PAUSE, error)


def _client():
    """Return this process's client: the pool's processes share no connection with the one that forked them."""
    pid = os.getpid()
    if pid not in _clients:
        url = os.environ.get("DEPTHGAUGE_JOBS_URL") or current_app.conf.broker_url
        _clients.clear()
        _clients[pid] = redis.Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)
    return _clients[pid]
