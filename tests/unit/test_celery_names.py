"""Which keys and members tell a queue of Celery's: tables of bindings as kombu 5.7 leaves them in a Redis."""

from collections.abc import Mapping, Sequence

import pytest

from depthgauge.resp import Command, Reply
from exporter.queues import celery_names
from exporter.queues.celery import CeleryReader
from exporter.queues.reader import converse
from exporter.settings import CelerySettings

S = b"\x06\x16"
UUID = b"0f8fad5b-d9cb-469f-a165-70867728950e"


def found(tables: Mapping[bytes, Sequence[bytes]], settings: CelerySettings | None = None) -> list[bytes]:
    """Return the handles that discovery finds where these sets are the keys of a Redis."""
    reader = CeleryReader(settings or CelerySettings(), ())
    for key in tables:
        if reader.may_own([key]):
            assert reader.recognise(key, b"set") is None, "the key of a table tells no queue"

    def exchange(commands: Sequence[Command]) -> list[Reply]:
        return [[b"0", list(tables[key])] for _, key, *_ in commands if isinstance(key, bytes)]

    (handles,) = converse(exchange, [reader.discover()])
    return list(handles)


def test_queues_are_the_last_parts_of_the_members_of_all_exchanges() -> None:
    assert found(
        {
            b"_kombu.binding.celery": [b"celery" + S + S + b"celery"],
            b"_kombu.binding.shared": [b"a" + S + S + b"low", b"b" + S + S + b"low", b"c" + S + S + b"high"],
            b"_kombu.binding.topics": [b"news.#" + S + rb"^news\..*?$" + S + b"news"],
            b"shop:_kombu.binding.celery": [b"celery" + S + S + b"celery"],
        }
    ) == [b"\0celery", b"\0low", b"\0high", b"\0news", b"shop:\0celery"]


@pytest.mark.parametrize(
    ("table", "queue"),
    [
        (b"_kombu.binding.celery.pidbox", b"celery@web.celery.pidbox"),
        (b"_kombu.binding.reply.celery.pidbox", UUID + b".reply.celery.pidbox"),
        (b"_kombu.binding.celeryev", b"celeryev." + UUID),
        (b"_kombu.binding.news", b"bcast." + UUID),
        (b"_kombu.binding.x", b"amq.gen-" + UUID),
        (b"_kombu.binding_permanent.celery", b"celery"),
        (b"_kombu.binding.celery", b""),
    ],
)
def test_plumbing_is_no_queue(table: bytes, queue: bytes) -> None:
    assert found({table: [queue + S + S + queue]}) == []


@pytest.mark.parametrize(
    ("table", "queue"),
    [
        (b"_kombu.binding.celeryevents", b"celeryevents"),
        (b"_kombu.binding.reply.letters", b"reply.letters"),
        (b"_kombu.binding.broadcasts", b"bcast.news"),
        (b"_kombu.binding.b\xff\n", b"b\xff\n"),
    ],
)
def test_names_that_only_look_like_it_are(table: bytes, queue: bytes) -> None:
    assert found({table: [queue + S + S + queue]}) == [b"\0" + queue]


def test_members_of_another_shape_are_left_out() -> None:
    assert found({b"_kombu.binding.x": [b"x", b"x" + S + b"x", S.join([b"a", b"b", b"c", b"d"])]}) == []


def test_a_configured_prefix_hides_other_applications() -> None:
    tables = {
        b"_kombu.binding.a": [b"a" + S + S + b"a"],
        b"shop:_kombu.binding.b": [b"b" + S + S + b"b"],
    }
    assert found(tables, CelerySettings(prefix="shop:")) == [b"shop:\0b"]
    assert found(tables, CelerySettings(prefix="")) == [b"\0a"]


def test_a_configured_separator_parts_the_members_too() -> None:
    assert found({b"_kombu.binding.a": [b"a::a"]}, CelerySettings(separator=":")) == [b"\0a"]


def test_each_new_table_lets_discovery_ask_again_and_they_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(celery_names, "MAX_TABLES", 3)
    reader = CeleryReader(CelerySettings(), ())
    grown = []
    for number in (1, 1, 2, 3, 4):
        reader.recognise(b"_kombu.binding.%d" % number, b"set")
        grown.append(len(reader.prefixes))
    assert grown == [1, 1, 2, 3, 3]
    reader = CeleryReader(CelerySettings(), ())
    reader.recognise(b"_kombu.binding.x", b"string")
    assert not reader.prefixes


def test_the_table_that_tells_a_queue_is_named() -> None:
    reader = CeleryReader(CelerySettings(), ())
    reader.recognise(b"shop:_kombu.binding.x", b"set")
    converse(lambda _: [[b"0", [b"k" + S + S + b"mail"]]], [reader.discover()])
    assert reader.told_by(b"shop:\0mail") == "shop:_kombu.binding.x"
    assert (reader.name(b"shop:\0mail"), reader.prefix(b"shop:\0mail")) == ("mail", b"shop:")
