"""What is remembered of the last readings: points, trends, shares of CPU time."""

import math
from array import array
from datetime import UTC, timedelta
from time import perf_counter

import pytest

from depthgauge.snapshot import LiveJobs, Process, Queue, RedisQueues, Resources, Snapshot, Supervisor
from exporter.recent import FORGET, POINTS, Recent, trend_of
from tests.plugins.snapshots import NOW, ago, snapshot_of

HIGH = ("default", "rq", "high")


def reading(age: float, waiting: int | None, *names: str) -> Snapshot:
    queues = tuple(Queue(system="rq", name=name, live=LiveJobs(waiting=waiting)) for name in names or ("high",))
    return snapshot_of(queues=(RedisQueues(observed_at=ago(age), redis="default", queues=queues),))


def fed(*lengths: int | None, interval: float = 15.0) -> Recent:
    recent = Recent()
    for number, length in enumerate(lengths):
        recent.feed([reading(interval * (len(lengths) - number), length)])
    return recent


def test_the_last_points_are_kept_and_no_more() -> None:
    points = fed(*range(POINTS + 10)).points(HIGH)

    assert points.waiting == list(range(10, POINTS + 10))
    assert points.times == sorted(points.times)
    assert points.times[-1] == ago(15)
    assert points.times[-1].tzinfo is UTC


def test_a_reading_counts_once_however_often_it_comes() -> None:
    recent = fed(1, 2)
    recent.feed([reading(15, 99), reading(300, 98)])

    assert recent.points(HIGH).waiting == [1, 2]


def test_unknown_is_no_point_of_a_trend_and_stays_unknown() -> None:
    recent = fed(None, 4, None)

    assert recent.points(HIGH).waiting == [None, 4, None]
    assert recent.trend(HIGH) is None


def test_a_length_that_cannot_be_is_no_accident() -> None:
    assert fed(1, 10**400).points(HIGH).waiting == [1, 1 << 62]


def test_a_reading_out_of_turn_makes_room_for_the_regular_one() -> None:
    recent = Recent()
    for age, waiting in ((45, 1), (30, 2), (28, 7), (15, 3)):
        recent.feed([reading(age, waiting)])
        if age == 28:
            assert recent.points(HIGH).waiting == [1, 2, 7]

    assert recent.points(HIGH).waiting == [1, 2, 3]


@pytest.mark.parametrize(
    ("lengths", "name", "rate"),
    [
        ((5, 5, 5, 5), "steady", 0.0),
        ((0, 0, 0), "steady", 0.0),
        ((0, 1, 0, 1, 0, 1), "steady", None),
        ((100, 115, 130, 145), "growing", 1.0),
        ((145, 130, 115, 100), "draining", -1.0),
        ((1000, 1001, 1000, 1002), "steady", None),
        # A burst in between is no growth.
        ((300, 285, 270, 900, 240, 225, 210), "draining", -1.0),
    ],
)
def test_trends(lengths: tuple[int, ...], name: str, rate: float | None) -> None:
    trend = fed(*lengths).trend(HIGH)

    assert trend is not None
    assert trend.name == name
    if rate is not None:
        assert math.isclose(trend.per_second, rate, rel_tol=0.05, abs_tol=1e-9)


def test_a_trend_needs_three_points_and_looks_back_five_minutes() -> None:
    assert fed(1, 9).trend(HIGH) is None
    assert Recent().trend(HIGH) is None
    # Long growth, then rest: only the rest is within the window.
    grown = [1000 * n for n in range(20)] + [20_000] * 25
    trend = fed(*grown).trend(HIGH)
    assert trend is not None
    assert trend.name == "steady"


def test_a_trend_of_rare_readings_is_told_from_the_last_five() -> None:
    trend = trend_of(array("d", [600.0 * n for n in range(8)]), array("d", [0, 0, 0, 600, 1200, 1800, 2400, 3000]))

    assert trend is not None
    assert trend.name == "growing"
    assert trend.per_second == 1.0


def test_queues_are_bounded_and_those_long_gone_make_room() -> None:
    recent = Recent(max_queues=2)
    recent.feed([reading(FORGET + 60, 1, "a", "b", "c")])
    assert [len(recent.points(("default", "rq", name)).times) for name in "abc"] == [1, 1, 0]

    recent.feed([reading(1, 1, "c", "d", "e")])
    assert [len(recent.points(("default", "rq", name)).times) for name in "abcde"] == [0, 0, 1, 1, 0]


def processes(age: float, cpu: float | None, *, pid: int = 7, names: tuple[str, ...] = ("p",)) -> Snapshot:
    used = Resources(cpu_seconds=cpu)
    each = tuple(Process(group="g", name=name, state=20, start=ago(9000), pid=pid, resources=used) for name in names)
    part = Supervisor(observed_at=ago(age), name="main", now=NOW - timedelta(seconds=age), state=1, processes=each)
    return snapshot_of(supervisors=(part,))


def test_the_share_of_a_cpu_comes_from_two_readings_of_one_run() -> None:
    recent, key = Recent(), ("web-1", "main", "g", "p")
    recent.feed([processes(30, 10.0)])
    assert recent.cpu_ratio(key) is None
    recent.feed([processes(20, 15.0)])
    assert recent.cpu_ratio(key) == pytest.approx(0.5)
    recent.feed([processes(20, 15.0)])
    assert recent.cpu_ratio(key) == pytest.approx(0.5)
    recent.feed([processes(10, 1.0, pid=8)])
    assert recent.cpu_ratio(key) is None
    recent.feed([processes(5, None, pid=8)])
    assert recent.cpu_ratio(key) is None


def test_processes_are_bounded() -> None:
    recent = Recent(max_processes=1)
    for age, cpu in ((2, 1.0), (1, 2.0)):
        recent.feed([processes(age, cpu, names=("p", "q"))])

    assert recent.cpu_ratio(("web-1", "main", "g", "p")) == pytest.approx(1.0)
    assert recent.cpu_ratio(("web-1", "main", "g", "q")) is None


def test_ten_thousand_queues_are_fed_in_a_moment() -> None:
    recent, names = Recent(), tuple(f"q{number}" for number in range(10_000))
    recent.feed([reading(30, 1, *names)])
    snapshot = reading(15, 2, *names)
    started = perf_counter()
    recent.feed([snapshot])

    assert perf_counter() - started < 0.5
