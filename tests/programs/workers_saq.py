"""SAQ settings whose workers have nothing to do."""

import os

from saq import Queue


async def work(_context: object) -> None:
    """Do nothing."""


settings = {"queue": Queue.from_url(os.environ["REDIS_URL"]), "functions": [work]}
