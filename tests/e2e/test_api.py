"""The live API of real exporters: the fleet's numbers are the queues' true lengths, whatever happens to the bus."""

import contextlib
import http.client
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import pytest
import redis
import rq

from depthgauge.stream import HOSTS, LATEST_PREFIX
from tests.plugins.api import Answer, state_of, token_of
from tests.plugins.daemons import Daemon, MakeDaemon
from tests.plugins.redis_server import MakeRedis, RedisServer
from tests.plugins.supervisord import MakeSupervisord, Program, python
from tests.plugins.waiting import wait_for

pytestmark = [pytest.mark.needs("redis-server", "rq")]

INTERVAL = 2.0
"""Seconds; at one second a lease, which lasts 1.5 at least, is taken over later than three intervals."""
HOSTS_OF_FLEET = ("web-1", "web-2", "web-3")
STATS = "/api/system/queue/stats"


def config(folder: Path, host: str, servers: dict[str, RedisServer], bus: RedisServer | None) -> str:
    sections = "".join(
        f'[[redis]]\nname = "{name}"\nurl = "{server.url}"\nsystems = ["rq"]\nqueues = ["high", "low"]\n'
        for name, server in servers.items()
    )
    tail = f'[bus]\nurl = "{bus.url}"\n' if bus is not None else ""
    return f'[exporter]\nhost = "{host}"\ninterval = {INTERVAL:g}\n{state_of(folder)}{sections}{tail}'


class Fleet:
    def __init__(self, make_daemon: MakeDaemon, make_redis: MakeRedis, top: Path, hosts: int) -> None:
        self.servers = {"a": make_redis(), "b": make_redis()}
        self.bus = make_redis()
        self.exporters = {
            host: make_daemon("exporter", config(top / host, host, self.servers, self.bus), folder=top / host)
            for host in HOSTS_OF_FLEET[:hosts]
        }
        for daemon in self.exporters.values():
            daemon.ready()

    def enqueue(self, name: str, count: int, *, queue: str = "high") -> None:
        with redis.Redis(port=self.servers[name].port) as client:
            for _ in range(count):
                rq.Queue(queue, connection=client).enqueue("builtins.print")

    def alive(self) -> list[Daemon]:
        return [daemon for daemon in self.exporters.values() if daemon.process.poll() is None]

    def stats(self) -> list[Any]:
        """What every exporter that lives says."""
        answers = [Answer(daemon, STATS) for daemon in self.alive()]
        assert [answer.status for answer in answers] == [200] * len(answers)
        return [answer.told for answer in answers]

    def pending(self) -> set[int | None]:
        return {told["pending"] for told in self.stats()}

    def holder(self, name: str) -> str:
        return wait_for(
            lambda: next(
                (
                    host
                    for host, daemon in self.exporters.items()
                    if daemon.process.poll() is None and daemon.value("jobqueue_up", redis=name) == 1
                ),
                None,
            )
        )


MakeFleet: TypeAlias = Callable[[int], Fleet]


@pytest.fixture
def make_fleet(make_daemon: MakeDaemon, make_redis: MakeRedis, tmp_path: Path) -> MakeFleet:
    return lambda hosts: Fleet(make_daemon, make_redis, tmp_path, hosts)


def test_every_exporter_tells_the_true_lengths_before_during_and_after_a_take_over(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(3)
    fleet.enqueue("a", 5)
    fleet.enqueue("b", 7)
    fleet.enqueue("b", 1, queue="low")
    wait_for(lambda: fleet.pending() == {13}, 20, what="all exporters tell of 13 jobs")
    for told in fleet.stats():
        assert told["source"] == "cache"
        assert told["pendingByQueue"] == {"high": 12, "low": 1}
        assert (told["hosts"], told["missingHosts"]) == (list(HOSTS_OF_FLEET), [])
        assert told["ageSeconds"] < 3 * INTERVAL

    holder = fleet.holder("a")
    fleet.exporters[holder].kill()
    died = time.monotonic()

    def steady() -> bool:
        # The dead one's last snapshot bridges the time until somebody else reads the queue.
        assert fleet.pending() == {13}
        return time.monotonic() - died > 5 * INTERVAL

    wait_for(steady, 20, step=0.1)
    assert [told["missingHosts"] for told in fleet.stats()] == [[holder]] * 2
    fleet.enqueue("a", 4)
    wait_for(lambda: fleet.pending() == {17}, 20, what="the new holder's numbers are the true ones")
    # Numbers of the page for machines: the same.
    by_metrics = sum(
        value
        for daemon in fleet.alive()
        for labels, value in daemon.samples("jobqueue_jobs").items()
        if ("state", "waiting") in labels
    )
    assert by_metrics == 17


def test_a_bus_that_is_killed_costs_less_than_a_second(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(2)
    fleet.enqueue("a", 3)
    wait_for(lambda: fleet.pending() == {3}, 20)
    fleet.bus.kill()
    died = time.monotonic()
    daemon = fleet.exporters["web-1"]

    def direct() -> Answer | None:
        answer = Answer(daemon, STATS)
        assert answer.status == 200
        return answer if answer.told["source"] == "direct" else None

    answer = wait_for(direct, 1.5, step=0.05)
    assert time.monotonic() - died < 1.5
    assert (answer.status, answer.told["hosts"]) == (200, ["web-1"])
    assert answer.told["missingHosts"] == ["web-2"]
    # Without a bus nobody can agree: each reads for itself.
    wait_for(lambda: fleet.pending() == {3}, 20, what="each exporter tells what it reads itself")
    assert (daemon.value("depthgauge_fleet_read_errors_total", reason="refused") or 0) > 0

    fleet.bus.start()
    wait_for(lambda: Answer(daemon, STATS).told["source"] == "cache", 20, what="the fleet is back")


def test_a_frozen_bus_delays_no_scrape_and_is_waited_for_once_for_all(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(1)
    fleet.enqueue("b", 2)
    wait_for(lambda: fleet.pending() == {2}, 20)
    daemon = fleet.exporters["web-1"]
    fleet.bus.pause()
    try:
        scrapes, answers = [], []
        with ThreadPoolExecutor(20) as pool:
            for _ in range(4):
                # A view is kept for a second, so that most rounds need a new one.
                until = time.monotonic() + 0.8
                waiting = [pool.submit(Answer, daemon, STATS) for _ in range(20)]
                while time.monotonic() < until or not all(each.done() for each in waiting):
                    scrapes.append(Answer(daemon, "/metrics").seconds)
                answers += [each.result() for each in waiting]
    finally:
        fleet.bus.resume()

    assert {answer.status for answer in answers} == {200}
    assert "direct" in {answer.told["source"] for answer in answers}
    assert max(answer.seconds for answer in answers) < 2
    assert len(scrapes) > 20
    assert sorted(scrapes)[len(scrapes) * 95 // 100] < 0.2
    # 20 callers at a time, and a reading for all of them.
    assert (daemon.value("depthgauge_fleet_read_errors_total", reason="timeout") or 0) <= 4


def test_what_is_spoilt_in_the_cache_is_left_out_and_its_host_is_missing(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(1)
    wait_for(lambda: fleet.stats()[0]["hosts"] == ["web-1"], 20)
    with redis.Redis(port=fleet.bus.port) as client:
        client.set(f"{LATEST_PREFIX}spoilt", b"no snapshot")
        client.zadd(HOSTS, {"spoilt": time.time(), "long gone": time.time() - 90_000})
    daemon = fleet.exporters["web-1"]

    wait_for(lambda: Answer(daemon, STATS).told["missingHosts"] == ["spoilt"], 5)
    assert daemon.value("depthgauge_fleet_skipped_snapshots_total", reason="corrupt") == 1


def test_a_hundred_callers_at_once_share_one_collection(
    make_daemon: MakeDaemon, redis_server: RedisServer, tmp_path: Path
) -> None:
    with redis_server.client() as client:
        client.sadd("rq:queues", "rq:queue:high")
        client.rpush("rq:queue:high", "a", "b")
    # No bus, nothing in the cache, and nothing collected yet: its first collection hangs in a frozen Redis.
    told = config(tmp_path, "web-1", {"a": redis_server}, None).replace(f"interval = {INTERVAL:g}", "interval = 60")
    wait_for(lambda: time.time() % 60 < 50, 15, what="a slot that does not end during the test")
    redis_server.pause()
    with contextlib.ExitStack() as stack:
        try:
            daemon = make_daemon("exporter", told, folder=tmp_path)
            callers = [
                stack.enter_context(
                    contextlib.closing(http.client.HTTPConnection(urlsplit(daemon.url).netloc, timeout=10))
                )
                for _ in range(100)
            ]
            for caller in callers:
                caller.request("GET", STATS, headers={"Authorization": f"Bearer {token_of(daemon)}"})
        finally:
            redis_server.resume()
        answers = [caller.getresponse() for caller in callers]
        bodies = {(answer.status, answer.read()) for answer in answers}

    [(status, body)] = bodies
    assert (status, json.loads(body)["pending"]) == (200, 2), body
    assert daemon.value("depthgauge_http_evicted_connections_total") == 0
    with redis_server.client() as client:
        # The head of each of the two queues was read once.
        assert client.info("commandstats")["cmdstat_lrange"]["calls"] == 2


def test_headers_and_methods(make_daemon: MakeDaemon, redis_server: RedisServer, tmp_path: Path) -> None:
    daemon = make_daemon("exporter", config(tmp_path, "web-1", {"a": redis_server}, None), folder=tmp_path).ready()
    first = Answer(daemon, "/api/openapi.json")

    assert (first.status, first.headers["Cache-Control"]) == (200, "no-cache, private")
    assert first.headers["Content-Type"] == "application/json"
    again = Answer(daemon, "/api/openapi.json", if_none_match=first.headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    squeezed = Answer(daemon, "/api/openapi.json", accept_encoding="gzip")
    assert squeezed.headers["Content-Encoding"] == "gzip"
    assert len(squeezed.body) < len(first.body) / 3
    head = Answer(daemon, "/api/openapi.json", method="HEAD")
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(first.body)))
    assert Answer(daemon, "/api/openapi.json", method="POST").status == 405
    assert Answer(daemon, "/api/nothing").told["error"]["code"] == "not_found"
    assert Answer(daemon, f"{STATS}?x=1").told["error"]["parameter"] == "x"
    assert Answer(daemon, STATS).told["source"] == "direct"


@pytest.mark.needs("supervisord")
def test_processes_of_a_real_supervisord(
    make_daemon: MakeDaemon, redis_server: RedisServer, make_supervisord: MakeSupervisord, tmp_path: Path
) -> None:
    supervisord = make_supervisord(
        [
            Program("busy", python("while True: pass")),
            Program("idle", python("import time; time.sleep(600)")),
            Program("gone", python("raise SystemExit(3)")),
        ]
    )
    sections = (
        f'[[supervisor]]\nname = "main"\nurl = "{supervisord.unix_url}"\n'
        '[[supervisor.queues]]\nprogram = "idle"\nsystem = "rq"\nqueues = ["high", "low"]\n'
        '[[supervisor]]\nname = "away"\nurl = "unix:///nonexistent/s.sock"\n'
    )
    told = config(tmp_path, "web-1", {"a": redis_server}, None) + sections
    daemon = make_daemon("exporter", told, folder=tmp_path).ready()

    def read() -> Any:
        found = Answer(daemon, "/api/system/workers").told
        return found if any(each["cpuRatio"] for each in found["data"]) else None

    found = wait_for(read, 20, what="a second reading tells the share of a CPU", step=0.2)
    busy, gone, idle = sorted(found["data"], key=lambda each: str(each["process"]))

    assert (busy["process"], busy["state"], busy["stateCode"]) == ("busy", "RUNNING", 20)
    assert 0.05 < busy["cpuRatio"] <= 1.3
    assert busy["uptimeSeconds"] >= 1
    assert busy["residentMemoryBytes"] > 1_000_000
    assert idle["queues"] == [{"redis": "a", "system": "rq", "queue": name} for name in ("high", "low")]
    assert idle["cpuRatio"] < 0.3
    assert (gone["state"], gone["exitStatus"], gone["pid"], gone["uptimeSeconds"]) == ("EXITED", 3, None, None)
    ups = {each["supervisor"]: (each["up"], each["running"]) for each in found["supervisors"]}
    assert ups == {"main": (True, 2), "away": (False, None)}
    stats = Answer(daemon, STATS).told
    assert (stats["workers"], stats["workersByQueue"]) == (1, {"high": 1, "low": 1})
    [lost] = [each for each in Answer(daemon, "/api/system/health").told["sources"] if not each["up"]]
    assert (lost["kind"], lost["target"], lost["error"]) == ("supervisor", "away", "socket_missing")
