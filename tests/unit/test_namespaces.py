"""Applications in namespaces: which there are, which queues they have, and conversations held side by side."""

from collections.abc import Sequence

from depthgauge.resp import Command, Reply
from exporter.queues.namespaces import MOST, Application, Namespaces
from exporter.queues.naming import handle_of
from exporter.queues.reader import Conversation, abreast, converse


def shown(applications: object) -> list[tuple[bytes, list[str]]]:
    assert isinstance(applications, tuple)
    return [(each.namespace, [each.labels[name] for name in (b"", *each.names)]) for each in applications]


def test_configured_names_belong_to_the_first_namespace_found_else_to_the_default() -> None:
    namespaces = Namespaces(None, b"resque", ["mail"])
    assert shown(namespaces.applications(())) == [(b"resque", ["", "mail"])]
    found = (handle_of(b"shop", b"low"), handle_of(b"blog", b"feeds"))
    assert shown(namespaces.applications(found)) == [(b"shop", ["shop", "mail", "low"]), (b"blog", ["blog", "feeds"])]


def test_a_configured_name_that_was_found_belongs_where_it_was_found() -> None:
    namespaces = Namespaces(None, b"", ["feeds", "mail"])
    found = tuple(handle_of(*each) for each in ((b"shop", b"low"), (b"blog", b"mail"), (b"shop", b"mail")))
    assert shown(namespaces.applications(found)) == [
        (b"shop", ["shop", "feeds", "shop:mail", "low"]),
        (b"blog", ["blog", "blog:mail"]),
    ]


def test_a_configured_namespace_is_the_only_one() -> None:
    namespaces = Namespaces("shop", b"", ["mail"])
    namespaces.remember(b"blog")
    assert namespaces.known == (b"shop",)
    assert shown(namespaces.applications(())) == [(b"shop", ["", "mail"])]


def test_nothing_configured_and_nothing_found_is_no_application() -> None:
    assert Namespaces(None, b"", ()).applications(()) == ()


def test_namespaces_are_bounded_and_each_is_kept_once() -> None:
    namespaces = Namespaces(None, b"", ())
    for number in (*range(2 * MOST), 0):
        namespaces.remember(b"ns%d" % number)
    assert len(namespaces.known) == MOST == len(set(namespaces.known))


def test_without_a_namespace_keys_have_no_colon_before_them() -> None:
    assert Application(b"", (), {}).key(b"queues") == b"queues"
    assert Application(b"shop", (), {}).key(b"queues") == b"shop:queues"


def test_conversations_of_different_lengths_share_their_batches() -> None:
    def talk(name: str, rounds: int) -> Conversation[list[Reply]]:
        heard: list[Reply] = []
        for number in range(rounds):
            heard += yield [("GET", f"{name}{number}{part}") for part in range(number + 1)]
        return heard

    batches: list[int] = []

    def exchange(commands: Sequence[Command]) -> list[Reply]:
        batches.append(len(commands))
        return [str(command[1]).encode() for command in commands]

    (results,) = converse(exchange, [abreast([talk("a", 2), talk("none", 0), talk("b", 3)])])
    assert batches == [2, 4, 3]
    assert results == [[b"a00", b"a10", b"a11"], [], [b"b00", b"b10", b"b11", b"b20", b"b21", b"b22"]]
