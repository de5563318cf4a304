"""Horizon's throughput, which begins again at every snapshot, as a total that never falls."""

import math

import pytest

from exporter.queues import sawtooth
from exporter.queues.sawtooth import Measured, Sawtooth, hash_of, mean_seconds, snapshots_of

NOW = 1_800_000_000.0


class Queue:
    """A queue as Horizon measures it: jobs end, snapshots are taken, readings see both."""

    def __init__(self) -> None:
        self.tooth = Sawtooth()
        self.now = NOW
        self.filling = 0
        self.snapshots: list[Measured] = []
        self.late: list[Measured] = []

    def work(self, jobs: int) -> None:
        self.filling += jobs

    def snapshot(self, *, late: bool = False) -> None:
        """Take the hash away; its numbers come into the sorted set at once or with :meth:`settle`."""
        (self.late if late else self.snapshots).append(Measured(self.filling, 10.0, self.now))
        self.filling = 0

    def settle(self) -> None:
        self.snapshots += self.late
        self.late = []

    def read(self, seconds: float = 15.0) -> int:
        self.now += seconds
        depth = self.tooth.depth(b"q", self.now)
        return self.tooth.update(b"q", self.filling, self.snapshots[-depth:], self.now)


@pytest.fixture
def queue() -> Queue:
    return Queue()


def test_the_first_reading_is_0_and_differences_follow(queue: Queue) -> None:
    queue.work(100)
    queue.snapshot()
    queue.work(40)
    assert queue.read() == 0
    assert queue.read() == 0
    queue.work(7)
    assert queue.read() == 7


def test_a_snapshot_loses_nothing_and_counts_nothing_twice(queue: Queue) -> None:
    queue.work(10)
    queue.read()
    queue.work(5)
    queue.read()
    queue.work(3)
    queue.snapshot()
    queue.work(2)
    assert queue.read() == 5 + 3 + 2
    queue.work(1)
    assert queue.read() == 11


def test_a_hash_that_has_grown_past_its_old_count_is_still_a_new_one(queue: Queue) -> None:
    queue.work(2)
    queue.read()
    queue.snapshot()
    queue.work(50)
    assert queue.read() == 50


def test_a_snapshot_that_comes_after_its_hash_was_seen_gone(queue: Queue) -> None:
    queue.work(10)
    queue.read()
    queue.work(4)
    queue.snapshot(late=True)
    queue.work(1)
    assert queue.read() == 1, "the four are between hash and snapshot"
    queue.settle()
    queue.work(2)
    assert queue.read() == 1 + 4 + 2


def test_a_hash_that_is_gone_for_good_was_cleared(queue: Queue) -> None:
    queue.work(10)
    queue.read()
    queue.filling = 0  # horizon:clear-metrics
    assert queue.read() == 0
    queue.work(6)
    assert queue.read(sawtooth.LATE + 1) == 6
    queue.snapshot()
    assert queue.read() == 6, "the cleared hash is owed no snapshot any more"
    queue.work(3)
    assert queue.read() == 9


def test_several_snapshots_between_two_readings_all_count(queue: Queue) -> None:
    queue.work(10)
    queue.read()
    for jobs in (5, 0, 8, 1):
        queue.work(jobs)
        queue.now += 300
        queue.snapshot()
    queue.work(2)
    assert queue.read() == 16


def test_a_snapshot_of_nothing_is_no_fall(queue: Queue) -> None:
    queue.read()
    queue.snapshot()
    assert queue.read() == 0
    queue.work(3)
    assert queue.read() == 3


def test_at_rest_two_snapshots_are_asked_for_after_an_outage_as_many_as_may_have_come(queue: Queue) -> None:
    assert queue.tooth.depth(b"q", NOW) == 1
    queue.read()
    assert queue.tooth.depth(b"q", queue.now + 15) == 2
    assert queue.tooth.depth(b"q", queue.now + 600) == 12
    assert queue.tooth.depth(b"q", queue.now + 1e6) == 24
    assert queue.tooth.depth(b"q", queue.now - 100) == 2


def test_after_a_rebase_the_total_goes_on_from_what_is_read_next(queue: Queue) -> None:
    queue.read()
    queue.work(5)
    assert queue.read() == 5
    queue.tooth.rebase()
    queue.work(100)
    queue.snapshot()
    assert queue.read() == 5, "another exporter has counted them"
    queue.work(1)
    assert queue.read() == 6


def test_the_longest_unused_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sawtooth, "MOST", 3)
    tooth = Sawtooth()
    for key in (b"a", b"b", b"c", b"a", b"d"):
        tooth.update(key, 0, (), NOW)
    assert [tooth.depth(key, NOW) for key in (b"a", b"b", b"c", b"d")] == [2, 1, 2, 2]


def test_the_mean_weighs_by_jobs_and_leaves_out_what_is_old() -> None:
    filling = Measured(30, 200.0)
    assert mean_seconds([filling, Measured(10, 100.0, NOW - 300)], NOW) == pytest.approx(0.175)
    assert mean_seconds([filling, Measured(10, 100.0, NOW - 601)], NOW) == pytest.approx(0.2)
    assert mean_seconds([Measured(0, 0.0)], NOW) is None


def test_numbers_come_as_text_or_as_numbers() -> None:
    assert hash_of([b"12", b"3.5"]) == Measured(12, 3.5, math.inf)
    assert hash_of([None, None]) == Measured(0, 0.0)
    assert hash_of([b"-1", b"2"]) is None
    assert hash_of([b"nan", b"2"]) is None
    found = snapshots_of([b'{"throughput":"4","runtime":2.5}', b"1799999700", b"oops", b"1799999701", b"{}", b"oops"])
    assert found == [Measured(4, 2.5, 1_799_999_700.0)]
