"""Counters that workers keep: whose they are, and what is made of them."""

from collections.abc import Mapping, Sequence

import pytest

from depthgauge.resp import Command, Reply, ReplyError, TooLarge
from depthgauge.snapshot import KeptJobs, LiveJobs, Queue
from exporter.queues.counters import CounterReader
from exporter.queues.laravel import LaravelReader
from exporter.queues.reader import converse
from exporter.settings import PrefixSettings

NOW = 1_800_000_000.0
LIVE = LiveJobs(waiting=1)


def queue(system: str, name: str, **fields: object) -> Queue:
    return Queue(system=system, name=name, live=LIVE, **fields)  # type: ignore[arg-type]  # by name


def hashes(numbers: Mapping[str, Reply], sent: list[Command] | None = None) -> "Talk":
    return Talk(numbers, [] if sent is None else sent)


class Talk:
    """Answers HMGET from a table of replies by key; everything else is empty."""

    def __init__(self, numbers: Mapping[str, Reply], sent: list[Command]) -> None:
        self.numbers, self.sent, self.trips = numbers, sent, 0

    def __call__(self, commands: Sequence[Command]) -> list[Reply]:
        self.trips += 1
        self.sent += commands
        return [self.numbers[str(key, "utf-8")] if name == "HMGET" else 0 for name, key, *_ in _bytes(commands)]


def _bytes(commands: Sequence[Command]) -> list[tuple[str, bytes]]:
    return [(str(command[0]), command[1] if isinstance(command[1], bytes) else b"") for command in commands]


def counts(completed: int | None = 5, failed: int | None = 2, runtime_ms: int | None = 700) -> Reply:
    return [None if number is None else str(number).encode() for number in (completed, failed, runtime_ms)]


def fill(
    numbers: Mapping[str, Reply],
    queues: Sequence[Queue],
    *,
    reader: CounterReader | None = None,
    now: float = NOW,
) -> dict[tuple[str, str], Queue]:
    reader = reader or CounterReader("main", [])
    found = [key.encode() for key in numbers]
    assert converse(hashes(numbers), [reader.read(found, now)]) == [()]
    filled = reader.fill(queues)
    assert [(each.system, each.name) for each in filled] == [(each.system, each.name) for each in queues]
    return {(each.system, each.name): each for each in filled}


def laravel_with(*keys: bytes, prefix: str | None = None) -> LaravelReader:
    reader = LaravelReader(PrefixSettings(prefix=prefix), PrefixSettings(), ())
    converse(hashes({}), [reader.read(keys, NOW)])
    return reader


def totals(found: Queue) -> tuple[int | None, int | None]:
    return found.completed_total, found.failed_total


def test_nothing_is_asked_where_nothing_was_found() -> None:
    talk = hashes({})
    assert converse(talk, [CounterReader("main", []).read((), NOW)]) == [()]
    assert talk.trips == 0


def test_any_number_of_hashes_takes_one_round_trip_and_one_command_each() -> None:
    sent: list[Command] = []
    numbers = {f"depthgauge:jobs:q{number}": counts() for number in range(500)}
    talk = hashes(numbers, sent)
    converse(talk, [CounterReader("main", []).read([key.encode() for key in numbers], NOW)])
    assert talk.trips == 1
    assert sent[0] == ("HMGET", b"depthgauge:jobs:q0", "completed", "failed", "runtime_ms")
    assert len(sent) == 500


@pytest.mark.parametrize(
    ("key", "kind", "handle"),
    [
        (b"depthgauge:jobs:mail", b"hash", b"depthgauge:jobs:mail"),
        (b"shop_depthgauge:jobs:mail:eu", b"hash", b"shop_depthgauge:jobs:mail:eu"),
        (b"depthgauge:jobs:mail", b"string", None),
        (b"depthgauge:jobs:", b"hash", None),
    ],
)
def test_hashes_of_the_convention_are_found(key: bytes, kind: bytes, handle: bytes | None) -> None:
    reader = CounterReader("main", [])
    assert reader.may_own([key])
    assert reader.recognise(key, kind) == handle
    assert not reader.may_own([b"depthgauge:snapshots"])


def test_the_name_for_include_and_exclude_is_the_queues_own() -> None:
    reader = CounterReader("main", [])
    assert reader.name(b"depthgauge:jobs:celery:mail") == "mail"
    assert reader.name(b"shop_depthgauge:jobs:mail:eu") == "mail:eu"


def test_stored_counters_pass_through_to_the_queue_of_that_name() -> None:
    found = fill({"depthgauge:jobs:mail": counts()}, [queue("celery", "mail"), queue("celery", "other")])
    assert totals(found["celery", "mail"]) == (5, 2)
    assert found["celery", "mail"].live == LIVE
    assert totals(found["celery", "other"]) == (None, None)


def test_a_queue_nobody_knows_stays_unknown() -> None:
    assert set(fill({"depthgauge:jobs:gone": counts()}, [queue("celery", "mail")])) == {("celery", "mail")}


def test_the_mean_is_of_what_went_by_between_readings() -> None:
    reader = CounterReader("main", [])
    queues = [queue("dramatiq", "mail")]
    first = fill({"depthgauge:jobs:mail": counts(5, 2, 700)}, queues, reader=reader)
    assert first["dramatiq", "mail"].processing_seconds is None
    second = fill({"depthgauge:jobs:mail": counts(7, 4, 2700)}, queues, reader=reader, now=NOW + 15)
    assert second["dramatiq", "mail"].processing_seconds == pytest.approx(0.5)


def test_after_a_deletion_the_counters_begin_again() -> None:
    reader = CounterReader("main", [])
    queues = [queue("dramatiq", "mail")]
    fill({"depthgauge:jobs:mail": counts(5, 2, 700)}, queues, reader=reader)
    gone = fill({"depthgauge:jobs:mail": counts(None, None, None)}, queues, reader=reader, now=NOW + 15)
    assert gone["dramatiq", "mail"] == queues[0], "absent, not 0: and no error"
    again = fill({"depthgauge:jobs:mail": counts(1, 0, 90)}, queues, reader=reader, now=NOW + 30)
    assert totals(again["dramatiq", "mail"]) == (1, 0)
    assert again["dramatiq", "mail"].processing_seconds is None


def test_what_the_system_itself_tells_is_not_replaced() -> None:
    own = queue("laravel", "mail", completed_total=40, processing_seconds=3.0)
    found = fill({"depthgauge:jobs:mail": counts()}, [own])
    assert totals(found["laravel", "mail"]) == (40, 2), "Horizon counts no failures: those are taken"
    assert found["laravel", "mail"].processing_seconds == 3.0


def test_a_number_the_system_cannot_tell_for_a_moment_is_not_replaced() -> None:
    reader = CounterReader("main", [])
    keys = {"depthgauge:jobs:mail": counts()}
    fill(keys, [queue("saq", "mail", completed_total=40, failed_total=1)], reader=reader)
    found = fill(keys, [queue("saq", "mail", error="timeout")], reader=reader)
    assert totals(found["saq", "mail"]) == (None, None)


def test_a_name_that_several_have_goes_to_none_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    reader = CounterReader("main", [])
    queues = [queue("laravel", "default"), queue("celery", "default"), queue("rq", "mail")]
    for _ in range(2):
        found = fill({"depthgauge:jobs:default": counts()}, queues, reader=reader)
        assert list(found.values()) == queues
    (record,) = caplog.records
    assert record.getMessage() == (
        "redis main: the counters in depthgauge:jobs:default are not shown: celery and laravel have a queue of that name."
        " Let the workers write to depthgauge:jobs:SYSTEM:QUEUE, with the system in it (docs/counters.md)"
    )


def test_a_system_that_keeps_totals_is_no_candidate() -> None:
    queues = [queue("laravel", "default"), queue("sidekiq", "default", completed_total=9, failed_total=1)]
    found = fill({"depthgauge:jobs:default": counts()}, queues)
    assert totals(found["laravel", "default"]) == (5, 2)
    assert totals(found["sidekiq", "default"]) == (9, 1)


def test_numbers_of_all_queues_together_are_nobodys() -> None:
    kept = Queue(system="horizon", name="laravel_horizon:", kept=KeptJobs(failed=1))
    found = fill({"depthgauge:jobs:laravel_horizon:": counts()}, [kept])
    assert totals(found["horizon", "laravel_horizon:"]) == (None, None)


def test_a_system_before_the_name_pins_it() -> None:
    queues = [queue("laravel", "default"), queue("celery", "default")]
    found = fill({"depthgauge:jobs:celery:default": counts(1), "p_depthgauge:jobs:laravel:default": counts(2)}, queues)
    assert totals(found["celery", "default"])[0] == 1
    assert totals(found["laravel", "default"])[0] == 2


def test_a_name_with_a_colon_that_is_no_system_is_bare() -> None:
    found = fill({"depthgauge:jobs:mail:eu": counts()}, [queue("huey", "mail:eu")])
    assert totals(found["huey", "mail:eu"]) == (5, 2)


def test_a_name_that_begins_like_a_system_without_such_a_queue_is_the_queues_own() -> None:
    queues = [queue("arq", "arq:queue"), queue("celery", "mail")]
    found = fill({"depthgauge:jobs:arq:queue": counts(1), "depthgauge:jobs:rq:mail": counts(2)}, queues)
    assert [totals(each)[0] for each in found.values()] == [1, None]
    pinned = fill({"depthgauge:jobs:arq:arq:queue": counts(1), "depthgauge:jobs:arq:queue": counts(2)}, queues)
    assert totals(pinned["arq", "arq:queue"])[0] == 1


def test_a_prefix_that_is_laravels_goes_to_that_application() -> None:
    reader = CounterReader("main", [laravel_with(b"shop:queues:default", b"blog_queues:default", b"blog_queues:rare")])
    names = ("shop:default", "blog_default", "rare")
    queues = [*(queue("laravel", name) for name in names), queue("celery", "default")]
    found = fill(
        {
            "shop:depthgauge:jobs:default": counts(1),
            "blog_depthgauge:jobs:default": counts(2),
            "blog_depthgauge:jobs:laravel:rare": counts(3),
            "blog_depthgauge:jobs:unknown": counts(4),
            "depthgauge:jobs:default": counts(5),
        },
        queues,
        reader=reader,
    )
    assert [totals(each)[0] for each in found.values()] == [1, 2, 3, 5]


def test_a_prefix_nobody_knows_is_passed_over() -> None:
    found = fill({"my-app:depthgauge:jobs:mail": counts()}, [queue("celery", "mail")])
    assert totals(found["celery", "mail"]) == (5, 2)


def test_the_exact_key_wins_and_two_of_a_kind_are_told(caplog: pytest.LogCaptureFixture) -> None:
    exact = {"depthgauge:jobs:mail": counts(1), "depthgauge:jobs:celery:mail": counts(2)}
    assert totals(fill(exact, [queue("celery", "mail")])["celery", "mail"])[0] == 2
    assert not caplog.records
    twice = {"a:depthgauge:jobs:mail": counts(1), "b:depthgauge:jobs:mail": counts(2)}
    assert totals(fill(twice, [queue("celery", "mail")])["celery", "mail"]) == (None, None)
    assert "a:depthgauge:jobs:mail counts the same queue" in caplog.text


@pytest.mark.parametrize("garbage", [b"-1", b"1.5", b"", b"many", b"+1", b"9223372036854775808", b"1" * 400])
def test_garbage_in_a_field_leaves_it_out(garbage: bytes) -> None:
    found = fill({"depthgauge:jobs:mail": [garbage, b"2", b"70"]}, [queue("celery", "mail")])["celery", "mail"]
    assert totals(found) == (None, 2)
    assert found.error == "garbage"
    assert found.live == LIVE


def test_a_missing_field_is_unknown() -> None:
    found = fill({"depthgauge:jobs:mail": counts(5, None, None)}, [queue("celery", "mail")])["celery", "mail"]
    assert (totals(found), found.error) == ((5, None), None)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (ReplyError("WRONGTYPE", "WRONGTYPE Operation against a key"), "wrong_type"),
        (ReplyError("NOPERM", "NOPERM no permissions"), "acl_denied"),
        ([TooLarge(2_000_000), b"1", b"1"], "too_large"),
    ],
)
def test_a_refusal_is_named_at_the_queue(reply: Reply, error: str) -> None:
    found = fill({"depthgauge:jobs:mail": reply}, [queue("celery", "mail"), queue("celery", "other")])
    assert found["celery", "mail"].error == error
    assert found["celery", "other"].error is None


def test_the_queues_own_error_comes_first() -> None:
    found = fill({"depthgauge:jobs:mail": counts(failed=-1)}, [queue("celery", "mail", error="wrong_type")])
    assert found["celery", "mail"].error == "wrong_type"
