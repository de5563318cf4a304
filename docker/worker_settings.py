"""What RQ's workers in docker-compose.yml are told by `--config`: which Redis, with the password out of its file."""

from pathlib import Path

REDIS_HOST = "redis"
REDIS_PORT = 6379
REDIS_DB = 0
REDIS_PASSWORD = Path("/run/secrets/redis_password").read_text(encoding="utf-8").strip()
