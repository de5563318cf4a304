"""Servers, this host and probed URLs to metrics text."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

from depthgauge.exposition import prefix
from depthgauge.health import Disk, FailedJobs, Probe
from depthgauge.histogram import BOUNDS, histogram_of
from depthgauge.snapshot import KeptJobs, Queue, RedisQueues, Snapshot
from exporter import health_metrics
from exporter.render import Renderer
from tests.plugins import health
from tests.plugins.snapshots import NOW, ago, full, snapshot_of, status

PREFIXES = ("depthgauge_redis_", "depthgauge_postgres_", "depthgauge_host_", "depthgauge_probe_")


def samples(snapshot: Snapshot, now: datetime = NOW, budget: int = 10_000) -> dict[str, float]:
    text = Renderer(budget=budget).render(snapshot, now)
    lines = [line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    found = {series: float(value) for series, _, value in lines}
    assert len(found) == len(lines)
    return found


def of_health(found: dict[str, float]) -> dict[str, float]:
    return {series: value for series, value in found.items() if series.startswith(PREFIXES)}


def test_every_row_of_the_table_has_a_kind_and_a_target() -> None:
    for metric in health_metrics.TABLE:
        assert metric.name.startswith(PREFIXES)
        assert metric.labels[0] == "target"


def test_parts_that_have_grown_old_leave_their_zeros() -> None:
    snapshot = full()
    assert {value for series, value in of_health(samples(snapshot)).items() if "_up{" in series} == {1.0}

    zeros = {
        'depthgauge_redis_up{target="default"}': 0,
        'depthgauge_postgres_up{target="app"}': 0,
        'depthgauge_host_up{target="web-1"}': 0,
        'depthgauge_probe_up{target="site"}': 0,
    }
    assert of_health(samples(snapshot, NOW + timedelta(seconds=44.8))) == zeros
    assert of_health(samples(snapshot, NOW + timedelta(seconds=60))) == zeros


def test_a_database_that_another_exporter_reads_is_absent() -> None:
    assert of_health(samples(snapshot_of())) == {}


def test_an_old_part_is_shown_beside_a_source_that_is_down() -> None:
    found = samples(full(sources=(status("database", "app", ok=False, error="refused"),)))

    assert found['depthgauge_postgres_up{target="app"}'] == 1
    assert found['depthgauge_source_up{kind="database",target="app"}'] == 0


@pytest.mark.parametrize(("up", "status_code"), [(True, 204), (False, 503), (False, None)])
def test_a_probe_says_what_the_newest_attempt_met(*, up: bool, status_code: int | None) -> None:
    found = samples(full(probes=(health.probe(NOW, up=up, status=status_code, certificate_expires_at=None),)))

    assert found['depthgauge_probe_up{target="site"}'] == up
    assert found.get('depthgauge_probe_status_code{target="site"}') == status_code
    assert 'depthgauge_probe_certificate_expiry_timestamp_seconds{target="site"}' not in found


def test_unknown_is_absent() -> None:
    bare = Probe(observed_at=NOW, name="site", up=False)
    found = of_health(samples(snapshot_of(probes=(bare,))))

    # Nothing was sampled: that is known, and so is that nothing failed.
    assert {value for series, value in found.items() if "_bucket{" not in series} == {0.0}
    assert {series.partition("{")[0].removeprefix("depthgauge_probe_") for series in found} == {
        "response_time_seconds_bucket",
        "response_time_seconds_count",
        "response_time_seconds_sum",
        "failures_total",
    }


def test_a_histogram_counts_samples_up_to_each_bound() -> None:
    times = (*BOUNDS, 0.0, 66.0, 1e6)
    response = health.response(total=histogram_of(times))
    found = samples(full(databases=(health.database(NOW, response=response),)))

    def bucket(le: str) -> float:
        return found[prefix("depthgauge_postgres_response_time_seconds_bucket", {"target": "app", "le": le}).strip()]

    bounds = [0.001 * 2**power for power in range(17)]
    assert [bucket(repr(bound)) for bound in bounds] == [sum(time <= bound for time in times) for bound in bounds]
    assert bucket("+Inf") == len(times) == found['depthgauge_postgres_response_time_seconds_count{target="app"}']
    assert found['depthgauge_postgres_response_time_seconds_sum{target="app"}'] == sum(times)


def test_a_flood_of_mounts_stays_within_the_budget() -> None:
    def crowd(*names: str) -> Snapshot:
        disks = tuple(Disk(mountpoint=name, total_bytes=1, available_bytes=1, used_ratio=0.0) for name in names)
        return snapshot_of(machine=health.machine(NOW, disks=disks))

    renderer = Renderer(budget=10)
    renderer.render(crowd("/watched"), NOW)
    text = renderer.render(crowd(*(f"/mnt/{number}" for number in range(50)), "/watched"), NOW)

    assert text.count("\ndepthgauge_host_disk_total_bytes{") == 10
    assert 'mountpoint="/watched"' in text
    assert 'depthgauge_series_over_budget{family="depthgauge_host_disk_total_bytes"} 41.0' in text
    assert 'family="depthgauge_host_load1"' not in text


def test_a_flood_of_targets_stays_within_the_budget() -> None:
    crowd = snapshot_of(probes=tuple(health.probe(NOW, name=f"p{number}") for number in range(10)))
    found = samples(crowd, budget=50)

    # A histogram is there wholly or not at all: 20 lines each.
    assert len([series for series in found if series.startswith("depthgauge_probe_response_time_seconds")]) == 40
    assert found['depthgauge_series_over_budget{family="depthgauge_probe_response_time_seconds"}'] == 8 * 20


def failed_jobs(*counts: tuple[str, str, int], seen: datetime = NOW) -> Any:
    found = tuple(
        FailedJobs(redis="default", system=system, queue=queue, count=count) for system, queue, count in counts
    )
    return health.database(seen, failed_jobs=found)


def test_failed_jobs_of_a_database_are_kept_jobs_of_their_queues() -> None:
    queues = (Queue(system="laravel", name="high"), Queue(system="rq", name="low", kept=KeptJobs(failed=2)))
    part = RedisQueues(observed_at=NOW, redis="default", queues=queues)
    told = failed_jobs(("laravel", "high", 3), ("laravel", "gone", 0), ("rq", "low", 99))
    snapshot = snapshot_of(queues=(part,), databases=(told,))
    kept = {series: value for series, value in samples(snapshot).items() if series.startswith("jobqueue_jobs_kept")}

    # The queue system's own number stands where it has one.
    assert kept == {
        'jobqueue_jobs_kept{queue="high",redis="default",result="failed",system="laravel"}': 3,
        'jobqueue_jobs_kept{queue="gone",redis="default",result="failed",system="laravel"}': 0,
        'jobqueue_jobs_kept{queue="low",redis="default",result="failed",system="rq"}': 2,
    }
    old = structs.replace(snapshot, databases=(failed_jobs(("laravel", "high", 3), seen=ago(50)),))
    assert 'jobqueue_jobs_kept{queue="high",redis="default",result="failed",system="laravel"}' not in samples(old)
