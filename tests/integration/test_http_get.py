"""One GET: bodies, certificates, deadlines, and what is no answer."""

import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from depthgauge.errors import ErrorKind, SourceError
from depthgauge.secrets import Secret
from exporter.sources.http_get import MAX_BODY, HttpGet
from exporter.sources.resolver import Resolver
from exporter.sources.trust import Trust
from tests.plugins.certificates import Authority
from tests.plugins.ports import free_port
from tests.plugins.site import MakeSite


def failure(get: HttpGet, timeout: float = 5) -> SourceError:
    with pytest.raises(SourceError) as caught:
        get.ask(timeout)
    return caught.value


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:pw@example.com:443/a?b=c", "https://example.com/a"),
        ("http://[::1]:8080", "http://[::1]:8080/"),
        ("http://BÜCHER.example:80/x y", "http://xn--bcher-kva.example/x%20y"),
        ("http://h:443/\r\nX: y", "http://h:443/X:%20y"),
    ],
)
def test_how_a_url_is_named(url: str, shown: str) -> None:
    get = HttpGet(Secret(url))
    assert get.shown == shown
    assert get._head.count(b"\r\n") == 6 + ("@" in url)


def test_a_body_is_read_as_far_as_is_sensible(make_site: MakeSite) -> None:
    site = make_site(body=b"x" * (20 * MAX_BODY))
    get = HttpGet(Secret(site.url))
    assert get.ask(5).status == 200
    site.body = b"x" * (MAX_BODY - 1)
    assert get.ask(5).status == 200


def test_a_ca_file_that_comes_later(authority: Authority, make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(authority.context("127.0.0.1"))
    file = tmp_path / "later.pem"
    get = HttpGet(Secret(site.url), ca_file=file)
    error = failure(get)
    assert error.kind is ErrorKind.TLS
    assert str(file) in str(error)
    file.write_text("no certificate")
    assert failure(get).kind is ErrorKind.TLS
    other = trustme.CA()
    other.cert_pem.write_to_path(file)
    assert failure(get).kind is ErrorKind.TLS
    authority.write_to(file)
    assert get.ask(5).status == 200
    other.cert_pem.write_to_path(file)
    assert failure(get).kind is ErrorKind.TLS, "trusted no more"


def test_certificates_are_loaded_once(authority: Authority) -> None:
    trust = Trust()
    assert trust.context(None) is trust.context(None)
    assert trust.context(authority.ca_file) is trust.context(authority.ca_file)
    assert trust.context(authority.ca_file) is not trust.context(None)


# What goes wrong


def test_nobody_there() -> None:
    error = failure(HttpGet(Secret(f"http://127.0.0.1:{free_port()}/")))
    assert error.kind is ErrorKind.REFUSED
    assert "nothing listens there" in str(error)


@pytest.mark.parametrize(
    ("chunks", "kind"),
    [
        ((b"SSH-2.0-OpenSSH_9.2\r\n",), ErrorKind.GARBAGE),
        ((b"\xff" * 100_000,), ErrorKind.GARBAGE),
        ((b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 500 + b"\r\n",), ErrorKind.GARBAGE),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhalf",), ErrorKind.GARBAGE),
        ((b"HTTP/1.1 100 Continue\r\n\r\n" * 40_000,), ErrorKind.TOO_LARGE),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",), ErrorKind.CLOSED),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",), ErrorKind.CLOSED),
        ((), ErrorKind.CLOSED),
    ],
)
def test_what_is_no_answer(chunks: tuple[bytes, ...], kind: ErrorKind) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(65_536)
                for chunk in chunks:
                    client.sendall(chunk)
                client.shutdown(socket.SHUT_WR)

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        assert failure(HttpGet(Secret(f"http://127.0.0.1:{listener.getsockname()[1]}/"))).kind is kind
        server.join(10)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_accepts_and_says_nothing(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        get = HttpGet(Secret(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/"))
        started = time.monotonic()
        assert failure(get, 0.3).kind is ErrorKind.TIMEOUT
        assert time.monotonic() - started < 1.5


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"])
def test_a_server_that_sends_a_byte_now_and_then(head: bytes) -> None:
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.sendall(head)
                while not over.wait(0.05):
                    client.sendall(b"x")

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        started = time.monotonic()
        kind = failure(HttpGet(Secret(f"http://127.0.0.1:{listener.getsockname()[1]}/")), 0.4).kind
        assert kind is ErrorKind.TIMEOUT
        assert time.monotonic() - started < 1.5
        over.set()
        server.join(10)


def test_a_name_server_that_hangs_and_one_that_knows_nothing() -> None:
    over = threading.Event()

    def hang(*_: object, **__: object) -> list[Any]:
        over.wait(30)
        return []

    started = time.monotonic()
    assert failure(HttpGet(Secret("http://slow.example/"), resolver=Resolver(hang)), 0.2).kind is ErrorKind.TIMEOUT
    assert time.monotonic() - started < 1
    over.set()

    def unknown(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "not known")

    assert failure(HttpGet(Secret("http://no.example/"), resolver=Resolver(unknown))).kind is ErrorKind.DNS
    for host in (f"{'a' * 70}.example", "a..b", "bücher.example"):
        assert failure(HttpGet(Secret(f"http://{host}/"), resolver=Resolver(unknown))).kind is ErrorKind.DNS


def test_a_name_with_several_addresses(make_site: MakeSite) -> None:
    site = make_site()

    def addresses(*_: object, **__: object) -> list[Any]:
        places = [("127.0.0.1", free_port()), ("127.0.0.1", site.port)]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in places]

    assert HttpGet(Secret("http://two.example/"), resolver=Resolver(addresses)).ask(5).status == 200
    assert site.requests[0][1]["Host"] == "two.example"


HEADS = [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(HEADS), st.binary(max_size=60))
def test_anything_is_an_answer_or_a_failure_that_has_a_name(head: bytes, tail: bytes) -> None:
    here, there = socket.socketpair()
    with here, there:
        there.sendall(head + tail)
        there.shutdown(socket.SHUT_WR)
        get = HttpGet(Secret("http://127.0.0.1/"))
        get._connect = lambda deadline: here  # type: ignore[method-assign]
        kind = None
        try:
            assert 100 <= get.ask(5).status <= 999
        except SourceError as exc:
            kind = exc.kind
        assert kind in {None, ErrorKind.GARBAGE, ErrorKind.CLOSED}
