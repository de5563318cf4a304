"""A Dramatiq program whose workers have nothing to do."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=os.environ["REDIS_URL"]))


def work() -> None:
    """Do nothing."""


dramatiq.actor(work, queue_name="high")
