"""From rows to records: which slots count, and what is unknown."""

from collections.abc import Mapping
from datetime import timedelta

from depthgauge.history import EPOCH
from sink.history_records import Numbers, Series, Slots, array_of, chosen, highest, records, total

MINUTE = timedelta(minutes=1)
SECOND = 1_000_000
UNKNOWN = (None,) * 4


def slots(
    host: str = "web-1",
    *,
    read: str = "1111",
    manned: str = "1111",
    failed: str | None = None,
    bare: str = "0000",
    active: tuple[int | None, ...] = (1, 2, 3, 4),
) -> Slots:
    """Return the four slots of the first minute; flags are written as digits."""
    moments = [n * 15 * SECOND for n in range(len(read))]
    flags = [[each == "1" for each in told] for told in (read, manned, read if failed is None else failed, bare)]
    return Slots(host, moments, flags[0], flags[1], flags[2], flags[3], list(active))


def queue(name: str, pending: Mapping[int, int | None], *, host: str = "web-1", redis: str = "default") -> Series:
    """Return a series by the second: nothing is known but what waits."""
    empty = [None] * len(pending)
    numbers = Numbers(empty, list(pending.values()), empty, empty, empty, empty)
    return Series(host, (redis, "rq", name), [second * SECOND for second in pending], numbers)


def seconds(counted: frozenset[int]) -> list[int]:
    return sorted(each // SECOND for each in counted)


def test_the_last_slot_of_a_minute_counts() -> None:
    assert seconds(chosen(slots(), MINUTE)) == [45]
    assert seconds(chosen(slots(), timedelta(seconds=30))) == [15, 45]
    assert seconds(chosen(slots(read="111"), MINUTE)) == [30]


def test_all_slots_count_where_the_last_one_read_less() -> None:
    assert seconds(chosen(slots(read="1110"), MINUTE)) == [0, 15, 30, 45]
    assert seconds(chosen(slots(manned="1010"), MINUTE)) == [0, 15, 30, 45]
    assert seconds(chosen(slots(read="0001"), MINUTE)) == [45]
    assert seconds(chosen(slots(read="0000", manned="0000"), MINUTE)) == [45], "this host reads none"


def test_an_array_of_moments_as_postgresql_writes_it() -> None:
    assert array_of([{1, 60 * SECOND}, {1}]) == "{1970-01-01 00:00:00.000001+00:00,1970-01-01 00:01:00+00:00}"
    assert array_of([]) == "{}"


def test_rows_in_no_order_and_at_moments_that_do_not_count() -> None:
    one = slots(read="1110")
    counted = {"web-1": chosen(one, MINUTE)}
    made = records([queue("a", {30: 3, 0: 1, 45: None, 15: 2, 100: 9})], [one], counted, step=MINUTE, one_queue=False)
    assert [(record.recorded_at, record.pending_by_queue, record.pending_jobs) for record in made] == [
        (EPOCH, {"a": 3}, 3)
    ]
    assert made[0].active_workers == 4
    assert (made[0].processing_jobs, made[0].workers_by_queue, made[0].completed_jobs) == (None, {}, None)


def test_a_queue_that_has_gone_within_the_minute_is_gone() -> None:
    one = slots()
    series = [queue("gone", {0: 5, 15: 5}), queue("here", {0: 1, 15: 1, 30: 1, 45: 0})]
    (record,) = records(series, [one], {"web-1": chosen(one, MINUTE)}, step=MINUTE, one_queue=False)
    assert record.pending_by_queue == {"here": 0}


def test_hosts_whose_slots_differ() -> None:
    often, seldom = slots("web-1"), Slots("web-2", [20 * SECOND], [True], [True], [True], [False], [10])
    counted = {each.host: chosen(each, MINUTE) for each in (often, seldom)}
    series = [
        queue("a", {0: 9, 15: 9, 30: 9, 45: 1}),
        queue("a", {20: 2}, host="web-2"),
        queue("a", {20: 100}, host="web-2", redis="second"),
        queue("b", {45: 7}),
    ]
    (record,) = records(series, [often, seldom], counted, step=MINUTE, one_queue=False)
    assert record.pending_by_queue == {"a": 102, "b": 7}
    assert record.active_workers == 14


def test_a_redis_without_any_queue_is_empty_and_one_that_nobody_read_is_nothing() -> None:
    one = slots(bare="0001")
    counted = {"web-1": chosen(one, MINUTE)}
    (record,) = records([], [one], counted, step=MINUTE, one_queue=False)
    assert (record.pending_jobs, record.processing_jobs, record.delayed_jobs, record.failed_jobs) == (0, 0, 0, 0)
    assert (record.completed_jobs, record.pending_by_queue, record.active_workers) == (None, {}, 4)
    assert records([], [one], counted, step=MINUTE, one_queue=True) == ()
    assert records([], [slots(bare="1110")], counted, step=MINUTE, one_queue=False) == ()
    # A worker for a queue that is not there makes a row, in which no number of jobs is known.
    manned = queue("a", {0: None, 15: None, 30: None, 45: None})
    (told,) = records([manned], [one], counted, step=MINUTE, one_queue=False)
    assert (told.pending_jobs, told.pending_by_queue) == (0, {})


def test_a_part_of_the_failed_jobs_is_not_told_for_all() -> None:
    def failed(values: list[int | None], name: str = "a") -> Series:
        empty: list[int | None] = [None] * 4
        numbers = Numbers(empty, [0] * 4, empty, empty, values, empty)
        return Series("web-1", ("default", "rq", name), [n * 15 * SECOND for n in range(4)], numbers)

    def told(flags: str, *, one_queue: bool = False) -> tuple[int | None, Mapping[str, int]]:
        one = slots(failed=flags)
        series = [failed([2, 2, 2, 3]), failed([8, 9, None, None], "b")]
        (record,) = records(series, [one], {"web-1": chosen(one, MINUTE)}, step=MINUTE, one_queue=one_queue)
        return record.failed_jobs, record.failed_by_queue

    assert told("1111") == (3, {"a": 3})
    assert told("1100") == (12, {"a": 3, "b": 9}), "of each the last that was known"
    assert told("0000") == (None, {})
    assert told("0000", one_queue=True)[0] == 3, "of one queue what is known of it"


def test_lines() -> None:
    assert total([[1, None, None], [2, 3, None]]) == [3, 3, None]
    assert highest([[1, None, None], [2, 3, None]]) == [2, 3, None]
    assert total([[1, 2], [3, 4]]) == [4, 6]
    assert total([UNKNOWN]) == UNKNOWN
