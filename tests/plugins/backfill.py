"""Six hours of a fleet in the blocks of a Prometheus: snapshots made here, through the exporter's own renderer.

Two hosts, ten queues, twelve processes each, a snapshot every 30 seconds; from 50 minutes before the end on the
queue ``mail`` has no worker any more, because its process is FATAL. Of what daemons count themselves there is only how far
behind a sink is.
"""

import math
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from depthgauge.histogram import Histogram, histogram_of
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
    SourceStatus,
    Supervisor,
    WorkerProcesses,
)
from exporter.render import Renderer
from tests.plugins import health

LENGTH: Final = timedelta(hours=6)
STEP: Final = timedelta(seconds=30)
STUCK: Final = timedelta(minutes=50)
HOSTS: Final = ("web-1", "web-2")
QUEUES: Final = ("mail", "default", "reports", *(f"tenant-{number:02}" for number in range(7)))
PROCESSES: Final = ("mail", *(f"worker-{number:02}" for number in range(11)))
SOURCES: Final = (
    *(("supervisor", "main"), ("redis", "default"), ("redis_server", "default")),
    *(("database", "app"), ("host", "web"), ("probe", "site")),
)
SINK: Final = 'job="depthgauge-sink",instance="db-1:10140"'
TIMES: Final = (0.002, 0.003, 0.003, 0.004, 0.02)
"""Response times within each step."""
TIMEOUT: Final = 60.0


def fill(data: Path, end: datetime) -> None:
    """Write the blocks into a folder that no Prometheus uses yet."""
    source = data.with_suffix(".openmetrics")
    with source.open("w") as page:
        for host in HOSTS:
            page.writelines(_lines(host, end))
        page.writelines(_sink(end))
        page.write("# EOF\n")
    command = [
        "promtool",
        "tsdb",
        "create-blocks-from",
        "--max-block-duration=24h",
        "openmetrics",
        str(source),
        str(data),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 0, done.stdout + done.stderr
    source.unlink()


def _lines(host: str, end: datetime) -> Iterator[str]:
    """Give the samples of one exporter as Prometheus would have scraped them."""
    target = f'job="depthgauge-exporter",instance="{host}:10139"'
    renderer = Renderer(budget=10_000)
    for number in range(int(LENGTH / STEP)):
        now = end - LENGTH + number * STEP
        moment = f" {now.timestamp():.3f}\n"
        text = renderer.render(_snapshot(host, number, now, end), now)
        for line in text.splitlines():
            if not line.startswith("#"):
                series, _, value = line.rpartition(" ")
                name, brace, labels = series.partition("{")
                yield f"{name}{{{target}{f',{labels}' if brace else '}'} {value}{moment}"
        for name in ("up", "depthgauge_config_last_reload_successful"):
            yield f"{name}{{{target}}} 1{moment}"


def _sink(end: datetime) -> Iterator[str]:
    for number in range(int(LENGTH / STEP)):
        moment = f" {(end - LENGTH + number * STEP).timestamp():.3f}\n"
        for name in ("up", "depthgauge_config_last_reload_successful"):
            yield f"{name}{{{SINK}}} 1{moment}"
        yield f"depthgauge_sink_lag_seconds{{{SINK}}} {1 + number % 3}{moment}"


def _snapshot(host: str, number: int, now: datetime, end: datetime) -> Snapshot:
    stuck = max(timedelta(0), now - (end - STUCK))
    slot = histogram_of(TIMES)
    grown = Histogram(
        count=slot.count * number,
        sum=slot.sum * number,
        max=slot.max,
        buckets=tuple(each * number for each in slot.buckets),
    )
    response = health.response(total=grown)
    return Snapshot(
        host=host,
        run_id="r",
        seq=number,
        slot=now,
        taken_at=now,
        interval=STEP.total_seconds(),
        cycle=Cycle(seconds=0.05 + 0.01 * (number % 7)),
        sources=tuple(
            SourceStatus(kind=kind, target=target, ok=True, seconds=0.002, last_success_at=now, observed_at=now)
            for kind, target in SOURCES
        ),
        supervisors=(_supervisor(number, now, stuck),),
        queues=(RedisQueues(observed_at=now, redis="default", queues=tuple(_queues(number, now, stuck))),),
        redis_servers=(health.server(now, redis="default", used_memory_bytes=40_000_000 + 20_000 * number),),
        databases=(health.database(now, response=response),),
        machine=health.machine(now, cpu_ratio=0.3 + 0.2 * math.sin(number / 40)),
        probes=(health.probe(now, response=response),),
    )


def _queues(number: int, now: datetime, stuck: timedelta) -> Iterator[Queue]:
    for place, name in enumerate(QUEUES):
        wave = 1 + math.sin(number / 30 + place)
        late = name == "mail" and stuck
        waiting = int(stuck.total_seconds() / 5) if late else 1 + int(8 * wave)
        wait = stuck.total_seconds() if late else 3 * wave
        done = number * (place + 1) if not late else (number - int(stuck / STEP)) * (place + 1)
        yield Queue(
            system="counted",
            name=name,
            live=LiveJobs(waiting=waiting, active=0 if late else int(2 * wave), delayed=place, retry=place % 3),
            kept=KeptJobs(failed=place % 4, dead=place % 2),
            head_eligible_at=now - timedelta(seconds=wait),
            completed_total=done,
            failed_total=done // 50,
            processing_seconds=0.2 + 0.05 * wave,
            registry_workers=0 if late else 2,
            registry_workers_busy=0 if late else int(wave),
            paused=False,
        )


def _supervisor(number: int, now: datetime, stuck: timedelta) -> Supervisor:
    found = []
    for place, name in enumerate(PROCESSES):
        dead = name == "mail" and bool(stuck)
        found.append(
            Process(
                group=name.partition("-")[0],
                name=name,
                state=ProcessState.FATAL if dead else ProcessState.RUNNING,
                start=None if dead else now - number % 200 * STEP - timedelta(seconds=60),
                pid=None if dead else 100 + place,
                exit_status=1 if dead else None,
                restarts=number // 200,
                resources=None
                if dead
                else Resources(
                    cpu_seconds=number * (1 + place / 5),
                    resident_memory_bytes=60_000_000 + 100_000 * place + 1000 * number,
                    threads=2,
                    open_fds=12,
                    children=1,
                ),
            )
        )
    serving = tuple(
        QueueWorkers(redis="default", system="counted", queue=queue, processes=0 if queue == "mail" and stuck else 1)
        for queue in QUEUES
    )
    return Supervisor(
        observed_at=now,
        name="main",
        now=now,
        state=1,
        processes=tuple(found),
        workers=serving,
        worker_processes=(WorkerProcesses(redis="default", system="counted", processes=11 if stuck else 12),),
    )
