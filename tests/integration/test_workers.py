"""Workers of every system, run by their own programs under a real supervisord: each process once, whatever it forks."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import pytest

from depthgauge.secrets import Secret
from depthgauge.snapshot import Supervisor
from exporter.assembly import Assembly, utc_now
from exporter.collect import EveryoneCollects
from exporter.settings import ExporterSettings, RedisSettings, SupervisorSettings
from exporter.slots import slot_of
from tests.plugins.environments import environment_of
from tests.plugins.laravel import MakeLaravel
from tests.plugins.proxy import MakeProxy
from tests.plugins.redis_server import RedisServer
from tests.plugins.supervisord import MakeSupervisord, Program
from tests.plugins.systems import PROGRAMS
from tests.plugins.waiting import wait_for

START = 60.0
"""Seconds for a dozen interpreters on a busy machine."""


class Exporter:
    """An exporter without its loop: each ``look`` is a cycle."""

    def __init__(self, url: str, *redises: RedisSettings) -> None:
        settings = ExporterSettings(
            host="web-1", supervisors=(SupervisorSettings(name="main", url=url),), redis=redises
        )
        self.assembly = Assembly(settings, run_id="r1", leases=EveryoneCollects())
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

    def make(url: str, *redises: RedisSettings) -> Exporter:
        made.append(Exporter(url, *redises))
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
    states = {}

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


def test_remote_supervisord_tells_by_its_own_settings(
    make_supervisord: MakeSupervisord, make_proxy: MakeProxy, make_exporter: MakeExporter, tmp_path: Path
) -> None:
    """A proxy stands between, so that its pids may be any host's: no process is read here."""

    def program(name: str, command: str, *, stands_in: str) -> Program:
        path = tmp_path / stands_in
        path.write_text("#!/bin/sh\nexec sleep 600\n")
        path.chmod(0o755)
        return Program(name, command.format(tmp_path), options={"environment": 'QUEUE="secret",PATH="/bin:/usr/bin"'})

    supervisord = make_supervisord(
        [
            program("high", "{}/celery -A app worker -Q high,default", stands_in="celery"),
            program("shell", "sh -c 'cd / && exec {}/rq worker mail > /dev/null 2>&1'", stands_in="rq"),
            program("sidekiq", "env A=b {}/sidekiq -C config.yml", stands_in="sidekiq"),
            Program("idle", "sleep 600"),
        ]
    )
    for name in ("high", "shell", "sidekiq", "idle"):
        supervisord.wait_for_state(name, "RUNNING")
    default = RedisSettings(name="default", url=Secret("redis://127.0.0.1:1"))
    exporter = make_exporter(f"unix://{make_proxy(str(supervisord.socket_path)).path}", default)
    assert by_queue(exporter.look()) == {}, "it is asked when the first reading has shown the need"
    seen = exporter.look()
    assert all(each.resources is None for each in seen.processes)
    assert by_queue(seen) == {"celery:high": 1, "celery:default": 1, "rq:mail": 1}
    assert by_system(seen) == {"celery": 1, "rq": 1, "sidekiq": 1}
    supervisord.rpc.stopProcess("high")
    assert by_queue(exporter.look()) == {"celery:high": 0, "celery:default": 0, "rq:mail": 1}


def test_local_supervisord_is_not_asked_for_its_settings_where_command_lines_tell_enough(
    make_supervisord: MakeSupervisord, make_exporter: MakeExporter
) -> None:
    supervisord = make_supervisord([Program("idle", "sleep 600")])
    supervisord.wait_for_state("idle", "RUNNING")
    exporter = make_exporter(supervisord.unix_url)
    for _ in range(3):
        seen = exporter.look()
    assert seen.processes[0].resources is not None
    assert exporter.assembly.commands == {"main": {}}
