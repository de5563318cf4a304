"""A real supervisord, a real Redis and a real exporter to measure, in a folder that is removed at the end."""

import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
import xmlrpc.client
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from supervisor.xmlrpc import SupervisorTransport

SUPERVISORD = """
[unix_http_server]
file = {folder}/s.sock
[inet_http_server]
port = 127.0.0.1:{port}
[supervisord]
nodaemon = true
silent = true
minfds = 8192
logfile = {folder}/supervisord.log
pidfile = {folder}/supervisord.pid
childlogdir = {folder}
user = root
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[program:w]
command = sleep 100000
process_name = w_%(process_num)05d
numprocs = {processes}
stdout_logfile = NONE
stderr_logfile = NONE
"""


class Stage:
    """``processes`` programs under supervisord, ``queues`` RQ queues with a job each in Redis."""

    def __init__(self, processes: int, queues: int, *, port: int = 19_001) -> None:
        self.processes = processes
        self.queues = queues
        self.port = port
        self.folder = Path(tempfile.mkdtemp(prefix="dg-bench-"))
        self._children: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        redis_port = self.port + 1
        self.redis_url = f"redis://127.0.0.1:{redis_port}/0"
        self.unix_url = f"unix://{self.folder}/s.sock"
        self.http_url = f"http://127.0.0.1:{self.port}/RPC2"
        self.start("redis-server", "--port", str(redis_port), "--save", "", "--dir", str(self.folder))
        conf = self.folder / "s.conf"
        conf.write_text(SUPERVISORD.format(folder=self.folder, port=self.port, processes=self.processes))
        self.supervisord = self.start(sys.executable, "-m", "supervisor.supervisord", "-c", str(conf))
        self.client = redis.Redis.from_url(self.redis_url)
        until(self.client.ping)
        self._fill()
        until(lambda: all(info["statename"] == "RUNNING" for info in self.rpc().getAllProcessInfo()), 120)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        for child in reversed(self._children):
            child.terminate()
        for child in self._children:
            child.wait(60)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a program that ends with the stage."""
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._children.append(child)
        return child

    def rpc(self) -> Any:
        """Return supervisord's namespace, over a connection of its own."""
        transport = SupervisorTransport(None, None, self.unix_url)
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport).supervisor

    def _fill(self) -> None:
        with self.client.pipeline(transaction=False) as pipe:
            for number in range(self.queues):
                name = f"queue-{number:05d}"
                pipe.sadd("rq:queues", f"rq:queue:{name}")
                pipe.rpush(f"rq:queue:{name}", f"job-{number}")
                pipe.hset(f"rq:job:job-{number}", mapping={"enqueued_at": "2026-11-24T09:00:00.000000Z"})
            pipe.execute()


def until(condition: Callable[[], object], seconds: float = 30.0, *, step: float = 0.05) -> None:
    """Wait until a condition holds; an OSError or a Redis error counts as not yet."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except (OSError, redis.exceptions.RedisError, xmlrpc.client.Error):
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds} s still not: {condition}")
        time.sleep(step)


def timed(call: Callable[[], object], times: int) -> list[float]:
    """Return the seconds that each of so many calls took, shortest first."""
    found = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        found.append(time.perf_counter() - started)
    return sorted(found)


def get(url: str) -> bytes:
    """GET a page."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        return bytes(answer.read())
