"""History to ask about: fleets that were, days of rows made by the database itself, and records counted again in Python."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg
from msgspec import structs
from psycopg.rows import dict_row

from depthgauge.health import Database, FailedJobs
from depthgauge.history import HistoryPage, HistoryQuery, HistoryRecord
from depthgauge.history_parameters import parse
from depthgauge.secrets import Secret
from depthgauge.snapshot import (
    Cycle,
    KeptJobs,
    LiveJobs,
    Queue,
    QueueWorkers,
    RedisQueues,
    Snapshot,
    Supervisor,
    WorkerProcesses,
)
from sink.history import history_reader
from tests.plugins.recount import EPOCH

MINUTE: Final = timedelta(minutes=1)
_COLUMNS: Final = (
    "workers",
    "pending",
    "processing",
    "delayed",
    "retry",
    "blocked",
    "failed",
    "dead",
    "completed",
)


def fleet(start: datetime, slots: int, *, interval: float = 15.0) -> Iterator[Snapshot]:
    """Give snapshots of two hosts: one Redis whose lease goes from one to the other and back, one that only web-2 reads.

    Slots are missing, sources are unread now and then, and both servers have a queue of the same name.
    """
    for number in range(slots):
        at = start + timedelta(seconds=interval * number)
        for host in ("web-1", "web-2"):
            if (number * 7 + len(host)) % 11 == (0 if host == "web-1" else 3):
                continue
            seen, stale = at + timedelta(milliseconds=50), at - timedelta(minutes=1)
            has_lease = (number // 90) % 2 == (0 if host == "web-1" else 1)
            unread, unmanned = number % 13 == 5, number % 17 == 4
            parts = [_default(stale if unread else seen, number)] if has_lease else []
            if host == "web-2":
                parts.append(_second(stale if unread else seen, number))
            if number % 90 in range(60, 66):
                # Nobody has put a job in anywhere: the servers answer, and have no queue.
                parts = [structs.replace(part, queues=()) for part in parts]
            yield Snapshot(
                host=host,
                run_id=f"run-{host}",
                seq=number + 1,
                slot=at,
                taken_at=seen,
                interval=interval,
                cycle=Cycle(seconds=0.05),
                supervisors=(_supervisor(stale if unmanned else seen, number, host),),
                queues=tuple(parts),
                databases=_databases(seen, number) if has_lease else (),
                failed_jobs_in=("app",) if has_lease else (),
            )


def _default(seen: datetime, number: int) -> RedisQueues:
    live = LiveJobs(waiting=number % 50, active=number % 3, delayed=number % 4, retry=1)
    mail = Queue(
        system="bullmq", name="mail", live=live, kept=KeptJobs(failed=number % 5, dead=2), completed_total=number
    )
    post = Queue(system="rq", name="post", live=LiveJobs(waiting=number), kept=KeptJobs(failed=None))
    return RedisQueues(observed_at=seen, redis="default", queues=(mail, post))


def _second(seen: datetime, number: int) -> RedisQueues:
    mail = Queue(system="rq", name="mail", live=LiveJobs(waiting=1000 + number, active=0, delayed=0))
    return RedisQueues(observed_at=seen, redis="second", queues=(mail,))


def _databases(seen: datetime, number: int) -> tuple[Database, ...]:
    """The application's own database: away now and then, once a whole minute, and not able to tell another time."""
    if number % 19 == 6 or number % 90 in range(20, 25):
        return ()
    failed = FailedJobs(redis="default", system="laravel", queue="mail", count=number % 7)
    told = None if number % 23 == 2 else (failed,)
    return (Database(observed_at=seen, name="app", failed_jobs=told, failed_jobs_error=None if told else "timeout"),)


def _supervisor(seen: datetime, number: int, host: str) -> Supervisor:
    processes = 2 + number % 2 + len(host)
    return Supervisor(
        observed_at=seen,
        name="main",
        now=seen,
        state=1,
        workers=(
            QueueWorkers(redis="default", system="bullmq", queue="mail", processes=processes),
            QueueWorkers(redis="default", system="rq", queue="post", processes=processes),
        ),
        # The same processes serve both queues.
        worker_processes=(WorkerProcesses(redis="default", system="bullmq", processes=processes),),
    )


def ask(dsn: str, now: datetime, **told: str) -> HistoryPage:
    """Return one page; the connections are closed after it."""
    with history_reader(Secret(dsn)) as reader:
        return reader.read(parse(told.items(), now))


def recounted(dsn: str, query: HistoryQuery, *, step: timedelta | None = None) -> tuple[HistoryRecord, ...]:
    """Return the records that the rows written make, by what the contract says: the last known number of each host."""
    step = step or query.step
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        rows = connection.execute("SELECT * FROM depthgauge.worker_snapshots ORDER BY recorded_at").fetchall()
        hosts = connection.execute("SELECT * FROM depthgauge.queue_metrics ORDER BY recorded_at").fetchall()
    by_bucket = {
        bucket: [row for row in group if query.host in (None, row["host"])] for bucket, group in _by_bucket(hosts, step)
    }
    wanted = [row for row in rows if query.queue in (None, row["queue"]) and query.host in (None, row["host"])]
    peopled = dict(_by_bucket(wanted, step))
    found = {bucket: _record(bucket, group, by_bucket[bucket], query) for bucket, group in peopled.items()}
    if query.queue is None:
        for bucket, slots in by_bucket.items():
            if any(_is_bare([row for row in told if row["pending_by_queue"] is not None]) for told in _by_host(slots)):
                record = found.get(bucket) or _record(bucket, [], slots, query)
                names = ("pending_jobs", "processing_jobs", "delayed_jobs", "failed_jobs")
                found[bucket] = structs.replace(record, **{name: 0 for name in names if getattr(record, name) is None})
            if bucket in found and any(
                all(_is_partial(row) or row["pending_by_queue"] is None for row in told)
                and any(map(_is_partial, told))
                and all(row["failed_by_queue"] is None for row in told)
                for told in _by_host(slots)
            ):
                found[bucket] = structs.replace(found[bucket], failed_jobs=None, failed_by_queue={})
    return tuple(found[bucket] for bucket in sorted(found) if query.start <= bucket < query.end)


def _is_bare(rows: Sequence[dict[str, Any]]) -> bool:
    return bool(rows) and rows[-1]["pending_jobs"] == 0 and rows[-1]["pending_by_queue"] == {}


def _is_partial(row: dict[str, Any]) -> bool:
    return row["pending_by_queue"] is not None and row["failed_by_queue"] is None


def _by_host(rows: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    return [[row for row in rows if row["host"] == host] for host in sorted({row["host"] for row in rows})]


def _by_bucket(rows: Iterable[dict[str, Any]], step: timedelta) -> Iterator[tuple[datetime, list[dict[str, Any]]]]:
    def start(row: dict[str, Any]) -> datetime:
        moment: datetime = row["recorded_at"]
        return moment - (moment - EPOCH) % step

    for bucket, group in itertools.groupby(rows, start):
        yield bucket, list(group)


def _record(
    bucket: datetime, rows: Sequence[dict[str, Any]], hosts: Sequence[dict[str, Any]], query: HistoryQuery
) -> HistoryRecord:
    fleet_wide = _fleet_wide(rows)

    def by_queue(name: str) -> dict[str, int]:
        added: dict[str, int] = {}
        for (_, _, queue), one in fleet_wide.items():
            if name in one:
                added[queue] = added.get(queue, 0) + one[name]
        return added

    def total(name: str) -> int | None:
        return _known_sum(by_queue(name).values())

    active = {row["host"]: row["active_workers"] for row in hosts if row["active_workers"] is not None}
    of_hosts = [number for host, number in active.items() if query.host in (None, host)]
    return HistoryRecord(
        recorded_at=bucket,
        active_workers=_known_sum(of_hosts) if query.queue is None else total("workers"),
        workers_by_queue=by_queue("workers"),
        pending_jobs=total("pending"),
        processing_jobs=total("processing"),
        delayed_jobs=total("delayed"),
        failed_jobs=total("failed"),
        completed_jobs=total("completed"),
        pending_by_queue=by_queue("pending"),
        failed_by_queue=by_queue("failed"),
    )


def _fleet_wide(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, ...], dict[str, int]]:
    """Return the last known numbers by redis, system and queue: the highest of all hosts, of workers the sum."""
    last: dict[tuple[str, ...], dict[str, int]] = {}
    for row in rows:
        key: tuple[str, ...] = (row["redis"], row["system"], row["queue"], row["host"])
        last.setdefault(key, {}).update({name: row[name] for name in _COLUMNS if row[name] is not None})
    fleet_wide: dict[tuple[str, ...], dict[str, int]] = {}
    for key, known in last.items():
        one = fleet_wide.setdefault(tuple(key[:3]), {})
        numbers = {name: known.get(name) for name in ("workers", "pending", "processing", "completed")}
        numbers["delayed"] = _known_sum(known.get(name) for name in ("delayed", "retry", "blocked"))
        numbers["failed"] = _known_sum(known.get(name) for name in ("failed", "dead"))
        for name, value in numbers.items():
            if value is not None:
                one[name] = one.get(name, 0) + value if name == "workers" else max(one.get(name, 0), value)
    return fleet_wide


def _known_sum(numbers: Iterable[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


_QUEUES: Final = """
INSERT INTO depthgauge.worker_snapshots (host, redis, system, queue, recorded_at, workers, registry_workers, busy_workers,
    pending, processing, delayed, retry, blocked, failed, dead, completed, oldest_job_age, avg_processing_time)
SELECT 'web-' || h, 'default', 'rq', 'queue-' || lpad(q::text, 2, '0'), at, q %% 4, 3, 1,
    (hashint4(q * 7919 + n) & 1023), n %% 5, n %% 7, 0, 0, n %% 40, 0, n::bigint * 3, (n %% 100) * 0.5, 0.25
FROM generate_series(0, %(slots)s - 1) n, generate_series(1, %(hosts)s) h, generate_series(1, %(queues)s) q,
    LATERAL (SELECT %(start)s + n * %(interval)s AS at) t
ORDER BY at, h, q
"""
_HOSTS: Final = """
INSERT INTO depthgauge.queue_metrics (host, recorded_at, active_workers, workers_by_queue, pending_jobs, pending_by_queue,
    failed_by_queue)
SELECT 'web-' || h, at, 30, m.workers, 9000, m.pending, m.failed
FROM generate_series(0, %(slots)s - 1) n, generate_series(1, %(hosts)s) h,
    LATERAL (SELECT %(start)s + n * %(interval)s AS at) t,
    LATERAL (SELECT jsonb_object_agg('queue-' || lpad(q::text, 2, '0'), q %% 4) AS workers,
                    jsonb_object_agg('queue-' || lpad(q::text, 2, '0'), hashint4(q * 7919 + n) & 1023) AS pending,
                    jsonb_object_agg('queue-' || lpad(q::text, 2, '0'), n %% 40) AS failed
             FROM generate_series(1, %(queues)s) q) m
"""
_MARKS: Final = """
INSERT INTO depthgauge.dirty_buckets (rollup, bucket)
SELECT r, b FROM unnest(ARRAY['worker_snapshots_5m', 'queue_metrics_5m']) r,
    generate_series(%(start)s, %(start)s + %(slots)s * %(interval)s - interval '1 second', interval '5 minutes') b
"""


def fill(dsn: str, start: datetime, *, days: int, hosts: int = 1, queues: int = 20, interval: int = 15) -> int:
    """Write days of rows, marked for upkeep; return how many rows of queues."""
    slots = 86_400 // interval
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as connection:
        asked = connection.execute("SELECT to_regprocedure('depthgauge.ensure_partitions(date[])') IS NOT NULL")
        if asked.fetchone() == (True,):
            wanted = [(start + timedelta(days=number)).date() for number in range(days + 1)]
            connection.execute("SELECT depthgauge.ensure_partitions(%s)", (wanted,))
        for day in range(days):
            given = {
                "slots": slots,
                "hosts": hosts,
                "queues": queues,
                "start": start + timedelta(days=day),
                "interval": timedelta(seconds=interval),
            }
            for statement in (_QUEUES, _HOSTS, _MARKS):
                connection.execute(statement, given)
    return slots * hosts * queues * days


def roll_up(dsn: str) -> None:
    """Have upkeep done until nothing is marked any more, and the planner told."""
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as connection:
        while connection.execute("SELECT FROM depthgauge.dirty_buckets LIMIT 1").rowcount:
            connection.execute("CALL depthgauge.maintain()")
        connection.execute("ANALYZE")
