"""A SAQ application: ``saq saq_app.settings``, or ``python saq_app.py COMMAND …``, which prints the queue's own info as JSON.

Commands: ``nap SECONDS [DELAY]``, ``fail [DELAY]`` (tried twice), ``info``. The environment tells the Redis (``REDIS_URL``)
and the queue (``QUEUE``).
"""

import asyncio
import json
import os
import sys
import time

from saq import Queue

queue = Queue.from_url(os.environ["REDIS_URL"], name=os.environ.get("QUEUE", "default"))


async def nap(_: object, *, seconds: float) -> None:
    await asyncio.sleep(seconds)


async def fail(_: object) -> None:
    raise ValueError("as asked")


settings = {
    "queue": queue,
    "functions": [nap, fail],
    "concurrency": 2,
    "timers": {"schedule": 1, "worker_info": 1, "sweep": 1, "abort": 1},
}


async def main(command: str, *words: str) -> None:
    numbers = [float(word) for word in words]
    if command == "nap":
        due = {"scheduled": int(time.time() + numbers[1])} if len(numbers) > 1 else {}
        await queue.enqueue("nap", seconds=numbers[0], timeout=4, retries=1, **due)
    elif command == "fail":
        await queue.enqueue("fail", retries=2, retry_delay=numbers[0] if numbers else 0.0)
    info = await queue.info()
    sys.stdout.write(json.dumps(info))
    await queue.disconnect()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
