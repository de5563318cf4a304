"""Snapshots to metrics text."""

import gzip
import random
import re
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec import structs
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from depthgauge.exposition import Metric
from depthgauge.snapshot import LiveJobs, Process, ProcessState, Queue, RedisQueues, Snapshot, Supervisor
from exporter import metrics
from exporter.render import Renderer
from exporter.web.page import MetricsPage
from tests.plugins.golden import Golden
from tests.plugins.snapshots import NOW, ago, full, snapshot_of, status


def render(snapshot: Snapshot | None, now: datetime = NOW, budget: int = 10_000, **options: Any) -> str:
    text = Renderer(budget=budget, **options).render(snapshot, now)
    # What depends on the Python that runs this is no subject here.
    return re.sub(r'python_version="[^"]*"', 'python_version="3"', text)


def samples(text: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            series, _, value = line.rpartition(" ")
            assert series not in found, f"twice: {series}"
            found[series] = float(value)
    return found


def families(text: str) -> list[str]:
    return re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "snapshot"),
    [
        ("empty.prom", None),
        ("full.prom", full()),
        (
            "degraded.prom",
            full(
                sources=(status("supervisor", "main", ok=False, error="timeout", seconds=None, errors={"timeout": 4}),),
                supervisors=(),
                queues=(),
                redis_servers=(),
                databases=(),
                machine=None,
                probes=(),
            ),
        ),
    ],
)
def test_the_page_is_the_golden_one(golden: Golden, name: str, snapshot: Snapshot | None) -> None:
    golden(name, render(snapshot))


def same_histogram(metric: Metric, samples: list[Sample]) -> HistogramMetricFamily:
    """Return what the library makes of the buckets and the sum of each target."""
    same = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for target in dict.fromkeys(sample.labels["target"] for sample in samples):
        mine = [sample for sample in samples if sample.labels["target"] == target]
        buckets = [(sample.labels["le"], sample.value) for sample in mine if sample.name.endswith("_bucket")]
        [total] = [sample.value for sample in mine if sample.name.endswith("_sum")]
        same.add_metric([target], buckets, total)
    return same


def test_the_page_is_what_the_library_makes_of_the_same_samples() -> None:
    text = render(full())
    tables = {metric.name: metric for metric in metrics.TABLE}

    class Same:
        def collect(self) -> list[GaugeMetricFamily | CounterMetricFamily | HistogramMetricFamily]:
            made: list[GaugeMetricFamily | CounterMetricFamily | HistogramMetricFamily] = []
            for family in text_string_to_metric_families(text):
                metric = tables.get(family.name) or tables[f"{family.name}_total"]
                if metric.type == "histogram":
                    made.append(same_histogram(metric, family.samples))
                    continue
                kind = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
                same = kind(metric.name, metric.help, labels=metric.labels)
                for sample in family.samples:
                    same.add_metric([sample.labels[label] for label in metric.labels], sample.value)
                made.append(same)
            return made

        def describe(self) -> list[GaugeMetricFamily]:
            return []

    registry = CollectorRegistry()
    registry.register(Same())

    assert generate_latest(registry).decode() == text


def test_every_family_of_the_table_is_in_the_full_page() -> None:
    assert families(render(full())) == [metric.name for metric in metrics.TABLE]


def test_names_and_help_keep_the_conventions() -> None:
    for metric in (*metrics.TABLE, *metrics.OWN):
        assert (metric.type == "counter") == metric.name.endswith("_total"), metric.name
        assert metric.help.endswith("."), metric.name
        assert not {"job", "instance"} & set(metric.labels), metric.name


def test_a_part_is_shown_until_it_is_three_intervals_old() -> None:
    snapshot = full()
    shown = samples(render(snapshot, NOW + timedelta(seconds=44)))
    gone = samples(render(snapshot, NOW + timedelta(seconds=44.8)))

    assert shown['supervisor_up{supervisor="main"}'] == 1
    assert gone['supervisor_up{supervisor="main"}'] == 0
    assert gone['jobqueue_up{redis="default"}'] == 0
    assert not [
        series for series in gone if series.startswith(("supervisor_process", "jobqueue_jobs", "jobqueue_workers"))
    ]
    assert gone['depthgauge_source_up{kind="supervisor",target="main"}'] == 1


def test_a_dead_loop_leaves_zeros_and_nothing_else_of_its_sources() -> None:
    dead = samples(render(full(), NOW + timedelta(seconds=46)))

    ups = {series: value for series, value in dead.items() if re.match(r"\w+_up\{", series)}
    assert len(ups) == 17
    assert set(ups.values()) == {0.0}
    assert not [series for series in dead if "duration_seconds{" in series or series.startswith("supervisor_process")]
    assert dead["depthgauge_snapshot_timestamp_seconds"] == NOW.timestamp()


def test_a_carried_part_is_shown_while_its_source_is_down() -> None:
    carried = full(sources=(status("supervisor", "main", ok=False, error="refused"),))
    text = samples(render(carried))

    assert text['supervisor_up{supervisor="main"}'] == 1
    assert text['depthgauge_source_up{kind="supervisor",target="main"}'] == 0
    assert text['supervisor_process_up{group="mail",process="mail_00",supervisor="main"}'] == 1


def test_unknown_is_absent_and_zero_is_zero() -> None:
    queue = Queue(system="list", name="jobs", live=LiveJobs(waiting=0))
    part = RedisQueues(observed_at=NOW, redis="default", queues=(queue,))
    text = samples(render(snapshot_of(queues=(part,))))

    assert {series: value for series, value in text.items() if series.startswith("jobqueue_")} == {
        'jobqueue_jobs{queue="jobs",redis="default",state="waiting",system="list"}': 0.0
    }


def test_resources_that_are_unknown_are_absent() -> None:
    process = Process(group="g", name="p", state=ProcessState.RUNNING)
    part = Supervisor(observed_at=NOW, name="main", now=NOW, state=1, processes=(process,))
    text = render(snapshot_of(supervisors=(part,)))

    assert not {"supervisor_process_cpu_seconds_total", "supervisor_process_open_fds"} & set(families(text))
    assert samples(text)['supervisor_process_restarts_total{group="g",process="p",supervisor="main"}'] == 0


def test_all_eight_states_are_counted() -> None:
    text = samples(render(full()))
    counts = {
        state.name: text[f'supervisor_processes{{state="{state.name}",supervisor="main"}}'] for state in ProcessState
    }

    assert counts == {
        "STOPPED": 2, "STARTING": 0, "RUNNING": 1, "BACKOFF": 1, "STOPPING": 0, "EXITED": 1, "FATAL": 1, "UNKNOWN": 0,
    }  # fmt: skip
    assert sum(value for series, value in text.items() if series.startswith("supervisor_process_state{")) > 4711


def test_a_start_time_is_shown_only_while_running() -> None:
    found = [series for series in samples(render(full())) if series.startswith("supervisor_process_start_time")]

    assert found == ['supervisor_process_start_time_seconds{group="mail",process="mail_00",supervisor="main"}']


def test_workers_are_summed_over_supervisors() -> None:
    text = samples(render(full()))

    assert text['jobqueue_workers{queue="high",redis="default",system="rq"}'] == 3
    assert text['jobqueue_workers{queue="low",redis="default",system="rq"}'] == 0
    assert text['jobqueue_worker_processes{redis="default",system="rq"}'] == 3


def test_two_of_one_name_never_make_a_series_twice(caplog: pytest.LogCaptureFixture) -> None:
    snapshot = full()
    [part] = snapshot.queues
    doubled = structs.replace(snapshot, queues=(structs.replace(part, queues=part.queues * 2),))

    samples(render(doubled))
    assert "the same labels" in caplog.text


def crowd(count: int, *first: str) -> Snapshot:
    names = [*first, *(f"q{random.Random(number).getrandbits(64):x}" for number in range(count))]
    queues = tuple(Queue(system="rq", name=name, live=LiveJobs(waiting=1, active=0)) for name in names)
    return snapshot_of(queues=(RedisQueues(observed_at=NOW, redis="default", queues=queues),))


def test_fifty_thousand_names_stay_within_the_budget() -> None:
    text = render(crowd(50_000, "a"), configured=[("default", "q-none"), ("default", "a")])
    per_family = Counter(re.match(r"\w+", series)[0] for series in samples(text))  # type: ignore[index]  # each has a name

    assert per_family["jobqueue_jobs"] == 10_000
    assert samples(text)['depthgauge_series_over_budget{family="jobqueue_jobs"}'] == 2 * 50_001 - 10_000
    assert 'queue="a"' in text


def test_configured_and_earlier_names_stay_when_a_flood_comes() -> None:
    renderer = Renderer(budget=20, configured=[("default", "named")])
    renderer.render(crowd(0, "watched"), NOW)
    flood = [f"flood{number}" for number in range(100)]
    text = renderer.render(crowd(0, *flood, "watched", "named"), NOW)

    assert len(re.findall(r"^jobqueue_jobs\{", text, re.MULTILINE)) == 20
    assert 'queue="watched"' in text
    assert 'queue="named"' in text


def test_processes_have_a_budget_too() -> None:
    many = tuple(Process(group="g", name=f"p{number}", state=0) for number in range(30))
    part = Supervisor(observed_at=NOW, name="main", now=NOW, state=1, processes=many)
    text = samples(render(snapshot_of(supervisors=(part,)), budget=10))

    assert len([series for series in text if series.startswith("supervisor_process_up{")]) == 10
    assert text['depthgauge_series_over_budget{family="supervisor_process_up"}'] == 20


class Screen:
    """A page whose snapshot and clock a test sets."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.now = NOW
        self.rendered = 0
        renderer = Renderer(budget=100)
        real = renderer.render

        def counting(snapshot: Snapshot | None, now: datetime) -> str:
            self.rendered += 1
            return real(snapshot, now)

        renderer.render = counting  # type: ignore[method-assign]  # counts the calls
        self.page = MetricsPage(lambda: self.snapshot, renderer, registry=CollectorRegistry(), clock=lambda: self.now)

    def text(self) -> str:
        response = self.page.response()
        if response.gzipped is not None:
            assert gzip.decompress(response.gzipped) == response.body
        return response.body.decode()


def test_a_page_is_rendered_once_for_a_snapshot_and_again_when_a_part_expires() -> None:
    old = structs.replace(full().supervisors[0], observed_at=ago(30))
    screen = Screen(full(supervisors=(old,)))
    assert samples(screen.text())['supervisor_up{supervisor="main"}'] == 1
    screen.now += timedelta(seconds=15)
    assert samples(screen.text())['supervisor_up{supervisor="main"}'] == 1
    assert screen.rendered == 1
    screen.now += timedelta(seconds=0.001)
    assert samples(screen.text())['supervisor_up{supervisor="main"}'] == 0
    assert screen.rendered == 2
    screen.now += timedelta(seconds=60)
    assert samples(screen.text())['jobqueue_up{redis="default"}'] == 0
    screen.text()
    assert screen.rendered == 3
