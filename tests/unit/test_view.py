"""The fleet put together: what is the largest, what is added up, who is missing."""

from datetime import timedelta
from typing import Any

import pytest

from depthgauge.health import Database, FailedJobs
from depthgauge.snapshot import (
    KeptJobs,
    LiveJobs,
    Queue,
    QueueWorkers,
    RedisQueues,
    Snapshot,
    Supervisor,
    WorkerProcesses,
)
from exporter.recent import Recent
from exporter.view import View, view_of
from exporter.web.bodies import queue_stats, queues
from exporter.web.replies import QueueStats
from sink.rows import rows_of
from tests.plugins.snapshots import NOW, ago, full, snapshot_of


def stats(*snapshots: Snapshot, **more: Any) -> QueueStats:
    return queue_stats(view(*snapshots, **more))


def view(*snapshots: Snapshot, **more: Any) -> View:
    return view_of(snapshots, **{"source": "cache", "now": NOW, **more})


def backlog(waiting: int | None, *, age: float = 0.5, name: str = "high", **more: Any) -> RedisQueues:
    queue = Queue(system="rq", name=name, live=LiveJobs(waiting=waiting), **more)
    return RedisQueues(observed_at=ago(age), redis="default", queues=(queue,))


def manned(processes: int, *, age: float = 0.5) -> Supervisor:
    return Supervisor(
        observed_at=ago(age),
        name="main",
        now=NOW,
        state=1,
        workers=(QueueWorkers(redis="default", system="rq", queue="high", processes=processes),),
        worker_processes=(WorkerProcesses(redis="default", system="rq", processes=processes),),
    )


@pytest.mark.parametrize(
    "snapshot",
    [
        full(),
        snapshot_of(),
        snapshot_of(queues=(RedisQueues(observed_at=ago(0.4), redis="default"),)),
        snapshot_of(queues=(backlog(None),), supervisors=(manned(0),)),
        snapshot_of(queues=(backlog(5, completed_total=0, kept=KeptJobs(dead=2)), backlog(1, name="low"))),
    ],
)
def test_the_totals_of_one_host_are_those_of_its_row_in_the_database(snapshot: Snapshot) -> None:
    [row] = rows_of(snapshot).queues
    told = stats(snapshot)

    assert (told.pending, told.processing, told.delayed) == (row.pending_jobs, row.processing_jobs, row.delayed_jobs)
    assert (told.failed, told.completed, told.workers) == (row.failed_jobs, row.completed_jobs, row.active_workers)
    assert told.workers_by_queue == (row.workers_by_queue or {})
    assert told.pending_by_queue == (row.pending_by_queue or {})
    assert told.failed_by_queue == (row.failed_by_queue or {})
    assert told.recorded_at == row.recorded_at


def test_a_backlog_is_the_largest_and_workers_are_added_up() -> None:
    one = snapshot_of(host="a", queues=(backlog(5, registry_workers=2),), supervisors=(manned(3),))
    two = snapshot_of(host="b", queues=(backlog(7, registry_workers=1),), supervisors=(manned(4),))

    told = stats(two, one)

    assert (told.pending, told.workers) == (7, 7)
    assert told.workers_by_queue == {"high": 7}
    [queue] = view(one, two).queues.values()
    assert queue.registry_workers == 2
    assert told.hosts == ["a", "b"]


def test_what_one_of_two_does_not_know_the_other_tells() -> None:
    one = snapshot_of(host="a", taken_at=ago(2), queues=(backlog(5, paused=True, head_eligible_at=ago(50)),))
    two = snapshot_of(host="b", queues=(backlog(None, head_eligible_at=ago(10)),))

    [queue] = view(one, two).queues.values()

    assert (queue.live.waiting, queue.paused, queue.head_eligible_at) == (5, True, ago(50))


def test_a_part_that_is_too_old_counts_no_more_and_a_carried_one_does() -> None:
    old = snapshot_of(host="a", queues=(backlog(5, age=46),), supervisors=(manned(2, age=46),))
    carried = snapshot_of(host="b", queues=(backlog(3, age=44),))

    assert stats(old).pending is None
    assert stats(old).workers is None
    assert stats(old, carried).pending == 3


def test_hosts_without_a_snapshot_that_is_young_enough_are_missing() -> None:
    dead = snapshot_of(host="dead", taken_at=ago(46), queues=(backlog(9, age=1),))
    told = stats(snapshot_of(host="here"), dead, listed=("here", "gone", "dead"))

    assert told.hosts == ["here"]
    assert told.missing_hosts == ["dead", "gone"]
    assert told.pending is None


def test_the_age_is_that_of_the_newest_snapshot_and_never_below_nothing() -> None:
    old, new = (
        snapshot_of(host="a", slot=ago(20), taken_at=ago(19)),
        snapshot_of(host="b", taken_at=ago(3), slot=ago(5)),
    )

    assert (stats(old, new).recorded_at, stats(old, new).age_seconds) == (ago(5), 3)
    assert stats(new, now=NOW - timedelta(seconds=60)).age_seconds == 0


@pytest.mark.parametrize(("tables", "failed"), [((), 5), (("app",), 3)])
def test_failed_jobs_that_horizon_lists_count_where_no_table_tells_them(tables: tuple[str, ...], failed: int) -> None:
    kept = Queue(system="horizon", name="", kept=KeptJobs(failed=5, finished=9))
    told = (FailedJobs(redis="default", system="laravel", queue="mail", count=3),)
    snapshot = snapshot_of(
        queues=(RedisQueues(observed_at=ago(0.5), redis="default", queues=(kept,)),),
        databases=(Database(observed_at=ago(0.4), name="app", failed_jobs=told),) if tables else (),
        failed_jobs_in=tables,
    )
    assert stats(snapshot).failed == failed
    [row] = rows_of(snapshot).queues
    assert (row.failed_jobs, sum((row.failed_by_queue or {}).values())) == (failed, failed)


def test_failed_jobs_in_a_database_count_once_whoever_read_them() -> None:
    database = Database(
        observed_at=ago(1),
        name="app",
        failed_jobs=(FailedJobs(redis="default", system="rq", queue="high", count=4),),
    )
    told = stats(snapshot_of(host="a", databases=(database,)), snapshot_of(host="b", queues=(backlog(1),)))

    assert (told.failed, told.failed_by_queue, told.pending) == (4, {"high": 4}, 1)


def test_the_newest_failure_of_all_hosts_is_told_beside_the_queue() -> None:
    def host(name: str, *ages: float) -> Snapshot:
        databases = tuple(
            Database(
                observed_at=ago(1),
                name=f"app-{age}",
                failed_jobs=(FailedJobs(redis="default", system="rq", queue="high", count=4, newest_at=ago(age)),),
            )
            for age in ages
        )
        return snapshot_of(host=name, databases=databases)

    mixed = view(host("a", 700, 500), host("b", 600), snapshot_of(host="c", queues=(backlog(1, name="low"),)))

    told = {each.queue: each.newest_failure_at for each in queues(mixed, Recent()).data}
    assert told == {"high": ago(500), "low": None}


def test_failed_jobs_that_cannot_be_counted_make_no_total_as_in_the_database() -> None:
    queues = backlog(3, kept=KeptJobs(failed=2))
    refusing = Database(observed_at=ago(0.5), name="app", failed_jobs_error="acl_denied")
    for databases in ((refusing,), ()):
        snapshot = snapshot_of(queues=(queues,), databases=databases, failed_jobs_in=("app",))
        told, row = stats(snapshot), rows_of(snapshot).queues[0]
        assert (told.pending, told.failed, told.failed_by_queue) == (3, None, {})
        assert (row.pending_jobs, row.failed_jobs, row.failed_by_queue) == (3, None, None)
