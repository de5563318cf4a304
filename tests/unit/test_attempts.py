"""Completed jobs from counters of attempts and of failures: the difference never falls, unless it begins anew."""

from hypothesis import given
from hypothesis import strategies as st

from depthgauge.resp import Reply, ReplyError
from exporter.queues.attempts import Attempts, counter


def test_a_counter_is_text_and_a_missing_one_is_zero() -> None:
    assert counter(None) == 0
    assert counter(b"17") == 17
    others: list[Reply] = [b"-1", b"1.5", b"many", b"", b"9" * 40, [b"1"], ReplyError("WRONGTYPE", "WRONGTYPE x")]
    assert [counter(reply) for reply in others] == [None] * 7


def test_a_failure_that_is_counted_before_its_attempt_takes_nothing_back() -> None:
    attempts = Attempts()
    assert attempts.completed(b"a", 10, 2) == 8
    assert attempts.completed(b"a", 10, 3) == 8
    assert attempts.completed(b"a", 11, 3) == 8
    assert attempts.completed(b"a", 12, 3) == 9


def test_a_reset_begins_anew() -> None:
    attempts = Attempts()
    attempts.completed(b"a", 10, 2)
    assert attempts.completed(b"a", 0, 0) == 0
    assert attempts.completed(b"a", 3, 1) == 2
    assert attempts.completed(b"b", 5, 9) == 0, "an application of its own; never below 0"


def test_what_could_not_be_read_is_unknown_and_forgets_nothing() -> None:
    attempts = Attempts()
    assert attempts.completed(b"a", 10, 2) == 8
    assert attempts.completed(b"a", None, 2) is None
    assert attempts.completed(b"a", 10, None) is None
    assert attempts.completed(b"a", 10, 3) == 8


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=30))
def test_it_does_not_fall_while_the_counters_grow(steps: list[tuple[int, int]]) -> None:
    attempts, processed, failed, last = Attempts(), 0, 0, 0
    for more, worse in steps:
        processed, failed = processed + more, failed + worse
        done = attempts.completed(b"a", processed, failed)
        assert done is not None
        assert done >= last
        last = done
