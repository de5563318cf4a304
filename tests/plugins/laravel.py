"""A real Laravel application (tests/fixtures/laravel, on Debian's packages): real dispatch, real ``queue:work``."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from psycopg import conninfo

from tests.plugins.redis_server import RedisServer

SOURCE = Path(__file__).resolve().parents[1] / "fixtures" / "laravel"
TIMEOUT = 30.0


class LaravelApp:
    """One application: a writable copy of the fixture, its Redis and its key prefix (None: Laravel's default).

    With the DSN of a database it keeps its failed jobs there, once ``make_failed_jobs`` has made the table. With
    ``counters`` it loads the service provider of that file (docs/snippets).
    """

    def __init__(
        self,
        folder: Path,
        redis: RedisServer,
        *,
        prefix: str | None = None,
        database: str | None = None,
        counters: Path | None = None,
    ) -> None:
        self.folder = folder
        self._workers: list[subprocess.Popen[bytes]] = []
        shutil.copytree(SOURCE, folder, dirs_exist_ok=True)
        for name in ("bootstrap/cache", "storage/framework", "app"):
            (folder / name).mkdir(parents=True)
        self._environment = {"PATH": os.environ["PATH"], "REDIS_PORT": str(redis.port)}
        if prefix is not None:
            self._environment["REDIS_PREFIX"] = prefix
        if counters is not None:
            self._environment["COUNTERS"] = str(counters)
        if database is not None:
            where = conninfo.conninfo_to_dict(database)
            self._environment |= {"DB_PORT": str(where["port"]), "DB_DATABASE": str(where["dbname"])}

    def artisan(self, *words: str) -> str:
        """Run one command to its end and return what it printed."""
        done = subprocess.run(
            ["php", "artisan", *words],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"php artisan {words} failed: {done.stdout}{done.stderr}"
        return done.stdout

    def make_failed_jobs(self) -> None:
        """Make the table of failed jobs with Laravel's own migration."""
        (self.folder / "database" / "migrations").mkdir(parents=True)
        self.artisan("queue:failed-table")
        self.artisan("migrate", "--force")

    def dispatch(
        self, queue: str, marker: str, *, mode: str = "finish", delay: int | None = None, size: int = 0
    ) -> None:
        """Dispatch a job that writes ``marker``; ``mode`` is finish, slow, fail, give-up, release (itself) or hold (until ``let_go``)."""
        options = [f"--mode={mode}", f"--size={size}", *([f"--delay={delay}"] if delay is not None else [])]
        self.artisan("dispatch", queue, marker, *options)

    def work(self, queues: str) -> None:
        """Run a worker until the queues are empty."""
        self.artisan("queue:work", f"--queue={queues}", "--stop-when-empty", "--sleep=0")

    def start_worker(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a worker that stays."""
        worker = subprocess.Popen(
            ["php", "artisan", *(words or ("queue:work",))],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._workers.append(worker)
        return worker

    def ran(self) -> list[str]:
        """Return the markers of the jobs that were started, in their order."""
        log = self.folder / "storage" / "ran.log"
        return log.read_text().split() if log.exists() else []

    def let_go(self) -> None:
        """Let jobs with mode hold finish."""
        (self.folder / "storage" / "go").touch()

    def stop(self) -> None:
        """End all workers."""
        for worker in self._workers:
            worker.kill()
            worker.wait(TIMEOUT)


MakeLaravel: TypeAlias = Callable[..., LaravelApp]


@pytest.fixture
def make_laravel(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[MakeLaravel]:
    """Give a function that makes applications on ``redis_server``: ``make_laravel(prefix="shop_")``."""
    apps: list[LaravelApp] = []

    def make(*, prefix: str | None = None, database: str | None = None, counters: Path | None = None) -> LaravelApp:
        folder = tmp_path_factory.mktemp("laravel")
        apps.append(LaravelApp(folder, redis_server, prefix=prefix, database=database, counters=counters))
        return apps[-1]

    yield make
    for app in apps:
        app.stop()


@pytest.fixture
def laravel(make_laravel: MakeLaravel) -> LaravelApp:
    """Give an application with Laravel's default prefix on ``redis_server``."""
    return make_laravel()
