"""A small fleet that has everything a dashboard can show, watched by real daemons that a real Prometheus scrapes.

Two hosts with a supervisord each: on the first an exporter with bus, spool and listener, on the second one that only serves
metrics and reads the same Redis. One queue is late, one has a worker at work, one has jobs and nobody to run them. Of the
processes one is FATAL, one has EXITED, one is started again and again, one cannot be started. One Redis is away, and so
is one exporter. The bus and the database go for a moment and come back.

What no queue system that can be had here tells (true counters, paused queues), what a container has not (disks), and what
must not happen in a test (lost snapshots), comes from snapshots made here, through the exporter's own renderer: the target ``recorded``.
"""

import contextlib
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import psycopg
import redis
import rq
from psycopg import conninfo

from depthgauge.secrets import Secret
from depthgauge.snapshot import KeptJobs, LiveJobs, Queue, RedisQueues
from exporter.render import Renderer
from sink.migrate import migrate
from tests.plugins import health
from tests.plugins.daemons import Daemon
from tests.plugins.listeners import listener_config
from tests.plugins.ports import free_port
from tests.plugins.prometheus import Prometheus
from tests.plugins.proxy import Proxy
from tests.plugins.redis_server import RedisServer
from tests.plugins.site import Site
from tests.plugins.snapshots import snapshot_of
from tests.plugins.supervisord import Program, python, running_supervisord
from tests.plugins.waiting import wait_for
from tests.plugins.watched import FAILED_JOBS

LATE: Final = 3600
"""Seconds for which the first job of the late queue has waited."""
EXPORTERS: Final = "depthgauge-exporter"
SINKS: Final = "depthgauge-sink"
FOREIGN: Final = "somebody-else"
"""A job of Prometheus that has nothing to do with us, and whose only target is down."""
SLEEPER: Final = python("import time; time.sleep(600)")


@dataclass(kw_only=True)
class Stand:
    """What is running."""

    prometheus: Prometheus
    first: Daemon
    second: Daemon
    sink: Daemon
    bus: Proxy
    database: Proxy
    began: float


def programs(jobs: RedisServer) -> list[Program]:
    """Return what runs on the first host."""
    worker = f"{Path(sys.executable).with_name('rq')} worker --quiet --url {jobs.url} busy"
    again = {"autorestart": "true", "startsecs": "0"}
    fatal = {"startsecs": "1", "startretries": "1", "autorestart": "true"}
    return [
        Program("late-worker", SLEEPER),
        Program("busy", worker, options={"stopasgroup": "true", "killasgroup": "true"}),
        Program("off", SLEEPER, options={"autostart": "false"}),
        Program("gone", python("raise SystemExit(3)")),
        Program("broken", python("raise SystemExit(2)"), group="mail", process="mail_00", options=fatal),
        Program("missing", "/nowhere/to/be/found", options=fatal),
        Program("restless", python("import time; time.sleep(2)"), options=again),
    ]


def fill(jobs: RedisServer) -> None:
    """Put jobs of several systems into Redis."""
    with redis.Redis(port=jobs.port) as client:
        for name, count in {"late": 5, "nobody": 2, "busy": 4}.items():
            queue = rq.Queue(name, connection=client)
            made = [queue.enqueue("time.sleep", 600) for _ in range(count)]
            if name == "late":
                since = datetime.now(UTC) - timedelta(seconds=LATE)
                client.hset(made[0].key, "enqueued_at", since.isoformat().replace("+00:00", "Z"))
        client.rpush("laravel_database_queues:default", *(f'{{"uuid":"{each}","job":"x"}}' for each in range(3)))
        client.zadd(
            "reminders", {"due": time.time() - 90, "later": time.time() + 9000, "much later": time.time() + 9e4}
        )
        client.rpush("thumbnails", '{"at": 1}')
        client.set("odd", "no list")


def config(*, folder: Path, jobs: str, site: str, socket: str, bus: str, app: str, dsn: str) -> str:
    """Return the configuration of the first exporter and of the sink."""
    return f"""
[exporter]
host = "web-1"
interval = 1
state_dir = "{folder / "state"}"
[[supervisor]]
name = "main"
url = "{socket}"
[[supervisor.queues]]
program = "late-worker"
system = "rq"
queues = ["late"]
[[redis]]
name = "jobs"
url = "{jobs}"
[[redis.list]]
key = "thumbnails"
time_field = "at"
[[redis.list]]
key = "odd"
[[redis.sorted_set]]
key = "reminders"
[[redis]]
name = "away"
url = "redis://127.0.0.1:{free_port()}/0"
systems = ["rq"]
[[database]]
name = "app"
dsn = "{app}"
[database.failed_jobs]
redis = "jobs"
[[probe]]
name = "site"
url = "{site}"
every = 1
[bus]
url = "{bus}"
[sink]
dsn = "{dsn}"
batch_seconds = 0.05
maintain_every = "10s"
"""


def second_config(jobs: RedisServer, socket: str) -> str:
    """Return the configuration of the exporter that has no bus."""
    return f"""
[exporter]
host = "web-2"
interval = 1
[[supervisor]]
name = "main"
url = "{socket}"
[[supervisor.queues]]
program = "late-worker.*"
system = "rq"
queues = ["late"]
[[redis]]
name = "jobs"
url = "{jobs.url}"
"""


class Recorded(threading.Thread):
    """Keeps a site's page at what the exporter would render of snapshots made here, whose counters grow."""

    def __init__(self, site: Site) -> None:
        super().__init__(name="recorded", daemon=True)
        self._site = site
        self._renderer = Renderer(budget=1000)
        self._over = threading.Event()

    def run(self) -> None:
        number = 0
        while not self._over.wait(0.25):
            number += 1
            now = datetime.now(UTC)
            queue = Queue(
                system="counted",
                name="exports",
                live=LiveJobs(waiting=12 + number % 5, active=2, delayed=1, retry=1, blocked=1),
                kept=KeptJobs(failed=3, dead=1, finished=40, canceled=1),
                head_eligible_at=now - timedelta(seconds=20),
                completed_total=1000 + 3 * number,
                failed_total=10 + number // 4,
                processing_seconds=0.4,
                registry_workers=4,
                registry_workers_busy=3,
                paused=True,
            )
            part = RedisQueues(observed_at=now, redis="recorded", queues=(queue,))
            snapshot = snapshot_of(
                host="recorded",
                taken_at=now,
                slot=now,
                queues=(part,),
                drops={"spool_full": number},
                machine=health.machine(now),
            )
            self._site.body = self._renderer.render(snapshot, now).encode()

    def end(self) -> None:
        """Stop changing the page."""
        self._over.set()
        self.join(10)


@contextlib.contextmanager
def running(folder: Path, dsn: str, app: str) -> Iterator[Stand]:
    """Give the fleet, running; ``dsn`` is the sink's empty database, ``app`` the watched application's."""
    migrate(Secret(dsn))
    with psycopg.connect(app, autocommit=True) as connection:
        connection.execute(FAILED_JOBS.format("failed_jobs").encode())
        failed = "INSERT INTO failed_jobs (uuid, connection, queue, payload, exception) VALUES ('u', 'redis', 'default', '{}', 'x')"
        connection.execute(failed.encode())
    with contextlib.ExitStack() as stack:
        jobs, bus = (RedisServer(folder / name) for name in ("jobs", "bus"))
        for server in (jobs, bus):
            stack.callback(server.start().stop)
        fill(jobs)
        site, recorded = Site(), Site(body=b"")
        for each in (site, recorded):
            stack.callback(each.close)
        thread = Recorded(recorded)
        thread.start()
        stack.callback(thread.end)
        to_bus = Proxy(("127.0.0.1", bus.port), folder).start()
        to_database = Proxy(("127.0.0.1", int(conninfo.conninfo_to_dict(dsn)["port"] or 0)), folder).start()
        for proxy in (to_bus, to_database):
            stack.callback(proxy.stop)
        one = stack.enter_context(running_supervisord(programs(jobs), listener=listener_config(folder / "state")))
        workers = [Program(f"late-worker-{number}", SLEEPER) for number in range(2)]
        other = stack.enter_context(running_supervisord(workers))
        through = conninfo.make_conninfo(dsn, host="127.0.0.1", port=to_database.port)
        bus_url = f"redis://127.0.0.1:{to_bus.port}/0"
        told = config(
            folder=folder, jobs=jobs.url, site=site.url, socket=one.unix_url, bus=bus_url, app=app, dsn=through
        )
        daemons = (
            Daemon("exporter", told, folder / "first"),
            Daemon("exporter", second_config(jobs, other.unix_url), folder / "second"),
            Daemon("sink", told, folder / "sink"),
        )
        for daemon in daemons:
            daemon.start()
            stack.callback(daemon.stop)
        first, second, sink = (daemon.ready() for daemon in daemons)
        addresses = [daemon.url.removeprefix("http://") for daemon in (first, second, sink)]
        dead = f"127.0.0.1:{free_port()}"
        (folder / "prometheus").mkdir()
        prometheus = Prometheus(
            folder / "prometheus",
            {
                EXPORTERS: [*addresses[:2], f"127.0.0.1:{recorded.port}", dead],
                SINKS: addresses[2],
                FOREIGN: f"127.0.0.1:{free_port()}",
            },
        )
        stack.callback(prometheus.stop)
        stand = Stand(
            prometheus=prometheus,
            first=first,
            second=second,
            sink=sink,
            bus=to_bus,
            database=to_database,
            began=time.time(),
        )
        wait_for(lambda: prometheus.one("sum(up)") == 4, 30, what="Prometheus scrapes all")
        yield stand


def trouble(stand: Stand) -> None:
    """Take the bus and the database away for a moment, and ask for what is refused, until Prometheus has seen it."""
    seen = stand.prometheus.query
    wait_for(lambda: seen('jobqueue_registry_workers_busy{queue="busy"} == 1'), 60, what="the worker is at work")
    wait_for(lambda: stand.prometheus.one('sum(supervisor_processes{state="FATAL"})') == 2, 30, what="two are given up")
    with _away(stand.bus):
        waiting = "count_over_time(depthgauge_spool_oldest_timestamp_seconds[10s]) >= 3"
        wait_for(lambda: seen(waiting), 30, what="snapshots wait in the spool")
        wait_for(lambda: seen("rate(depthgauge_sink_bus_errors_total[5s]) > 0"), 30, what="the sink misses the bus")
    wait_for(lambda: stand.prometheus.one("depthgauge_bus_up") == 1, 30, what="the bus is back")
    with _away(stand.database):
        wait_for(lambda: seen("rate(depthgauge_sink_retries_total[5s]) > 0"), 30, what="the sink misses the database")
    wait_for(lambda: stand.prometheus.one("depthgauge_sink_database_up") == 1, 40, what="the database is back")
    wait_for(_refused(stand), 30, what="requests are refused", step=0.2)


def _refused(stand: Stand) -> Callable[[], object]:
    def ask() -> object:
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(f"{stand.first.url}/api/system/health", timeout=5).close()
        return stand.prometheus.query("rate(depthgauge_http_refused_requests_total[5s]) > 0")

    return ask


@contextlib.contextmanager
def _away(proxy: Proxy) -> Iterator[None]:
    proxy.stop()
    try:
        yield
    finally:
        proxy.start()
