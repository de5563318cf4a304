"""Where a queue lives: by what may be in a Redis, by what is known in it, and only where nothing else is possible."""

from collections.abc import Collection, Mapping

import pytest

from exporter.claims import Claim
from exporter.places import Place, Places

KnownQueues = Mapping[str, Collection[tuple[str, str]] | None]

AUTO = frozenset(("laravel", "celery", "rq", "sidekiq"))
ONE = Place("one", AUTO)
TWO = Place("two", AUTO)


def find(claim: Claim, queue: str | None, *places: Place, known: KnownQueues | None = None) -> tuple[str, str] | None:
    """Return where the queue is; a Redis that ``known`` does not name was looked into and is empty."""
    where = Places(places, lambda redis: (known or {}).get(redis, ()))
    where.look()
    return where.find(claim, queue)


CELERY = Claim(("mail",), "celery")
RULE = Claim(("mail",), told=True)


@pytest.mark.parametrize(
    ("known", "place"),
    [
        ({}, None),
        ({"one": [("celery", "mail")]}, "one"),
        ({"one": [("celery", "other")]}, "one"),
        ({"one": [("rq", "mail")], "two": [("celery", "other")]}, "two"),
        ({"one": [("celery", "other")], "two": [("celery", "mail")]}, "two"),
        ({"one": [("celery", "other")], "two": [("celery", "more")]}, None),
        ({"one": [("celery", "mail")], "two": [("celery", "mail")]}, None),
        ({"one": [("rq", "mail")], "two": [("rq", "mail")]}, None),
        ({"one": [("celery", "mail")], "two": None}, None),
        ({"one": None, "two": None}, None),
    ],
)
def test_command_line_with_two_redis(known: KnownQueues, place: str | None) -> None:
    assert find(CELERY, "mail", ONE, TWO, known=known) == (None if place is None else (place, "celery"))


@pytest.mark.parametrize("known", [{}, {"one": None}, {"one": [("celery", "other")]}, {"one": [("rq", "mail")]}])
def test_only_one_redis_that_may_have_the_system_is_certain_whatever_is_known(known: KnownQueues) -> None:
    """So it is on a host that never reads this Redis because another exporter does."""
    assert find(CELERY, "mail", ONE, known=known) == ("one", "celery")
    assert find(CELERY, "mail", ONE, Place("two", frozenset(("rq",))), known=known) == ("one", "celery")


def test_system_that_the_configuration_tells_is_in_use() -> None:
    told = Place("two", AUTO, frozenset(("celery",)))
    assert find(CELERY, "mail", ONE, told) == ("two", "celery")
    assert find(CELERY, "mail", ONE, told, known={"one": [("celery", "mail")]}) == ("one", "celery")
    assert find(CELERY, "mail", ONE, told, known={"one": None}) is None


@pytest.mark.parametrize(
    ("known", "spot"),
    [
        ({}, None),
        ({"one": None}, None),
        ({"one": [("laravel", "other")]}, ("one", "laravel")),
        ({"one": [("laravel", "other"), ("rq", "mail")]}, ("one", "rq")),
        ({"one": [("laravel", "other"), ("rq", "more")]}, None),
        ({"one": [("laravel", "mail"), ("rq", "mail")]}, None),
    ],
)
def test_rule_without_a_system_takes_the_one_in_use(known: KnownQueues, spot: tuple[str, str] | None) -> None:
    assert find(RULE, "mail", ONE, known=known) == spot


def test_rule_may_name_redis_and_system_that_nobody_would_think_of() -> None:
    assert find(RULE._replace(system="saq"), "mail", ONE) == ("one", "saq")
    assert find(RULE._replace(system="saq", redis="two"), "mail", ONE, TWO) == ("two", "saq")
    assert find(RULE._replace(system="saq"), "mail", ONE, TWO) is None
    assert find(RULE._replace(redis="three"), "mail", ONE, TWO) is None
    assert find(CELERY._replace(system="saq"), "mail", ONE) is None


@pytest.mark.parametrize(
    ("labels", "is_certain"),
    [
        (("mail",), True),
        (("other",), True),
        (("eu:mail",), True),
        (("shop:mail", "blog:mail"), False),
        (("shop_mail", "blog_mail"), False),
        (("shopmail", "blogmail"), True),
        (("mail", "shop:mail", "blog:mail"), True),
        (("mail:shop", "mail:blog"), True),
    ],
)
def test_name_that_two_applications_have_is_no_label(labels: tuple[str, ...], is_certain: bool) -> None:
    known = {"one": [("celery", label) for label in labels]}
    assert find(CELERY, "mail", ONE, known=known) == (("one", "celery") if is_certain else None)
    assert find(CELERY, None, ONE, known=known) == ("one", "celery")
    others = {"one": [("rq", label) for label in labels]}
    assert find(CELERY, "mail", ONE, known=others) == ("one", "celery")


def test_what_has_to_be_known_to_be_certain() -> None:
    known: dict[str, list[tuple[str, str]] | None] = {"one": [], "two": None, "three": None}
    places = Places([ONE, TWO, Place("three", frozenset(("rq",)))], known.get)
    places.look()
    assert places.find(CELERY, "mail") is None
    assert places.compared == {"one", "two"}
    known["two"] = [("celery", "mail")]
    places.look()
    assert places.compared == frozenset()
    assert places.find(CELERY, "mail") == ("two", "celery")
    assert places.compared == {"one", "two"}, "what was found once may change"
    places.look()
    assert places.find(CELERY._replace(redis="one"), "mail") == ("one", "celery")
    assert places.compared == frozenset()
