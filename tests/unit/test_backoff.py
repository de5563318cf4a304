"""Pauses between attempts."""

from depthgauge.backoff import Backoff


def test_pauses_double_up_to_a_bound_and_begin_anew() -> None:
    backoff = Backoff(first=0.5, most=3.0, random=lambda: 0.0)

    assert [backoff.next_delay() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    backoff.reset()
    assert backoff.next_delay() == 0.5


def test_jitter_takes_up_to_half_away() -> None:
    assert Backoff(first=1.0, most=9.0, random=lambda: 1.0).next_delay() == 0.5


def test_very_many_failures_do_no_harm() -> None:
    backoff = Backoff(first=1.0, most=9.0, random=lambda: 0.0)
    assert [backoff.next_delay() for _ in range(5000)][-1] == 9.0
