"""Programs to queues: rules first, then command lines, never a guess, and zero once mapped."""

import logging
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest

from depthgauge.snapshot import (
    Process,
    ProcessState,
    QueueWorkers,
    Resources,
    ServedQueue,
    Supervisor,
    WorkerProcesses,
)
from exporter.command_lines.reader import CommandLine
from exporter.places import Place
from exporter.settings import QueueRule
from exporter.workers import Unmapped, WorkerMap
from tests.plugins.worker_tables import Table, Worker

NOW = datetime(2026, 8, 21, 12, tzinfo=UTC)
SYSTEMS = ("laravel", "rq", "list")


def redis(name: str = "default", *, systems: tuple[str, ...] = SYSTEMS, told: tuple[str, ...] = ()) -> Place:
    return Place(name, frozenset(systems), frozenset(told))


def rule(program: str, *queues: str, system: str | None = None, redis: str | None = None) -> QueueRule:
    return QueueRule(program=re.compile(program), queues=queues, system=system, redis=redis)


def worker_map(
    *rules: QueueRule,
    redises: Sequence[Place] = (redis(),),
    known: Mapping[tuple[str, str], Sequence[str]] | None = None,
    unread: Sequence[str] = (),
) -> WorkerMap:
    """``known`` has the names of the Redis servers by system and queue."""

    def known_in(name: str) -> Sequence[tuple[str, str]] | None:
        return None if name in unread else [queue for queue, names in (known or {}).items() if name in names]

    readers: list[CommandLine] = [Worker("laravel"), Worker("rq")]
    return WorkerMap(
        rules={"main": rules},
        command_lines=readers,
        places=redises,
        known=known_in,
    )


def process(
    name: str,
    *,
    group: str | None = None,
    state: int = ProcessState.RUNNING,
    pid: int | None = None,
    local: bool = True,
) -> Process:
    return Process(
        group=group or name,
        name=name,
        state=state,
        pid=pid,
        start=datetime.fromtimestamp(1, UTC),
        resources=Resources() if local and pid else None,
    )


def fill(
    workers: WorkerMap,
    *processes: Process,
    table: Table | None = None,
    name: str = "main",
    commands: Mapping[tuple[str, str], str] | None = None,
) -> Supervisor:
    supervisor = Supervisor(observed_at=NOW, name=name, now=NOW, state=1, processes=processes)
    (filled,) = workers.fill([supervisor], table or Table(), {name: commands or {}})
    return filled


def served(supervisor: Supervisor) -> list[list[tuple[str, str, str]]]:
    return [[(each.redis, each.system, each.queue) for each in process.serves] for process in supervisor.processes]


def test_rule_with_a_named_group() -> None:
    workers = worker_map(rule(r"laravel-worker-(?P<queue>.+)", system="laravel"))
    seen = fill(workers, process("laravel-worker-high"), process("laravel-worker-a, b,,a"), process("other"))
    assert served(seen) == [
        [("default", "laravel", "high")],
        [("default", "laravel", "a"), ("default", "laravel", "b")],
        [],
    ]


def test_rule_is_matched_in_full_on_group_and_name_or_on_name() -> None:
    workers = worker_map(rule(r"emails:.*", "mail", system="rq"), rule(r"web_\d\d", "web", system="rq"))
    seen = fill(
        workers,
        process("w1", group="emails"),
        process("web_07", group="any"),
        process("web_007", group="any"),
        process("emails", group="x"),
    )
    assert served(seen) == [[("default", "rq", "mail")], [("default", "rq", "web")], [], []]


@pytest.mark.parametrize(
    ("group", "name", "queue"),
    [
        ("worker-mail", "worker-mail", "mail"),
        ("worker-mail", "worker-mail_00", "mail"),
        ("worker-mail", "worker-mail-12", "mail"),
        ("worker-shard_01", "worker-shard_01", "shard_01"),
        ("all", "worker-mail", "mail"),
    ],
)
def test_number_that_numprocs_adds_is_not_part_of_the_queue(group: str, name: str, queue: str) -> None:
    workers = worker_map(rule("worker-(?P<queue>.+)", system="rq"))
    assert served(fill(workers, process(name, group=group))) == [[("default", "rq", queue)]]


def test_first_rule_that_matches_wins_and_may_say_that_there_is_no_worker() -> None:
    table = Table()
    table.argv[10] = ("rq", "work", "default")
    workers = worker_map(rule("scheduler"), rule(".*", "everything", system="rq"))
    seen = fill(workers, process("scheduler", pid=10), process("w", pid=10), table=table)
    assert served(seen) == [[], [("default", "rq", "everything")]]
    assert table.asked == []


def test_optional_group_that_took_part_in_no_match_falls_back_to_queues() -> None:
    workers = worker_map(rule(r"w(-(?P<queue>.+))?", "default", system="rq"))
    assert served(fill(workers, process("w"), process("w-high"))) == [
        [("default", "rq", "default")],
        [("default", "rq", "high")],
    ]


def test_rules_are_those_of_the_supervisor() -> None:
    assert served(fill(worker_map(rule(".*", "q", system="rq")), process("w"), name="other")) == [[]]


def test_command_line() -> None:
    table = Table()
    table.argv = {1: ("laravel", "work", "high,default"), 2: ("rq", "work", "x"), 3: ("nginx",), 4: ()}
    seen = fill(worker_map(), *(process(f"p{pid}", pid=pid) for pid in (1, 2, 3, 4, 5)), table=table)
    assert served(seen) == [
        [("default", "laravel", "high"), ("default", "laravel", "default")],
        [("default", "rq", "x")],
        [],
        [],
        [],
    ]


def test_process_that_is_not_of_this_host_has_no_command_line() -> None:
    table = Table()
    table.argv[1] = ("rq", "work", "x")
    assert served(fill(worker_map(), process("p", pid=1, local=False), table=table)) == [[]]


def test_worker_below_a_shell_counts_once() -> None:
    table = Table()
    table.argv = {1: ("bash", "-c", "x"), 2: ("sleep",), 3: ("rq", "work", "a"), 4: ("rq", "work", "a")}
    table.below = {1: (2, 3), 3: (4,)}
    seen = fill(worker_map(), process("p", pid=1), table=table)
    assert served(seen) == [[("default", "rq", "a")]]
    assert [each.processes for each in seen.workers] == [1]


def test_title_that_a_worker_writes_later_does_not_unmap_it_but_a_new_start_does() -> None:
    table = Table()
    workers = worker_map()
    table.argv[1] = ("rq", "work", "a")
    assert served(fill(workers, process("p", pid=1), table=table)) == [[("default", "rq", "a")]]
    table.argv[1] = ("rq:worker:x: Forked 12 at 123",)
    assert served(fill(workers, process("p", pid=1), table=table)) == [[("default", "rq", "a")]]
    table.starts[1] = 2
    assert served(fill(workers, process("p", pid=1), table=table)) == [[]]


@pytest.mark.parametrize("state", [state for state in ProcessState if state is not ProcessState.RUNNING])
def test_only_running_processes_are_workers(state: ProcessState) -> None:
    seen = fill(worker_map(rule(".*", "q", system="rq")), process("w", state=state))
    assert served(seen) == [[]]
    assert seen.workers == ()


def test_queue_names_are_cleaned() -> None:
    seen = fill(worker_map(rule(".*", "a\x00b", system="rq")), process("w"))
    ((queue,),) = ([each.queue for each in seen.workers],)
    assert "\x00" not in queue


def test_counts_by_queue_and_each_process_once_in_the_total() -> None:
    workers = worker_map(rule("(?P<queue>.+)", system="rq"))
    seen = fill(workers, process("high,default"), process("high,default", group="b"), process("default"))
    assert set(seen.workers) == {
        QueueWorkers(redis="default", system="rq", queue="high", processes=2),
        QueueWorkers(redis="default", system="rq", queue="default", processes=3),
    }
    assert seen.worker_processes == (WorkerProcesses(redis="default", system="rq", processes=3),)


def test_what_was_mapped_once_stays_at_zero_per_supervisor() -> None:
    workers = worker_map(rule("(?P<queue>.+)", system="rq"))
    assert fill(workers, process("a", state=ProcessState.FATAL)).workers == ()
    fill(workers, process("a"), process("b"))
    gone = fill(workers, process("a", state=ProcessState.FATAL), process("b"))
    assert {each.queue: each.processes for each in gone.workers} == {"a": 0, "b": 1}
    nobody = fill(workers)
    assert {each.queue: each.processes for each in nobody.workers} == {"a": 0, "b": 0}
    assert nobody.worker_processes == (WorkerProcesses(redis="default", system="rq", processes=0),)
    assert fill(workers, name="other").workers == ()


TWO = (redis("one"), redis("two"))


@pytest.mark.parametrize(
    ("known", "place"),
    [
        ({}, None),
        ({("rq", "q"): ("two",)}, "two"),
        ({("rq", "q"): ("one", "two")}, None),
        ({("laravel", "q"): ("two",)}, None),
        ({("rq", "q"): ("elsewhere",)}, None),
    ],
)
def test_with_two_redis_only_one_that_alone_knows_the_queue(
    known: Mapping[tuple[str, str], Sequence[str]], place: str | None
) -> None:
    table = Table()
    table.argv[1] = ("rq", "work", "q")
    seen = fill(worker_map(redises=TWO, known=known), process("p", pid=1), table=table)
    assert served(seen) == [[] if place is None else [(place, "rq", "q")]]


def test_rule_may_name_the_redis() -> None:
    workers = worker_map(rule(".*", "q", system="rq", redis="two"), redises=TWO, known={("rq", "q"): ("one",)})
    assert served(fill(workers, process("w"))) == [[("two", "rq", "q")]]


def test_only_one_of_two_redis_reads_the_system() -> None:
    table = Table()
    table.argv[1] = ("rq", "work", "q")
    redises = (redis("one", systems=("laravel",)), redis("two", systems=("rq",)))
    assert served(fill(worker_map(redises=redises), process("p", pid=1), table=table)) == [[("two", "rq", "q")]]


def test_system_that_is_not_read_there_is_no_match_for_a_command_line_but_for_a_rule() -> None:
    table = Table()
    table.argv[1] = ("rq", "work", "q")
    redises = (redis(systems=("laravel",)),)
    assert served(fill(worker_map(redises=redises), process("p", pid=1), table=table)) == [[]]
    told = worker_map(rule(".*", "q", system="rq"), redises=redises)
    assert served(fill(told, process("p"))) == [[("default", "rq", "q")]]


def test_rule_without_a_system() -> None:
    only = worker_map(rule(".*", "q"), redises=(redis(systems=("rq",)),))
    assert served(fill(only, process("w"))) == [[("default", "rq", "q")]]
    unknown = worker_map(rule(".*", "q"))
    assert served(fill(unknown, process("w"))) == [[]]
    known = worker_map(rule(".*", "q"), known={("list", "q"): ("default",)})
    assert served(fill(known, process("w"))) == [[("default", "list", "q")]]
    both = worker_map(rule(".*", "q"), known={("list", "q"): ("default",), ("rq", "q"): ("default",)})
    assert served(fill(both, process("w"))) == [[]]
    lists = worker_map(rule(".*", "q"), redises=(redis(systems=("rq", "list"), told=("rq", "list")),))
    assert served(fill(lists, process("w"))) == [[]]


def test_no_redis_at_all() -> None:
    assert served(fill(worker_map(rule(".*", "q", system="rq"), redises=()), process("w"))) == [[]]


def test_unmapped_is_named_once_in_the_log_and_shown(caplog: pytest.LogCaptureFixture) -> None:
    known: dict[tuple[str, str], Sequence[str]] = {}
    workers = worker_map(rule(r"w", "q", system="rq"), redises=TWO, known=known)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            fill(workers, process("w", group="g"))
    assert [record.getMessage() for record in caplog.records] == [
        "main: g:w serves queue 'q', but it is not certain where that is: give it a rule with redis, system and queues"
    ]
    assert workers.unmapped == {Unmapped("main", "g", "w", "rq", "q")}
    known["rq", "q"] = ("one",)
    fill(workers, process("w", group="g"))
    assert workers.unmapped == frozenset()


def test_the_rest_of_a_process_is_untouched() -> None:
    before = process("w", pid=7)
    (after,) = fill(worker_map(rule("w", "q", system="rq")), before).processes
    assert after.serves == (ServedQueue(redis="default", system="rq", queue="q"),)
    assert (after.pid, after.start, after.resources) == (before.pid, before.start, before.resources)


def systems(supervisor: Supervisor) -> dict[tuple[str, str], int]:
    return {(each.redis, each.system): each.processes for each in supervisor.worker_processes}


def test_worker_that_tells_no_queue_counts_once_for_its_system_and_for_no_queue() -> None:
    table = Table()
    table.argv = {1: ("rq", "busy"), 2: ("rq", "work", "a,b")}
    workers = worker_map()
    seen = fill(workers, process("p", pid=1), process("w", pid=2), table=table)
    assert served(seen) == [[], [("default", "rq", "a"), ("default", "rq", "b")]]
    assert systems(seen) == {("default", "rq"): 2}
    assert workers.unmapped == frozenset()
    assert systems(fill(workers, table=table)) == {("default", "rq"): 0}


def test_worker_that_tells_no_queue_needs_its_system_to_be_in_use_in_one_redis_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    table = Table()
    table.argv[1] = ("rq", "busy")
    known: dict[tuple[str, str], Sequence[str]] = {}
    workers = worker_map(redises=TWO, known=known)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert systems(fill(workers, process("p", pid=1), table=table)) == {}
    assert [record.getMessage() for record in caplog.records] == [
        "main: p:p serves rq, but it is not certain where that is: give it a rule with redis, system and queues"
    ]
    assert workers.unmapped == {Unmapped("main", "p", "p", "rq", "")}
    known["rq", "any"] = ("two",)
    assert systems(fill(workers, process("p", pid=1), table=table)) == {("two", "rq"): 1}
    known["rq", "any"] = ("one", "two")
    assert systems(fill(workers, process("p", pid=1), table=table)) == {("two", "rq"): 0}


def test_queue_that_is_not_certain_leaves_the_process_counted_for_its_system() -> None:
    table = Table()
    table.argv[1] = ("rq", "work", "mail")
    known = {("rq", "shop:mail"): ("default",), ("rq", "blog:mail"): ("default",)}
    workers = worker_map(known=known)
    seen = fill(workers, process("p", pid=1), table=table)
    assert (served(seen), systems(seen)) == ([[]], {("default", "rq"): 1})
    assert workers.unmapped == {Unmapped("main", "p", "p", "rq", "mail")}
    ruled = worker_map(rule("p", "shop:mail", system="rq"), known=known)
    assert served(fill(ruled, process("p", pid=1), table=table)) == [[("default", "rq", "shop:mail")]]
