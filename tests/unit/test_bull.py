"""BullMQ and Bull where more than one reading, or no server at all, is needed to see it."""

import base64
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import pytest

from depthgauge.errors import ErrorKind
from depthgauge.resp import Command, Reply, ReplyError, TooLarge
from depthgauge.snapshot import Queue
from exporter.queues.bull import BullReader
from exporter.queues.bull_clients import PAUSE, BullClients
from exporter.queues.bull_keys import MOST_CANDIDATES, BullKeysReader
from exporter.queues.bullmq import BullMqReader
from exporter.queues.naming import handle_of
from exporter.queues.reader import Conversation, abreast, converse
from exporter.settings import PrefixSettings

NOW = 1.8e9
AT_ONCE = 1_800_000_000_000


def bullmq(prefix: str | None = None, *names: str) -> BullMqReader:
    return BullMqReader(PrefixSettings(prefix=prefix), names)


def bull(prefix: str | None = None) -> BullReader:
    return BullReader(PrefixSettings(prefix=prefix), ())


class Keys:
    """Answers commands from a table of what is there; keeps what was asked."""

    def __init__(self, there: Mapping[str, Any] | None = None) -> None:
        self.there: dict[str, Any] = dict(there or {})
        self.asked: list[list[Command]] = []

    def exchange(self, commands: Sequence[Command]) -> list[Reply]:
        self.asked.append(list(commands))
        return [self._reply(command) for command in commands]

    def _reply(self, command: Command) -> Reply:
        words = [word.decode() if isinstance(word, bytes) else str(word) for word in command]
        empty: dict[str, Reply] = {"HMGET": [None] * (len(words) - 2), "LRANGE": [], "ZRANGE": [], "CLIENT": b""}
        return self.there.get(" ".join(words[:2]).replace(" ", "_"), empty.get(words[0], 0))


def discovered(reader: BullKeysReader, keys: Keys, *met: tuple[bytes, bytes]) -> list[bytes]:
    for key, kind in met:
        if reader.may_own([key]):
            assert reader.recognise(key, kind) is None, "only other keys tell whose it is"
    (handles,) = converse(keys.exchange, [reader.discover()])
    return list(handles)


def one(reader: BullKeysReader, keys: Keys, now: float = NOW, handle: bytes = b"bull\0mail") -> Queue:
    (queues,) = converse(keys.exchange, [reader.read((handle,), now)])
    (queue,) = queues
    return queue


@pytest.mark.parametrize(
    "key",
    [
        b"bull:mail:1",
        b"bull:mail:wait",
        b"bull:mail:events:x",
        b"rq:queues",
        b"laravel_database_queues:default",
        b"celery-task-meta-1f3e",
        b"meta",
        b"users_meta",
        b"_kombu.binding.celery",
    ],
)
def test_keys_that_tell_no_queue_are_not_looked_into(key: bytes) -> None:
    assert not bullmq().may_own([key])
    assert not bull().may_own([key])


def test_a_configured_prefix_leaves_all_others_alone() -> None:
    for reader, part in ((bullmq("shop"), b":meta"), (bull("shop"), b":id")):
        assert reader.may_own([b"shop:mail" + part])
        assert not reader.may_own([b"bull:mail" + part])
        assert not reader.may_own([b"shopping:mail" + part])


def test_a_key_of_another_type_or_without_a_prefix_is_no_candidate() -> None:
    reader = bullmq()
    for key, kind in ((b"bull:mail:meta", b"string"), (b"bull:mail:events", b"hash"), (b"mail:meta", b"hash")):
        assert reader.recognise(key, kind) is None
    assert reader.prefixes == ()
    reader.recognise(b"bull:mail:meta", b"hash")
    assert len(reader.prefixes) == 1, "discovery has to see that there is something to ask"


def test_meta_of_bullmq_tells_a_queue_and_its_prefix() -> None:
    known = Keys({f"HMGET_{base}:meta": [None, b"10000", b"bullmq:5"] for base in ("bull:a:b", "{bull}:c", "x:y:d")})
    met = [(base + b":meta", b"hash") for base in (b"bull:a:b", b"{bull}:c", b"x:y:d", b"x:y:e")]
    reader = bullmq()
    assert discovered(reader, known, *met) == [b"bull\0a:b", b"{bull}\0c", b"x:y\0d"]
    assert reader.prefixes == (), "they are not asked about again until the next walk meets them"


def test_a_hash_of_bull_while_paused_is_not_bullmqs() -> None:
    paused = Keys({"HMGET_bull:mail:meta": [b"1", None, None], "EXISTS_bull:mail:id": 1})
    assert discovered(bullmq(), paused, (b"bull:mail:meta", b"hash")) == []
    assert discovered(bull(), paused, (b"bull:mail:id", b"string")) == [b"bull\0mail"]


def test_a_counter_is_bulls_only_beside_jobs_where_the_prefix_is_not_known() -> None:
    met = (b"app:user:7:id", b"string"), (b"shop:mail:id", b"string")
    there = Keys({"EXISTS_app:user:7:id": 1, "EXISTS_shop:mail:id": 1, "ZCARD_shop:mail:completed": 3})
    assert discovered(bull(), there, *met) == [b"shop\0mail"]
    refused = Keys({"EXISTS_shop:mail:id": 1, "ZCARD_shop:mail:completed": ReplyError("NOPERM", "NOPERM no")})
    assert discovered(bull(), refused, *met) == []


def test_what_is_not_known_to_be_bulls_is_not_taken() -> None:
    for meta in ([None, b"10000", None], ReplyError("NOPERM", "NOPERM no")):
        events = 1 if isinstance(meta, ReplyError) else 0
        there = Keys({"EXISTS_bull:mail:id": 1, "HMGET_bull:mail:meta": meta, "EXISTS_bull:mail:events": events})
        assert discovered(bull(), there, (b"bull:mail:id", b"string")) == []


def test_so_many_candidates_under_unknown_prefixes_and_no_more() -> None:
    reader = bullmq()
    for number in range(MOST_CANDIDATES):
        reader.recognise(b"app:%d:meta" % number, b"hash")
    assert not reader.may_own([b"app:more:meta"])
    assert reader.may_own([b"bull:mail:meta"]), "the usual prefix is always looked into"
    keys = Keys()
    assert discovered(reader, keys) == []
    assert max(len(batch) for batch in keys.asked) <= 1500, "in portions"


def test_whether_a_queue_of_bull_is_paused_is_unknown_where_half_of_it_may_not_be_read() -> None:
    there = {"HMGET_bull:mail:meta": [None, None, None], "EXISTS_bull:mail:meta-paused": 0}
    assert one(bull(), Keys(there)).paused is False
    refused = there | {"EXISTS_bull:mail:meta-paused": ReplyError("NOPERM", "NOPERM no")}
    assert one(bull(), Keys(refused)).paused is None


def names(*clients: str) -> bytes:
    lines = [f"id={at} addr=127.0.0.1:1 fd=8 {client}\n" for at, client in enumerate(clients)]
    return "".join(lines).encode()


def client(name: str, database: int = 0, command: str = "brpoplpush") -> str:
    return f"name={name} age=1 idle=0 flags=b db={database} sub=0 psub=0 cmd={command} user=default redir=-1"


OURS = client("depthgauge", 2, "client|list")


@pytest.mark.parametrize(
    ("reply", "workers"),
    [
        (names(OURS, client("bull:bWFpbA==", 2), client("bull:bWFpbA==:w:one:w:two", 2)), 2),
        (names(OURS, client("bull:bWFpbA==", 0), client("bull:bWFpbA==:qe", 2), client("bull:bWFpbA==x", 2)), 0),
        (names(client("depthgauge", 2, "client"), client("bull:bWFpbA==", 2)), 1),
        (names(client("", 2, "client|list"), client("bull:bWFpbA==", 2)), None),
        (names(OURS, client("", 2, "get"), client("", 1, "bzpopmin"), client("other", 2, "bzpopmin")), 0),
        (names(OURS, client("", 2, "bzpopmin")), None),
        (names(OURS, client("", 2, "brpoplpush")), None),
        (names(OURS, client("", 2, "brpoplpush"), client("bull:bWFpbA==", 2)), 1),
        (names(OURS, client("depthgauge", 1, "client|list"), client("bull:bWFpbA==", 2)), None),
        (b"\xff\x00 name=", None),
        (b"", None),
        (7, None),
    ],
)
def test_workers_are_connections_by_name_in_our_own_database(reply: Reply, workers: int | None) -> None:
    clients = BullClients()
    converse(lambda _: [reply], [clients.ask(NOW)])
    assert base64.b64decode("bWFpbA==") == b"mail"
    assert clients.workers(b"bull", b"mail") == workers


@pytest.mark.parametrize("reply", [TooLarge(2_000_000), ReplyError("NOPERM", "NOPERM no")])
def test_a_list_of_clients_that_cannot_be_had_is_left_alone_for_a_while(reply: Reply) -> None:
    clients = BullClients()
    asked: list[float] = []

    def ask(now: float, answer: Reply) -> int | None:
        def exchange(_: Sequence[Command]) -> list[Reply]:
            asked.append(now)
            return [answer]

        converse(exchange, [clients.ask(now)])
        return clients.workers(b"bull", b"mail")

    good = names(OURS, client("bull:bWFpbA==", 2))
    assert ask(NOW, good) == 1
    assert ask(NOW + 15, reply) is None, "not what it was before"
    assert ask(NOW + 30, good) is None
    assert ask(NOW + 15 + PAUSE, good) == 1
    assert asked == [NOW, NOW + 15, NOW + 15 + PAUSE]


def completed(keys: Keys, jobs: dict[int, tuple[float, float]]) -> None:
    """Let jobs be the newest completed ones: ids with start and end, in seconds after NOW."""
    ends = {job: AT_ONCE + int(end * 1000) for job, (_, end) in jobs.items()}
    keys.there["ZRANGE_bull:mail:completed"] = [
        text for job, end in ends.items() for text in (b"%d" % job, b"%d" % end)
    ]
    for job, (start, _) in jobs.items():
        keys.there[f"HMGET_bull:mail:{job}"] = [b"%d" % (AT_ONCE + int(start * 1000)), b"%d" % ends[job]]


@pytest.mark.parametrize("make", [bullmq, bull])
def test_each_completed_job_counts_once_in_the_mean_of_the_last_minutes(make: Any) -> None:
    reader, keys = make(), Keys({"HMGET_bull:mail:meta": [None, b"1" if make is bullmq else None, None]})
    completed(keys, {1: (-400, -390), 2: (-5, -4), 3: (-4, -1)})
    assert one(reader, keys).processing_seconds == pytest.approx(2.0), "the first one ended too long ago"
    asked = len([command for command in keys.asked[-1] if command[0] == "HMGET"])
    assert asked == 2
    keys.asked.clear()
    assert one(reader, keys, NOW + 15).processing_seconds == pytest.approx(2.0)
    assert len(keys.asked) == 1, "nothing new: nothing more is asked"
    completed(keys, {3: (-4, -1), 4: (6, 14)})
    assert one(reader, keys, NOW + 16).processing_seconds == pytest.approx((1 + 3 + 8) / 3)
    assert one(reader, keys, NOW + 1000).processing_seconds is None


def test_a_head_that_was_too_large_is_left_alone_for_ten_minutes() -> None:
    reader = bullmq()
    keys = Keys(
        {
            "HMGET_bull:mail:meta": [None, b"1", b"bullmq:6.0.0"],
            "LLEN_bull:mail:wait": 1,
            "LRANGE_bull:mail:wait": [b"9"],
            "HMGET_bull:mail:9": [b"1799999990000", None, TooLarge(2_000_000)],
        }
    )
    for now in (NOW, NOW + 15):
        queue = one(reader, keys, now)
        assert (queue.error, queue.head_eligible_at, queue.live.waiting) == (ErrorKind.TOO_LARGE, None, 1)
    assert sum(command[1] == b"bull:mail:9" for batch in keys.asked for command in batch) == 1
    keys.there["HMGET_bull:mail:9"] = [b"1799999990000", None, b"{}"]
    queue = one(reader, keys, NOW + 700)
    assert (queue.error, queue.head_eligible_at is None) == (None, False)


def test_a_head_without_a_time_is_dated_by_when_it_was_first_seen() -> None:
    reader = bull()
    keys = Keys({"LLEN_bull:mail:wait": 1, "LINDEX_bull:mail:wait": b"9", "HMGET_bull:mail:9": [None, None, b"{}"]})
    first = one(reader, keys).head_first_seen_at
    assert first is not None
    assert one(reader, keys, NOW + 15).head_first_seen_at == first
    keys.there |= {"LINDEX_bull:mail:wait": b"10", "HMGET_bull:mail:10": [None, None, b"{}"]}
    assert one(reader, keys, NOW + 30).head_first_seen_at != first


def test_names_are_labelled_with_their_prefix_only_where_two_have_them() -> None:
    reader = bullmq(None, "low", "mail")
    found = (handle_of(b"shop", b"mail"), handle_of(b"bull", b"mail"), handle_of(b"shop", b"a"))
    meta = {f"HMGET_{base}:meta": [None, b"1", None] for base in ("shop:mail", "bull:mail", "shop:a", "bull:low")}
    keys = Keys(meta)
    (queues,) = converse(keys.exchange, [reader.read(found, NOW)])
    assert [queue.name for queue in queues] == ["low", "shop:mail", "bull:mail", "a"]
    assert ("LLEN", b"bull:low:wait") in keys.asked[0], "one that was not found is looked for under the default prefix"
    assert reader.name(found[0]) == "mail"
    keys.asked.clear()
    converse(keys.exchange, [reader.read(found[2:], NOW)])
    assert ("LLEN", b"shop:low:wait") in keys.asked[0], "or where the others are"


def test_conversations_side_by_side_share_their_batches() -> None:
    def talk(rounds: int) -> Conversation[list[Reply]]:
        heard: list[Reply] = []
        for at in range(rounds):
            heard += yield [("ECHO", rounds, at), ("ECHO", rounds, -at)]
        return heard

    def hold() -> Generator[Sequence[Command], list[Reply], list[list[Reply]]]:
        return (yield from abreast([talk(2), talk(0), talk(1)]))

    batches: list[int] = []

    def exchange(commands: Sequence[Command]) -> list[Reply]:
        batches.append(len(commands))
        return [str(command[1:]).encode() for command in commands]

    (each,) = converse(exchange, [hold()])
    assert each == [[b"(2, 0)", b"(2, 0)", b"(2, 1)", b"(2, -1)"], [], [b"(1, 0)", b"(1, 0)"]]
    assert batches == [4, 2]
