"""A Taskiq broker whose workers have nothing to do."""

import os

from taskiq_redis import ListQueueBroker

broker = ListQueueBroker(os.environ["REDIS_URL"])
