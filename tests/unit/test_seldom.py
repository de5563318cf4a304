"""Readings that are dear."""

import pytest

from depthgauge.errors import ErrorKind, SourceError
from exporter.seldom import MAX_REST, Seldom


class Dear:
    """A reading that takes as long as it is told to, and counts."""

    def __init__(self) -> None:
        self.now = 0.0
        self.takes = 0.0
        self.calls = 0
        self.fails = False

    def monotonic(self) -> float:
        return self.now

    def __call__(self, seconds: float) -> int:
        self.calls += 1
        self.now += self.takes
        if self.fails:
            raise SourceError(ErrorKind.BUSY, f"not within {seconds}")
        return self.calls


@pytest.mark.parametrize(
    ("takes", "least", "rest"), [(0.0, 0.0, 0.0), (1.0, 0.0, 20.0), (1.0, 60.0, 60.0), (100.0, 0.0, MAX_REST)]
)
def test_the_longer_it_takes_the_less_often_it_is_done(takes: float, least: float, rest: float) -> None:
    dear = Dear()
    dear.takes = takes
    seldom = Seldom(dear, least=least, monotonic=dear.monotonic)
    assert seldom(1) == 1
    if rest:
        dear.now = rest - 0.1
        assert (seldom(1), dear.calls) == (1, 1) if rest > takes else True
    dear.now = max(dear.now, rest)
    assert seldom(1) == 2


def test_a_failure_is_told_again_too_and_then_over() -> None:
    dear = Dear()
    dear.takes, dear.fails = 1.0, True
    seldom = Seldom(dear, monotonic=dear.monotonic)
    for _ in range(2):
        with pytest.raises(SourceError):
            seldom(1)
    assert dear.calls == 1
    dear.now, dear.fails = 20.0, False
    assert seldom(1) == 2
