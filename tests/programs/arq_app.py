"""An arq application: ``arq arq_app.WorkerSettings`` works, ``python arq_app.py ORDERS`` enqueues and tells the jobs' states.

ORDERS is JSON: ``[[function, seconds to wait], …]``. ``REDIS_URL`` and ``QUEUE`` are told by the environment.
"""

import asyncio
import json
import os
import sys
from collections import Counter
from typing import Any

from arq import Retry, create_pool
from arq.connections import ArqRedis, RedisSettings
from arq.constants import default_queue_name, result_key_prefix
from arq.jobs import Job

QUEUE = os.environ.get("QUEUE", default_queue_name)
SETTINGS = RedisSettings.from_dsn(os.environ["REDIS_URL"])


async def boom(ctx: dict[str, Any]) -> None:
    raise RuntimeError("for good")


async def again(ctx: dict[str, Any]) -> None:
    raise Retry(defer=3600)


async def hold(ctx: dict[str, Any]) -> None:
    """Run until the key ``release`` is there."""
    while not await ctx["redis"].exists("release"):  # noqa: ASYNC110  it is another process that sets it
        await asyncio.sleep(0.02)


class WorkerSettings:
    functions = (boom, again, hold)
    redis_settings = SETTINGS
    queue_name = QUEUE
    max_jobs = 2
    poll_delay = 0.05


async def states(pool: ArqRedis) -> dict[str, int]:
    """Return how many jobs are in each state, as the library tells it of each."""
    queued = [job.decode() for job in await pool.zrange(QUEUE, 0, -1)]
    over = [key.decode().removeprefix(result_key_prefix) for key in await pool.keys(f"{result_key_prefix}*")]
    return Counter([(await Job(job, pool, _queue_name=QUEUE).status()).value for job in (*queued, *over)])


async def main() -> None:
    pool = await create_pool(SETTINGS, default_queue_name=QUEUE)
    for function, seconds in json.loads(sys.argv[1]):
        await pool.enqueue_job(function, _defer_by=seconds)
        await asyncio.sleep(0.002)  # in this order: scores are milliseconds
    score = await pool.zrange(QUEUE, 0, 0, withscores=True)
    sys.stdout.write(json.dumps({"states": await states(pool), "first": score[0][1] if score else None}))
    await pool.close(close_connection_pool=True)


if __name__ == "__main__":
    asyncio.run(main())
