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
READINGS: Final = 6
"""Rates that are compared, each over five seconds: of the whole, what sessions have not told yet at its ends has to be little."""


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
        [
            program,
            *options,
            # Each session tells its statistics about once a second: with few of them one second's work is missing or doubled.
            "-c",
            "10",
            "-T",
            str(SECONDS),
            "-P",
            "1",
            "--progress-timestamp",
            "-n",
            str(where["dbname"]),
        ],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield load
    load.kill()
    load.communicate(timeout=20)


def done_between(output: str, begun: float, ended: float) -> float:
    """Return the transactions that pgbench's progress tells between two unix times."""
    told = re.findall(r"^progress: ([\d.]+) s, ([\d.]+) tps", output, re.MULTILINE)
    ends = [float(at) for at, _ in told]
    assert ends, output
    assert ends[0] < begun < ended < ends[-1], (begun, ended, output)
    return sum(
        float(tps) * max(0.0, min(end, ended) - max(start, begun))
        for start, end, (_, tps) in zip(ends, ends[1:], told[1:], strict=False)
    )


def test_tps_are_those_of_pgbench(
    watched: str, pgbench: "subprocess.Popen[str]", make_database_source: MakeDatabaseSource
) -> None:
    source = make_database_source(watched)
    samples = source.samples
    wait_for(
        lambda: run(watched, "SELECT xact_commit > 1000 FROM pg_stat_database WHERE datname = current_database()")[0][
            0
        ],
        20,
        what="pgbench is at work",
    )
    source.collect()
    source.start()
    first = wait_for(lambda: samples._base, what="the first reading")
    wait_for(lambda: len(samples.rates._window.values(time.monotonic())) == READINGS, 60, what="rates were read")
    last = samples._base
    assert last is not None
    part = source.collect()
    wait_for(lambda: time.monotonic() > last.at + 1.5, what="pgbench has told of this time")
    pgbench.terminate()
    output, _ = pgbench.communicate(timeout=60)
    to_unix = time.time() - time.monotonic()
    own = done_between(output, first.at + to_unix, last.at + to_unix) / (last.at - first.at)
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
