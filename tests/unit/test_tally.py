"""Derived counters never fall and start at 0; means are those of what went by lately."""

from hypothesis import given
from hypothesis import strategies as st

from exporter.queues import tally
from exporter.queues.tally import MOST, RecentMean, Tally


def test_what_stands_at_the_first_reading_counts_as_0() -> None:
    counters = Tally()
    assert counters.update(b"q", {b"w1": 100, b"w2": 7}) == 0
    assert counters.update(b"q", {b"w1": 103, b"w2": 7}) == 3


def test_a_worker_that_appears_counts_whole_and_one_that_ends_keeps_what_it_brought() -> None:
    counters = Tally()
    counters.update(b"q", {b"w1": 5})
    assert counters.update(b"q", {b"w1": 6, b"w2": 4}) == 5
    assert counters.update(b"q", {b"w2": 4}) == 5
    assert counters.update(b"q", {}) == 5
    assert counters.update(b"q", {b"w3": 1}) == 6


def test_a_counter_that_begins_anew_counts_whole() -> None:
    counters = Tally()
    counters.update(b"q", {b"w": 50})
    assert counters.update(b"q", {b"w": 2}) == 2
    assert counters.update(b"q", {b"w": 3}) == 3


def test_a_worker_that_could_not_be_read_for_a_moment_is_not_counted_twice() -> None:
    counters = Tally()
    counters.update(b"q", {b"w": 50})
    counters.update(b"q", {})
    assert counters.update(b"q", {b"w": 52}) == 2


def test_lives_that_are_gone_are_forgotten_in_the_end_and_what_they_brought_is_not() -> None:
    counters = Tally()
    counters.update(b"q", {})
    for life in range(3 * tally.REMEMBERED):
        assert counters.update(b"q", {b"%d" % life: 2}) == 2 * (life + 1)
    held = counters._lives[b"q"]._counts
    assert len(held) == tally.REMEMBERED + 1


def test_a_life_is_still_known_after_so_many_readings_without_it() -> None:
    counters = Tally()
    counters.update(b"q", {b"w": 50})
    for _ in range(tally.REMEMBERED):
        assert counters.update(b"q", {b"other": 0}) == 0
    assert counters.update(b"q", {b"w": 51, b"other": 0}) == 1


def test_a_life_that_is_older_than_the_first_reading_counts_from_where_it_stands() -> None:
    counters = Tally()
    counters.update(b"q", {b"w": 50})
    assert counters.update(b"q", {b"w": 50, b"late": 900, b"new": 2}, {b"late", b"w"}) == 2
    assert counters.update(b"q", {b"w": 51, b"late": 901, b"new": 2}, {b"late", b"w"}) == 4


def test_what_went_by_while_another_exporter_read_is_not_ours() -> None:
    counters = Tally()
    counters.update(b"q", {b"w": 50})
    assert counters.update(b"q", {b"w": 51}) == 1
    counters.rebase()
    assert counters.update(b"q", {b"w": 900, b"new": 7}) == 1, "it goes on where it was"
    assert counters.update(b"q", {b"w": 901, b"new": 7}) == 2


def test_queues_do_not_mix() -> None:
    counters = Tally()
    counters.update(b"a", {b"w": 1})
    counters.update(b"b", {b"w": 1})
    assert counters.update(b"a", {b"w": 4}) == 3
    assert counters.update(b"b", {b"w": 1}) == 0


@given(st.lists(st.dictionaries(st.sampled_from([b"a", b"b", b"c"]), st.integers(0, 50)), max_size=20))
def test_it_never_falls(readings: list[dict[bytes, float]]) -> None:
    counters = Tally()
    totals = [counters.update(b"q", reading) for reading in readings]
    assert totals == sorted(totals)
    assert all(total >= 0 for total in totals)


def test_memory_is_bounded() -> None:
    counters = Tally()
    for number in range(MOST + 10):
        counters.update(b"%d" % number, {b"w": 1})
    assert len(counters._totals) == len(counters._lives) == MOST
    many = Tally()
    for number in range(0, 30_000, 1000):
        many.update(b"q", {b"%d" % life: 1 for life in range(number, number + 1000)})
    assert len(many._lives[b"q"]._counts) <= tally.MOST_LIVES


def test_after_a_rebase_memory_stays_bounded() -> None:
    counters = Tally()
    for number in range(MOST):
        counters.update(b"%d" % number, {b"w": 1})
    counters.rebase()
    for number in range(10):
        counters.update(b"new%d" % number, {b"w": 1})
    assert len(counters._totals) == MOST


def test_the_mean_is_that_of_what_was_added() -> None:
    mean = RecentMean(window=300)
    assert mean.update(b"q", now=1000, count=10, seconds=100) is None, "what was before is not recent"
    assert mean.update(b"q", now=1015, count=12, seconds=103) == 1.5
    assert mean.update(b"q", now=1030, count=12, seconds=103) == 1.5, "still within the window"


def test_the_mean_forgets_what_is_older_than_its_window() -> None:
    mean = RecentMean(window=60)
    mean.update(b"q", now=0, count=0, seconds=0)
    assert mean.update(b"q", now=50, count=10, seconds=100) == 10
    assert mean.update(b"q", now=110, count=12, seconds=102) == 1
    assert mean.update(b"q", now=175, count=12, seconds=102) is None, "nothing was done within the window"


def test_a_counter_that_falls_starts_the_mean_anew() -> None:
    mean = RecentMean()
    mean.update(b"q", now=0, count=10, seconds=100)
    assert mean.update(b"q", now=15, count=1, seconds=5) is None
    assert mean.update(b"q", now=30, count=3, seconds=9) == 2


def test_the_mean_is_none_when_the_clock_went_back() -> None:
    mean = RecentMean()
    mean.update(b"q", now=100, count=1, seconds=1)
    assert mean.update(b"q", now=50, count=2, seconds=2) is None


def test_a_few_samples_do_however_often_it_is_read() -> None:
    mean = RecentMean(window=60)
    for second in range(1000):
        found = mean.update(b"q", now=second, count=second, seconds=second * 2.0)
        assert found is None or found == 2
    assert len(mean._samples[b"q"]) <= 10
    # The first half took two seconds a job; of what is within the window each took four.
    for second in range(1000, 1080):
        mean.update(b"q", now=second, count=second, seconds=2000 + (second - 1000) * 4.0)
    assert mean.update(b"q", now=1080, count=1080, seconds=2320.0) == 4


def test_what_was_read_before_a_long_silence_is_where_the_mean_begins() -> None:
    mean = RecentMean(window=60)
    mean.update(b"q", now=0, count=0, seconds=0)
    assert mean.update(b"q", now=5, count=3, seconds=6) == 2
    assert mean.update(b"q", now=900, count=3, seconds=6) is None
    assert mean.update(b"q", now=905, count=4, seconds=11) == 5
