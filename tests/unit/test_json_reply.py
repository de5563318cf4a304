"""JSON over HTTP: validators, compression, parameters, errors."""

import gzip

import msgspec
import pytest

from depthgauge.history import BadParameter
from depthgauge.httpd import Request, Response
from exporter.web.json_reply import MAX_PARAMETERS, Body, error, parameters

LARGE = {"a": "x" * 5000}


def ask(query: str = "", **headers: str) -> Request:
    return Request("GET", "/api/x", query, {name.replace("_", "-"): value for name, value in headers.items()})


def tag(response: Response) -> str:
    return response.headers["ETag"]


def test_equal_bodies_have_equal_tags_and_others_have_others() -> None:
    assert tag(Body([1]).reply(ask())) == tag(Body([1]).reply(ask()))
    assert tag(Body([1]).reply(ask())) != tag(Body([2]).reply(ask()))
    assert tag(Body([1]).reply(ask())).startswith('"')
    assert Body([1]).reply(ask()).headers["Cache-Control"] == "no-cache, private"


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
def test_who_has_it_already_gets_304_and_no_body(form: str) -> None:
    body = Body(LARGE)
    known = body.reply(ask(if_none_match=form.format(tag(body.reply(ask())))))

    assert (known.status, known.body) == (304, b"")
    assert tag(known) == tag(body.reply(ask()))


@pytest.mark.parametrize("form", ["", '"other"', "W/x", '"', ",,,"])
def test_who_has_something_else_gets_the_body(form: str) -> None:
    assert Body([1]).reply(ask(if_none_match=form)).status == 200


def test_a_large_body_is_compressed_for_those_who_accept_it_and_has_a_tag_of_its_own() -> None:
    body = Body(LARGE)
    plain, compressed = body.reply(ask()), body.reply(ask(accept_encoding="gzip"))

    assert plain.gzipped is None
    assert plain.headers["Vary"] == "Authorization, Accept-Encoding"
    assert compressed.gzipped is not None
    assert gzip.decompress(compressed.gzipped) == plain.body == msgspec.json.encode(LARGE)
    assert tag(plain) != tag(compressed)
    for each in (plain, compressed):
        assert body.reply(ask(if_none_match=tag(each), accept_encoding="gzip")).status == 304


def test_a_small_body_is_not_compressed() -> None:
    assert Body([1]).reply(ask(accept_encoding="gzip")).gzipped is None


KNOWN = {"queue": "a name", "step": "seconds"}


def test_parameters() -> None:
    assert parameters(ask("queue=a%2Fb&step="), KNOWN) == {"queue": "a/b", "step": ""}
    assert parameters(ask(""), {}) == {}


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("nope=1", "nope"),
        ("queue=1&queue=2", "queue"),
        ("nope", "nope"),
        ("=1", ""),
        ("%00=1", "\x00"),
        ("&".join("queue=1" for _ in range(MAX_PARAMETERS + 1)), ""),
        ("x" * 4000 + "=1", "x" * 100),
    ],
)
def test_parameters_that_cannot_be_used_are_named(query: str, name: str) -> None:
    with pytest.raises(BadParameter) as caught:
        parameters(ask(query), KNOWN)
    assert caught.value.parameter == name
    assert len(str(caught.value)) < 300


def test_an_error_says_what_was_wrong() -> None:
    from http import HTTPStatus

    answer = error(HTTPStatus.BAD_REQUEST, "no such thing", parameter="step")

    assert answer.status == 400
    assert msgspec.json.decode(answer.body) == {
        "error": {"code": "bad_request", "message": "no such thing", "parameter": "step"}
    }
    assert b"parameter" not in error(HTTPStatus.NOT_FOUND, "gone").body
