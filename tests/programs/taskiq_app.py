"""A Taskiq application: ``taskiq worker taskiq_app:broker``, or ``python taskiq_app.py SECONDS …`` to send one task each.

The environment tells the broker (``BROKER``: list or stream), the Redis (``REDIS_URL``), the queue (``QUEUE``) and where
tasks that run say so (``MARKS``, a folder).
"""

import asyncio
import os
import sys
import tempfile
from typing import Any

from taskiq import SimpleRetryMiddleware
from taskiq_redis import ListQueueBroker, RedisStreamBroker

kind = {"list": ListQueueBroker, "stream": RedisStreamBroker}[os.environ["BROKER"]]
options: dict[str, Any] = {"consumer_id": "0", "xread_block": 50} if kind is RedisStreamBroker else {}
broker = kind(os.environ["REDIS_URL"], queue_name=os.environ.get("QUEUE", "taskiq"), **options)
broker.add_middlewares(SimpleRetryMiddleware(default_retry_count=2))


async def nap(seconds: float) -> None:
    """Say that it runs, then sleep."""
    handle, _ = tempfile.mkstemp(dir=os.environ["MARKS"])
    os.close(handle)
    await asyncio.sleep(seconds)


async def fail() -> None:
    """Fail, every time."""
    raise ValueError("as asked")


napping = broker.register_task(nap, task_name="nap")
failing = broker.register_task(fail, task_name="fail", retry_on_error=True)


async def main() -> None:
    await broker.startup()
    for word in sys.argv[1:]:
        await (failing.kiq() if word == "fail" else napping.kiq(float(word)))
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
