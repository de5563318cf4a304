"""A real Prometheus scrapes a real exporter and answers queries about it."""

import pytest
import redis
import rq

from tests.plugins.daemons import MakeDaemon
from tests.plugins.prometheus import MakePrometheus
from tests.plugins.redis_server import RedisServer
from tests.plugins.supervisord import MakeSupervisord, Program, python
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("prometheus", "redis-server", "rq", "supervisord")

NOBODY_WORKS = (
    '(max by (redis, system, queue) (jobqueue_jobs{state="waiting"}) > 0)'
    " and on (redis, system, queue) ("
    "(sum by (redis, system, queue) (jobqueue_workers) + sum by (redis, system, queue) (jobqueue_registry_workers)) == 0"
    " or sum by (redis, system, queue) (jobqueue_registry_workers) == 0"
    " unless on (redis, system, queue) jobqueue_workers)"
)


def test_prometheus_answers_with_the_true_numbers(
    make_daemon: MakeDaemon,
    make_prometheus: MakePrometheus,
    make_supervisord: MakeSupervisord,
    redis_server: RedisServer,
) -> None:
    with redis.Redis(port=redis_server.port) as client:
        for name, count in {"served": 3, "alone": 5}.items():
            for _ in range(count):
                rq.Queue(name, connection=client).enqueue("builtins.print")
    sleeper = python("import time; time.sleep(600)")
    supervisord = make_supervisord(
        [Program("worker", sleeper), Program("off", sleeper, options={"autostart": "false"})]
    )
    exporter = make_daemon(
        "exporter",
        "[exporter]\ninterval = 1\n"
        f'[[supervisor]]\nname = "main"\nurl = "{supervisord.unix_url}"\n'
        '[[supervisor.queues]]\nprogram = "worker"\nsystem = "rq"\nqueues = ["served"]\n'
        f'[[redis]]\nname = "default"\nurl = "{redis_server.url}"\n',
    ).ready()
    prometheus = make_prometheus(exporter=exporter.url.removeprefix("http://"))

    wait_for(lambda: prometheus.one("up") == 1, 30)
    wait_for(lambda: prometheus.one('sum(jobqueue_jobs{state="waiting"})') == 8, 30)
    assert prometheus.one('jobqueue_jobs{queue="alone", state="waiting"}') == 5
    assert prometheus.query("supervisor_process_up") == {
        frozenset({("supervisor", "main"), ("group", "worker"), ("process", "worker")}): 1,
        frozenset({("supervisor", "main"), ("group", "off"), ("process", "off")}): 0,
    }
    age = prometheus.one('time() - jobqueue_oldest_job_timestamp_seconds{queue="served"}')
    assert age is not None
    assert 0 <= age < 60
    assert prometheus.query("scrape_samples_scraped > 50")
    wait_for(lambda: prometheus.query(NOBODY_WORKS), 10)
    assert [dict(labels)["queue"] for labels in prometheus.query(NOBODY_WORKS)] == ["alone"]
