"""``make bench``, the sink's part: stream to committed rows, beside a bare text COPY of the very same rows.

The real daemon drains a real Redis into the keyed tables of a freshly migrated database; the COPY goes into the tables of
another such database, one transaction a batch. It is measured twice: of text that was made before the clock started, and of
Python's values. The servers are those of the tests (``fsync`` is off for both), so what is compared is work, not the disk.
The sink's two threads and the database want a core each: on a machine that does other work the ratio is lower.
"""

import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from subprocess import DEVNULL, Popen
from typing import Any

import psycopg
from psycopg.types.json import JsonDumper

from benchmarks.stage import until
from depthgauge import stream
from depthgauge.secrets import Secret
from depthgauge.snapshot import (
    Cycle,
    KeptJobs,
    LiveJobs,
    Process,
    ProcessState,
    Queue,
    QueueWorkers,
    RedisQueues,
    Resources,
    Snapshot,
    Supervisor,
    WorkerProcesses,
)
from sink.migrate import migrate
from sink.rows import Rows, rows_of
from tests.plugins.postgres import PostgresServer
from tests.plugins.redis_server import RedisServer
from tests.plugins.timescale_server import TimescaleServer, fresh_database
from tests.plugins.trixie import find_trixie

INTERVAL = 15.0
HOSTS = 20


def make(number: int, queues: int, processes: int) -> Snapshot:
    """Return the snapshot of this number: one of HOSTS hosts, with numbers that move as real ones do."""
    chance = Random(number)
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    slot = midnight - timedelta(days=1) + timedelta(seconds=INTERVAL * (number // HOSTS))
    seen = slot + timedelta(milliseconds=40)
    names = [f"queue-{index:04d}" for index in range(queues)]
    parts = tuple(
        Queue(
            system="rq",
            name=name,
            live=LiveJobs(waiting=chance.randrange(1000), active=chance.randrange(9), delayed=0, blocked=0),
            kept=KeptJobs(failed=chance.randrange(40), finished=500, canceled=0),
            head_eligible_at=slot - timedelta(seconds=chance.random() * 100),
            registry_workers=3,
            registry_workers_busy=chance.randrange(4),
        )
        for name in names
    )
    supervisor = Supervisor(
        observed_at=seen,
        name="main",
        now=slot,
        state=1,
        processes=tuple(
            Process(
                group="worker",
                name=f"worker_{index:02d}",
                state=ProcessState.RUNNING,
                pid=1000 + index,
                start=slot - timedelta(hours=1),
                resources=Resources(cpu_seconds=number * 0.1, resident_memory_bytes=40_000_000 + number),
            )
            for index in range(processes)
        ),
        workers=tuple(
            QueueWorkers(redis="default", system="rq", queue=name, processes=1) for name in names[:processes]
        ),
        worker_processes=(WorkerProcesses(redis="default", system="rq", processes=processes),),
    )
    return Snapshot(
        host=f"web-{number % HOSTS}",
        run_id="bench",
        seq=1 + number // HOSTS,
        slot=slot,
        taken_at=seen,
        interval=INTERVAL,
        cycle=Cycle(seconds=0.05),
        supervisors=(supervisor,),
        queues=(RedisQueues(observed_at=seen, redis="default", queues=parts),),
    )


def batches_of(rows: Sequence[Rows], size: int) -> Iterator[list[Rows]]:
    """Cut as the sink does: whole snapshots, as many as make ``size`` rows."""
    batch: list[Rows] = []
    for each in rows:
        batch.append(each)
        if sum(some.total for some in batch) >= size:
            yield batch
            batch = []
    if batch:
        yield batch


def copy_text(rows: Sequence[tuple[Any, ...]]) -> bytes:
    """Return rows in COPY's text format; no value here needs escaping."""

    def text(value: object) -> str:
        if value is None:
            return r"\N"
        return json.dumps(value) if isinstance(value, dict) else str(value)

    return "".join("\t".join(map(text, row)) + "\n" for row in rows).encode()


def copy(dsn: str, rows: Sequence[Rows], size: int, *, ready: bool) -> float:
    """Return the rows a second of a bare COPY: of text that is ready, or of Python's values by psycopg's write_row."""
    batches: list[dict[str, Any]] = []
    for batch in batches_of(rows, size):
        tables: dict[str, list[Any]] = {
            "snapshots": [each.ledger for each in batch],
            "worker_snapshots": [row for each in batch for row in each.workers],
            "queue_metrics": [row for each in batch for row in each.queues],
            "process_snapshots": [row for each in batch for row in each.processes],
        }
        batches.append({name: copy_text(some) if ready else some for name, some in tables.items() if some})
    with psycopg.connect(dsn) as connection:
        connection.adapters.register_dumper(dict, JsonDumper)
        if connection.execute("SELECT layout FROM depthgauge.installation").fetchone() == ("partitions",):
            days = sorted({each.ledger.recorded_at.date() for each in rows})
            connection.execute("SELECT depthgauge.ensure_partitions(%s)", (days,))
        connection.commit()
        started = time.perf_counter()
        for each_batch in batches:
            for name, some in each_batch.items():
                with connection.cursor().copy(f"COPY depthgauge.{name} FROM STDIN") as into:
                    if ready:
                        into.write(some)
                    else:
                        for row in some:
                            into.write_row(row)
            connection.commit()
        return sum(each.total for each in rows) / (time.perf_counter() - started)


def drain(dsn: str, bus: RedisServer, entries: Sequence[dict[str, bytes]], rows: Sequence[Rows], size: int) -> float:
    """Return the rows a second of the sink, from its first acknowledgement on: what it takes to start is no part of it."""
    client = bus.client()
    client.flushall()
    with client.pipeline(transaction=False) as pipe:
        for entry in entries:
            pipe.xadd(stream.STREAM, dict(entry))  # type: ignore[arg-type]  # redis-py asks for a wider dict
        pipe.execute()
    config = bus.folder / "sink.toml"
    # The last, smaller batch would wait a second for more to come: no part of what is measured.
    config.write_text(
        f'[bus]\nurl = "{bus.url}"\n[sink]\ndsn = "{dsn}"\nbatch_rows = {size}\nbatch_seconds = 0.05\n[web]\nlisten = ["127.0.0.1:0"]\n'
    )
    command = [sys.executable, "-m", "cli.main", "sink", "--config.file", str(config)]
    daemon = Popen(command, stdout=DEVNULL, stderr=DEVNULL, env={**os.environ, "DEPTHGAUGE_CONFIG_FILE": ""})
    try:
        until(lambda: client.xlen(stream.STREAM) < len(entries), 60, step=0.001)
        started, left = time.perf_counter(), client.xlen(stream.STREAM)
        until(lambda: client.xlen(stream.STREAM) == 0, 120, step=0.002)
        seconds = time.perf_counter() - started
    finally:
        daemon.terminate()
        daemon.wait(20)
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT count(*) FROM depthgauge.worker_snapshots").fetchone()
    assert row == (sum(len(each.workers) for each in rows),), "the sink has written everything"
    return sum(each.total for each in rows[-left:]) / seconds


@contextlib.contextmanager
def servers() -> Iterator[dict[str, str]]:
    """Give the superuser's DSN of each kind of database that can be had here."""
    trixie = find_trixie()
    plain, timescale = PostgresServer(), TimescaleServer(trixie, "bench") if trixie else None
    try:
        found = {"plain": plain.start().dsn}
        if timescale is not None:
            found["timescaledb"] = timescale.start().dsn
        yield found
    finally:
        plain.remove()
        if timescale is not None:
            timescale.remove()


def main(rounds: int = 3) -> None:
    """Measure every kind of database, of batch and of snapshot; print a line each."""
    shapes = {"20 queues": [make(number, 20, 5) for number in range(3000)]}
    shapes["1,000 queues"] = [make(number, 1000, 5) for number in range(60)]
    with tempfile.TemporaryDirectory(prefix="dg-bench-") as folder, servers() as found:
        bus = RedisServer(Path(folder) / "bus")
        bus.start()
        try:
            for edition, server in found.items():
                for shape, snapshots in shapes.items():
                    for size in (1000, 5000):
                        tell(edition, shape, size, measure(server, bus, snapshots, size, rounds))
        finally:
            bus.stop()


def measure(
    server: str, bus: RedisServer, snapshots: Sequence[Snapshot], size: int, rounds: int
) -> list[tuple[float, float, float]]:
    """Return the rows a second of COPY, of ready text and of Python's values, and of the sink: taking turns."""
    entries = [dict(stream.encode(snapshot)) for snapshot in snapshots]
    rows = [rows_of(snapshot) for snapshot in snapshots]
    found = []
    for _ in range(rounds):
        figures = []
        for what in ("ready", "values", "sink"):
            with fresh_database(server) as dsn:
                migrate(Secret(dsn))
                if what == "sink":
                    figures.append(drain(dsn, bus, entries, rows, size))
                else:
                    figures.append(copy(dsn, rows, size, ready=what == "ready"))
        ready, values, ours = figures
        found.append((ready, values, ours))
    return found


def tell(edition: str, shape: str, size: int, found: Sequence[tuple[float, float, float]]) -> None:
    """Print medians and their ratios."""
    ready, values, ours = (statistics.median(column) for column in zip(*found, strict=True))
    turns = ", ".join(f"{ours / ready:.2f}" for ready, _, ours in found)
    print(
        f"sink        {edition}, snapshots of {shape}, batches of {size}: {ours / 1e3:.0f}k rows/s; "
        f"bare COPY {ready / 1e3:.0f}k of ready text, ratio {ours / ready:.2f} (single turns {turns}); "
        f"{values / 1e3:.0f}k by write_row, ratio {ours / values:.2f}"
    )


if __name__ == "__main__":
    main()
