"""An hour of operation at 50 times its speed, of two kinds, in the background of the other fault tests.

*Endurance*: a real exporter with a supervisord and queues that change, a bus, a sink and a database; a slot of 15 seconds lasts
0.3, so 240 of them take 72 seconds. *Outage*: a database that is stopped for 75 seconds, which is an hour, while a producer
publishes at that speed. Memory and descriptors do not depend on how busy the machine is otherwise; nor does an account.
"""

import contextlib
import random
import statistics
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

import psutil
import pytest

from depthgauge import stream
from tests.plugins.daemons import Daemon
from tests.plugins.hurried import PROGRAM, hurry
from tests.plugins.ledger import Account, account
from tests.plugins.proxy import Proxy
from tests.plugins.redis_server import RedisServer
from tests.plugins.reliability import Flat
from tests.plugins.sinks import make_snapshot, recent_slot, select
from tests.plugins.stage import MakeServer, Server, migrated
from tests.plugins.supervisord import Program, python, running_supervisord
from tests.plugins.taken import Producer, Tap
from tests.plugins.waiting import wait_for

SPEED: Final = 50
INTERVAL: Final = 15 / SPEED
SLOTS: Final = 240
AWAY: Final = 75.0
"""Seconds: more than an hour at this speed."""
HOSTS: Final = ("web-1", "web-2", "web-3")
QUEUES: Final = ("high", "default", "low")


class Abandoned(Exception):  # noqa: N818  it is no error: the test run is over
    """The run ended before the hour did."""


@dataclass(frozen=True)
class Outage:
    """What an hour without the database came to."""

    account: Account
    waited: int
    """Entries on the stream at the end of the hour."""


@dataclass
class Sampled:
    """One process's memory (bytes) and descriptors over the time."""

    process: psutil.Process
    memory: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def sample(self) -> None:
        self.memory.append(int(self.process.memory_info().rss))
        self.descriptors.append(int(self.process.num_fds()))

    def flat(self, name: str) -> Flat:
        """Return the medians of the second and of the last third."""
        third = len(self.memory) // 3

        def medians(values: Sequence[int]) -> tuple[int, int]:
            return round(statistics.median(values[third : 2 * third])), round(statistics.median(values[-third:]))

        return Flat(name, medians(self.memory), medians(self.descriptors))


@dataclass(frozen=True)
class Endurance:
    """What an hour of operation came to."""

    account: Account
    slots: int
    flat: tuple[Flat, ...]


class Hour:
    """The scenarios, each in a thread; ``outage`` and ``endurance`` wait for them."""

    def __init__(self, folder: Path, servers: MakeServer, editions: Sequence[str]) -> None:
        self._pool = ThreadPoolExecutor(thread_name_prefix="hour")
        self._over = threading.Event()
        # Servers are made here: what gives them is not for several threads.
        plain = servers("plain")
        self._outages: dict[str, Future[Outage]] = {
            edition: self._pool.submit(_outage, folder / edition, edition, self._over) for edition in editions
        }
        self._endurance = self._pool.submit(_endurance, folder / "endurance", plain, self._over)

    def outage(self, edition: str) -> Outage:
        """Wait for the outage on this edition."""
        return self._outages[edition].result(200)

    def endurance(self) -> Endurance:
        """Wait for the hour of operation."""
        return self._endurance.result(200)

    def close(self) -> None:
        """End what is still going on, and wait for it."""
        self._over.set()
        self._pool.shutdown(wait=True)


@contextlib.contextmanager
def _redis(folder: Path, *options: str) -> Iterator[RedisServer]:
    server = RedisServer(folder, options=options)
    try:
        yield server.start()
    finally:
        server.stop()


@contextlib.contextmanager
def _daemon(command: str, config: str, folder: Path, **options: object) -> Iterator[Daemon]:
    daemon = Daemon(command, config, folder, **options).start()  # type: ignore[arg-type]  # passed on as they are
    try:
        yield daemon
    finally:
        if daemon.process.poll() is None:
            daemon.kill()


def _backlog(bus: RedisServer) -> int:
    with bus.client() as client:
        return int(client.xlen(stream.STREAM))


def _outage(folder: Path, edition: str, over: threading.Event) -> Outage:
    server = Server(edition, "outage").start()
    try:
        with migrated(server) as dsn, _redis(folder / "bus") as bus, bus.client() as client:
            config = f'[bus]\nurl = "{bus.url}"\n[sink]\ndsn = "{dsn}"\nconsumer = "a"\n'
            base = recent_slot(back=120)
            endless = (make_snapshot(seq, base=base, host=host) for seq in count(1) for host in HOSTS)
            with _daemon("sink", config, folder / "sink") as sink:
                producer = Producer(client, endless, every=INTERVAL / len(HOSTS)).start()
                wait_for(lambda: (sink.value("depthgauge_sink_snapshots_committed_total") or 0) >= 10, 40, step=0.1)
                server.stop()
                _pass(AWAY, over)
                waited = _backlog(bus)
                assert sink.value("depthgauge_sink_database_up") == 0
                server.start()
                taken = producer.stop()
                wait_for(lambda: _backlog(bus) == 0, 90, what="the stream is empty", step=0.1)
                return Outage(account(dsn, taken, client), waited)
    finally:
        server.remove()


def _pass(seconds: float, over: threading.Event) -> None:
    """Let time pass: here it is the fault itself. Raise Abandoned when nobody wants to know any more."""
    if over.wait(seconds):
        raise Abandoned


def _endurance(folder: Path, server: Server, over: threading.Event) -> Endurance:
    programs = [Program(name=f"work-{queue}", command=python("import time; time.sleep(3600)")) for queue in QUEUES]
    with contextlib.ExitStack() as stack:
        dsn = stack.enter_context(migrated(server))
        bus, jobs = (stack.enter_context(_redis(folder / name)) for name in ("bus", "jobs"))
        supervisord = stack.enter_context(running_supervisord(programs))
        proxy = Proxy(("127.0.0.1", bus.port), folder).start()
        stack.callback(proxy.stop)
        tap = Tap(proxy)
        config = (
            f'[exporter]\nhost = "web-1"\ninterval = 1\n[[supervisor]]\nname = "main"\nurl = "{supervisord.unix_url}"\n'
            '[[supervisor.queues]]\nprogram = "work-(?P<queue>.+)"\n'
            f'[[redis]]\nname = "jobs"\nurl = "{jobs.url}"\nsystems = ["rq"]\n'
            f'[bus]\nurl = "redis://127.0.0.1:{proxy.port}/0"\n[sink]\ndsn = "{dsn}"\nconsumer = "a"\n'
        )
        exporter = stack.enter_context(
            _daemon("exporter", config, folder / "exporter", environ=hurry(interval=INTERVAL), program=PROGRAM)
        )
        sink = stack.enter_context(_daemon("sink", config, folder / "sink"))
        client = stack.enter_context(jobs.client())
        exporter.ready(), sink.ready()
        sampled = {each.command: Sampled(psutil.Process(each.process.pid)) for each in (exporter, sink)}
        chance = random.Random(15)
        started = time.monotonic()
        for second in count(1):
            if tap.taken.total() >= SLOTS and second > SLOTS * INTERVAL:
                break
            _work(client.execute_command, chance, second)
            if second % 10 == 0:
                supervisord.rpc.stopProcess("work-low")
                supervisord.rpc.startProcess("work-low")
            for daemon in (exporter, sink):
                with urllib.request.urlopen(f"{daemon.url}/metrics", timeout=10) as answer:
                    answer.read()
            for each in sampled.values():
                each.sample()
            _pass(max(0.0, started + second - time.monotonic()), over)
        assert exporter.stop() == 0, exporter.text
        wait_for(lambda: _backlog(bus) == 0, 30, what="the stream is empty", step=0.1)
        tap.taken.fill()
        with bus.client() as bus_client:
            done = account(dsn, tap.taken, bus_client)
        [[slots]] = select(dsn, "SELECT count(DISTINCT recorded_at) FROM depthgauge.snapshots")
        return Endurance(done, int(slots), tuple(each.flat(name) for name, each in sampled.items()))


def _work(command: Callable[..., object], chance: random.Random, second: int) -> None:
    """Change the queues' depths, and now and then a queue's name."""
    for queue in (*QUEUES, f"batch-{second // 20}"):
        key = f"rq:queue:{queue}"
        command("SADD", "rq:queues", key)
        if chance.random() < 0.6:
            command("RPUSH", key, *(f"job-{number}" for number in range(chance.randint(1, 50))))
        else:
            command("LTRIM", key, chance.randint(1, 50), -1)


EDITIONS: Final = ("plain", "apache")


@pytest.fixture(scope="session")
def hour(
    tmp_path_factory: pytest.TempPathFactory, fault_servers: MakeServer, hour_editions: Sequence[str]
) -> Iterator[Hour]:
    """Give the hour, which begins when it is first asked for."""
    running = Hour(tmp_path_factory.mktemp("hour"), fault_servers, hour_editions)
    yield running
    running.close()
