"""Snapshots to rows: pure, fresh parts only, unknown is NULL."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from depthgauge.snapshot import LiveJobs, ProcessEvent, ProcessState, Queue, RedisQueues
from sink.event_rows import EventRow
from sink.rows import ProcessRow, Rows, rows_of
from tests.plugins.snapshots import NOW, ago, full, snapshot_of, status


def rows(**changes: Any) -> Rows:
    return rows_of(full(**changes))


def test_the_same_snapshot_gives_the_same_rows() -> None:
    assert rows() == rows()


def test_a_queue_and_its_workers_make_one_row() -> None:
    made = {(row.system, row.queue): row for row in rows().workers}

    high = made["rq", "high"]
    assert (high.pending, high.processing, high.delayed, high.retry, high.blocked) == (12, 2, 0, 1, 3)
    assert (high.failed, high.dead, high.completed) == (1, 0, 1234567)
    assert (high.workers, high.registry_workers, high.busy_workers) == (3, 5, 4)
    assert high.oldest_job_age == 32.25
    assert high.recorded_at == ago(1)
    # A queue that only a supervisor knows has workers and no backlog; one that nobody serves has no workers.
    assert (made["rq", "low"].workers, made["rq", "low"].pending) == (0, None)
    assert (made["list", "jobs"].workers, made["list", "jobs"].pending) == (None, 0)


def test_parts_of_an_earlier_slot_make_no_rows() -> None:
    snapshot = full()
    assert snapshot.machine is not None
    old = ago(16)
    carried = structs.replace(
        snapshot,
        supervisors=tuple(structs.replace(part, observed_at=old) for part in snapshot.supervisors),
        queues=tuple(structs.replace(part, observed_at=old) for part in snapshot.queues),
        redis_servers=tuple(structs.replace(part, observed_at=old) for part in snapshot.redis_servers),
        databases=tuple(structs.replace(part, observed_at=old) for part in snapshot.databases),
        machine=structs.replace(snapshot.machine, observed_at=old),
        probes=tuple(structs.replace(part, observed_at=old) for part in snapshot.probes),
    )
    made = rows_of(carried)

    assert made.workers == ()
    assert made.processes == ()
    assert made.health == ()
    assert made.performance == ()
    [totals] = made.queues
    assert totals.pending_jobs is None
    assert totals.active_workers is None
    assert made.ledger.seq == 7


def test_workers_are_unknown_when_one_supervisor_was_not_read() -> None:
    snapshot = full()
    first, second = snapshot.supervisors
    part = structs.replace(snapshot, supervisors=(first, structs.replace(second, observed_at=ago(16))))
    made = {row.queue: row.workers for row in rows_of(part).workers}

    assert made["high"] is None
    assert made["low"] == 0


def test_totals_sum_over_systems_and_leave_unknown_out() -> None:
    [totals] = rows().queues

    assert totals.pending_jobs == 12
    assert totals.delayed_jobs == 0 + 1 + 3
    assert totals.failed_jobs == 1 + 7
    assert totals.completed_jobs == 1234567
    assert totals.active_workers == 3
    assert totals.workers_by_queue == {"high": 3, "low": 0}
    assert totals.pending_by_queue == {"high": 12, "jobs": 0}


def test_one_name_in_two_systems_is_added_up() -> None:
    queues = tuple(Queue(system=system, name="mail", live=LiveJobs(waiting=2)) for system in ("rq", "laravel"))
    part = RedisQueues(observed_at=NOW, redis="default", queues=queues)
    [totals] = rows_of(snapshot_of(queues=(part,))).queues

    assert (totals.pending_jobs, totals.pending_by_queue) == (4, {"mail": 4})


def test_a_job_from_the_future_is_of_age_0() -> None:
    queue = Queue(system="rq", name="q", head_eligible_at=NOW + timedelta(hours=1))
    part = RedisQueues(observed_at=NOW, redis="default", queues=(queue,))
    [row] = rows_of(snapshot_of(queues=(part,))).workers

    assert row.oldest_job_age == 0.0


def written(seconds: int, **process: Any) -> tuple[ProcessRow, ...]:
    """The rows of a process that has long been what it is, in the slot of this second of a minute."""
    snapshot = full()
    main = snapshot.supervisors[0]
    quiet = {"start": ago(9000), "stop": None, "state": ProcessState.RUNNING}
    one = structs.replace(main.processes[0], **{**quiet, **process})
    slot = NOW + timedelta(seconds=seconds)
    main = structs.replace(main, observed_at=slot, now=slot, processes=(one,))
    return rows_of(structs.replace(snapshot, slot=slot, taken_at=slot, supervisors=(main,))).processes


@pytest.mark.parametrize(("seconds", "count"), [(0, 1), (15, 0), (30, 0), (45, 0), (60, 1)])
def test_a_quiet_process_is_written_once_a_minute(seconds: int, count: int) -> None:
    assert len(written(seconds)) == count


@pytest.mark.parametrize(
    "change",
    [
        {"start": NOW + timedelta(seconds=10)},
        {"stop": NOW + timedelta(seconds=10), "state": ProcessState.EXITED},
        {"state": ProcessState.BACKOFF},
        {"state": ProcessState.STARTING},
    ],
    ids=["started", "ended", "backoff", "starting"],
)
def test_a_change_is_written_at_once(change: dict[str, Any]) -> None:
    assert len(written(15, **change)) == 1


def test_a_supervisord_read_every_second_slot_still_has_a_row_a_minute() -> None:
    snapshot = full()
    slots = [NOW + timedelta(seconds=15 * number) for number in range(8)]
    main = snapshot.supervisors[0]
    quiet = structs.replace(main.processes[0], start=ago(9000))
    for offset in (0, 1):
        made = 0
        for slot in slots[offset::2]:
            part = structs.replace(main, observed_at=slot, now=slot, processes=(quiet,))
            slow = status("supervisor", "main", seconds=6.0, observed_at=slot)
            made += len(
                rows_of(
                    structs.replace(snapshot, slot=slot, taken_at=slot, supervisors=(part,), sources=(slow,))
                ).processes
            )
        assert made == 2


def event(**changes: Any) -> ProcessEvent:
    values: dict[str, Any] = {
        "supervisor": "main",
        "group": "mail",
        "process": "mail_00",
        "occurred_at": ago(5),
        "number": 9,
        "from_state": ProcessState.RUNNING,
        "to_state": ProcessState.EXITED,
        "source": "listener",
    }
    return ProcessEvent(**{**values, **changes})


def test_an_event_makes_a_row_whatever_was_read_in_the_slot() -> None:
    told = event(exit_status=3, expected=False, detail="pid 7")
    made = rows_of(snapshot_of(events=(told,)))
    assert made.events == (
        EventRow(
            host="web-1",
            supervisor="main",
            process_group="mail",
            process="mail_00",
            occurred_at=ago(5),
            event_no=9,
            from_state=20,
            to_state=100,
            exit_status=3,
            expected=False,
            source="listener",
            detail="pid 7",
        ),
    )
    assert made.total == 3


def test_a_time_that_cannot_be_right_becomes_the_slot_and_is_told() -> None:
    slot = snapshot_of().slot
    moments = [
        slot - timedelta(days=30),
        slot + timedelta(hours=1),
        slot - timedelta(days=31),
        slot + timedelta(hours=2),
    ]
    events = tuple(event(occurred_at=moment, number=number) for number, moment in enumerate(moments))
    made = rows_of(snapshot_of(events=(*events, event(occurred_at=moments[2], number=9, detail="pid 7")))).events
    assert [row.occurred_at for row in made] == [*moments[:2], slot, slot, slot]
    assert [row.detail for row in made] == [
        *(None, None),
        f"the clock said {moments[2].isoformat()}",
        f"the clock said {moments[3].isoformat()}",
        f"pid 7; the clock said {moments[2].isoformat()}",
    ]


def test_an_event_that_is_in_a_snapshot_twice_is_one_row() -> None:
    assert len(rows_of(snapshot_of(events=(event(), event(), event(number=10)))).events) == 2
