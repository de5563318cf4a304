"""What RQ's workers count becomes a queue's totals, over several readings."""

from collections.abc import Mapping, Sequence

import pytest

from depthgauge.resp import Reply, ReplyError
from exporter.queues import heads
from exporter.queues.rq_workers import Served, Workers

HIGH = b"rq\0high"
BIRTH = b"2027-01-15T07:00:00.000000Z"
GONE: Reply = [None] * 7


def worker(
    done: int = 0,
    failed: int = 0,
    seconds: float = 0.0,
    *,
    queues: bytes = b"high",
    birth: bytes = BIRTH,
    death: bytes | None = None,
) -> Reply:
    return [b"idle", birth, death, queues, b"%d" % done, b"%d" % failed, str(seconds).encode()]


class Registry:
    """One queue's workers, read again and again, 15 seconds apart."""

    def __init__(self) -> None:
        self.workers = Workers()
        self.now = 1.8e9

    def read(self, members: Mapping[bytes, Reply], *, left: Mapping[bytes, Reply] | None = None) -> Served:
        hashes = {**members, **(left or {})}
        asked: Sequence[bytes] = self.workers.asked(HIGH, tuple(members))
        assert set(asked) == set(hashes), "exactly these hashes are asked for"
        self.now += 15
        return self.workers.judge(HIGH, b"high", tuple(members), hashes, self.now)


def totals(served: Served) -> tuple[int | None, int | None]:
    return served.completed, served.failed


def test_a_queue_that_never_had_a_worker_has_no_totals() -> None:
    registry = Registry()
    assert registry.read({}) == Served(workers=0, busy=0)
    assert registry.read({}) == Served(workers=0, busy=0)


def test_totals_begin_at_0_and_go_on_by_what_is_done() -> None:
    registry = Registry()
    assert totals(registry.read({b"w1": worker(100, 7, 50.0)})) == (0, 0)
    later = registry.read({b"w1": worker(104, 8, 60.0)})
    assert totals(later) == (4, 1)
    assert later.processing_seconds == 2.0


def test_a_worker_that_comes_later_counts_whole_also_where_there_was_none() -> None:
    registry = Registry()
    registry.read({})
    assert totals(registry.read({b"w1": worker(3)})) == (3, 0)
    assert totals(registry.read({b"w1": worker(3), b"w2": worker(2, 1)})) == (5, 1)


def test_the_last_jobs_of_a_worker_that_said_good_bye_are_counted_once() -> None:
    registry = Registry()
    registry.read({b"w1": worker(10)})
    parting = registry.read({}, left={b"w1": worker(12, death=b"2027-01-15T08:00:00.000000Z")})
    assert totals(parting) == (2, 0)
    assert parting.workers == 0
    assert totals(registry.read({})) == (2, 0)


def test_totals_never_fall_when_workers_die_or_begin_anew_under_their_name() -> None:
    registry = Registry()
    registry.read({b"w1": worker(10), b"w2": worker(20)})
    assert totals(registry.read({b"w1": worker(13), b"w2": worker(20)})) == (3, 0)
    assert totals(registry.read({b"w1": GONE, b"w2": worker(21)})) == (4, 0), "killed: the set keeps its name"
    assert totals(registry.read({b"w1": worker(2, birth=b"later"), b"w2": worker(21)})) == (6, 0)
    assert totals(registry.read({}, left={b"w1": GONE, b"w2": GONE})) == (6, 0)


def test_a_worker_on_several_queues_takes_the_totals_away_while_it_lives() -> None:
    registry = Registry()
    registry.read({b"w1": worker(10)})
    both = registry.read({b"w1": worker(11), b"w2": worker(5, queues=b"high,low")})
    assert (both.workers, totals(both), both.processing_seconds) == (2, (None, None), None)
    killed = registry.read({b"w1": worker(12), b"w2": GONE})
    assert totals(killed) == (2, 0), "what the other worker did is no queue's alone"


def test_a_queue_whose_name_has_a_comma_is_one_queue() -> None:
    workers = Workers()
    served = workers.judge(b"rq\0a,b", b"a,b", (b"w",), {b"w": worker(1, queues=b"a,b")}, 1.8e9)
    assert totals(served) == (0, 0)
    other = workers.judge(b"rq\0a", b"a", (b"w",), {b"w": worker(1, queues=b"a,b")}, 1.8e9)
    assert totals(other) == (None, None)


def test_what_could_not_be_read_leaves_out_everything_and_loses_nothing() -> None:
    registry = Registry()
    registry.read({b"w1": worker(10)})
    assert registry.read({b"w1": ReplyError("NOPERM", "NOPERM no")}) == Served()
    assert totals(registry.read({b"w1": worker(15)})) == (5, 0)


def test_what_others_counted_meanwhile_is_not_counted_again() -> None:
    registry = Registry()
    registry.read({b"w1": worker(10)})
    registry.workers.rebase()
    assert totals(registry.read({b"w1": worker(90), b"w2": worker(40)})) == (0, 0)
    assert totals(registry.read({b"w1": worker(91), b"w2": worker(40)})) == (1, 0)


def test_queues_that_are_gone_are_forgotten_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "MOST", 10)
    workers = Workers()
    for number in range(50):
        handle, member = b"rq\0q%d" % number, b"rq:worker:w%d" % number
        fields: list[Reply] = [b"idle", b"2027", None, b"q%d" % number, b"1", b"0", b"1.5"]
        assert workers.judge(handle, b"q%d" % number, [member], {member: fields}, 1.8e9).workers == 1
    assert len(workers._members) == len(workers._based) == len(workers._counted) == 10
