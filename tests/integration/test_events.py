"""Events from a real supervisord into snapshots, and from snapshots into real databases."""

import itertools
import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from depthgauge import stream
from depthgauge.secrets import Secret
from depthgauge.settings import BusSettings
from depthgauge.snapshot import ProcessEvent, ProcessState, Snapshot
from exporter.assembly import Assembly, utc_now
from exporter.collect import EveryoneCollects
from exporter.event_log import EventLine, LogFolder, LogWriter
from exporter.event_source import EventSource
from exporter.settings import ExporterSettings, SupervisorSettings
from exporter.slots import slot_of
from tests.plugins.listeners import NAME, Listened
from tests.plugins.redis_server import RedisServer
from tests.plugins.sinks import MakeSink, make_snapshot, publish, recent_slot, select, sequence
from tests.plugins.supervisord import MakeSupervisord, Program, python
from tests.plugins.waiting import wait_for

S = ProcessState
MANUAL = {"autostart": "false", "startsecs": "0", "startretries": "0"}
PROGRAMS = (
    Program("steady", "sleep 600", options={**MANUAL, "autostart": "true"}),
    Program("three", python("raise SystemExit(3)"), options=MANUAL),
    Program("nowhere", "/nonexistent/program", options=MANUAL),
    Program("hopeless", "false", options={**MANUAL, "startsecs": "1"}),
)


class Exporter:
    """An exporter without its loop: each ``take`` is a cycle."""

    def __init__(self, url: str, state_dir: Path | None = None) -> None:
        bus = BusSettings(url=Secret("redis://127.0.0.1:1")) if state_dir else None
        settings = ExporterSettings(
            host="web-1",
            state_dir=state_dir,
            supervisors=(SupervisorSettings(name="main", url=url),),
            bus=bus,
        )
        self.assembly = Assembly(settings, run_id="r1", leases=EveryoneCollects())
        self._seqs = itertools.count()
        self.take()

    def take(self) -> Snapshot:
        return self.assembly.collector.take(slot_of(utc_now(), 0.01), seq=next(self._seqs))

    def events(self) -> list[ProcessEvent]:
        return [event for event in self.take().events if event.process != NAME]


def brief(events: list[ProcessEvent]) -> set[tuple[str, int | None, int, int | None, str]]:
    return {(event.process, event.from_state, event.to_state, event.exit_status, event.source) for event in events}


@pytest.mark.needs("supervisord")
def test_comparing_tells_what_changed_between_two_readings(make_supervisord: MakeSupervisord) -> None:
    supervisord = make_supervisord(PROGRAMS)
    supervisord.wait_for_state("steady", "RUNNING")
    exporter = Exporter(supervisord.unix_url)
    assert exporter.events() == []
    before = utc_now()
    supervisord.rpc.startProcess("three", False)
    supervisord.wait_for_state("three", "EXITED")
    supervisord.rpc.startProcess("hopeless", False)
    supervisord.wait_for_state("hopeless", "FATAL")
    events = exporter.events()
    assert brief(events) == {
        ("three", S.STOPPED, S.EXITED, 3, "poll"),
        ("hopeless", S.STOPPED, S.FATAL, None, "poll"),
    }
    assert len({event.number for event in events}) == 2
    assert all(abs(event.occurred_at - before) < timedelta(seconds=10) for event in events)
    assert {event.detail for event in events} == {None, "Exited too quickly (process log may have details)"}
    assert exporter.events() == []

    supervisord.rpc.stopProcess("steady")
    supervisord.rpc.startProcess("steady")
    [restarted] = exporter.events()
    assert (restarted.from_state, restarted.to_state, restarted.detail) == (S.RUNNING, S.RUNNING, "restarted")
    supervisord.rpc.stopProcess("steady")
    [stopped] = exporter.events()
    assert (stopped.to_state, stopped.exit_status) == (S.STOPPED, -1)
    exporter.assembly.close()


@pytest.mark.needs("supervisord")
def test_with_a_listener_each_change_is_told_and_none_twice(make_supervisord: MakeSupervisord, tmp_path: Path) -> None:
    listened = Listened(make_supervisord, PROGRAMS, tmp_path)
    rpc = listened.supervisord.rpc
    listened.wait_for_states("steady", "STARTING", "RUNNING")
    exporter = Exporter(listened.supervisord.unix_url, tmp_path)
    assert brief(exporter.events()) == {
        ("steady", S.STOPPED, S.STARTING, None, "listener"),
        ("steady", S.STARTING, S.RUNNING, None, "listener"),
    }
    rpc.startProcess("three", False)
    listened.wait_for_states("three", "STARTING", "RUNNING", "EXITED")
    rpc.stopProcess("steady")
    rpc.startProcess("steady")
    listened.wait_for_states("steady", "STARTING", "RUNNING", "STOPPING", "STOPPED", "STARTING", "RUNNING")
    events = exporter.events()
    assert [(event.process, event.to_state, event.exit_status) for event in events] == [
        ("three", S.STARTING, None),
        ("three", S.RUNNING, None),
        # supervisord's events do not hold it: the reading does.
        ("three", S.EXITED, 3),
        ("steady", S.STOPPING, None),
        ("steady", S.STOPPED, None),
        ("steady", S.STARTING, None),
        ("steady", S.RUNNING, None),
    ]
    assert {event.source for event in events} == {"listener"}
    assert exporter.events() == exporter.events() == []

    # It goes for good. While that is not known nothing is told, and then everything by comparing, once.
    rpc.stopProcess(NAME)
    rpc.stopProcess("steady")
    assert exporter.events() == []
    os.utime(listened.folder.alive, (0, 0))
    assert brief(exporter.events()) == {("steady", S.RUNNING, S.STOPPED, -1, "poll")}
    # It comes back, and hears what supervisord has kept for it: a change may be told by both, none is left out.
    rpc.startProcess("steady")
    rpc.startProcess(NAME)
    rpc.startProcess("three", False)
    wait_for(lambda: listened.states("three").count("EXITED") == 2)
    told = [event for _ in range(3) for event in exporter.events()]
    assert brief(told) == {
        ("steady", S.RUNNING, S.STOPPING, None, "listener"),
        ("steady", S.STOPPING, S.STOPPED, None, "listener"),
        ("steady", S.STOPPED, S.STARTING, None, "listener"),
        ("steady", S.STARTING, S.RUNNING, None, "listener"),
        ("three", S.EXITED, S.STARTING, None, "listener"),
        ("three", S.STARTING, S.RUNNING, None, "listener"),
        ("three", S.RUNNING, S.EXITED, 3, "listener"),
    }
    assert len(told) == 7
    exporter.assembly.close()


def drained(server: RedisServer) -> None:
    bus = server.client()
    wait_for(lambda: bus.xlen(stream.STREAM) == 0, 20, what="the sink has drained the stream")


ROWS = (
    "SELECT process, occurred_at, event_no, from_state, to_state, exit_status, expected, source, detail"
    " FROM depthgauge.process_events ORDER BY occurred_at, event_no"
)


@pytest.mark.needs("redis-server")
def test_an_exporter_that_dies_before_its_snapshot_is_settled_tells_twice_and_the_database_takes_it_once(
    make_sink: MakeSink, redis_server: RedisServer, database: str, tmp_path: Path
) -> None:
    base = recent_slot()
    writer = LogWriter(LogFolder(tmp_path, "main"))
    for number in range(30):
        at = base + timedelta(milliseconds=number)
        writer.add(EventLine(at=at, serial=number, group="mail", process="mail", from_state=0, to_state=10, pid=number))
    sink = make_sink(database, redis_server.url)
    bus = redis_server.client()
    seqs = itertools.count(1)
    for run, settled in (("one", False), ("two", True), ("three", True)):
        source = EventSource(["main"], state_dir=tmp_path, clock=utc_now, most=20)
        source.gather((), seq=0)
        for seq in (1, 2):
            events = source.gather((), seq=seq)
            publish(bus, make_snapshot(next(seqs), base=base, run_id=run, events=events))
            if settled:
                source.settled(seq)
    drained(redis_server)
    rows = select(database, ROWS)
    assert [row[2] for row in rows] == list(range(30))
    assert rows[7] == ("mail", base + timedelta(milliseconds=7), 7, 0, 10, None, None, "listener", "pid 7")
    assert sink.count("rows_total", table="process_events") == 30
    assert sink.count("snapshots_committed_total") == 6
    # Events that are there already are no collision.
    assert sink.count("snapshots_collided_total") == 0


@pytest.mark.needs("redis-server")
def test_events_of_other_days_find_their_place(make_sink: MakeSink, redis_server: RedisServer, database: str) -> None:
    base = recent_slot()

    def event(number: int, moment: datetime) -> ProcessEvent:
        return ProcessEvent(
            supervisor="main", group="g", process="p", occurred_at=moment, number=number, to_state=20, source="listener"
        )

    moments = [base - timedelta(days=29), base - timedelta(days=3), base + timedelta(minutes=50), base]
    wrong = [base - timedelta(days=9000), base + timedelta(days=9000)]
    events = tuple(event(number, moment) for number, moment in enumerate([*moments, *wrong]))
    sink = make_sink(database, redis_server.url)
    publish(redis_server.client(), make_snapshot(1, base=base, events=events))
    drained(redis_server)
    assert sequence(database) == [1]
    slot = make_snapshot(1, base=base).slot
    rows = {row[2]: (row[1], row[8]) for row in select(database, ROWS)}
    assert rows == {
        **{number: (moment, None) for number, moment in enumerate(moments)},
        4: (slot, f"the clock said {wrong[0].isoformat()}"),
        5: (slot, f"the clock said {wrong[1].isoformat()}"),
    }
    assert sink.count("snapshots_quarantined_total") == 0
