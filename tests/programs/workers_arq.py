"""arq settings whose workers have nothing to do."""

import os
from typing import Any, ClassVar

from arq.connections import RedisSettings


async def work(_context: dict[str, Any]) -> None:
    """Do nothing."""


class Settings:
    """What ``arq workers_arq.Settings`` reads."""

    functions: ClassVar = [work]
    redis_settings = RedisSettings.from_dsn(os.environ["REDIS_URL"])
