"""A Huey instance whose consumers have nothing to do."""

import os

from huey import RedisHuey

huey = RedisHuey("workers", url=os.environ["REDIS_URL"])
