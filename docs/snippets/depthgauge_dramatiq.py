"""Counts Dramatiq's jobs in Redis, by queue, where Depthgauge finds them.

Add it to the broker, in the workers at least::

    broker.add_middleware(DepthgaugeCounters("redis://localhost:6379/0"))

The URL is that of the Redis which Depthgauge reads, most likely the broker's own. The hash ``depthgauge:jobs:QUEUE`` has three
fields, integers that only grow:

* ``completed``: messages that ran to their end and were acknowledged,
* ``failed``: messages that Dramatiq gave up, as dead letters. An attempt that is retried is none,
* ``runtime_ms``: how long the last attempts of all these took.

Messages that a middleware skips are not counted, unless it makes them dead letters. Where Redis does not answer within a
second the message is not counted, which the log says; the job itself is never disturbed.
"""

import logging
import threading
import time

import redis
from dramatiq import Middleware
from dramatiq.common import q_name
from dramatiq.middleware import Retries
from redis.backoff import NoBackoff
from redis.retry import Retry

log = logging.getLogger(__name__)


class DepthgaugeCounters(Middleware):
    """Counts a message once Dramatiq has acknowledged or rejected it: only then it is known whether a retry follows."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(
            url, socket_timeout=1, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0)
        )
        # A worker's thread has one message at a time, from before_process_message to after_ack or after_nack.
        self._attempt = threading.local()

    def before_process_message(self, broker, message):
        self._attempt.began = time.monotonic()

    def after_process_message(self, broker, message, *, result=None, exception=None):
        began = getattr(self._attempt, "began", None)
        self._attempt.seconds = 0.0 if began is None else time.monotonic() - began
        self._attempt.raised = exception is not None

    def after_ack(self, broker, message):
        raised, seconds = self._take()
        if raised is None:  # a delayed message that went to its queue, or a skipped one
            return
        if not raised:
            self._count(message, "completed", seconds)
        elif not any(isinstance(each, Retries) for each in broker.middleware):
            # Without Retries nobody runs it again, nor makes it a dead letter.
            self._count(message, "failed", seconds)

    def after_nack(self, broker, message):
        _, seconds = self._take()
        self._count(message, "failed", seconds)

    def _take(self):
        """Return whether this thread's attempt raised (None if there was none) and its seconds, and forget it."""
        attempt = vars(self._attempt)
        taken = attempt.get("raised"), attempt.get("seconds", 0.0)
        attempt.clear()
        return taken

    def _count(self, message, field, seconds):
        key = f"depthgauge:jobs:{q_name(message.queue_name)}"
        try:
            with self._client.pipeline(transaction=False) as pipe:
                # All fields are there from the first count on: a counter that begins at 1 hides its first step from rate().
                for name in ("completed", "failed"):
                    pipe.hincrby(key, name, int(name == field))
                pipe.hincrby(key, "runtime_ms", round(seconds * 1000))
                pipe.execute()
        except (redis.RedisError, OSError) as exc:
            log.warning("depthgauge: a job of %s was not counted as %s: %s", message.queue_name, field, exc)
