"""``make bench``: what Depthgauge costs, beside its peers, on the same supervisord and the same Redis.

Peers are measured where they are installed (Debian's prometheus-node-exporter and prometheus-redis-exporter).
"""

import argparse
import platform
import re
import shutil
import signal
import statistics
import sys
import time
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psutil
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from benchmarks import history, sink
from benchmarks.stage import Stage, get, timed, until
from depthgauge.secrets import Secret
from depthgauge.snapshot import Snapshot
from exporter.assembly import Assembly
from exporter.collect import EveryoneCollects
from exporter.render import Renderer
from exporter.settings import ExporterSettings, RedisSettings, SupervisorSettings
from exporter.slots import slot_of

HTTP = 19_100


def settings_of(stage: Stage) -> ExporterSettings:
    """Return what the exporter in this process is told."""
    return ExporterSettings(
        host="bench",
        series_budget=1_000_000,
        supervisors=(SupervisorSettings(name="main", url=stage.unix_url),),
        redis=(RedisSettings(name="default", url=Secret(stage.redis_url), systems=("rq",)),),
    )


def cycle(stage: Stage, times: int) -> Snapshot:
    """Measure a whole collection beside the bare calls it cannot do without."""
    bare_rpc = timed(lambda: stage.rpc().getAllProcessInfo(), times)

    def pipeline() -> None:
        pipe: Any
        with stage.client.pipeline(transaction=False) as pipe:
            for number in range(stage.queues):
                name = f"queue-{number:05d}"
                pipe.llen(f"rq:queue:{name}").llen(f"rq:queue:{name}:intermediate")
                for kind in ("wip", "finished", "failed", "deferred", "scheduled", "canceled"):
                    pipe.zcard(f"rq:{kind}:{name}")
                pipe.zcount(f"rq:scheduled:{name}", "-inf", time.time())
                pipe.lrange(f"rq:queue:{name}", 0, 2)
                pipe.scard(f"rq:workers:{name}")
            pipe.execute()
        with stage.client.pipeline(transaction=False) as pipe:
            for number in range(stage.queues):
                pipe.hmget(f"rq:job:job-{number}", ["enqueued_at", "created_at"])
            pipe.execute()

    bare_pipe = timed(pipeline, times)
    assembly = Assembly(settings_of(stage), run_id="bench", leases=EveryoneCollects())
    assembly.discover(30)
    taken: list[Snapshot] = []

    def collect() -> None:
        taken.append(assembly.collector.take(slot_of(datetime.now(UTC), 15), seq=1))
        assembly.collector._rests.clear()  # noqa: SLF001  the pause after a slow answer is no subject here

    ours = timed(collect, times)
    assembly.close()
    bare = bare_rpc[times // 2] + bare_pipe[times // 2]
    print(
        f"cycle       {stage.processes} processes, {stage.queues} queues: {ours[times // 2] * 1e3:.0f} ms; "
        f"bare getAllProcessInfo {bare_rpc[times // 2] * 1e3:.0f} ms + bare pipelines {bare_pipe[times // 2] * 1e3:.0f} ms; "
        f"ratio {ours[times // 2] / bare:.2f}"
    )
    return taken[-1]


def render(snapshot: Snapshot) -> None:
    """Measure rendering beside the library's on the same samples."""
    renderer = Renderer(budget=1_000_000)
    now = snapshot.taken_at
    [cold] = timed(lambda: renderer.render(snapshot, now), 1)
    warm = timed(lambda: renderer.render(snapshot, now), 20)[10]
    text = renderer.render(snapshot, now)
    families = list(text_string_to_metric_families(text))
    count = sum(len(family.samples) for family in families)

    class Same:
        def collect(self) -> list[GaugeMetricFamily]:
            made = []
            for family in families:
                names = list(family.samples[0].labels)
                gauge = GaugeMetricFamily(family.name, family.documentation, labels=names)
                for sample in family.samples:
                    gauge.add_metric([sample.labels[name] for name in names], sample.value)
                made.append(gauge)
            return made

        def describe(self) -> list[GaugeMetricFamily]:
            return []

    registry = CollectorRegistry()
    registry.register(Same())
    library = timed(lambda: generate_latest(registry), 5)[2]
    print(
        f"render      {count} samples: warm {warm / count * 1e6:.2f} µs a sample, cold {cold / count * 1e6:.2f}; "
        f"prometheus_client {library / count * 1e6:.2f}; {library / warm:.0f} times as long"
    )


def scrape(stage: Stage, times: int) -> None:
    """Scrapes of ours and of the peers, and ours while its targets hang."""
    config = stage.folder / "depthgauge.toml"
    config.write_text(
        f'[exporter]\ninterval = 5\nseries_budget = 1000000\n[[supervisor]]\nname = "main"\nurl = "{stage.unix_url}"\n'
        f'[[redis]]\nname = "default"\nurl = "{stage.redis_url}"\nsystems = ["rq"]\n'
    )
    address = f"127.0.0.1:{HTTP}"
    daemon = stage.start(
        sys.executable, "-m", "cli.main", "exporter", "--config.file", str(config), "--web.listen-address", address
    )
    url = f"http://{address}/metrics"
    until(lambda: len(re.findall(rb"^supervisor_process_up\{", get(url), re.MULTILINE)) == stage.processes)
    until(lambda: len(re.findall(rb"^jobqueue_jobs\{", get(url), re.MULTILINE)) >= stage.queues)
    # Over an interval, so that scrapes right after a new snapshot, which render it, are among them.
    ours: list[float] = []
    end = time.monotonic() + 11
    while time.monotonic() < end:
        ours += timed(lambda: get(url), 5)
        time.sleep(0.05)
    tell("scrape      ours", ours)
    print(f"memory      exporter {psutil.Process(daemon.pid).memory_info().rss / 2**20:.0f} MiB resident")
    redis_process = next(child for child in psutil.Process().children() if child.name().startswith("redis"))
    stage.supervisord.send_signal(signal.SIGSTOP)
    redis_process.suspend()
    time.sleep(6)
    tell("scrape      ours, supervisord and Redis frozen", timed(lambda: get(url), 200))
    stage.supervisord.send_signal(signal.SIGCONT)
    redis_process.resume()
    daemon.terminate()
    peers(stage, statistics.median(ours), times)


def peers(stage: Stage, ours: float, times: int) -> None:
    """node_exporter's supervisord collector plus redis_exporter's check-keys."""
    node, redis_exporter = shutil.which("prometheus-node-exporter"), shutil.which("prometheus-redis-exporter")
    if node is None or redis_exporter is None:
        print("peers       not installed: apt-get install prometheus-node-exporter prometheus-redis-exporter")
        return
    stage.start(
        *(
            node,
            "--collector.disable-defaults",
            "--collector.supervisord",
            f"--web.listen-address=127.0.0.1:{HTTP + 1}",
        ),
        f"--collector.supervisord.url={stage.http_url}",
    )
    stage.start(
        *(redis_exporter, f"-redis.addr={stage.redis_url}", f"-web.listen-address=127.0.0.1:{HTTP + 2}"),
        *("-check-keys", "rq:queue:*,rq:wip:*,rq:failed:*", "-check-keys-batch-size", "1000"),
    )
    urls = [f"http://127.0.0.1:{HTTP + 1}/metrics", f"http://127.0.0.1:{HTTP + 2}/metrics"]
    medians = []
    for name, url in zip(("node_exporter", "redis_exporter"), urls, strict=True):
        until(partial(get, url))
        found = timed(partial(get, url), times)
        tell(f"scrape      {name}", found)
        medians.append(statistics.median(found))
    print(f"ratio       both peers together take {sum(medians) / ours:.0f} times as long as one scrape of ours")


def tell(what: str, found: list[float]) -> None:
    """Print median and 99th percentile."""
    ordered = sorted(found)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    print(f"{what}: median {statistics.median(ordered) * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms ({len(ordered)} scrapes)")


def main() -> None:
    """Run everything and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=1000)
    parser.add_argument("--queues", type=int, default=1000)
    parser.add_argument("--times", type=int, default=9)
    told = parser.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {psutil.cpu_count()} cores")
    with Stage(told.processes, told.queues) as stage:
        snapshot = cycle(stage, told.times)
        render(snapshot)
        scrape(stage, told.times)
    sink.main()
    history.main(told.times)


if __name__ == "__main__":
    main()
