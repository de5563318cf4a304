"""A bus, a database and real daemons between them, for the tests of faults: what goes in is noted, what comes out is accounted."""

import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeAlias

import psutil
import psycopg
import pytest
from psycopg import conninfo

from depthgauge import stream
from depthgauge.secrets import Secret
from sink.migrate import migrate
from tests.plugins.daemons import Daemon, MakeDaemon
from tests.plugins.hurried import PROGRAM, hurry
from tests.plugins.ledger import Account, account
from tests.plugins.postgres import PostgresServer
from tests.plugins.proxy import MakeProxy, Proxy
from tests.plugins.redis_server import RedisServer
from tests.plugins.reliability import Matrix
from tests.plugins.sinks import make_snapshot, publish, recent_slot, select
from tests.plugins.taken import Run, Taken, Tap
from tests.plugins.timescale_server import TimescaleServer, fresh_database
from tests.plugins.trixie import find_trixie
from tests.plugins.waiting import wait_for

EDITIONS: Final = (
    pytest.param("plain", marks=pytest.mark.needs("postgres")),
    pytest.param("apache", marks=pytest.mark.needs("timescaledb", "root")),
)
"""Parametrise with these to run on plain PostgreSQL and on TimescaleDB's Apache edition."""

INTERVAL: Final = 0.5
"""Seconds between the snapshots of exporters in these tests."""

CLAIM_AFTER: Final = 5
"""Seconds after which sinks take over what another one left: the least that the configuration allows."""


class Server:
    """A database server of the fault tests' own, to stop, freeze and kill: the same for both kinds."""

    def __init__(self, edition: str, name: str = "faults") -> None:
        self.edition = edition
        if edition == "plain":
            self._server: PostgresServer | TimescaleServer = PostgresServer()
        else:
            trixie = find_trixie()
            assert trixie is not None, "no TimescaleDB here"
            self._server = TimescaleServer(trixie, name)

    @property
    def dsn(self) -> str:
        return self._server.dsn

    @property
    def version(self) -> str:
        """What it is, for the page."""
        [[postgres]] = select(self.dsn, "SHOW server_version")
        found = select(self.dsn, "SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb'")
        number = str(postgres).split()[0]
        return f"TimescaleDB {found[0][0]} on PostgreSQL {number}" if found else f"PostgreSQL {number}"

    def start(self) -> "Server":
        self._server.start()
        return self

    def stop(self) -> None:
        """Stop the server, clients or not; the data stay."""
        self._server.stop()

    def remove(self) -> None:
        self._server.remove()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all of its processes."""
        postmaster = psutil.Process(self._server.pid)
        for process in (postmaster, *postmaster.children()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def backends(self) -> list[psutil.Process]:
        """Return the processes that serve sinks."""
        query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'depthgauge-sink'"
        return [psutil.Process(pid) for (pid,) in select(self.dsn, query)]


@dataclass(eq=False)
class Stage:
    """One bus, one database with the schema in it, and whatever daemons a test starts."""

    edition: str
    server: Server
    dsn: str
    bus: RedisServer
    jobs: RedisServer
    """What exporters watch: a Redis with one queue."""
    matrix: Matrix
    make_daemon: MakeDaemon
    make_proxy: MakeProxy
    taken: Taken = field(default_factory=Taken)
    sinks: list[Daemon] = field(default_factory=list)
    exporters: list[Daemon] = field(default_factory=list)

    def database_proxy(self) -> tuple[Proxy, str]:
        """Return a proxy before the database, and the DSN that goes through it."""
        proxy = self.make_proxy(("127.0.0.1", int(conninfo.conninfo_to_dict(self.dsn)["port"] or 0)))
        return proxy, conninfo.make_conninfo(self.dsn, host="127.0.0.1", port=proxy.port)

    def bus_proxy(self) -> tuple[Proxy, str]:
        """Return a proxy before the bus, and the URL that goes through it."""
        proxy = self.make_proxy(("127.0.0.1", self.bus.port))
        return proxy, f"redis://127.0.0.1:{proxy.port}/0"

    def tap(self) -> tuple[Proxy, str, Tap]:
        """Return a proxy before the bus, its URL, and a tap in it whose findings are this stage's ``taken``."""
        proxy, url = self.bus_proxy()
        tap = Tap(proxy)
        self.taken = tap.taken
        return proxy, url, tap

    def sink(
        self,
        consumer: str = "a",
        *,
        dsn: str | None = None,
        url: str | None = None,
        environ: Mapping[str, str] | None = None,
        program: str = "cli.main",
        **settings: Any,
    ) -> Daemon:
        """Start a sink, a real process; ``settings`` are those of its section."""
        told = {"consumer": consumer, "dsn": dsn or self.dsn, "batch_seconds": 0.05, **settings}
        config = f'[bus]\nurl = "{url or self.bus.url}"\n[sink]\n{_toml(told)}'
        daemon = self.make_daemon("sink", config, environ=environ, program=program)
        self.sinks.append(daemon)
        return daemon

    def exporter(
        self,
        url: str,
        *,
        host: str = "web-1",
        interval: float = INTERVAL,
        environ: Mapping[str, str] | None = None,
        bus: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Daemon:
        """Start an exporter, a real process, that reads ``jobs`` and publishes to this URL.

        ``bus`` and ``settings`` are more of what its sections ``bus`` and ``exporter`` have.
        """
        told = {"host": host, "interval": 1, **settings}
        config = (
            f"[exporter]\n{_toml(told)}"
            f'[[redis]]\nname = "jobs"\nurl = "{self.jobs.url}"\nsystems = ["rq"]\nqueues = ["rq:high"]\n'
            f"[bus]\n{_toml({'url': url, **(bus or {})})}"
        )
        daemon = self.make_daemon(
            "exporter", config, environ={**hurry(interval=interval), **(environ or {})}, program=PROGRAM
        )
        self.exporters.append(daemon)
        return daemon

    def depth(self, length: int) -> None:
        """Make the queue that exporters watch this long."""
        with self.jobs.client() as client:
            pipe = client.pipeline(transaction=True)
            pipe.delete("rq:queue:high")
            if length:
                pipe.rpush("rq:queue:high", *(f"job-{number}" for number in range(length)))
            pipe.sadd("rq:queues", "rq:queue:high")
            pipe.execute()

    def settle(self, *, timeout: float = 60.0) -> None:
        """End the exporters as a service manager does, the newest first, and let the sinks finish."""
        for exporter in reversed(self.exporters):
            if exporter.process.poll() is None:
                assert exporter.stop() == 0, exporter.text
        self.drained(timeout)
        self.taken.fill()

    def publish(
        self, count: int, *, first: int = 1, host: str = "web-1", run_id: str = "r1", base: datetime | None = None
    ) -> None:
        """Put so many snapshots of one run on the stream, and note them."""
        start = base or recent_slot(back=count // 4 + 1)
        snapshots = [make_snapshot(seq, base=start, host=host, run_id=run_id) for seq in range(first, first + count)]
        with self.bus.client() as client:
            publish(client, *snapshots)
        self.taken.add(*snapshots)

    def backlog(self) -> int:
        """Return the length of the stream."""
        with self.bus.client() as client:
            return int(client.xlen(stream.STREAM))

    def ledger(self, host: str = "web-1") -> int:
        """Return how many snapshots of a host the ledger has."""
        [[count]] = select(self.dsn, f"SELECT count(*) FROM depthgauge.snapshots WHERE host = '{host}'")
        return int(count)

    def drained(self, timeout: float = 60.0) -> None:
        """Wait until the sinks have emptied the stream."""
        wait_for(lambda: self.backlog() == 0, timeout, what=f"the stream is empty; {self._logs()}", step=0.05)

    def sums(self, family: str, **labels: str) -> float:
        """Return a metric's sum over the sinks that live."""
        wanted = frozenset(labels.items())
        alive = (sink for sink in self.sinks if sink.process.poll() is None)
        return sum(value for sink in alive for have, value in sink.samples(family).items() if wanted <= have)

    def account(self, *, gaps: bool = False, elsewhere: Mapping[Run, Mapping[str, int]] | None = None) -> Account:
        """Hold what was taken against what is there, see tests/plugins/ledger.py; fail unless it is clean."""
        with self.bus.client() as client:
            return account(self.dsn, self.taken, client, gaps=gaps, elsewhere=elsewhere).check()

    def record(self, fault: str, told: str, *, collisions: int = 0, account: Account | None = None) -> None:
        """Put a row into the fault matrix."""
        done = account or self.account()
        assert done.shared_slots == collisions, "collisions are counted, never silent"
        self.matrix.record(fault, done, database=self.edition, told=told, collisions=collisions)

    def _logs(self) -> str:
        return "\n".join(sink.text[-1500:] for sink in self.sinks)


def _toml(values: Mapping[str, Any]) -> str:
    quoted = {
        name: f'"{value}"' if isinstance(value, str | Path) else str(value).lower() for name, value in values.items()
    }
    return "".join(f"{name} = {value}\n" for name, value in quoted.items())


@contextlib.contextmanager
def migrated(server: Server) -> Iterator[str]:
    """Give a fresh database on the server, with the schema in it."""
    with fresh_database(server.dsn) as dsn:
        migrate(Secret(dsn))
        if server.edition == "plain":
            # Made beforehand, so that a lock on a table meets a sink's rows, not its partitions.
            select(dsn, "SELECT depthgauge.ensure_partitions(ARRAY(SELECT current_date + generate_series(-1, 2)))")
        yield dsn


MakeServer: TypeAlias = Callable[[str], Server]


@pytest.fixture(scope="session")
def fault_servers(pytestconfig: pytest.Config) -> Iterator[MakeServer]:
    """Give a function from an edition to the fault tests' server of that edition, started when first asked for."""
    servers: dict[str, Server] = {}

    def get(edition: str) -> Server:
        if edition not in servers:
            servers[edition] = Server(edition).start()
        return servers[edition]

    yield get
    for server in servers.values():
        server.remove()


@pytest.fixture(scope="session")
def jobs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Give the Redis that the exporters of the fault tests watch."""
    server = RedisServer(tmp_path_factory.mktemp("jobs"))
    yield server.start()
    server.stop()


MakeStage: TypeAlias = Callable[..., Stage]


@pytest.fixture
def make_stage(request: pytest.FixtureRequest, fault_servers: MakeServer, matrix: Matrix) -> Iterator[MakeStage]:
    """Give a function that sets a stage: ``make_stage("plain", "--appendonly", "yes")``, options are the bus's."""
    jobs, make_redis, make_daemon, make_proxy = (
        request.getfixturevalue(name) for name in ("jobs_server", "make_redis", "make_daemon", "make_proxy")
    )
    with contextlib.ExitStack() as stack:

        def make(edition: str = "plain", *options: str) -> Stage:
            server = fault_servers(edition)
            bus = make_redis(*options)
            with bus.client() as client:
                matrix.servers.setdefault("Redis", str(client.info("server")["redis_version"]))
            matrix.servers.setdefault(edition, server.version)
            dsn = stack.enter_context(migrated(server))
            stage = Stage(edition, server, dsn, bus, jobs, matrix, make_daemon, make_proxy)
            stack.callback(_end_daemons, stage)
            return stage

        yield make


def _end_daemons(stage: Stage) -> None:
    """End daemons before their database goes."""
    for daemon in (*stage.exporters, *stage.sinks):
        if daemon.process.poll() is None:
            daemon.kill()


def execute(dsn: str, *statements: str) -> None:
    """Run statements, each by itself."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def wait_value(daemon: Daemon, family: str, least: float, timeout: float = 20.0, **labels: str) -> float:
    """Wait until a metric is at least this; return it."""
    return wait_for(
        lambda: value if (value := daemon.value(family, **labels) or 0.0) >= least else None,
        timeout,
        what=f"{family}{labels} is at least {least}; log:\n{daemon.text[-3000:]}",
        step=0.05,
    )
