"""The events of a snapshot: listeners' files and comparison together, and when a place is kept."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from depthgauge.snapshot import Process, ProcessState, Supervisor
from exporter.event_log import EventLine, LogFolder, LogWriter
from exporter.event_metrics import EventMetrics
from exporter.event_source import EventSource
from exporter.events import Baseline

S = ProcessState


class Stage:
    """An exporter's event source, and the listener of ``main``; cycles are 15 s apart, and now."""

    def __init__(self, folder: Path, *, names: tuple[str, ...] = ("main", "other"), most: int = 1_000) -> None:
        self.folder = folder
        self.names = names
        self.most = most
        self.log = LogFolder(folder, "main")
        self.listener = LogWriter(self.log)
        self.serial = 0
        self.start()

    def start(self) -> None:
        """Start the exporter, as after a crash."""
        self.seq = -1
        self.source = EventSource(self.names, state_dir=self.folder, clock=lambda: datetime.now(UTC), most=self.most)

    def tell(self, from_state: int, to_state: int, process: str = "mail", late: float = 0) -> None:
        self.listener.add(
            EventLine(
                at=datetime.now(UTC) - timedelta(seconds=late),
                serial=self.serial,
                group=process,
                process=process,
                from_state=from_state,
                to_state=to_state,
            )
        )
        self.listener.beat()
        self.serial += 1

    def die(self) -> None:
        os.utime(self.log.alive, (0, 0))

    def gather(self, *states: int, other: int = S.RUNNING, restarts: int = 0) -> list[tuple[str, str, int | None, int]]:
        self.seq += 1
        parts = [
            Supervisor(
                observed_at=datetime.now(UTC),
                name=name,
                now=datetime.now(UTC).replace(microsecond=0),
                state=1,
                processes=tuple(
                    Process(group=group, name=group, state=state, restarts=restarts)
                    for group, state in zip(("mail", "web"), given, strict=False)
                ),
            )
            for name, given in (("main", states), ("other", (other,)))
        ]
        events = self.source.gather(parts, seq=self.seq)
        return [(event.supervisor, event.source, event.from_state, event.to_state) for event in events]

    def metric(self, name: str, **labels: str) -> float | None:
        registry = CollectorRegistry()
        registry.register(EventMetrics(self.source))
        return registry.get_sample_value(name, labels)


def test_the_first_snapshot_is_not_published_and_takes_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.tell(S.STARTING, S.RUNNING)
    assert stage.gather(S.RUNNING) == []
    assert stage.gather(S.RUNNING) == [("main", "listener", S.STARTING, S.RUNNING)]
    assert stage.gather(S.RUNNING) == []


def test_a_listener_speaks_for_its_own_supervisord_only(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.tell(S.STARTING, S.RUNNING)
    stage.gather(S.RUNNING)
    stage.gather(S.RUNNING)
    stage.tell(S.RUNNING, S.EXITED)
    assert stage.gather(S.EXITED, other=S.EXITED) == [
        ("main", "listener", S.RUNNING, S.EXITED),
        ("other", "poll", S.RUNNING, S.EXITED),
    ]
    assert stage.metric("depthgauge_events_total", source="listener") == 2
    assert stage.metric("depthgauge_events_total", source="poll") == 1
    assert stage.metric("depthgauge_listener_up", supervisor="main") == 1
    # One that never had a listener has none that could be down.
    assert stage.metric("depthgauge_listener_up", supervisor="other") is None


def test_when_the_listener_dies_comparing_goes_on_from_what_it_told(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.tell(S.STARTING, S.RUNNING)
    stage.gather(S.RUNNING)
    stage.gather(S.RUNNING)
    assert stage.gather(S.EXITED) == []
    stage.die()
    assert stage.gather(S.EXITED) == [("main", "poll", S.RUNNING, S.EXITED)]
    assert stage.gather(S.EXITED) == []
    assert stage.metric("depthgauge_listener_up", supervisor="main") == 0


def test_while_there_is_more_to_read_comparing_would_only_guess(tmp_path: Path) -> None:
    stage = Stage(tmp_path, names=("main", "other"), most=4)
    for _ in range(3):
        stage.tell(S.STOPPED, S.RUNNING)
        stage.tell(S.RUNNING, S.STOPPED)
    stage.gather(S.STOPPED)
    stage.die()
    # Two a snapshot is main's half. Its last state is not known before the last of them.
    assert [len(stage.gather(S.STOPPED)) for _ in range(4)] == [2, 2, 2, 0]


def test_a_place_is_kept_when_its_snapshot_is_settled_and_not_before(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.tell(S.STARTING, S.RUNNING)
    stage.gather(S.RUNNING)
    assert len(stage.gather(S.RUNNING)) == 1
    stage.source.settled(0)
    # Killed before it was settled: told again.
    stage.start()
    stage.gather(S.RUNNING)
    assert len(stage.gather(S.RUNNING)) == 1
    stage.tell(S.RUNNING, S.EXITED)
    assert len(stage.gather(S.EXITED)) == 1
    stage.source.settled(1)
    stage.start()
    stage.gather(S.EXITED)
    assert stage.gather(S.EXITED) == [("main", "listener", S.RUNNING, S.EXITED)]
    stage.source.settled(1)
    stage.start()
    stage.gather(S.EXITED)
    assert stage.gather(S.EXITED) == []


def test_one_settling_may_be_for_many_snapshots(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.gather(S.RUNNING)
    for _ in range(5):
        stage.tell(S.STARTING, S.RUNNING)
        stage.gather(S.RUNNING)
    stage.source.settled(3)
    stage.start()
    stage.gather(S.RUNNING)
    assert len(stage.gather(S.RUNNING)) == 2


def test_events_of_several_supervisords_stand_in_their_order_in_time(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.gather(S.RUNNING)
    other = LogWriter(LogFolder(tmp_path, "other"))
    for seconds in (30, 10):
        other.add(
            EventLine(
                at=datetime.now(UTC) - timedelta(seconds=seconds),
                serial=seconds,
                group="mail",
                process="mail",
                to_state=0,
            )
        )
    stage.tell(S.STARTING, S.RUNNING, late=20)
    other.beat()
    assert [name for name, _, _, _ in stage.gather(S.RUNNING, other=S.STOPPED)] == ["other", "main", "other"]


def test_what_was_lost_and_what_failed_are_counted(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.gather(S.RUNNING)
    stage.tell(S.STARTING, S.RUNNING)
    with stage.log.file(1).open("ab") as file:
        file.write(b'garbage\n{"type":"lost","count":7}\n')
    stage.gather(S.RUNNING)
    assert stage.metric("depthgauge_events_lost_total", reason="given_up") == 7
    assert stage.metric("depthgauge_events_lost_total", reason="unreadable") == 1
    stage.log.position.mkdir()
    stage.source.settled(1)
    assert stage.metric("depthgauge_event_log_failures_total", supervisor="main") == 1


def test_a_defect_costs_events_and_no_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("told to")

    stage = Stage(tmp_path)
    stage.gather(S.RUNNING)
    with monkeypatch.context() as patch:
        patch.setattr(Baseline, "compare", fail)
        assert stage.gather(S.EXITED) == []
    assert stage.metric("depthgauge_events_lost_total", reason="internal") == 1
    assert stage.gather(S.EXITED) == [("main", "poll", S.RUNNING, S.EXITED)]


def test_without_a_folder_only_comparing_tells(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.source = EventSource(stage.names, state_dir=None, clock=lambda: datetime.now(UTC))
    stage.tell(S.STARTING, S.RUNNING)
    stage.gather(S.RUNNING)
    assert stage.gather(S.EXITED) == [("main", "poll", S.RUNNING, S.EXITED)]
    stage.source.settled(1)
    assert stage.metric("depthgauge_events_lost_total", reason="given_up") is None
