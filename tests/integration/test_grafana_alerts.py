"""Grafana's own alert rules fire on what they are for, and on nothing else, in each edition."""

import contextlib
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg
import pytest
from psycopg import sql

from depthgauge.secrets import Secret
from sink.migrate import migrate
from tests.plugins.grafana_alerts import Labels, firing, rendered, rules
from tests.plugins.history import HOUR
from tests.plugins.month import LATE, Month

pytestmark = pytest.mark.needs("source-tree")

SLOT: Final = timedelta(seconds=30)


class Fleet:
    """Rows of one host and what it reads, one slot after the other; what is changed stays so."""

    def __init__(self, connection: psycopg.Connection[Any], start: datetime) -> None:
        self._connection = connection
        self.now = start
        self.seq = 0
        self.silent: set[str] = set()
        self.queue: dict[str, Any] = {
            "workers": 2,
            "registry_workers": None,
            "pending": 5,
            "failed": 3,
            "oldest_job_age": 600.0,
        }
        self.state = 20
        self.kinds: dict[str, dict[str, Any]] = {
            "database": {"connections": 80, "max_connections": 100},
            "redis": {"clients": 3},
            "probe": {"uptime_ratio": 1.0},
            "disk": {"disk_used_ratio": 0.9},
        }

    def slots(self, number: int) -> None:
        """Write some slots."""
        for _ in range(number):
            self.now += SLOT
            self.seq += 1
            self._slot()

    def _slot(self) -> None:
        at = {"recorded_at": self.now}
        for host in {"web-1", "web-2"} - self.silent:
            self.add("queue_metrics", host=host, **at)
            self.add("snapshots", host=host, run_id=f"run-{host}", seq=self.seq, taken_at=self.now, drops="{}", **at)
        queue = {"redis": "default", "system": "rq"}
        self.add("worker_snapshots", host="web-1", queue="mail", **queue, **self.queue, **at)
        # Somebody else's workers, and a queue that nothing is known to serve.
        self.add(
            "worker_snapshots", host="web-2", queue="post", workers=1, pending=7, oldest_job_age=1.0, **queue, **at
        )
        self.add("worker_snapshots", host="web-1", queue="wild", pending=9, oldest_job_age=1.0, **queue, **at)
        if self.seq % 2 == 0:
            names = {"supervisor": "main", "process_group": "mail"}
            self.add("process_snapshots", host="web-1", process="mail_00", state=self.state, **names, **at)
            self.add("process_snapshots", host="web-1", process="mail_01", state=20, **names, **at)
        for kind, values in self.kinds.items():
            if kind not in self.silent:
                self.add("system_health_metrics", host="web-1", kind=kind, target=f"the-{kind}", **values, **at)
        # Seen from somewhere else the URL always answers, and of the connections fewer are seen.
        elsewhere = {"host": "web-3", **at}
        self.add("system_health_metrics", kind="probe", target="the-probe", uptime_ratio=1.0, **elsewhere)
        if "database" not in self.silent:
            seen = {"connections": 1, "max_connections": 100}
            self.add("system_health_metrics", kind="database", target="the-database", **seen, **elsewhere)

    def start_process(self, times: int, *ends: int) -> None:
        """Let a process be started so often, a second each: one event of every attempt, and of what became of it."""
        names = {"host": "web-1", "supervisor": "main", "process_group": "mail", "process": "mail_00"}
        for number in range(times):
            moment = self.now - number * timedelta(seconds=1)
            for event, state in enumerate((10, *ends)):
                told = {"occurred_at": moment, "event_no": 2 * number + event, "source": "listen"}
                self.add("process_events", to_state=state, **told, **names)

    def upkeep(self) -> None:
        """Let upkeep come to its end."""
        self._connection.execute("DELETE FROM depthgauge.maintenance")
        self.add("maintenance", step="all", finished_at=self.now, seconds=1.0, done=1)

    def add(self, table: str, **values: Any) -> None:
        """Write a row."""
        self._connection.execute(
            sql.SQL("INSERT INTO depthgauge.{} ({}) VALUES ({})").format(
                sql.Identifier(table),
                sql.SQL(", ").join(map(sql.Identifier, values)),
                sql.SQL(", ").join(sql.Placeholder() * len(values)),
            ),
            list(values.values()),
        )


@contextlib.contextmanager
def calm_fleet(dsn: str) -> Iterator[Fleet]:
    """Give a fleet that has been calm for a while, in a database that knows the role that evaluates."""
    start = datetime.now(UTC).replace(microsecond=0, second=0) - 3 * HOUR
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as connection:
        days = [(start + number * timedelta(days=1)).date() for number in range(-4, 2)]
        asked = connection.execute("SELECT to_regprocedure('depthgauge.ensure_partitions(date[])') IS NOT NULL")
        if asked.fetchone() == (True,):
            connection.execute("SELECT depthgauge.ensure_partitions(%s)", (days,))
        made = Fleet(connection, start)
        connection.execute("CREATE ROLE depthgauge_alert_reader")
        connection.execute("SELECT depthgauge.grant_reader('depthgauge_alert_reader')")
        try:
            with connection.transaction():
                made.slots(30)
            made.start_process(3, 20)
            made.upkeep()
            yield made
        finally:
            connection.execute("RESET ROLE")
            connection.execute("DROP OWNED BY depthgauge_alert_reader")
            connection.execute("DROP ROLE depthgauge_alert_reader")


@pytest.fixture
def fleet(each_edition: str) -> Iterator[Fleet]:
    """Give a calm fleet, once in each edition."""
    with calm_fleet(each_edition) as made:
        yield made


@pytest.fixture
def plain_fleet(postgres_database: str) -> Iterator[Fleet]:
    """Give a calm fleet on plain PostgreSQL."""
    migrate(Secret(postgres_database))
    with calm_fleet(postgres_database) as made:
        yield made


def fired(fleet: Fleet, moment: datetime | None = None) -> dict[str, dict[Labels, float] | None]:
    """Evaluate all rules as the role that reads."""
    connection = fleet._connection
    timescaledb = connection.execute("SELECT FROM pg_extension WHERE extname = 'timescaledb'").rowcount == 1
    with connection.transaction():
        connection.execute("SET LOCAL ROLE depthgauge_alert_reader")
        connection.execute("SET LOCAL transaction_read_only = on")
        return {
            title: firing(connection, rule, moment or fleet.now, timescaledb=timescaledb)
            for title, rule in rules().items()
        }


def some(**labels: str) -> Labels:
    return frozenset(labels.items())


MAIL: Final = some(redis="default", system="rq", queue="mail")
MAIL_00: Final = some(host="web-1", supervisor="main", process_group="mail", process="mail_00")


def test_nothing_fires_while_all_is_well_and_each_rule_on_what_it_is_for(fleet: Fleet) -> None:
    # Everything is at its threshold: none of it is above.
    calm = fired(fleet)
    assert {title: found for title, found in calm.items() if found} == {}
    assert [title for title, found in calm.items() if found is None] == [
        "DepthgaugeSnapshotsLost",
        "DepthgaugeSnapshotsDropped",
    ]

    fleet.queue |= {"pending": 12, "oldest_job_age": 3601.0, "failed": 14, "workers": 0}
    fleet.state = 200
    fleet.kinds["database"]["connections"] = 81
    fleet.kinds["probe"]["uptime_ratio"] = 0.0
    fleet.kinds["disk"]["disk_used_ratio"] = 0.95
    fleet.silent |= {"web-2", "redis"}
    fleet.slots(11)
    fleet.start_process(4, 30)
    expected = {
        "JobQueueWaitTooLong": {MAIL: 3601.0},
        "JobQueueWaitCritical": {MAIL: 3601.0},
        "JobQueueNoWorkers": {MAIL: 12.0},
        "JobQueueFailedJobs": {MAIL: 11.0},
        "SupervisorProcessFatal": {MAIL_00: 1.0},
        "SupervisorProcessCrashLoop": {MAIL_00: 7.0},
        "DepthgaugeSourceSilent": {some(kind="redis", target="the-redis"): 330.0},
        "DepthgaugeProbeDown": {some(host="web-1", target="the-probe"): 1.0},
        "DepthgaugePostgresConnectionsHigh": {some(target="the-database"): 0.81},
        "DepthgaugeHostDiskFull": {some(host="web-1", target="the-disk"): 0.95},
        "DepthgaugeSnapshotsMissing": {some(host="web-2"): 330.0},
        "DepthgaugeSnapshotsLost": None,
        "DepthgaugeSnapshotsDropped": None,
        "DepthgaugeMaintenanceStale": {},
    }
    assert fired(fleet) == expected
    described = {title: _described(title, found) for title, found in expected.items() if found}
    assert described["JobQueueWaitTooLong"] == (
        "Queue mail (rq in Redis default): its next job has been waiting for 1h 0m 1s, more than 10m."
    )
    assert described["DepthgaugePostgresConnectionsHigh"] == (
        "Database the-database uses 81% of the connections that it allows."
    )
    assert described["SupervisorProcessCrashLoop"] == (
        "mail:mail_00 of supervisor main on web-1 was started 7 times in 15m, more than 5."
    )
    assert described["DepthgaugeSnapshotsMissing"] == (
        "Nothing has come from web-2 for 5m 30s: whatever else is shown of it is as old."
    )
    assert described["SupervisorProcessFatal"] == "mail:mail_00 of supervisor main on web-1 is FATAL."

    # Everything has stopped: that is told, and upkeep; of queues and processes nothing is known. The Redis was behind before.
    later = fired(fleet, fleet.now + 2 * HOUR)
    assert {title for title, found in later.items() if found} == {
        "DepthgaugeSnapshotsMissing",
        "DepthgaugeSourceSilent",
        "DepthgaugeMaintenanceStale",
    }
    assert later["DepthgaugeSourceSilent"] == expected["DepthgaugeSourceSilent"]
    gone = fired(fleet, fleet.now + timedelta(days=2))
    assert gone["DepthgaugeSnapshotsMissing"] is None
    missing = rules()["DepthgaugeSnapshotsMissing"]
    assert missing["noDataState"] == "Alerting"
    assert rendered(missing["annotations"]["description"], frozenset(), None) == "No host has sent anything for a day."


def test_a_month_of_rows_is_no_burden_and_the_late_queue_is_told(month: Month) -> None:
    took: list[float] = []
    found = {}
    with month.connect() as connection:
        for title, rule in rules().items():
            began = time.perf_counter()
            found[title] = firing(connection, rule, month.end, timescaledb=month.timescaledb)
            took.append(time.perf_counter() - began)
    assert found["JobQueueWaitCritical"] == {some(redis="default", system="rq", queue=LATE): 10_800.25}
    # The rules are evaluated once a minute.
    assert statistics.median(took) < 0.1
    assert sum(took) < 5


@pytest.mark.needs("postgres")
def test_who_serves_a_queue_is_told_only_where_it_is_known_and_what_is_lost_after_a_day(plain_fleet: Fleet) -> None:
    fleet = plain_fleet

    def alarmed(**queue: Any) -> bool:
        fleet.queue |= queue
        fleet.slots(6)
        return bool(fired(fleet)["JobQueueNoWorkers"])

    assert not alarmed(workers=2)
    assert not alarmed(workers=None), "the supervisor is away, and had workers a moment ago"
    assert alarmed(workers=0)
    assert not alarmed(registry_workers=1), "somebody works elsewhere"
    assert not alarmed(registry_workers=None), "the registry is away, and had workers a moment ago"
    assert alarmed(registry_workers=0)
    # Another host had the lease a while ago, when there were some.
    names = {"host": "web-2", "redis": "default", "system": "rq", "queue": "mail"}
    fleet.add("worker_snapshots", **names, recorded_at=fleet.now - HOUR / 6, registry_workers=3)
    assert alarmed()
    assert not alarmed(pending=0)
    assert not alarmed(pending=None), "the Redis is away"

    # Three snapshots are missing since thirty hours ago: an hour ago a spool might still have held them.
    ledger = {"host": "web-3", "run_id": "old", "drops": "{}"}
    for ago, seq in ((timedelta(hours=30), 1), (timedelta(hours=29), 5)):
        moment = fleet.now - ago
        fleet.add("snapshots", seq=seq, recorded_at=moment, taken_at=moment, **ledger)
    # Two others are missing now, and their exporter tells that it dropped them.
    ledger = {"host": "web-4", "run_id": "new", "drops": '{"spool_full": 2}'}
    for seq in (1, 4):
        moment = fleet.now - HOUR / 6 + seq * SLOT
        fleet.add("snapshots", seq=seq, recorded_at=moment, taken_at=moment, **ledger)
    found = fired(fleet)
    assert found["DepthgaugeSnapshotsLost"] == {some(host="web-3"): 3.0}
    assert found["DepthgaugeSnapshotsDropped"] == {some(host="web-4"): 2.0}


def _described(title: str, found: dict[Labels, float]) -> str:
    ((labels, number),) = found.items()
    return rendered(rules()[title]["annotations"]["description"], labels, number)
