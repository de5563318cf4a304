"""What comparing readings tells, beside a listener and without one."""

from datetime import timedelta
from itertools import count
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from depthgauge.snapshot import Process, ProcessEvent, ProcessState, Supervisor
from exporter.events import Baseline, completed
from tests.plugins.snapshots import NOW

S = ProcessState
MOST = 1_000


def process(state: int, name: str = "mail", **changes: Any) -> Process:
    return Process(**{"group": name, "name": name, "state": state, **changes})


def reading(cycle: float, *processes: Process) -> Supervisor:
    """Return a reading 15 s times ``cycle`` after NOW; supervisord's clock is an hour behind ours."""
    observed = NOW + timedelta(seconds=15 * cycle)
    return Supervisor(
        observed_at=observed + timedelta(milliseconds=250),
        name="main",
        now=observed - timedelta(hours=1),
        state=1,
        processes=processes,
    )


def told(to_state: int, from_state: int | None = None, *, number: int = 1, cycle: float = 0) -> ProcessEvent:
    return ProcessEvent(
        supervisor="main",
        group="mail",
        process="mail",
        occurred_at=NOW + timedelta(seconds=15 * cycle),
        number=number,
        from_state=from_state,
        to_state=to_state,
        source="listener",
    )


def brief(events: list[ProcessEvent]) -> list[tuple[str, int | None, int]]:
    return [(event.process, event.from_state, event.to_state) for event in events]


class Stage:
    """A baseline, and readings 15 s apart."""

    def __init__(self) -> None:
        self.baseline = Baseline(count(1))
        self.cycle = -1

    def read(self, *processes: Process, listened: bool = False, most: int = MOST) -> list[ProcessEvent]:
        self.cycle += 1
        return self.baseline.compare(reading(self.cycle, *processes), listened=listened, most=most)


def test_first_sight_and_going_are_no_events() -> None:
    stage = Stage()
    assert stage.read(process(S.RUNNING)) == []
    assert stage.read(process(S.RUNNING), process(S.EXITED, "new")) == []
    assert stage.read(process(S.EXITED, "new")) == []
    # One that comes back is new again.
    assert stage.read(process(S.STOPPED), process(S.EXITED, "new")) == []


def test_a_change_is_one_event_at_supervisords_own_time() -> None:
    stage = Stage()
    stage.read(process(S.RUNNING, start=NOW - timedelta(hours=2)))
    stop = NOW - timedelta(hours=1) + timedelta(seconds=9)
    exited = process(S.EXITED, stop=stop, exit_status=3)
    assert stage.read(exited) == [
        ProcessEvent(
            supervisor="main",
            group="mail",
            process="mail",
            occurred_at=stop,
            number=1,
            from_state=S.RUNNING,
            to_state=S.EXITED,
            exit_status=3,
            source="poll",
        )
    ]
    assert stage.read(exited) == []
    start = NOW - timedelta(hours=1) + timedelta(seconds=40)
    [again] = stage.read(process(S.RUNNING, start=start, restarts=1))
    assert (again.from_state, again.to_state, again.occurred_at, again.number) == (S.EXITED, S.RUNNING, start, 2)


def test_a_time_that_does_not_explain_the_change_is_not_its_time() -> None:
    stage = Stage()
    start = NOW - timedelta(hours=1, seconds=3)
    stage.read(process(S.STARTING, start=start))
    [running] = stage.read(process(S.RUNNING, start=start))
    assert running.occurred_at == NOW + timedelta(seconds=15.25)
    [stopping] = stage.read(process(S.STOPPING, start=start))
    assert stopping.occurred_at == NOW + timedelta(seconds=30.25)
    # Nor is one of the future.
    [stopped] = stage.read(process(S.STOPPED, stop=NOW + timedelta(days=1)))
    assert stopped.occurred_at == NOW + timedelta(seconds=45.25)


def test_a_restart_between_two_readings_is_told_once() -> None:
    stage = Stage()
    stage.read(process(S.RUNNING, restarts=0))
    start = NOW - timedelta(hours=1) + timedelta(seconds=7)
    [event] = stage.read(process(S.RUNNING, restarts=1, start=start))
    assert (event.from_state, event.to_state, event.detail) == (S.RUNNING, S.RUNNING, "restarted")
    assert event.occurred_at == start
    assert stage.read(process(S.RUNNING, restarts=1, start=start)) == []


def test_a_program_that_ends_by_itself_again_is_told_one_that_fails_again_is_not() -> None:
    stage = Stage()
    stage.read(process(S.EXITED, "job"), process(S.BACKOFF))
    assert brief(stage.read(process(S.EXITED, "job", restarts=1), process(S.BACKOFF, restarts=4))) == [
        ("job", S.EXITED, S.EXITED)
    ]
    [event] = stage.read(
        process(S.EXITED, "job", restarts=1), process(S.FATAL, restarts=4, spawn_error="can't find command")
    )
    assert (event.to_state, event.detail) == (S.FATAL, "can't find command")


def test_what_is_beyond_the_bound_is_told_later() -> None:
    stage = Stage()
    names = [f"p{number}" for number in range(25)]
    stage.read(*(process(S.RUNNING, name) for name in names))
    exited = [process(S.EXITED, name) for name in names]
    found = [brief(stage.read(*exited, most=10)) for _ in range(4)]
    assert [len(events) for events in found] == [10, 10, 5, 0]
    assert {name for events in found for name, _, _ in events} == set(names)


def test_while_a_listener_lives_comparing_tells_nothing() -> None:
    stage = Stage()
    stage.read(process(S.RUNNING))
    stage.read(process(S.RUNNING), listened=True)
    stage.read(process(S.RUNNING), listened=True)
    assert stage.read(process(S.EXITED), listened=True) == []
    stage.baseline.told(told(S.EXITED))
    assert stage.read(process(S.EXITED), listened=True) == []
    # What it told is known when it is gone.
    assert stage.read(process(S.EXITED)) == []


def test_what_a_listener_missed_is_told_when_it_is_known_to_be_dead() -> None:
    stage = Stage()
    stage.read(process(S.RUNNING), process(S.RUNNING, "web"), listened=True)
    for _ in range(3):
        assert stage.read(process(S.EXITED), process(S.RUNNING, "web", restarts=1), listened=True) == []
    assert brief(stage.read(process(S.EXITED), process(S.RUNNING, "web", restarts=1))) == [
        ("mail", S.RUNNING, S.EXITED),
        ("web", S.RUNNING, S.RUNNING),
    ]


def test_a_restart_that_the_listener_told_is_not_told_again() -> None:
    stage = Stage()
    stage.read(process(S.RUNNING), listened=True)
    for number, state in enumerate((S.STOPPING, S.STOPPED, S.STARTING, S.RUNNING)):
        stage.baseline.told(told(state, number=number))
    assert stage.read(process(S.RUNNING, restarts=1), listened=True) == []
    assert stage.read(process(S.RUNNING, restarts=1)) == []
    assert brief(stage.read(process(S.RUNNING, restarts=2))) == [("mail", S.RUNNING, S.RUNNING)]


def test_what_happened_before_a_listener_came_is_told_once() -> None:
    stage = Stage()
    stage.read(process(S.RUNNING))
    # It exited before the listener came, which therefore never tells it.
    assert stage.read(process(S.EXITED), listened=True) == []
    assert brief(stage.read(process(S.EXITED), listened=True)) == [("mail", S.RUNNING, S.EXITED)]
    assert stage.read(process(S.EXITED), listened=True) == []
    assert stage.read(process(S.EXITED)) == []


def test_what_was_on_its_way_when_the_listener_came_is_told_by_it_alone() -> None:
    stage = Stage()
    stage.read(process(S.RUNNING))
    assert stage.read(process(S.EXITED), listened=True) == []
    stage.baseline.told(told(S.EXITED))
    assert stage.read(process(S.EXITED), listened=True) == []
    assert stage.read(process(S.EXITED)) == []


def test_what_happened_before_it_came_is_told_even_if_it_goes_on_meanwhile() -> None:
    stage = Stage()
    stage.read(process(S.EXITED))
    assert stage.read(process(S.RUNNING), listened=True) == []
    stage.baseline.told(told(S.STOPPING))
    assert brief(stage.read(process(S.STOPPING), listened=True)) == [("mail", S.EXITED, S.RUNNING)]
    assert stage.read(process(S.STOPPING)) == []


def test_a_listeners_event_gets_the_exit_status_of_its_own_end_only() -> None:
    event = told(S.EXITED)
    assert completed(event, process(S.EXITED, stop=NOW, exit_status=3)).exit_status == 3
    assert completed(event, process(S.EXITED, stop=NOW - timedelta(seconds=20), exit_status=3)).exit_status is None
    assert completed(event, process(S.RUNNING, stop=NOW)).exit_status is None
    fatal = told(S.FATAL)
    assert completed(fatal, process(S.FATAL, spawn_error="no such file")).detail == "no such file"


STATES = st.sampled_from([S.STOPPED, S.STARTING, S.RUNNING, S.EXITED, S.FATAL])


@given(st.lists(st.tuples(STATES, st.booleans(), st.booleans()), min_size=1, max_size=40), STATES)
def test_whatever_comes_and_goes_the_events_lead_to_the_last_state(
    steps: list[tuple[ProcessState, bool, bool]], first: ProcessState
) -> None:
    """A process goes from state to state; a listener lives or not, and tells each change that it lives through, or not."""
    stage = Stage()
    stage.read(process(first))
    state, events = first, []
    for to_state, listened, misses in steps:
        if listened and not misses and to_state != state:
            event = told(to_state, state, cycle=stage.cycle + 0.5)
            stage.baseline.told(event)
            events.append(event)
        state = to_state
        events += stage.read(process(state), listened=listened)
    # The listener dies for good: whatever it did not tell is found.
    events += stage.read(process(state))
    events.sort(key=lambda event: event.occurred_at)
    assert (events[-1].to_state if events else first) == state
    assert stage.read(process(state)) == []
