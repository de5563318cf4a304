"""A real Sidekiq (Debian's ruby-sidekiq) with the application in ``tests/programs/sidekiq_app.rb``, and its own numbers."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.redis_server import RedisServer
from tests.plugins.systems import PROGRAMS

TIMEOUT = 60.0


class SidekiqApp:
    """Pushes jobs and runs processes on one Redis; what was started ends with the test."""

    def __init__(self, server: RedisServer, log: Path) -> None:
        self._environment = {**os.environ, "REDIS_URL": server.url, "TZ": "UTC"}
        self._server = server
        self._log = log
        self._started: list[subprocess.Popen[bytes]] = []

    def tell(self, *jobs: str) -> Any:
        """Push jobs (``queue:what[:retries[:seconds from now]]``) and return the numbers of Sidekiq's own API."""
        done = subprocess.run(
            ["ruby", "-W0", "sidekiq_tell.rb", *jobs],
            cwd=PROGRAMS,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        """Start a process: ``start("-q", "mail,2", "-c", "3")``."""
        with self._log.open("ab") as output:
            self._started.append(
                subprocess.Popen(
                    ["sidekiq", "-r", "./sidekiq_app.rb", *words],
                    cwd=PROGRAMS,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            )
        return self._started[-1]

    def let_go(self) -> None:
        """Let a job that holds end."""
        self._server.client().rpush("let-go", "now")

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.wait(20)


@pytest.fixture
def sidekiq(redis_server: RedisServer, tmp_path: Path) -> Iterator[SidekiqApp]:
    """Give a Sidekiq application on ``redis_server``."""
    app = SidekiqApp(redis_server, tmp_path / "sidekiq.log")
    yield app
    app.close()
