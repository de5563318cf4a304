"""Workers of every system, run by their own programs under a real supervisord: each process once, whatever it forks."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import pytest

from depthgauge.secrets import Secret
from depthgauge.snapshot import Supervisor
from exporter.assembly import Assembly, utc_now
from exporter.collect import EveryoneCollects, Leases
from exporter.settings import ExporterSettings, RedisSettings, SupervisorSettings
from exporter.slots import slot_of
from tests.plugins.environments import environment_of
from tests.plugins.laravel import MakeLaravel
from tests.plugins.ports import free_port
from tests.plugins.proxy import MakeProxy
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import MakeRedis, RedisServer
from tests.plugins.supervisord import MakeSupervisord, Program
from tests.plugins.systems import PROGRAMS
from tests.plugins.waiting import wait_for

START = 60.0
"""Seconds for a dozen interpreters on a busy machine."""


class Exporter:
    """An exporter without its loop: each ``look`` is a cycle."""

    def __init__(self, url: str, *redises: RedisSettings, leases: Leases | None = None) -> None:
        settings = ExporterSettings(
            host="web-1", supervisors=(SupervisorSettings(name="main", url=url),), redis=redises
        )
        self.assembly = Assembly(settings, run_id="r1", leases=leases or EveryoneCollects())
        self._seqs = itertools.count()

    def look(self) -> Supervisor:
        (seen,) = self.assembly.collector.take(slot_of(utc_now(), 0.01), seq=next(self._seqs)).supervisors
        return seen


MakeExporter: TypeAlias = Callable[..., Exporter]


def by_queue(seen: Supervisor) -> Mapping[str, int]:
    return {f"{each.system}:{each.queue}": each.processes for each in seen.workers}


def by_system(seen: Supervisor) -> Mapping[str, int]:
    return {each.system: each.processes for each in seen.worker_processes}


def children(seen: Supervisor) -> Mapping[str, int]:
    return {each.name: (each.resources.children if each.resources else None) or 0 for each in seen.processes}


@pytest.fixture
def make_exporter() -> Iterator[MakeExporter]:
    """Give a function that makes exporters, closed after the test."""
    made: list[Exporter] = []

    def make(url: str, *redises: RedisSettings, leases: Leases | None = None) -> Exporter:
        made.append(Exporter(url, *redises, leases=leases))
        return made[-1]

    yield make
    for each in made:
        each.assembly.close()


COMMANDS = {
    "celery": "{systems}/celery -A workers_celery worker -Q high,default -c 2",
    "celery-plain": "{systems}/celery -A workers_celery worker -P solo -n plain",
    "rq": "{systems}/rq worker --url {redis} high default",
    "rq-pool": "{systems}/rq worker-pool --url {redis} -n 2 pool",
    "dramatiq": "{systems}/dramatiq workers_dramatiq -Q high default -p 2 -t 1",
    "taskiq": "{systems}/taskiq worker workers_taskiq:broker -w 2",
    "huey": "{systems}/huey_consumer workers_huey.huey -k process -w 2",
    "arq": "{redis5}/arq workers_arq.Settings",
    "saq": "{redis5}/saq workers_saq.settings --workers 2",
    "sidekiq": "sidekiq -q high,2 -q default -r ./workers_sidekiq.rb",
    "resque": "rake -f workers_resque.rb resque:work",
    "laravel": "sh -c 'cd {laravel} && php artisan queue:work redis --queue=high,default; true'",
    "no-worker": "{systems}/python -c 'import time; time.sleep(600)'",
}
CHILDREN = {"celery": 2, "rq-pool": 2, "dramatiq": 2, "taskiq": 2, "huey": 2, "saq": 1, "laravel": 1}
"""How many processes each of them has at least once it works."""
TOLD = ("celery", "rq", "dramatiq", "sidekiq", "resque", "laravel")
QUEUES = {
    **{f"{system}:{queue}": 1 for system in TOLD for queue in ("high", "default")},
    "celery:celery": 1,
    "rq:pool": 1,
}
SYSTEMS = {
    "celery": 2,
    "rq": 2,
    "dramatiq": 1,
    "sidekiq": 1,
    "resque": 1,
    "laravel": 1,
    "taskiq": 1,
    "huey": 1,
    "arq": 1,
    "saq": 1,
}


@pytest.mark.needs("systems", "systems-redis5", "sidekiq", "laravel", "redis-server")
@pytest.mark.proves("saq", "command line")
@pytest.mark.proves("arq", "command line")
@pytest.mark.proves("huey", "command line")
@pytest.mark.proves("taskiq", "command line")
@pytest.mark.proves("laravel", "command line")
@pytest.mark.proves("sidekiq", "command line")
@pytest.mark.proves("dramatiq", "command line")
@pytest.mark.proves("rq", "command line")
@pytest.mark.proves("celery", "command line")
def test_workers_of_every_system(
    redis_server: RedisServer,
    make_supervisord: MakeSupervisord,
    make_laravel: MakeLaravel,
    make_exporter: MakeExporter,
) -> None:
    systems, redis5 = environment_of("systems"), environment_of("systems-redis5")
    assert systems is not None
    assert redis5 is not None
    words = {
        "systems": systems / "bin",
        "redis5": redis5 / "bin",
        "redis": redis_server.url,
        "laravel": make_laravel().folder,
    }
    environment = {
        "REDIS_URL": redis_server.url,
        "REDIS_PORT": redis_server.port,
        "PYTHONPATH": PROGRAMS,
        # Resque's title while a job runs: its queues stand in the environment only.
        "QUEUES": "high,default",
        "TITLE": "Forked 4711 at 1700000000",
    }
    options = {
        "directory": str(PROGRAMS),
        "autostart": "false",
        "killasgroup": "true",
        "environment": ",".join(f'{name}="{value}"' for name, value in environment.items()),
    }
    programs = [Program(name, line.format(**words), options=options) for name, line in COMMANDS.items()]
    supervisord = make_supervisord(programs)
    exporter = make_exporter(supervisord.unix_url, RedisSettings(name="default", url=Secret(redis_server.url)))
    before = exporter.look()
    assert (before.workers, before.worker_processes) == ((), ()), "what never ran is unknown, not 0"

    supervisord.rpc.startAllProcesses(False)
    states: dict[str, Mapping[str, int]] = {}

    def complete() -> bool:
        seen = exporter.look()
        states.update(queues=by_queue(seen), systems=by_system(seen), children=children(seen))
        grown = all(states["children"][name] >= count for name, count in CHILDREN.items())
        return grown and states["queues"] == QUEUES and states["systems"] == SYSTEMS

    wait_for(complete, START, step=0.3, what=f"each process is counted once: {states}")
    seen = exporter.look()
    assert (by_queue(seen), by_system(seen)) == (QUEUES, SYSTEMS)
    served = {each.name: {queue.queue for queue in each.serves} for each in seen.processes}
    assert served["celery"] == served["laravel"] == {"high", "default"}
    assert served["arq"] == served["no-worker"] == set()
    assert exporter.assembly.unmapped == frozenset()

    supervisord.rpc.stopAllProcesses()
    gone = exporter.look()
    assert by_queue(gone) == dict.fromkeys(QUEUES, 0)
    assert by_system(gone) == dict.fromkeys(SYSTEMS, 0)
    anew = make_exporter(supervisord.unix_url, RedisSettings(name="default", url=Secret(redis_server.url))).look()
    assert (anew.workers, anew.worker_processes) == ((), ()), "an exporter that starts anew has known none"


def stand_in(folder: Path, name: str, words: str, *, command: str = "{0} {1}") -> Program:
    """Return a program of that name that does nothing with these words."""
    path = folder / name
    path.write_text("#!/bin/sh\nsleep 600; true\n")
    path.chmod(0o755)
    return Program(name, command.format(path, words))


def test_remote_supervisord_tells_by_its_own_settings(
    make_supervisord: MakeSupervisord, make_proxy: MakeProxy, make_exporter: MakeExporter, tmp_path: Path
) -> None:
    """A proxy stands between, so that its pids may be any host's: no process is read here."""
    supervisord = make_supervisord(
        [
            stand_in(tmp_path, "celery", "-A app worker -Q high,default"),
            stand_in(tmp_path, "rq", "worker mail", command="sh -c 'cd / && exec {0} {1} > /dev/null 2>&1'"),
            stand_in(tmp_path, "sidekiq", "-C config.yml", command="env A=b {0} {1}"),
            Program("idle", "sleep 600"),
        ]
    )
    for name in ("celery", "rq", "sidekiq", "idle"):
        supervisord.wait_for_state(name, "RUNNING")
    default = RedisSettings(name="default", url=Secret("redis://127.0.0.1:1"))
    exporter = make_exporter(f"unix://{make_proxy(str(supervisord.socket_path)).path}", default)
    assert by_queue(exporter.look()) == {}, "it is asked when the first reading has shown the need"
    seen = exporter.look()
    assert all(each.resources is None for each in seen.processes)
    assert by_queue(seen) == {"celery:high": 1, "celery:default": 1, "rq:mail": 1}
    assert by_system(seen) == {"celery": 1, "rq": 1, "sidekiq": 1}
    supervisord.rpc.stopProcess("celery")
    assert by_queue(exporter.look()) == {"celery:high": 0, "celery:default": 0, "rq:mail": 1}


def test_local_supervisord_is_not_asked_for_its_settings_where_command_lines_tell_enough(
    make_supervisord: MakeSupervisord, make_exporter: MakeExporter
) -> None:
    supervisord = make_supervisord([Program("idle", "sleep 600")])
    supervisord.wait_for_state("idle", "RUNNING")
    exporter = make_exporter(supervisord.unix_url)
    exporter.look()
    seen = exporter.look()
    assert seen.processes[0].resources is not None
    assert exporter.assembly.commands == {"main": {}}


class SomebodyElseCollects:
    """The leases of an exporter that never gets one."""

    def allows(self, target: str, *, kind: str = "redis") -> bool:
        return False


class OnlyTheFirst:
    """The leases of an exporter that reads one of two."""

    def allows(self, target: str, *, kind: str = "redis") -> bool:
        return target == "one"


def test_workers_stay_mapped_where_another_exporter_reads_every_redis(
    make_supervisord: MakeSupervisord, make_exporter: MakeExporter, make_redis: MakeRedis, tmp_path: Path
) -> None:
    supervisord = make_supervisord([stand_in(tmp_path, "rq", "worker mail")])
    supervisord.wait_for_state("rq", "RUNNING")
    servers = {name: make_redis() for name in ("one", "two")}
    redises = [RedisSettings(name=name, url=Secret(each.url)) for name, each in servers.items()]
    alone = make_exporter(supervisord.unix_url, redises[0], leases=SomebodyElseCollects())
    assert by_queue(alone.look()) == {"rq:mail": 1}, "there is one Redis only where it can be"
    assert servers["one"].command_calls().get("scan") is None, "so nobody has to look into it"

    both = make_exporter(supervisord.unix_url, *redises, leases=SomebodyElseCollects())
    servers["two"].client().sadd("rq:queues", "rq:queue:mail")
    assert by_queue(both.look()) == {}, "nobody knows yet in which"
    wait_for(lambda: both.look().workers != (), what="both were looked into")
    workers = both.look().workers
    assert [(each.redis, each.system, each.queue, each.processes) for each in workers] == [("two", "rq", "mail", 1)]
    assert both.assembly.unmapped == frozenset()


def test_queue_that_both_have_is_not_certain_whoever_reads_them(
    make_supervisord: MakeSupervisord, make_exporter: MakeExporter, make_redis: MakeRedis, tmp_path: Path
) -> None:
    """An exporter that reads only one of them must not take the other for empty."""
    supervisord = make_supervisord([stand_in(tmp_path, "rq", "worker mail")])
    supervisord.wait_for_state("rq", "RUNNING")
    redises = []
    for name in ("one", "two"):
        server = make_redis()
        server.client().sadd("rq:queues", "rq:queue:mail")
        redises.append(RedisSettings(name=name, url=Secret(server.url)))
    exporter = make_exporter(supervisord.unix_url, *redises, leases=OnlyTheFirst())

    def knows_both() -> bool:
        assert by_queue(exporter.look()) == {}
        return all(("rq", "mail") in (each.known() or ()) for each in exporter.assembly.redis)

    wait_for(knows_both, what="both were looked into")
    assert by_queue(exporter.look()) == {}
    assert {each.queue for each in exporter.assembly.unmapped} == {"mail"}


def test_redis_that_another_exporter_took_over_is_looked_into(
    redis_server: RedisServer, make_source: MakeSource
) -> None:
    source = make_source(redis_server.url, discovery_interval=0.05)
    redis_server.client().sadd("rq:queues", "rq:queue:old")
    assert ("rq", "old") in read(source)
    assert source.known() == (("rq", "old"),)
    source.stand_by()
    redis_server.client().sadd("rq:queues", "rq:queue:new")

    def known() -> set[tuple[str, str]]:
        source.look()
        return set(source.known() or ())

    wait_for(lambda: known() == {("rq", "old"), ("rq", "new")}, what="the new queue is known without a reading")


def test_redis_that_is_away_from_the_start_does_not_unmap_the_workers_of_another(
    make_supervisord: MakeSupervisord, make_exporter: MakeExporter, redis_server: RedisServer, tmp_path: Path
) -> None:
    supervisord = make_supervisord([stand_in(tmp_path, "rq", "worker mail")])
    supervisord.wait_for_state("rq", "RUNNING")
    redis_server.client().sadd("rq:queues", "rq:queue:mail")
    there = RedisSettings(name="there", url=Secret(redis_server.url))
    away = RedisSettings(name="away", url=Secret(f"redis://127.0.0.1:{free_port()}/0"))
    exporter = make_exporter(supervisord.unix_url, there, away)
    wait_for(lambda: by_queue(exporter.look()) == {"rq:mail": 1}, what="the worker is mapped to the one that is there")
