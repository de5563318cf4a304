"""The collection loop, with sources that do what they are told."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

import pytest

from depthgauge.errors import ErrorKind, SourceError
from depthgauge.parts import Part
from depthgauge.snapshot import (
    Process,
    ProcessEvent,
    ProcessState,
    Queue,
    RedisQueues,
    Resources,
    Snapshot,
    Supervisor,
)
from exporter.collect import Collector, EveryoneCollects, Identity, Leases

T0 = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
P = TypeVar("P", bound=Part)


class Clock:
    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> datetime:
        return self.now

    def step(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Told(Generic[P]):
    """A source that returns, raises or blocks as the test says."""

    peer_pid: int | None = None

    def __init__(self, kind: str, target: str, answer: Callable[[], P]) -> None:
        self.kind = kind
        self.target = target
        self.answer = answer
        self.calls = 0
        self.gate: threading.Event | None = None

    def collect(self) -> P:
        self.calls += 1
        if self.gate is not None:
            self.gate.wait(30)
        return self.answer()


def with_resources(supervisors: Sequence[Supervisor], peers: Mapping[str, int | None]) -> Sequence[Supervisor]:
    import msgspec

    return [
        msgspec.structs.replace(
            part,
            processes=tuple(
                msgspec.structs.replace(process, resources=Resources(cpu_seconds=1.5)) for process in part.processes
            ),
        )
        for part in supervisors
    ]


class Stage:
    """A collector with one supervisord and one Redis."""

    def __init__(self, interval: float = 0.5, leases: Leases | None = None) -> None:
        self.clock = Clock()
        self.supervisor = Told("supervisor", "main", self.supervisor_part)
        self.redis = Told("redis", "default", self.redis_part)
        self.collector = Collector(
            Identity(host="web-1", run_id="r1", interval=interval),
            supervisors=[self.supervisor],
            redis=[self.redis],
            enrich=with_resources,
            leases=leases or EveryoneCollects(),
            clock=self.clock,
            drops=lambda: {"bus_away": 2},
            events=self,
        )
        self.gathered: list[tuple[int, list[str]]] = []

    def gather(self, parts: Sequence[Supervisor], *, seq: int) -> tuple[ProcessEvent, ...]:
        self.gathered.append((seq, [part.name for part in parts]))
        return (
            ProcessEvent(
                supervisor="main", group="g", process="p", occurred_at=T0, number=seq, to_state=20, source="poll"
            ),
        )

    def supervisor_part(self) -> Supervisor:
        process = Process(group="g", name="p", state=ProcessState.RUNNING)
        return Supervisor(observed_at=self.clock(), name="main", now=self.clock(), state=1, processes=(process,))

    def redis_part(self) -> RedisQueues:
        return RedisQueues(observed_at=self.clock(), redis="default", queues=(Queue(system="rq", name="high"),))

    def take(self, seq: int = 1) -> Snapshot:
        return self.collector.take(self.clock(), seq=seq)


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.collector.close()


def test_one_cycle_reads_everything(stage: Stage) -> None:
    snapshot = stage.take()

    assert [status.ok for status in snapshot.sources] == [True, True, True]
    assert {status.kind for status in snapshot.sources} == {"supervisor", "redis", "processes"}
    assert snapshot.supervisors[0].processes[0].resources == Resources(cpu_seconds=1.5)
    assert snapshot.queues[0].queues[0].name == "high"
    assert snapshot.is_fresh(snapshot.queues[0])
    assert snapshot.drops == {"bus_away": 2}


def test_a_failing_source_keeps_its_part_until_it_is_three_intervals_old(stage: Stage) -> None:
    stage.take()

    def refuse() -> RedisQueues:
        raise SourceError(ErrorKind.REFUSED, "told to")

    stage.redis.answer = refuse
    stage.clock.step(0.5)
    second = stage.take()
    stage.clock.step(1.1)
    fourth = stage.take()

    assert [part.redis for part in second.queues] == ["default"]
    assert not second.is_fresh(second.queues[0])
    assert fourth.queues == ()
    status = next(status for status in fourth.sources if status.kind == "redis")
    assert (status.ok, status.error, status.errors) == (False, "refused", {"refused": 2})
    assert status.last_success_at == T0


def test_events_are_gathered_from_parts_that_were_read_and_from_no_others(stage: Stage) -> None:
    assert [event.number for event in stage.take(seq=7).events] == [7]

    def refuse() -> Supervisor:
        raise SourceError(ErrorKind.REFUSED, "told to")

    stage.supervisor.answer = refuse
    stage.clock.step(0.5)
    carried = stage.take(seq=8)

    assert [part.name for part in carried.supervisors] == ["main"]
    assert [event.number for event in carried.events] == [8]
    assert stage.gathered == [(7, ["main"]), (8, [])]


def test_a_defect_in_a_source_harms_nobody_else(stage: Stage) -> None:
    def fail() -> Supervisor:
        raise ZeroDivisionError("told to")

    stage.supervisor.answer = fail

    snapshot = stage.take()

    assert [part.redis for part in snapshot.queues] == ["default"]
    status = next(status for status in snapshot.sources if status.kind == "supervisor")
    assert status.error == "internal"


def test_a_source_that_hangs_is_abandoned_and_asked_no_more_until_it_returns(stage: Stage) -> None:
    gate = stage.redis.gate = threading.Event()
    started = time.monotonic()
    first = stage.take()
    assert time.monotonic() - started < 1.0
    stage.clock.step(0.5)
    stage.take()

    assert stage.redis.calls == 1
    status = next(status for status in first.sources if status.kind == "redis")
    assert status.error == "timeout"
    assert [part.name for part in first.supervisors] == ["main"]

    gate.set()
    stage.clock.step(0.5)
    assert stage.take().queues[0].redis == "default"


def test_a_slow_supervisord_is_asked_every_second_slot(stage: Stage) -> None:
    def slowly() -> Supervisor:
        time.sleep(0.15)  # the source's own duration is what is tested: 30 % of the interval
        return stage.supervisor_part()

    stage.supervisor.answer = slowly
    for _ in range(4):
        stage.take()
        stage.clock.step(0.5)

    assert stage.supervisor.calls == 2


def test_without_the_lease_a_redis_is_neither_read_nor_shown() -> None:
    class Elsewhere:
        allowed = True

        def allows(self, redis: str, *, kind: str = "redis") -> bool:
            return self.allowed

    leases = Elsewhere()
    stage = Stage(leases=leases)
    try:
        assert len(stage.take().queues) == 1
        leases.allowed = False
        stage.clock.step(0.5)
        snapshot = stage.take()

        assert snapshot.queues == ()
        assert stage.redis.calls == 1
        assert all(status.kind != "redis" for status in snapshot.sources)
    finally:
        stage.collector.close()


def test_the_loop_numbers_without_gaps_and_counts_skipped_slots() -> None:
    stage = Stage(interval=0.5)
    stop = threading.Event()
    seen: list[Snapshot] = []

    def emit(snapshot: Snapshot) -> None:
        seen.append(snapshot)
        stage.clock.step(1.6 if len(seen) == 2 else 0.5)
        if len(seen) == 4:
            stop.set()

    try:
        stage.collector.run(emit, stop)
    finally:
        stage.collector.close()

    assert [snapshot.seq for snapshot in seen] == [0, 1, 2, 3]
    assert [snapshot.cycle.skipped for snapshot in seen] == [0, 0, 2, 2]
    slots = [snapshot.slot for snapshot in seen]
    assert slots == sorted(set(slots))


def test_a_defect_in_reading_proc_keeps_the_process_states() -> None:
    stage = Stage()

    def fail(supervisors: Sequence[Supervisor], peers: Mapping[str, int | None]) -> Sequence[Supervisor]:
        raise ZeroDivisionError("told to")

    stage.collector._enrich = fail
    try:
        snapshot = stage.take()
    finally:
        stage.collector.close()

    assert snapshot.supervisors[0].processes[0].state == ProcessState.RUNNING
    status = next(status for status in snapshot.sources if status.kind == "processes")
    assert (status.ok, status.error) == (False, "internal")


def test_a_collection_that_is_brought_forward_reads_what_is_quick_and_tells_no_events(stage: Stage) -> None:
    stage.take(seq=1)
    stage.clock.step(0.2)
    early = stage.collector.take(stage.clock(), seq=0, within=0.2)

    assert (stage.supervisor.calls, stage.redis.calls) == (2, 2)
    assert early.events == ()
    assert [seq for seq, _ in stage.gathered] == [1]
    assert early.queues[0].observed_at == stage.clock()


def test_a_collection_that_is_brought_forward_ends_in_time_and_blames_nobody(stage: Stage) -> None:
    stage.take(seq=1)
    gate = stage.redis.gate = threading.Event()
    started = time.monotonic()
    early = stage.collector.take(stage.clock(), seq=0, within=0.1)

    assert time.monotonic() - started < 0.35
    assert [status.ok for status in early.sources] == [True, True, True]
    assert [part.redis for part in early.queues] == ["default"]
    gate.set()


def test_a_slow_supervisord_is_not_asked_out_of_turn(stage: Stage) -> None:
    def slowly() -> Supervisor:
        time.sleep(0.15)  # the source's own duration is what is tested: 30 % of the interval
        return stage.supervisor_part()

    stage.supervisor.answer = slowly
    stage.take(seq=1)
    stage.collector.take(stage.clock(), seq=0, within=0.4)
    assert stage.supervisor.calls == 1
    stage.take(seq=2)  # its rest
    stage.take(seq=3)
    assert stage.supervisor.calls == 2


def test_slots_and_numbers_go_on_as_if_nothing_had_been_brought_forward() -> None:
    stage = Stage(interval=0.5)
    stop = threading.Event()
    seen: list[Snapshot] = []

    def emit(snapshot: Snapshot) -> None:
        seen.append(snapshot)
        if len(seen) == 1:
            stage.collector.demand.ask()
        else:
            stage.clock.step(0.5)
        if len(seen) == 4:
            stop.set()

    try:
        stage.collector.run(emit, stop)
    finally:
        stage.collector.close()

    assert [snapshot.seq for snapshot in seen] == [0, 0, 1, 2]
    assert [snapshot.cycle.skipped for snapshot in seen] == [0, 0, 0, 0]
    assert seen[1].slot == seen[0].slot
