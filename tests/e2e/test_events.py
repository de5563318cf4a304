"""Each change of a real process in the database, whatever befalls the daemons on its way there."""

from functools import partial
from pathlib import Path

import pytest

from depthgauge.secrets import Secret
from sink.migrate import migrate
from tests.plugins.daemons import MakeDaemon
from tests.plugins.listeners import NAME, Listened
from tests.plugins.redis_server import RedisServer
from tests.plugins.sinks import select
from tests.plugins.supervisord import MakeSupervisord, Program
from tests.plugins.waiting import wait_for

pytestmark = [pytest.mark.needs("redis-server", "supervisord", "postgres"), pytest.mark.timeout(120)]

PROGRAMS = (
    Program("job", "true", options={"autostart": "false", "startsecs": "0"}),
    Program("steady", "sleep 600", options={"autostart": "false", "startsecs": "0"}),
)


def test_exact_changes_arrive_once_though_the_exporter_is_killed_and_away(
    make_daemon: MakeDaemon,
    make_supervisord: MakeSupervisord,
    redis_server: RedisServer,
    postgres_database: str,
    tmp_path: Path,
) -> None:
    migrate(Secret(postgres_database))
    state_dir = tmp_path / "state"
    state_dir.mkdir()
    listened = Listened(make_supervisord, PROGRAMS, state_dir)
    wait_for(listened.is_alive)
    rpc = listened.supervisord.rpc
    config = (
        f'redis = []\n[exporter]\nhost = "web-1"\ninterval = 1\nstate_dir = "{state_dir}"\n'
        f'[[supervisor]]\nname = "main"\nurl = "{listened.supervisord.unix_url}"\n'
        f'[bus]\nurl = "{redis_server.url}"\n[sink]\ndsn = "{postgres_database}"\nbatch_seconds = 0.1\n'
    )
    make_daemon("sink", config).ready()
    exporter = make_daemon("exporter", config).ready()

    def run_jobs(number: int) -> None:
        for _ in range(number):
            rpc.startProcess("job", False)
            listened.supervisord.wait_for_state("job", "EXITED")

    for frozen in (False, True, True):
        if frozen:
            redis_server.pause()
        run_jobs(2)
        wait_for(partial(exporter.value, "depthgauge_events_total", source="listener"), what="it has told some")
        run_jobs(2)
        # What it has read is on the bus, in the spool or in its memory only: each of them must do.
        exporter.kill()
        redis_server.resume()
        run_jobs(2)
        exporter = make_daemon("exporter", config).ready()
    rpc.startProcess("steady", False)
    wait_for(lambda: len(listened.lines()) == 18 * 3 + 2, what="the listener has told all")
    told = {(line.process, line.at, line.serial, line.from_state, line.to_state) for line in listened.lines()}
    query = (
        "SELECT process, occurred_at, event_no, from_state, to_state FROM depthgauge.process_events"
        f" WHERE process <> '{NAME}' AND source = 'listener'"
    )
    wait_for(lambda: len(select(postgres_database, query)) >= len(told), 30, what="all rows are there")
    assert sorted(select(postgres_database, query)) == sorted(told)
    assert exporter.value("depthgauge_listener_up", supervisor="main") == 1
    # By then comparing has had its say, too: a listener lived all the time.
    by_poll = "SELECT process, from_state, to_state FROM depthgauge.process_events WHERE source = 'poll'"
    assert select(postgres_database, by_poll) == []
    # What was published is not kept.
    wait_for(listened.folder.position.exists, what="a place is kept")
