"""What processes say they serve: trees of them, titles that change, and commands in supervisord's settings."""

from collections.abc import Sequence

import pytest

from exporter.claims import Claim, Recogniser
from exporter.command_lines import COMMAND_LINES
from tests.plugins.worker_tables import Table, Worker


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def recogniser() -> Recogniser:
    return Recogniser(COMMAND_LINES)


def look(recogniser: Recogniser, table: Table) -> list[tuple[str | None, tuple[str, ...]]]:
    claims = recogniser.local(1, table)
    recogniser.forget()
    return [(each.system, each.queues) for each in claims]


def test_horizons_master_serves_what_the_workers_below_it_serve(recogniser: Recogniser, table: Table) -> None:
    table.argv = {
        1: ("php", "artisan", "horizon"),
        2: ("php", "artisan", "horizon:supervisor", "web-1:s-1", "redis", "--queue=high,default,idle"),
        3: ("php", "artisan", "horizon:work", "redis", "--supervisor=web-1:s-1", "--queue=high"),
        4: ("php", "artisan", "horizon:work", "redis", "--supervisor=web-1:s-1", "--queue=default"),
        5: ("php", "artisan", "horizon:work", "redis", "--supervisor=web-1:s-1", "--queue=default"),
    }
    table.below = {1: (2,), 2: (3, 4, 5)}
    assert look(recogniser, table) == [("laravel", ("high", "default"))]
    table.below = {1: (2,)}
    assert look(recogniser, table) == [("laravel", ())]


def test_shell_above_workers_of_two_systems(recogniser: Recogniser, table: Table) -> None:
    table.argv = {
        1: ("bash", "run.sh"),
        2: ("celery", "-A", "app", "worker", "-Q", "b,a"),
        3: ("celery", "-A", "app", "worker", "-Q", "c"),
        4: ("rq", "worker", "x"),
        5: ("sleep", "1"),
    }
    table.below = {1: (2, 3, 4, 5)}
    assert dict(look(recogniser, table)) == {"celery": ("b", "a", "c"), "rq": ("x",)}


def test_what_a_worker_starts_is_its_own_business(recogniser: Recogniser, table: Table) -> None:
    table.argv = {
        1: ("celery", "-A", "app", "worker", "-Q", "a"),
        2: ("rq", "worker", "x"),
        3: ("bash", "run.sh"),
    }
    table.below = {1: (2,), 3: (1,)}
    assert look(recogniser, table) == [("celery", ("a",))]
    claims = recogniser.local(3, table)
    assert [(each.system, each.queues) for each in claims] == [("celery", ("a",))]
    # A worker that tells no queues is not taken for one of another system, whatever runs below it.
    table.argv[1] = ("arq", "app.Settings")
    table.starts[1] = 2
    assert look(recogniser, table) == [("arq", ())]


def test_title_that_tells_no_queues_does_not_undo_one_that_did(recogniser: Recogniser, table: Table) -> None:
    table.argv = {1: ("bash", "run.sh"), 2: ("rq:worker:x: Listening on a,b",)}
    table.below = {1: (2,)}
    assert look(recogniser, table) == [("rq", ("a", "b"))]
    table.argv[2] = ("rq:worker:x: Forked 4711 at 1.0",)
    assert look(recogniser, table) == [("rq", ("a", "b"))]
    table.starts[2] = 9
    assert look(recogniser, table) == [("rq", ())]
    table.argv[2] = ("rq:worker:x: Listening on c",)
    assert look(recogniser, table) == [("rq", ("c",))]


def test_worker_stays_one_when_its_line_cannot_be_read_any_more(recogniser: Recogniser, table: Table) -> None:
    table.argv[1] = ("sidekiq", "7.3.9", "app", "[0 of 5 busy]")
    assert look(recogniser, table) == [("sidekiq", ())]
    del table.argv[1]
    table.starts[1] = 1
    assert look(recogniser, table) == [("sidekiq", ())]
    table.argv[1] = ("ruby: something else",)
    assert look(recogniser, table) == [("sidekiq", ())]


def test_process_that_becomes_a_worker_is_one(recogniser: Recogniser, table: Table) -> None:
    table.argv[1] = ("python", "/usr/bin/supervisord")
    assert look(recogniser, table) == []
    table.argv[1] = ("rq", "worker", "a")
    assert look(recogniser, table) == [("rq", ("a",))]


def test_line_that_is_the_same_is_not_recognised_again(table: Table) -> None:
    read: list[Sequence[str]] = []

    class Counting(Worker):
        def serves(self, argv: Sequence[str], variable: object) -> None:
            read.append(argv)

    recogniser = Recogniser([Counting("rq")])
    table.argv[1] = ("nginx",)
    for _ in range(3):
        look(recogniser, table)
    assert read == [("nginx",)]
    table.starts[1] = 2
    look(recogniser, table)
    assert len(read) == 2


def test_environment_is_that_of_the_process_that_says_so(recogniser: Recogniser, table: Table) -> None:
    table.argv = {1: ("sh", "run.sh"), 2: ("rake", "resque:work")}
    table.below = {1: (2,)}
    table.variables = {1: {"QUEUE": "wrong"}, 2: {"QUEUE": "a,b"}}
    assert look(recogniser, table) == [("resque", ("a", "b"))]


def test_pids_that_a_walk_has_seen_in_a_circle_end(recogniser: Recogniser, table: Table) -> None:
    table.argv = {1: ("a",), 2: ("b",)}
    table.below = {1: (2,), 2: (1, 2)}
    assert look(recogniser, table) == []


@pytest.mark.parametrize(
    ("command", "claims"),
    [
        ("celery -A app worker -Q high,default", [("celery", ("high", "default"))]),
        ("/usr/bin/env PYTHONPATH=/srv celery -A app worker -Q 'my queue'", [("celery", ("my queue",))]),
        ("php artisan horizon", [("laravel", ())]),
        ("bundle exec sidekiq -q high,2 -q low", [("sidekiq", ("high", "low"))]),
        ("env QUEUE=a,b bundle exec rake resque:work", [("resque", ("a", "b"))]),
        ("rake resque:work", [("resque", ())]),
        ("bash -c 'celery -A app worker -Q a'", [("celery", ("a",))]),
        ("/bin/bash -lc 'cd /srv && exec celery -A app worker -Q a >> /var/log/x 2>&1'", [("celery", ("a",))]),
        ("nice -n 5 sh -c 'rq worker a b 2>&1; true'", [("rq", ("a", "b"))]),
        ("sh -c 'rq worker a & rq worker b; wait'", [("rq", ("a", "b"))]),
        ("sh -c 'QUEUE=x rake resque:work'", [("resque", ("x",))]),
        ("sh -c 'REDIS_QUEUE=x php artisan queue:work redis'", [("laravel", ("x",))]),
        ("sh -c 'celery -A app worker -Q $QUEUES'", [("celery", ())]),
        ("sh -c 'celery -A app worker -Q a-`hostname`'", [("celery", ())]),
        ("sh -ec 'echo hello'", []),
        ("sh run.sh -c", []),
        ("nginx -g 'daemon off;'", []),
        ("celery -A app worker -Q 'unfinished", []),
        ("sh -c 'celery -Q \"unfinished'", []),
        ("   ", []),
    ],
)
def test_commands_in_supervisords_settings(
    recogniser: Recogniser, command: str, claims: list[tuple[str, tuple[str, ...]]]
) -> None:
    found = recogniser.configured({("g", "n"): command})
    assert [(each.system, each.queues) for each in found["g", "n"]] == claims


def test_settings_are_looked_at_once() -> None:
    worker = Worker("rq")
    recogniser = Recogniser([worker])
    commands = {("g", "n"): "rq work a"}
    first = recogniser.configured(commands)
    assert first == {("g", "n"): [Claim(("a",), "rq")]}
    assert recogniser.configured(commands) is first
    assert recogniser.configured({("g", "n"): "rq work b"}) == {("g", "n"): [Claim(("b",), "rq")]}
