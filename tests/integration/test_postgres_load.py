"""Transactions a second under pgbench, beside what pgbench itself counts."""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from psycopg import conninfo

from tests.plugins.postgres import PostgresServer, binaries
from tests.plugins.waiting import wait_for
from tests.plugins.watched import MakeDatabaseSource, run

pytestmark = pytest.mark.needs("postgres")

SECONDS: Final = 90
"""At most: it is ended when enough was read."""
READINGS: Final = 3
"""Rates that are compared: each is over five seconds."""


@pytest.fixture
def pgbench(watched: str, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A real load on the watched database, which tells each second what it did."""
    where = conninfo.conninfo_to_dict(watched)
    program = binaries(tmp_path) / "pgbench"
    options = ["-h", "127.0.0.1", "-p", str(where["port"]), "-U", "postgres"]
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    subprocess.run(
        [program, *options, "-i", "-s", "1", "-q", str(where["dbname"])],
        env=environment,
        check=True,
        capture_output=True,
        timeout=60,
    )
    load = subprocess.Popen(
        [program, *options, "-c", "2", "-T", str(SECONDS), "-P", "1", "-n", str(where["dbname"])],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield load
    load.kill()
    load.communicate(timeout=20)


def test_tps_are_those_of_pgbench(
    watched: str, pgbench: "subprocess.Popen[str]", make_database_source: MakeDatabaseSource
) -> None:
    started = time.monotonic()
    source = make_database_source(watched)
    wait_for(
        lambda: run(watched, "SELECT xact_commit > 500 FROM pg_stat_database WHERE datname = current_database()")[0][0],
        what="pgbench is at work",
    )
    source.collect()
    source.start()
    begun = time.monotonic() - started
    rates = source.samples.rates
    wait_for(lambda: len(rates._window.values(time.monotonic())) == READINGS, 20, what="rates were read")
    ended = time.monotonic() - started
    part = source.collect()
    pgbench.terminate()
    output, _ = pgbench.communicate(timeout=60)
    told = {
        float(at): float(tps) for at, tps in re.findall(r"^progress: ([\d.]+) s, ([\d.]+) tps", output, re.MULTILINE)
    }
    same_time = [tps for at, tps in told.items() if begun + 0.5 <= at <= ended + 0.5]
    assert len(same_time) >= READINGS * 5 - 1, output
    own = sum(same_time) / len(same_time)
    assert part.tps.avg == pytest.approx(own, rel=0.05), (part.tps, own)
    assert part.tps.min is not None
    assert part.tps.avg is not None
    assert part.tps.max is not None
    assert part.tps.min <= part.tps.avg <= part.tps.max
    assert part.response.p99 is not None
    assert part.response.slot.count >= READINGS * 4


def test_counters_that_begin_anew_make_no_rate(
    watched_server: PostgresServer, watched: str, make_database_source: MakeDatabaseSource
) -> None:
    source = make_database_source(watched)
    samples = source.samples
    samples.want()
    samples.sample()
    run(watched, *["SELECT 1"] * 50)

    def shows() -> bool:
        samples._rate()
        return (samples.rates.view().max or 0) > 5

    wait_for(shows, what="the load shows")
    seen = len(samples.rates._window.values(time.monotonic()))
    run(watched, "SELECT pg_stat_reset()")
    wait_for(lambda: run(watched, "SELECT stats_reset FROM pg_stat_database WHERE datname = current_database()")[0][0])
    samples._rate()
    assert len(samples.rates._window.values(time.monotonic())) == seen
    samples._rate()
    view = samples.rates.view()
    assert view.min is not None
    assert view.min >= 0
    samples._link.close()


def test_an_idle_database_has_none(watched: str, make_database_source: MakeDatabaseSource) -> None:
    """Our own readings are no load of the application's: without taking them off this would be about 8."""
    source = make_database_source(watched)
    samples = source.samples
    samples.want()
    samples.sample()
    started = time.monotonic()

    def long_enough() -> bool:
        samples.sample()
        source.collect()
        return time.monotonic() - started > 2.5

    wait_for(long_enough, step=0.5)
    samples._rate()
    assert (samples.rates.view().current or 0) < 2
    samples._link.close()
