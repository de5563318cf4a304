"""Workers of every system, run by their own programs under a real supervisord: each process once, whatever it forks."""

import itertools
import os
import sys
from collections.abc import Iterator, Mapping

import pytest

from depthgauge.secrets import Secret
from depthgauge.snapshot import Process, Supervisor
from exporter.assembly import Assembly, utc_now
from exporter.collect import EveryoneCollects
from exporter.settings import ExporterSettings, RedisSettings, SupervisorSettings
from exporter.slots import slot_of
from tests.plugins.environments import environment_of
from tests.plugins.laravel import MakeLaravel
from tests.plugins.redis_server import RedisServer
from tests.plugins.supervisord import MakeSupervisord, Program, Supervisord, running_supervisord
from tests.plugins.systems import PROGRAMS
from tests.plugins.waiting import wait_for

START = 40.0
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


def by_queue(seen: Supervisor) -> Mapping[tuple[str, str], int]:
    return {(each.system, each.queue): each.processes for each in seen.workers}


def by_system(seen: Supervisor) -> Mapping[str, int]:
    return {each.system: each.processes for each in seen.worker_processes}
