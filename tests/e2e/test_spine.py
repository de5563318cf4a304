"""From a real supervisord and a real Redis to metrics and to rows: the same numbers in both, and a clean end."""

import re
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
import rq

from depthgauge import stream
from depthgauge.secrets import Secret
from sink.migrate import migrate
from tests.plugins.daemons import Daemon, MakeDaemon
from tests.plugins.redis_server import MakeRedis, RedisServer
from tests.plugins.repo import repo_root
from tests.plugins.sinks import select
from tests.plugins.supervisord import MakeSupervisord, Program, python
from tests.plugins.waiting import wait_for

pytestmark = [pytest.mark.needs("redis-server", "rq", "supervisord"), pytest.mark.timeout(120)]

SLEEPER = python("import time; time.sleep(600)")


def enqueue(server: RedisServer, **counts: int) -> None:
    with redis.Redis(port=server.port) as client:
        for name, count in counts.items():
            queue = rq.Queue(name, connection=client)
            for _ in range(count):
                queue.enqueue("builtins.print")


@pytest.mark.needs("timescaledb")
def test_metrics_and_rows_of_one_snapshot_are_equal(
    make_daemon: MakeDaemon, make_redis: MakeRedis, make_supervisord: MakeSupervisord, timescale_database: str
) -> None:
    migrate(Secret(timescale_database))
    jobs, bus = make_redis(), make_redis()
    enqueue(jobs, high=3, low=8, nobody=2)
    supervisord = make_supervisord(
        [
            Program("worker", SLEEPER),
            Program("never", SLEEPER, options={"autostart": "false"}),
            Program("gone", python("raise SystemExit(200)"), options={"autorestart": "false", "startsecs": "0"}),
        ]
    )
    config = (
        f'[exporter]\nhost = "web-1"\ninterval = 1\n'
        f'[[supervisor]]\nname = "main"\nurl = "{supervisord.unix_url}"\n'
        '[[supervisor.queues]]\nprogram = "worker"\nsystem = "rq"\nqueues = ["high", "low"]\n'
        f'[[redis]]\nname = "default"\nurl = "{jobs.url}"\n'
        f'[bus]\nurl = "{bus.url}"\n[sink]\ndsn = "{timescale_database}"\n'
    )
    exporter = make_daemon("exporter", config).ready()
    make_daemon("sink", config).ready()
    wait_for(lambda: exporter.value("jobqueue_workers", queue="low") == 1, 20)

    text, rows = one_snapshot(exporter, timescale_database)

    for queue, workers in (("high", 1.0), ("low", 1.0), ("nobody", None)):
        pending, processing, delayed, failed, served = rows[queue]
        labels = f'queue="{queue}",redis="default"'
        assert sample(text, f'jobqueue_jobs{{{labels},state="waiting",system="rq"}}') == pending
        assert sample(text, f'jobqueue_jobs{{{labels},state="active",system="rq"}}') == processing
        assert sample(text, f'jobqueue_jobs{{{labels},state="delayed",system="rq"}}') == delayed
        assert sample(text, f'jobqueue_jobs_kept{{{labels},result="failed",system="rq"}}') == failed
        assert sample(text, f'jobqueue_workers{{{labels},system="rq"}}') == served == workers
    assert [rows[queue][0] for queue in ("high", "low", "nobody")] == [3, 8, 2]
    process = 'group="gone",process="gone",supervisor="main"'
    assert sample(text, f"supervisor_process_exit_status{{{process}}}") == 200
    assert sample(text, f"supervisor_process_exit_status{{{process.replace('gone', 'never')}}}") is None
    states = "SELECT DISTINCT ON (process) process, state, exit_status FROM depthgauge.process_snapshots ORDER BY process, recorded_at DESC"
    wait_for(lambda: len(select(timescale_database, states)) == 3, 75, what="the minute's rows")
    assert select(timescale_database, states) == [("gone", 100, 200), ("never", 0, None), ("worker", 20, None)]


def one_snapshot(exporter: Daemon, dsn: str) -> tuple[str, dict[str, tuple[Any, ...]]]:
    """Return the text and the rows of the same snapshot, found by the time it was taken at."""

    def both() -> tuple[str, dict[str, tuple[Any, ...]]] | None:
        text = exporter.get("/metrics")
        assert text is not None
        taken = sample(text, "depthgauge_snapshot_timestamp_seconds")
        assert taken is not None
        moment = datetime.fromtimestamp(taken, UTC).isoformat()
        query = (
            "SELECT queue, pending, processing, delayed, failed, workers FROM depthgauge.worker_snapshots"
            " JOIN depthgauge.snapshots USING (host, recorded_at)"
            f" WHERE abs(extract(epoch FROM taken_at - '{moment}')) < 0.01"
        )
        rows = {row[0]: row[1:] for row in select(dsn, query)}
        return (text, rows) if rows else None

    return wait_for(both, 20, step=0.1, what="a snapshot is shown whose rows are in the database")


def sample(text: str, series: str) -> float | None:
    found = re.search(f"^{re.escape(series)} (\\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else None


def test_real_workers_are_joined_to_their_queues(
    make_daemon: MakeDaemon, redis_server: RedisServer, make_supervisord: MakeSupervisord
) -> None:
    enqueue(redis_server, nobody=1, low=1)
    worker = f"{Path(sys.executable).with_name('rq')} worker --quiet --url {redis_server.url}"
    stopping = {"stopasgroup": "true", "killasgroup": "true"}
    supervisord = make_supervisord(
        [
            Program("both", f"{worker} high low", options=stopping),
            Program("low", f"{worker} low", options=stopping),
            Program("sleeper", SLEEPER),
        ]
    )
    exporter = make_daemon(
        "exporter",
        "[exporter]\ninterval = 1\n"
        f'[[supervisor]]\nname = "main"\nurl = "{supervisord.unix_url}"\n'
        f'[[redis]]\nname = "default"\nurl = "{redis_server.url}"\n',
    ).ready()

    wait_for(lambda: exporter.value("jobqueue_workers", queue="low") == 2, 30)
    assert exporter.value("jobqueue_workers", queue="high") == 1
    assert exporter.value("jobqueue_worker_processes", system="rq") == 2
    assert exporter.value("jobqueue_workers", queue="nobody") is None
    wait_for(lambda: exporter.value("jobqueue_registry_workers", queue="low") == 2, 30)
    memory = exporter.samples("supervisor_process_resident_memory_bytes")
    assert len(memory) == 3
    supervisord.rpc.stopProcess("both")
    wait_for(lambda: exporter.value("jobqueue_workers", queue="high") == 0, 30)


def test_without_a_bus_reading_rights_suffice(make_daemon: MakeDaemon, redis_server: RedisServer) -> None:
    enqueue(redis_server, high=2)
    client: Any = redis_server.client()
    client.execute_command(
        *[
            "ACL",
            "SETUSER",
            "reader",
            "on",
            ">pw",
            "resetkeys",
            "%R~*",
            "-@all",
            "+@read",
            "+select",
            "+time",
            "+info",
            "+ping",
        ]
    )
    client.execute_command("CONFIG", "RESETSTAT")
    exporter = make_daemon(
        "exporter",
        "supervisor = []\n[exporter]\ninterval = 1\n"
        f'[[redis]]\nname = "default"\nurl = "redis://reader:pw@127.0.0.1:{redis_server.port}/0"\n',
    ).ready()
    wait_for(lambda: exporter.value("jobqueue_jobs", queue="high", state="waiting") == 2, 20)
    before = exporter.value("depthgauge_snapshot_timestamp_seconds")
    wait_for(lambda: (exporter.value("depthgauge_snapshot_timestamp_seconds") or 0) > (before or 0) + 1.5, 10)

    flags = {
        name: client.execute_command("COMMAND", "INFO", name)
        for name in redis_server.command_calls()
        if "|" not in name and name not in {"acl", "config", "command", "info", "auth", "hello"}
    }
    wrote = [name for name, info in flags.items() for command in info.values() if "write" in str(command["flags"])]
    assert wrote == []
    assert exporter.samples("depthgauge_source_errors_total") == {}
    assert not client.keys("depthgauge:*")


@pytest.mark.needs("source-tree")
def test_the_bus_with_its_documented_rights(make_daemon: MakeDaemon, make_redis: MakeRedis) -> None:
    jobs, bus = make_redis(), make_redis()
    client: Any = bus.client()
    lines = [
        line for line in (repo_root() / "docs" / "bus.md").read_text().splitlines() if line.startswith("ACL SETUSER")
    ]
    for line in lines:
        client.execute_command(*line.split())
    client.execute_command("ACL", "SETUSER", "default", "-@all", "+acl", "+xlen", "+exists", "+info")
    exporter = make_daemon(
        "exporter",
        'supervisor = []\n[exporter]\nhost = "web-1"\ninterval = 1\n'
        f'[[redis]]\nname = "default"\nurl = "{jobs.url}"\n'
        f'[bus]\nurl = "redis://depthgauge-exporter:change-me@127.0.0.1:{bus.port}/0"\n',
    ).ready()

    wait_for(lambda: (exporter.value("depthgauge_bus_published_total") or 0) >= 2, 20)
    assert client.xlen(stream.STREAM) >= 2
    assert client.exists("depthgauge:latest:web-1", "depthgauge:hosts", "depthgauge:lease:redis:default") == 3
    assert exporter.value("depthgauge_bus_cache_errors_total") == 0
    assert exporter.stop() == 0, exporter.text
    assert client.exists("depthgauge:lease:redis:default", "depthgauge:lease:host:web-1") == 0
    assert "level=error" not in exporter.text


def test_sigterm_ends_within_two_seconds_whatever_hangs(
    make_daemon: MakeDaemon, make_redis: MakeRedis, make_supervisord: MakeSupervisord
) -> None:
    jobs, bus = make_redis(), make_redis()
    supervisord = make_supervisord([Program("sleeper", SLEEPER)])
    exporter = make_daemon(
        "exporter",
        "[exporter]\ninterval = 2\n"
        f'[[supervisor]]\nname = "main"\nurl = "{supervisord.unix_url}"\n'
        f'[[redis]]\nname = "default"\nurl = "{jobs.url}"\n[bus]\nurl = "{bus.url}"\n',
    ).ready()
    wait_for(lambda: exporter.value("depthgauge_bus_published_total") == 1, 20)
    supervisord_process = psutil.Process(supervisord.pid)
    supervisord_process.send_signal(signal.SIGSTOP)
    jobs.pause()
    bus.pause()
    try:
        wait_for(lambda: exporter.value("depthgauge_source_up", kind="redis") == 0, 20)
        assert exporter.value("depthgauge_source_up", kind="supervisor") == 0
        started = time.monotonic()
        assert exporter.get("/-/healthy") is not None
        assert time.monotonic() - started < 0.5
        wait_for(lambda: exporter.value("supervisor_up") == 0, 20, what="old parts are no longer shown")
        assert exporter.value("jobqueue_up") == 0
        assert exporter.samples("supervisor_process_up") == {}
        started = time.monotonic()
        assert exporter.stop() == 0, exporter.text
        assert time.monotonic() - started < 2.0
    finally:
        supervisord_process.send_signal(signal.SIGCONT)
        jobs.resume()
        bus.resume()


def test_targets_that_are_away_at_the_start_are_waited_for(
    make_daemon: MakeDaemon, make_redis: MakeRedis, tmp_path: Path
) -> None:
    jobs, bus = make_redis(), make_redis()
    jobs.stop()
    bus.stop()
    exporter = make_daemon(
        "exporter",
        "[exporter]\ninterval = 1\n"
        f'[[supervisor]]\nname = "main"\nurl = "unix://{tmp_path}/none.sock"\n'
        f'[[redis]]\nname = "default"\nurl = "{jobs.url}"\nqueues = ["rq:high"]\n[bus]\nurl = "{bus.url}"\n',
    ).ready()
    assert exporter.value("depthgauge_source_errors_total", kind="supervisor", reason="socket_missing")
    assert exporter.value("jobqueue_up") == 0
    jobs.start()
    bus.start()

    wait_for(lambda: exporter.value("jobqueue_jobs", queue="high", state="waiting") == 0, 20)
    wait_for(lambda: (exporter.value("depthgauge_bus_published_total") or 0) >= 3, 60)
    assert sum(exporter.samples("depthgauge_bus_drops_total").values()) == 0
