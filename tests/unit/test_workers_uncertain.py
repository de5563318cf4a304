"""Workers of which it is not certain where their queues live: what the log says of them, and what is shown."""

import logging
from datetime import UTC, datetime

import pytest

from depthgauge.snapshot import Process, ProcessState, Resources, Supervisor
from exporter.places import Place
from exporter.workers import WorkerMap
from tests.plugins.worker_tables import Table, Worker

NOW = datetime(2026, 8, 21, 12, tzinfo=UTC)


def test_workers_that_are_alike_share_a_line(caplog: pytest.LogCaptureFixture) -> None:
    places = [Place(name, frozenset(("rq",))) for name in ("one", "two")]
    workers = WorkerMap(rules={}, command_lines=[Worker("rq")], places=places, known=lambda _redis: ())
    table = Table()
    table.argv = {pid: ("rq", "work", "a" if pid < 4 else "b") for pid in range(1, 5)}
    processes = tuple(
        Process(group=f"g{pid}", name="w", state=ProcessState.RUNNING, pid=pid, resources=Resources())
        for pid in table.argv
    )
    supervisor = Supervisor(observed_at=NOW, name="main", now=NOW, state=1, processes=processes)
    ends = "but it is not certain where that is: give it a rule with redis, system and queues"
    with caplog.at_level(logging.WARNING):
        workers.fill([supervisor], table)
        assert caplog.messages == [], "nobody may have looked into a Redis yet"
        for _ in range(3):
            workers.fill([supervisor], table)
    assert caplog.messages == [
        f"main: g1:w, like 2 others, serves queue 'a', {ends}",
        f"main: g4:w serves queue 'b', {ends}",
    ]


def test_queue_that_is_no_longer_certain_is_unknown_and_not_without_workers() -> None:
    places = [Place(name, frozenset(("rq",))) for name in ("one", "two")]
    known = {"one": [("rq", "a"), ("rq", "b")], "two": list[tuple[str, str]]()}
    workers = WorkerMap(rules={}, command_lines=[Worker("rq")], places=places, known=lambda redis: known[redis])
    table = Table()
    table.argv = {1: ("rq", "work", "a"), 2: ("rq", "work", "b")}

    def seen(*pids: int) -> dict[str, int]:
        processes = tuple(
            Process(group=f"g{pid}", name="w", state=ProcessState.RUNNING, pid=pid, resources=Resources())
            for pid in pids
        )
        (part,) = workers.fill([Supervisor(observed_at=NOW, name="main", now=NOW, state=1, processes=processes)], table)
        return {each.queue: each.processes for each in part.workers}

    assert seen(1, 2) == {"a": 1, "b": 1}
    known["two"].append(("rq", "a"))
    assert seen(1, 2) == {"b": 1}, "somebody works on one of the two: 0 would call people for nothing"
    assert seen() == {"b": 0}
