"""Three exporters, two Redis with a queue of one name on both, a bus, a sink and a database."""

import time
from typing import cast

import psycopg
import pytest
import redis
import rq

from depthgauge import stream
from depthgauge.secrets import Secret
from sink.migrate import migrate
from tests.plugins.daemons import Daemon, MakeDaemon
from tests.plugins.redis_server import MakeRedis, RedisServer
from tests.plugins.waiting import wait_for

pytestmark = [pytest.mark.needs("redis-server", "rq", "timescaledb"), pytest.mark.timeout(180)]

INTERVAL = 1.0
HOSTS = ("web-1", "web-2", "web-3")


def config(host: str, servers: dict[str, RedisServer], bus: RedisServer, dsn: str) -> str:
    sections = "".join(
        f'[[redis]]\nname = "{name}"\nurl = "{server.url}"\nsystems = ["rq"]\n' for name, server in servers.items()
    )
    return (
        f'[exporter]\nhost = "{host}"\ninterval = {INTERVAL:g}\n{sections}'
        f'[bus]\nurl = "{bus.url}"\n[sink]\ndsn = "{dsn}"\n'
    )


class Fleet:
    def __init__(self, make_daemon: MakeDaemon, make_redis: MakeRedis, dsn: str) -> None:
        self.dsn = dsn
        self.servers = {"a": make_redis(), "b": make_redis()}
        self.bus = make_redis()
        migrate(Secret(dsn))
        texts = {host: config(host, self.servers, self.bus, dsn) for host in HOSTS}
        self.exporters = {host: make_daemon("exporter", text) for host, text in texts.items()}
        self.sink = make_daemon("sink", texts[HOSTS[0]])
        for daemon in (*self.exporters.values(), self.sink):
            daemon.ready()

    def enqueue(self, name: str, count: int) -> None:
        with redis.Redis(port=self.servers[name].port) as client:
            queue = rq.Queue("high", connection=client)
            for _ in range(count):
                queue.enqueue("builtins.print")

    def truth(self) -> dict[str, int]:
        found = {}
        for name, server in self.servers.items():
            with redis.Redis(port=server.port) as client:
                found[name] = cast("int", client.llen("rq:queue:high"))
        return found

    def alive(self) -> list[Daemon]:
        return [daemon for daemon in self.exporters.values() if daemon.process.poll() is None]

    def by_metrics(self) -> dict[str, int]:
        """``max by (redis) (jobqueue_jobs{queue="high", state="waiting"})`` over the exporters that live."""
        found: dict[str, int] = {}
        for daemon in self.alive():
            for labels, value in daemon.samples("jobqueue_jobs").items():
                told = dict(labels)
                if (told["queue"], told["state"]) == ("high", "waiting"):
                    found[told["redis"]] = max(int(value), found.get(told["redis"], 0))
        return found

    def by_cache(self) -> dict[str, int]:
        """The same out of the latest snapshots in the cache."""
        found: dict[str, int] = {}
        with redis.Redis(port=self.bus.port) as client:
            for host in HOSTS:
                body = cast("bytes | None", client.get(stream.LATEST_PREFIX + host))
                snapshot = stream.unpack(body) if body is not None else None
                if snapshot is None or time.time() - snapshot.slot.timestamp() > 3 * INTERVAL:
                    continue
                for part in snapshot.queues:
                    for queue in part.queues:
                        found[part.redis] = max(queue.live.waiting or 0, found.get(part.redis, 0))
        return found

    def by_sql(self) -> dict[str, int]:
        """The same out of the newest slot that has a backlog of that Redis."""
        with psycopg.connect(self.dsn) as connection:
            rows = connection.execute(
                """
                SELECT DISTINCT ON (redis) redis, max(pending)
                FROM depthgauge.worker_snapshots
                WHERE system = 'rq' AND queue = 'high' AND pending IS NOT NULL
                GROUP BY redis, recorded_at
                ORDER BY redis, recorded_at DESC
                """
            ).fetchall()
        return {name: int(pending) for name, pending in rows}

    def settled(self) -> bool:
        truth = self.truth()
        return self.by_metrics() == truth and self.by_cache() == truth and self.by_sql() == truth

    def holder(self, name: str) -> str:
        """The host whose exporter reads this Redis now."""
        holders = [
            host
            for host, daemon in self.exporters.items()
            if daemon.process.poll() is None and daemon.value("jobqueue_up", redis=name) == 1
        ]
        assert len(holders) == 1, holders
        return holders[0]


@pytest.fixture
def fleet(make_daemon: MakeDaemon, make_redis: MakeRedis, timescale_database: str) -> Fleet:
    return Fleet(make_daemon, make_redis, timescale_database)


def test_totals_equal_the_true_lengths_during_and_after_a_take_over(fleet: Fleet) -> None:
    fleet.enqueue("a", 5)
    fleet.enqueue("b", 7)
    wait_for(fleet.settled, 30, what="all three places show the true lengths")

    holder = fleet.holder("a")
    fleet.exporters[holder].kill()
    died = time.monotonic()
    while not fleet.by_metrics().get("a"):
        # During the take-over a number may be missing; it is never another one.
        assert fleet.by_metrics().get("a", 5) == 5
        assert fleet.by_metrics().get("b", 7) == 7
        assert fleet.by_sql() == {"a": 5, "b": 7}
        assert time.monotonic() - died < 3 * INTERVAL + 3
    fleet.enqueue("a", 4)
    wait_for(fleet.settled, 30, what="the new holder's numbers are the true ones")

    assert fleet.holder("a") != holder


def test_the_ledger_holds_every_snapshot_once(fleet: Fleet) -> None:
    wait_for(lambda: all((daemon.value("depthgauge_bus_published_total") or 0) >= 3 for daemon in fleet.alive()), 30)
    published = {}
    for host, daemon in fleet.exporters.items():
        assert daemon.stop() == 0, daemon.text
        published[host] = True
    with redis.Redis(port=fleet.bus.port) as client:
        wait_for(lambda: client.xlen(stream.STREAM) == 0, 20, what="the sink has drained the stream")
    with psycopg.connect(fleet.dsn) as connection:
        rows = connection.execute(
            "SELECT host, min(seq), max(seq), count(*), count(DISTINCT seq) FROM depthgauge.snapshots GROUP BY host, run_id"
        ).fetchall()

    assert {row[0] for row in rows} == set(HOSTS)
    for _, first, last, count, distinct in rows:
        assert first == 1
        assert count == distinct == last


def test_a_host_name_in_use_is_not_published_twice(fleet: Fleet, make_daemon: MakeDaemon) -> None:
    double = make_daemon("exporter", config("web-1", fleet.servers, fleet.bus, fleet.dsn)).ready()

    wait_for(lambda: "another exporter publishes under this host name" in double.text, 15)
    assert double.value("depthgauge_bus_published_total") == 0
    assert double.samples("depthgauge_snapshot_timestamp_seconds")
