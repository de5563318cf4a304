"""Watched databases in the exporter as a whole."""

import json
import time
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner

from cli.main import main
from depthgauge.secrets import Secret
from exporter.assembly import Assembly, utc_now
from exporter.collect import EveryoneCollects
from exporter.settings import Collectors, DatabaseSettings, ExporterSettings
from exporter.slots import slot_of
from tests.plugins.ports import free_port
from tests.plugins.postgres import PostgresServer
from tests.plugins.waiting import wait_for
from tests.plugins.watched import make_failed_jobs, run

pytestmark = pytest.mark.needs("postgres")


ONLY: Final = Collectors(redis=False, host=False)


def settings(dsn: str, *, collectors: Collectors = ONLY) -> ExporterSettings:
    return ExporterSettings(
        host="h", interval=1.0, databases=(DatabaseSettings(name="app", dsn=Secret(dsn)),), collectors=collectors
    )


def test_a_cycle_has_the_database_and_waits_for_a_frozen_one_no_longer_than_its_deadline(
    watched_server: PostgresServer, watched: str
) -> None:
    assembly = Assembly(settings(watched), run_id="r", leases=EveryoneCollects())
    assembly.start()
    try:
        slot = slot_of(utc_now(), 1.0)
        first = assembly.collector.take(slot, seq=1)
        (part,) = first.databases
        assert (part.name, [(each.kind, each.target, each.ok) for each in first.sources]) == (
            "app",
            [("database", "app", True)],
        )
        wait_for(lambda: assembly.collector.take(slot, seq=2).databases[0].response.current, what="sampling goes on")
        processes = [
            row[0] for row in run(watched, "SELECT pid FROM pg_stat_activity WHERE application_name = 'depthgauge'")
        ]
        watched_server.freeze(watched_server.pid, *processes)
        try:
            started = time.monotonic()
            frozen = assembly.collector.take(slot, seq=3)
            assert time.monotonic() - started < 1.0, "the interval"
            ((kind, error),) = [(each.kind, each.error) for each in frozen.sources]
            assert (kind, error) == ("database", "timeout")
            started = time.monotonic()
            assembly.close()
            assert time.monotonic() - started < 1.0
        finally:
            watched_server.resume(watched_server.pid, *processes)
    finally:
        assembly.close()
    gone = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'depthgauge'"
    wait_for(lambda: run(watched, gone) == [(0,)], what="no connection stays")


def test_the_collector_can_be_switched_off() -> None:
    off = settings("host=/nowhere", collectors=Collectors(postgres=False))
    assembly = Assembly(off, run_id="r", leases=EveryoneCollects())
    assert list(assembly._health.sources.databases) == []
    assembly.close()


def test_one_snapshot_with_failed_jobs(watched: str, tmp_path: Path) -> None:
    run(watched, "CREATE SCHEMA app")
    make_failed_jobs(watched, "VALUES ('u', 'redis', 'emails', 'payload-secret', 'e', now())", table="app.failed_jobs")
    config = tmp_path / "depthgauge.toml"
    config.write_text(
        f"[[database]]\nname = 'app'\ndsn = '{watched}'\n[database.failed_jobs]\ntable = 'app.failed_jobs'\n"
        "[collectors]\nhost = false\nredis = false\n"
    )
    done = CliRunner().invoke(main, ["snapshot", "--config.file", str(config)])
    (part,) = json.loads(done.stdout)["databases"]
    assert [(each["system"], each["queue"], each["count"]) for each in part["failed_jobs"]] == [
        ("laravel", "emails", 1)
    ]
    assert "payload-secret" not in done.stdout
    assert json.loads(done.stdout)["failed_jobs_in"] == ["app"]
    # A database that was never there is missed all the same: without it the total of failed jobs is not known.
    config.write_text(config.read_text().replace(watched, f"host=127.0.0.1 port={free_port()} dbname=none"))
    away = json.loads(CliRunner().invoke(main, ["snapshot", "--config.file", str(config)]).stdout)
    assert (away.get("databases", []), away["failed_jobs_in"]) == ([], ["app"])
