"""Completed jobs a second, from one reading to the next."""

from depthgauge.snapshot import Queue
from exporter import throughput
from exporter.throughput import Throughput


def queue(completed: int | None, name: str = "q", system: str = "rq") -> Queue:
    return Queue(system=system, name=name, completed_total=completed)


def rates(meter: Throughput, now: float, *queues: Queue) -> list[float | None]:
    return [each.throughput for each in meter.fill(queues, now)]


def test_what_a_counter_grew_by_over_the_time_between() -> None:
    meter = Throughput()
    assert rates(meter, 100, queue(1000)) == [None], "one reading is no rate"
    assert rates(meter, 115, queue(1030)) == [2]
    assert rates(meter, 130, queue(1030)) == [0], "nothing was done, which is known"


def test_without_a_counter_there_is_none() -> None:
    meter = Throughput()
    assert rates(meter, 100, queue(None)) == [None]
    assert rates(meter, 115, queue(5)) == [None]
    assert rates(meter, 130, queue(None)) == [None]
    assert rates(meter, 145, queue(35)) == [1], "since it was read last"


def test_a_counter_that_fell_began_anew_at_an_unknown_moment() -> None:
    meter = Throughput()
    rates(meter, 100, queue(1000))
    assert rates(meter, 115, queue(3)) == [None]
    assert rates(meter, 130, queue(18)) == [1]


def test_what_another_exporter_has_told_is_not_told_again() -> None:
    meter = Throughput()
    rates(meter, 100, queue(1000))
    meter.rebase()
    assert rates(meter, 3700, queue(9000)) == [None]
    assert rates(meter, 3710, queue(9010)) == [1]


def test_queues_of_one_name_in_two_systems_do_not_mix() -> None:
    meter = Throughput()
    rates(meter, 0, queue(0), queue(100, system="saq"), queue(7, name="other"))
    assert rates(meter, 10, queue(10), queue(120, system="saq"), queue(7, name="other")) == [1, 2, 0]


def test_a_clock_that_stands_still_gives_none() -> None:
    meter = Throughput()
    rates(meter, 5, queue(1))
    assert rates(meter, 5, queue(2)) == [None]


def test_memory_is_bounded() -> None:
    meter = Throughput()
    for start in range(0, throughput.MOST + 1000, 1000):
        rates(meter, 1, *(queue(1, name=f"{number}") for number in range(start, start + 1000)))
    assert len(meter._last) == throughput.MOST
