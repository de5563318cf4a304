"""The HTTP server's pure parts."""

import pytest

from depthgauge.httpd import BadRequest, Request, Response, accepts_gzip, parse_address, parse_head, render


def head(*lines: str) -> bytes:
    return "\r\n".join(lines).encode("latin-1")


def test_a_request_is_taken_apart() -> None:
    request, keep = parse_head(head("GET /metrics?a=1&b HTTP/1.1", "Host: x", "ACCEPT-Encoding:  gzip "))

    assert request == Request("GET", "/metrics", "a=1&b", {"host": "x", "accept-encoding": "gzip"})
    assert keep


@pytest.mark.parametrize(
    ("line", "headers", "keep"),
    [
        ("GET / HTTP/1.1", (), True),
        ("GET / HTTP/1.1", ("Connection: close",), False),
        ("GET / HTTP/1.1", ("Connection: Close",), False),
        ("GET / HTTP/1.0", (), False),
        ("GET / HTTP/1.0", ("Connection: keep-alive",), True),
    ],
)
def test_who_keeps_the_connection(line: str, headers: tuple[str, ...], keep: bool) -> None:
    assert parse_head(head(line, *headers))[1] is keep


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (("GET /",), 400),
        (("GET / HTTP/2",), 400),
        (("\x16\x03\x01 / x",), 400),
        (("GET / HTTP/1.1", "no colon"), 400),
        (("GET / HTTP/1.1", " folded: x"), 400),
        (("GET / HTTP/1.1", "Content-Length: 5"), 413),
        (("GET / HTTP/1.1", "Transfer-Encoding: chunked"), 413),
        (("GET http://[broken HTTP/1.1",), 400),
    ],
)
def test_what_is_no_request(lines: tuple[str, ...], status: int) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_head(head(*lines))
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("*", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("gzip;q=0.01", True),
    ],
)
def test_gzip_is_negotiated(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


def test_a_head_answer_has_the_length_and_no_body() -> None:
    raw = render(Response(200, b"body"), Request("HEAD", "/", "", {}), keep=True, now=0.0)

    assert b"Content-Length: 4\r\n" in raw
    assert raw.endswith(b"\r\n\r\n")
    assert b"Server:" not in raw


@pytest.mark.parametrize(
    ("address", "parsed"),
    [
        (":10139", (None, 10139)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:9100", ("::1", 9100)),
        ("localhost:80", ("localhost", 80)),
    ],
)
def test_addresses(address: str, parsed: tuple[str | None, int]) -> None:
    assert parse_address(address) == parsed


@pytest.mark.parametrize("address", ["10139", "host", "::1:9100", ":99999", "host:x", ""])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(ValueError, match=r"is no address|brackets"):
        parse_address(address)
