"""A Huey application: ``huey_consumer huey_app.huey`` works, ``python huey_app.py ORDERS`` enqueues and tells what is queued.

ORDERS is JSON: ``[[task, delay in seconds or null, priority or null], …]``. ``REDIS_URL``, ``NAME`` and ``KIND`` (a class of
Huey) are told by the environment.
"""

# mypy: disable-error-code="untyped-decorator"
# The library is not where mypy runs.

import importlib
import json
import os
import sys
import time

import huey as library

huey = getattr(library, os.environ.get("KIND", "RedisHuey"))(os.environ["NAME"], url=os.environ["REDIS_URL"])


@huey.task()
def boom() -> None:
    raise RuntimeError("for good")


@huey.task(retries=1, retry_delay=3600)
def again() -> None:
    raise RuntimeError("for an hour")


@huey.task()
def hold() -> str:
    """Run until the key ``release`` is there."""
    while not huey.storage.conn.exists("release"):
        time.sleep(0.02)
    return "a result that nobody reads"


def main() -> None:
    for task, delay, priority in json.loads(sys.argv[1]):
        globals()[task].schedule(delay=delay or 0, priority=priority)
    sys.stdout.write(json.dumps({"pending": huey.pending_count(), "scheduled": huey.scheduled_count()}))


if __name__ == "__main__":
    # Tasks are known by their module: here it would be another one than the consumer's.
    importlib.import_module("huey_app").main()
