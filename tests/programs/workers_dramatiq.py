"""A Dramatiq program whose workers have nothing to do."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=os.environ["REDIS_URL"]))


@dramatiq.actor(queue_name="high")
def work() -> None:
    """Do nothing."""
