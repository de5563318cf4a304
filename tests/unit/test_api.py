"""The live endpoints over views of a fleet, and the document that describes them."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from depthgauge.health import Database, Disk, Machine, Probe, Rate, RedisServer, ResponseTime
from depthgauge.histogram import histogram_of
from depthgauge.httpd import Request, Response
from depthgauge.snapshot import LiveJobs, Process, Queue, RedisQueues, Resources, ServedQueue, Snapshot
from exporter.live import Live
from exporter.recent import Recent
from exporter.store import SnapshotStore
from exporter.web.api import LiveApi, not_found
from exporter.web.bodies import MOST_DRAWN
from exporter.web.health_replies import Health, Performance
from exporter.web.openapi import document
from exporter.web.replies import Queues, Workers
from tests.plugins.snapshots import NOW, ago, full, snapshot_of, status

LIVE = tuple(path for path in document()["paths"] if path.startswith("/api/system/") and "historical" not in path)


def response(*seconds: float, failures: int = 0) -> ResponseTime:
    total = histogram_of(seconds)
    return ResponseTime(
        current=seconds[-1], avg=0.2, max=0.3, min=0.1, p95=0.29, p99=0.3, total=total, failures=failures
    )


def healthy(**changes: Any) -> Snapshot:
    """A snapshot with health in it."""
    told = full()
    redis = RedisServer(observed_at=ago(1), redis="default", version="7.0.15", role="master", hit_ratio=0.5, clients=3)
    database = Database(
        observed_at=ago(1),
        name="app",
        version="17.2",
        connections={"active": 2, "idle": 5},
        max_connections=100,
        active_queries=2,
        tps=Rate(current=10.0, avg=11.0, max=12.0, min=9.0),
        response=response(0.1, 0.3, failures=1),
    )
    machine = Machine(
        observed_at=ago(1),
        cpus=4,
        cpu_ratio=0.25,
        boot_at=ago(86_400),
        uptime_seconds=86_400,
        uptime_ratio=1.0,
        disks=(Disk(mountpoint="/", total_bytes=100, available_bytes=40, used_ratio=0.6),),
    )
    values: dict[str, Any] = {
        "supervisors": told.supervisors,
        "queues": told.queues,
        "redis_servers": (redis,),
        "databases": (database,),
        "machine": machine,
        "probes": (Probe(observed_at=ago(1), name="site", up=False, status=502, response=response(0.5)),),
        "sources": (
            *(each for each in told.sources if each.kind in {"supervisor", "redis", "processes"}),
            status("supervisor", "lost", ok=False, error="refused", last_success_at=None),
            status("redis_server", "default"),
            status("redis_server", "other", ok=False, error="timeout", seconds=None),
            status("probe", "away", ok=False, error="dns"),
        ),
    }
    return snapshot_of(**{**values, **changes})


class Site:
    """The routes over one snapshot of this exporter."""

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        self.recent = Recent()
        store = SnapshotStore()
        if snapshot is not None:
            store.put(snapshot)
        live = Live(
            store,
            visible=lambda one: one,
            cache=None,
            ask=lambda: None,
            recent=self.recent,
            clock=lambda: NOW,
            monotonic=lambda: 0.0,
        )
        self.routes = LiveApi(live, self.recent).routes

    def get(self, path: str, query: str = "", **headers: str) -> Response:
        return self.routes[path](Request("GET", path, query, headers))

    def told(self, path: str) -> Any:
        answer = self.get(path)
        assert answer.status == 200
        return msgspec.json.decode(answer.body)


def validator(path: str, status: str = "200") -> jsonschema_rs.Draft202012Validator:
    """The schema of a reply, its references resolved within the document."""
    told = document()
    answer = told["paths"][path]["get"]["responses"][status]
    if "$ref" in answer:
        answer = told["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    schema = answer["content"]["application/json"]["schema"]
    return jsonschema_rs.Draft202012Validator({**schema, "components": told["components"]})


@pytest.mark.parametrize("path", LIVE)
@pytest.mark.parametrize("make", [healthy, full, snapshot_of])
def test_replies_are_as_the_document_says(path: str, make: Callable[[], Snapshot]) -> None:
    told = Site(make()).told(path)

    validator(path).validate(told)
    assert told["recordedAt"] == "2026-11-24T11:59:59Z"
    assert (told["hosts"], told["missingHosts"], told["source"], told["ageSeconds"]) == (["web-1"], [], "direct", 0.0)


def test_the_document_would_notice_a_field_that_is_not_there() -> None:
    told = Site(full()).told("/api/system/queues")
    del told["data"][0]["drainSeconds"]
    with pytest.raises(jsonschema_rs.ValidationError, match="drainSeconds"):
        validator("/api/system/queues").validate(told)


@pytest.mark.parametrize("path", LIVE)
def test_nothing_known_is_503_and_says_why(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.live.PATIENCE", 0.01)
    answer = Site().get(path)

    assert answer.status == 503
    validator(path, "503").validate(msgspec.json.decode(answer.body))


@pytest.mark.parametrize("path", [*LIVE, "/api/openapi.json"])
def test_a_parameter_that_nobody_knows_is_400_and_named(path: str) -> None:
    answer = Site(full()).get(path, "host=web-1")

    assert answer.status == 400
    told = msgspec.json.decode(answer.body)
    assert (told["error"]["code"], told["error"]["parameter"]) == ("bad_request", "host")
    validator(path, "400").validate(told)


def test_an_unknown_path_is_a_json_404() -> None:
    answer = not_found(Request("GET", "/api/" + "x" * 9000, "", {}))

    assert (answer.status, answer.content_type) == (404, "application/json")
    assert len(answer.body) < 500


def test_the_document_names_every_route_and_history() -> None:
    told = document()

    assert set(told["paths"]) == set(Site().routes) | {"/api/system/queue/historical"}
    assert told["security"] == [{"bearer": []}, {"basic": []}]
    history = told["paths"]["/api/system/queue/historical"]["get"]
    assert [each["name"] for each in history["parameters"]] == [
        "start_date", "end_date", "step", "queue", "host", "limit", "cursor",
    ]  # fmt: skip
    operations = [operation["get"]["operationId"] for operation in told["paths"].values()]
    assert len(set(operations)) == len(operations)


def test_a_client_that_has_it_gets_304() -> None:
    site = Site(full())
    tag = site.get("/api/system/queues").headers["ETag"]

    assert site.get("/api/system/queues", **{"if-none-match": tag}).status == 304
    assert site.get("/api/system/workers", **{"if-none-match": tag}).status == 200


def test_queues() -> None:
    site = Site(full())
    told = msgspec.json.decode(site.get("/api/system/queues").body, type=Queues)

    jobs, high, low = (each for each in told.data if each.system != "laravel")
    assert (jobs.system, jobs.queue, jobs.error, jobs.oldest_job_age_seconds) == ("list", "jobs", "too_large", 7.0)
    assert jobs.age_is_lower_bound
    assert (high.waiting, high.retry, high.failed, high.dead, high.workers) == (12, 1, 1, 0, 3)
    assert (high.oldest_job_age_seconds, high.age_is_lower_bound) == (33.25, False)
    assert high.paused is False
    assert (low.queue, low.workers, low.waiting) == ("low", 0, None)
    failed = {each.queue: each.failed for each in told.data if each.system == "laravel"}
    assert failed == {each.queue: each.count for part in full().databases for each in part.failed_jobs or ()}
    assert (high.trend, high.drain_seconds, high.recent.times) == (None, None, [])


def test_a_queue_that_drains_tells_until_when() -> None:
    site = Site(full())
    for age, waiting in ((60, 72), (45, 57), (30, 42), (15, 27)):
        queue = Queue(system="rq", name="high", live=LiveJobs(waiting=waiting))
        part = RedisQueues(observed_at=ago(age), redis="default", queues=(queue,))
        site.recent.feed([snapshot_of(queues=(part,))])

    [high] = [each for each in site.told("/api/system/queues")["data"] if each["queue"] == "high"]

    assert (high["trend"], high["drainSeconds"]) == ("draining", 12.0)
    assert high["recent"] == {
        "times": ["2026-11-24T11:59:00Z", "2026-11-24T11:59:15Z", "2026-11-24T11:59:30Z", "2026-11-24T11:59:45Z"],
        "waiting": [72, 57, 42, 27],
    }


def test_workers() -> None:
    snapshot = full()
    process = Process(
        group="g",
        name="p",
        state=20,
        start=ago(60),
        pid=7,
        resources=Resources(cpu_seconds=5.0),
        serves=(ServedQueue(redis="default", system="rq", queue="high"),),
    )
    main = msgspec.structs.replace(snapshot.supervisors[0], processes=(process, *snapshot.supervisors[0].processes))
    snapshot = msgspec.structs.replace(
        snapshot,
        supervisors=(main,),
        sources=(status("supervisor", "main"), status("supervisor", "lost", ok=False)),
    )
    site = Site(snapshot)
    for age, cpu in ((20, 0.0), (10, 5.0)):
        used = msgspec.structs.replace(process, resources=Resources(cpu_seconds=cpu))
        part = msgspec.structs.replace(main, observed_at=ago(age), processes=(used,))
        site.recent.feed([snapshot_of(supervisors=(part,))])

    told = msgspec.json.decode(site.get("/api/system/workers").body, type=Workers)

    first = told.data[0]
    assert (first.state, first.state_code, first.uptime_seconds, first.cpu_ratio) == ("RUNNING", 20, 60.0, 0.5)
    assert [each.queue for each in first.queues] == ["high"]
    by_name = {each.process: each for each in told.data}
    assert by_name["mail_01"].uptime_seconds is None
    assert (by_name['quote " back \\ line \n'].state, by_name['quote " back \\ line \n'].state_code) == (
        "UNKNOWN",
        4711,
    )
    assert by_name["mail_00"].open_fds == 17
    up, lost = told.supervisors
    assert (up.supervisor, up.up, up.state, up.processes, up.running) == ("main", True, "RUNNING", 8, 2)
    assert (lost.supervisor, lost.up, lost.state, lost.processes) == ("lost", False, None, None)


def test_health() -> None:
    told = msgspec.json.decode(Site(healthy()).get("/api/system/health").body, type=Health)

    found = {(type(each).__name__, each.target): each for each in told.data}
    assert set(found) == {
        ("RedisHealth", "default"),
        ("RedisHealth", "other"),
        ("DatabaseHealth", "app"),
        ("DiskHealth", "/"),
        ("UptimeHealth", "web-1"),
        ("ProbeHealth", "site"),
        ("ProbeHealth", "away"),
    }
    ups = {target: getattr(each, "up", None) for (_, target), each in found.items()}
    assert ups == {"default": True, "other": False, "app": True, "/": None, "web-1": None, "site": False, "away": False}
    [database] = [each for each in Site(healthy()).told("/api/system/health")["data"] if each["kind"] == "database"]
    assert (database["connections"], database["responseTimeSeconds"]) == (7, 0.3)
    lost = [(each.kind, each.target, each.error) for each in told.sources if not each.up]
    assert ("redis_server", "other", "timeout") in lost
    assert len(told.sources) == 9


def test_performance() -> None:
    told = Site(healthy()).told("/api/system/performance")["data"]

    assert [(each["kind"], each["target"]) for each in told] == [
        ("database", "app"),
        ("probe", "site"),
        ("host", "web-1"),
    ]
    assert told[0]["tps"] == {"current": 10.0, "avg": 11.0, "max": 12.0, "min": 9.0}
    assert (told[0]["responseTime"]["samples"], told[0]["responseTime"]["failures"]) == (2, 1)
    assert (told[0]["activeConnections"], told[0]["activeQueries"]) == (2, 2)
    assert (told[2]["cpuRatio"], told[2]["cpus"]) == (0.25, 4)
    msgspec.json.decode(msgspec.json.encode(Site(healthy()).told("/api/system/performance")), type=Performance)


def test_ten_thousand_queues_are_told_in_a_moment() -> None:
    """Measured 0.5 s for the first caller on a machine of 2 cores, nothing for those within the same second."""

    def many(age: float) -> Snapshot:
        queues = tuple(
            Queue(system="rq", name=f"q{number}", live=LiveJobs(waiting=number + int(age))) for number in range(10_000)
        )
        return snapshot_of(queues=(RedisQueues(observed_at=ago(age), redis="default", queues=queues),))

    site = Site(many(1))
    site.recent.feed(many(15 * (60 - number)) for number in range(48, 59))
    site.recent.feed([many(1)])
    started = perf_counter()
    first = site.get("/api/system/queues")
    took = perf_counter() - started
    started = perf_counter()
    again = site.get("/api/system/queues")

    assert perf_counter() - started < 0.05
    assert first.body == again.body
    assert took < 3
    assert len(first.body) < 8_000_000
    data = msgspec.json.decode(first.body)["data"]
    assert len(data) == 10_000
    drawn = [each for each in data if each["recent"]["times"]]
    assert len(drawn) == MOST_DRAWN
    assert min(each["waiting"] for each in drawn) == 10_001 - MOST_DRAWN
    assert all(len(each["recent"]["times"]) == 12 for each in drawn)
    assert {each["trend"] for each in data} <= {"draining", "steady"}
