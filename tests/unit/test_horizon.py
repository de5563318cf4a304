"""Horizon: finding its applications and queues, whose they are, and what bounds them."""

import json
from collections.abc import Mapping, Sequence

import pytest

from depthgauge.resp import Command, Reply, ReplyError, TooLarge
from depthgauge.snapshot import Queue
from exporter.queues import horizon
from exporter.queues.laravel import LaravelReader
from exporter.queues.laravel_apps import DEFAULTS, generations, homes, stem_of
from exporter.queues.reader import converse
from exporter.settings import PrefixSettings

NOW = 1_800_000_000.0
H = b"laravel_horizon:"
P = b"laravel_database_"


def reader(*, laravel: str | None = None, told: str | None = None, names: Sequence[str] = ()) -> LaravelReader:
    return LaravelReader(PrefixSettings(prefix=laravel), PrefixSettings(prefix=told), names)


def answering(table: Mapping[tuple[str, bytes], Reply]) -> "Answers":
    return Answers(table)


class Answers:
    """Answers by command and key; else 0, nothing or two fields that are not there."""

    def __init__(self, table: Mapping[tuple[str, bytes], Reply]) -> None:
        self.table, self.trips = table, 0

    def __call__(self, commands: Sequence[Command]) -> list[Reply]:
        self.trips += 1
        assert commands, "no empty batch is sent"
        return [self._one(str(command[0]), command[1]) for command in commands]

    def _one(self, name: str, key: object) -> Reply:
        assert isinstance(key, bytes)
        empty: dict[str, Reply] = {"HMGET": [None, None], "ZRANGE": [], "SSCAN": [b"0", []]}
        return self.table.get((name, key), empty.get(name, 0))


def alive(count: int = 1, age: float = 0) -> Reply:
    return [word for number in range(count) for word in (b"m:%d" % number, str(NOW - age).encode())]


def pools(processes: Mapping[str, int]) -> Reply:
    return [b"running", json.dumps({f"redis:{name}": number for name, number in processes.items()}).encode()]


def read(reader: LaravelReader, table: Mapping[tuple[str, bytes], Reply], *names: str, now: float = NOW) -> Queue:
    handles = [b"\0" + H + b"\0" + name.encode() for name in names or ("default",)]
    talk = answering(table)
    (queues,) = converse(talk, [reader.read(handles, now)])
    assert talk.trips <= 2
    return queues[0]


@pytest.mark.parametrize(
    ("key", "kind", "prefix"),
    [
        (b"laravel_horizon:measured_queues", b"set", H),
        (b"{laravel_horizon:}measured_queues", b"set", b"{laravel_horizon:}"),
        (b"whatever:measured_queues", b"set", b"whatever:"),
        (b"laravel_horizon:supervisors", b"zset", H),
        (b"laravel_horizon:masters", b"zset", H),
        (b"measured_queues", b"zset", None),
        (b"laravel_horizon:supervisors", b"set", None),
        (b"chess:masters", b"zset", None),
        (b"school:supervisors", b"zset", None),
        (b"laravel_horizon:supervisors:x", b"zset", None),
    ],
)
def test_which_keys_tell_a_prefix(key: bytes, kind: bytes, prefix: bytes | None) -> None:
    found = reader()
    if found.may_own([key]):
        assert found.recognise(key, kind) is None
    assert found.prefixes == (() if prefix is None else (prefix,))


def test_a_list_with_the_name_of_a_horizon_key_is_no_queue() -> None:
    assert reader().recognise(b"chess:masters", b"list") is None
    assert reader().recognise(b"queues:masters", b"list") == b"queues:masters"


def test_lists_of_other_systems_queues_are_no_queues_of_laravel() -> None:
    for key in (
        b"bull:mail-queues:wait",
        b"{bull}:queues:active",
        b"rq:queue:queues:intermediate",
        b"saq:queues:queued",
    ):
        assert reader().may_own([key])
        assert reader().recognise(key, b"list") is None
    assert reader(laravel="bull:").recognise(b"bull:queues:mail", b"list") == b"bull:queues:mail"


def test_a_configured_prefix_keeps_others_out_and_lets_braces_in() -> None:
    found = reader(told="shop_horizon:")
    for prefix in (b"blog_horizon:", b"{shop_horizon:}"):
        found.recognise(prefix + b"measured_queues", b"set")
    assert found.prefixes == (b"shop_horizon:", b"{shop_horizon:}")


def test_no_more_prefixes_than_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(horizon, "MAX_PREFIXES", 3)
    found = reader()
    for number in range(10):
        found.recognise(b"p%d:measured_queues" % number, b"set")
    assert len(found.prefixes) == 3


def test_queues_are_told_by_measurements_and_by_supervisors() -> None:
    found = reader()
    found.recognise(H + b"measured_queues", b"set")
    members = [H + b"queue:default", H + b"queue:mail:eu", H + b"queue:", b"other:queue:x", H + b"job:App"]
    table: dict[tuple[str, bytes], Reply] = {
        ("SSCAN", H + b"measured_queues"): [b"0", list(members)],
        ("ZRANGE", H + b"supervisors"): [b"m:1", b"m:2", b"m:3"],
        ("HMGET", H + b"supervisor:m:1"): pools({"high,default": 2, "{low}": 1}),
        ("HMGET", H + b"supervisor:m:2"): [b"running", b"oops"],
    }
    (handles,) = converse(answering(table), [found.discover()])
    assert [found.name(handle) for handle in handles] == ["default", "mail:eu", "high", "low"]
    assert {found.told_by(handle) for handle in handles} == {"laravel_horizon:measured_queues"}


def test_a_long_set_of_names_is_left_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(horizon, "MAX_NAMES", 5)
    found = reader(told="laravel_horizon:")
    pages = 0

    def endless(commands: Sequence[Command]) -> list[Reply]:
        nonlocal pages
        if commands[0][0] != "SSCAN":
            return [[]]
        pages += 1
        return [[b"7", [H + b"queue:q%d" % (2 * pages + each) for each in (0, 1)]]]

    (handles,) = converse(endless, [found.discover()])
    assert (pages, len(handles)) == (50, 5)


def test_a_set_of_strangers_is_left_after_a_page() -> None:
    talk = answering({("SSCAN", b"x:measured_queues"): [b"7", [b"y:queue:default", b"mail"]]})
    found = reader()
    found.recognise(b"x:measured_queues", b"set")
    assert converse(talk, [found.discover()]) == [()]
    assert talk.trips == 2, "one page, and the supervisors"


def test_without_a_prefix_nothing_is_asked() -> None:
    assert converse(answering({}), [reader().discover()]) == [()]
    talk = answering({})
    converse(talk, [reader(names=("a",)).read((), NOW)])
    assert talk.trips == 1, "only Laravel's counts"


@pytest.mark.parametrize("age", [-120.0, 0.0, 120.0])
def test_a_supervisor_lives_as_long_as_its_hash_whatever_the_clock_of_its_host(age: float) -> None:
    table: dict[tuple[str, bytes], Reply] = {("ZRANGE", H + b"supervisors"): alive(age=age)}
    assert read(reader(), table).registry_workers == 0
    table["HMGET", H + b"supervisor:m:0"] = pools({"default": 3})
    assert read(reader(), table).registry_workers == 3


def test_members_of_yesterday_are_not_asked_about() -> None:
    table: dict[tuple[str, bytes], Reply] = {("ZRANGE", H + b"supervisors"): alive(5, age=86_400)}
    talk = answering(table)
    converse(talk, [reader().read([b"\0" + H + b"\0default"], NOW)])
    assert talk.trips == 1


def test_more_supervisors_than_so_many_are_not_counted_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(horizon, "MAX_SUPERVISORS", 2)
    queue = read(reader(), {("ZRANGE", H + b"supervisors"): alive(3)})
    assert (queue.registry_workers, queue.error) == (None, "too_large")
    assert queue.live.waiting == 0


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (ReplyError("WRONGTYPE", "WRONGTYPE"), "wrong_type"),
        ([b"running", TooLarge(2 << 20)], "too_large"),
        ([b"running", b'{"redis:default": "three"}'], "garbage"),
        ([b"running", b'["redis:default"]'], "garbage"),
        ([b"running", b"\xff"], "garbage"),
    ],
)
def test_a_supervisor_that_cannot_be_read_leaves_the_number_unknown(reply: Reply, error: str) -> None:
    table: dict[tuple[str, bytes], Reply] = {
        ("ZRANGE", H + b"supervisors"): alive(2),
        ("HMGET", H + b"supervisor:m:0"): pools({"default": 3}),
        ("HMGET", H + b"supervisor:m:1"): reply,
    }
    queue = read(reader(), table)
    assert (queue.registry_workers, queue.paused, queue.error) == (None, None, error)


def test_completed_goes_on_over_a_snapshot_and_after_a_rebase() -> None:
    found = reader()
    key = ("HMGET", H + b"queue:default")
    snapshots = ("ZRANGE", H + b"snapshot:queue:default")
    taken: Reply = [b'{"throughput":"14","runtime":"20"}', str(NOW + 20).encode()]
    assert read(found, {key: [b"10", b"20"]}).completed_total == 0
    assert read(found, {key: [b"12", b"20"]}, now=NOW + 15).completed_total == 2
    assert read(found, {key: [b"1", b"20"], snapshots: taken}, now=NOW + 30).completed_total == 5
    found.rebase()
    assert read(found, {key: [b"9", b"20"], snapshots: taken}, now=NOW + 45).completed_total == 5
    assert read(found, {key: [b"10", b"20"], snapshots: taken}, now=NOW + 60).completed_total == 6


def test_an_application_whose_horizon_is_left_out_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    found = reader()
    handles = [b"a:queues:default", b"b:queues:default", b"\0x:\0default", b"\0y:\0default"]
    for _ in range(2):
        converse(answering({}), [found.read(list(handles), NOW)])
    assert len(caplog.records) == 2
    assert "horizon at x:: cannot tell" in caplog.text


SHOP, BLOG = generations(b"shop"), generations(b"my_blog")


@pytest.mark.parametrize(
    ("horizons", "prefixes", "expected"),
    [
        ([b"shop_horizon:"], [], [SHOP]),
        ([b"my_blog_horizon:"], [], [BLOG]),
        ([b"h:"], [], [DEFAULTS]),
        ([b"h:", b"i:"], [], [None, None]),
        ([b"shop_horizon:"], [b"shop-database-"], [(b"shop-database-",)]),
        ([b"my-blog-horizon:"], [b"my_blog_database_"], [(b"my_blog_database_",)]),
        ([b"{shop_horizon:}"], [b"shop_database_"], [(b"shop_database_",)]),
        ([b"shop_horizon:"], list(SHOP), [None]),
        ([b"shop_horizon:"], [b"custom:"], [(b"custom:",)]),
        ([b"shop_horizon:"], [b""], [(b"",)]),
        ([b"h:"], [b"shop_database_"], [(b"shop_database_",)]),
        ([b"shop_horizon:"], [b"blog_database_"], [SHOP]),
        ([b"shop_horizon:"], [b"blog_database_", b"custom:"], [(b"custom:",)]),
        ([b"shop_horizon:", b"my_blog_horizon:"], [b"shop_database_"], [(b"shop_database_",), BLOG]),
        ([b"shop_horizon:", b"h:"], [b"shop_database_", b"custom:"], [(b"shop_database_",), None]),
        ([b"h:"], [b"a:", b"b:"], [None]),
        ([b"shop_horizon:", b"{shop_horizon:}"], [b"shop_database_"], [(b"shop_database_",), None]),
    ],
)
def test_whose_horizon_it_is(
    horizons: Sequence[bytes], prefixes: Sequence[bytes], expected: Sequence[tuple[bytes, ...] | None]
) -> None:
    assert list(homes(horizons, prefixes, derive=True).values()) == expected


def test_beside_a_configured_prefix_nothing_is_looked_for_elsewhere() -> None:
    assert homes([b"shop_horizon:"], [b"blog_database_"], derive=False) == {b"shop_horizon:": None}
    assert homes([b"shop_horizon:"], [b"shop:"], derive=False) == {b"shop_horizon:": (b"shop:",)}


def test_the_name_in_a_prefix() -> None:
    assert stem_of(b"my-shop-database-") == stem_of(b"my_shop_horizon:") == b"my_shop"
    assert stem_of(b"_database_") is None
    assert stem_of(b"shop:") is None


def test_the_prefix_to_configure_is_that_of_the_queues() -> None:
    found = reader()
    handle = b"\0" + H + b"\0default"
    assert found.prefix(handle) is None, "not known before the first reading"
    converse(answering({}), [found.read([handle, P + b"queues:mail"], NOW)])
    assert found.prefix(handle) == P
    assert found.prefix(P + b"queues:mail") == P


def test_idle_queues_are_known_by_the_counters_of_their_workers() -> None:
    found = reader()
    assert found.recognise(b"shop-database-depthgauge:jobs:mail", b"hash") == b"shop-database-queues:mail"
    assert found.recognise(b"shop_database_depthgauge:jobs:laravel:mail", b"hash") == b"shop_database_queues:mail"
    for key in (b"depthgauge:jobs:mail", b"kombu.depthgauge:jobs:mail", b"shop_database_depthgauge:jobs:"):
        assert found.recognise(key, b"hash") is None, "somebody else's"
    told = reader(laravel="shop:")
    assert told.may_own([b"shop:depthgauge:jobs:mail"])
    assert not told.may_own([b"blog_database_depthgauge:jobs:mail"])
    assert told.recognise(b"shop:depthgauge:jobs:mail", b"hash") == b"shop:queues:mail"
