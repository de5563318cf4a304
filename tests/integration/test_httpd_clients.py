"""The HTTP server and clients of all kinds, over real sockets."""

import contextlib
import gzip
import http.client
import socket
import threading
import time

import pytest

from depthgauge import httpd
from depthgauge.httpd import Server
from depthgauge.settings import WebSettings
from tests.plugins.served import BODY, MakeServer, port_of
from tests.plugins.waiting import wait_for


def client_of(server: Server) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=5)


def raw(server: Server, data: bytes = b"") -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port_of(server)), timeout=5)
    if data:
        sock.sendall(data)
    return sock


def scrape(server: Server) -> float:
    """Scrape on a connection of its own; return the seconds it took."""
    started = time.monotonic()
    with contextlib.closing(client_of(server)) as client:
        client.request("GET", "/metrics")
        answer = client.getresponse()
        assert answer.status == 200
        assert answer.read() == BODY
    return time.monotonic() - started


def test_one_connection_carries_many_requests(make_server: MakeServer) -> None:
    server = make_server()
    with contextlib.closing(client_of(server)) as client:
        client.connect()
        first = client.sock
        for _ in range(3):
            client.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
            answer = client.getresponse()
            assert answer.version == 11
            assert gzip.decompress(answer.read()) == BODY
            assert answer.headers["Vary"] == "Accept-Encoding"
            assert client.sock is first


def test_pipelined_requests_are_answered_in_order(make_server: MakeServer) -> None:
    with raw(make_server(), b"GET /a HTTP/1.1\r\n\r\nHEAD /metrics HTTP/1.1\r\nConnection: close\r\n\r\n") as sock:
        data = b"".join(iter(lambda: sock.recv(65536), b""))

    first, second = data.split(b"HTTP/1.1 ")[1:]
    assert first.startswith(b"404 ")
    assert second.startswith(b"200 ")
    assert second.endswith(b"\r\n\r\n")


def test_methods_and_paths(make_server: MakeServer) -> None:
    server = make_server()
    for method, path, status in (("HEAD", "/metrics", 200), ("GET", "/nothing", 404), ("DELETE", "/metrics", 405)):
        with contextlib.closing(client_of(server)) as client:
            client.request(method, path)
            answer = client.getresponse()
            assert answer.status == status
            assert method != "DELETE" or answer.headers["Allow"] == "GET, HEAD"
            assert answer.headers["Server"] is None
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"garbage\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000, b"431"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", b"431"),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", b"413"),
    ],
)
def test_bad_requests_are_told_and_the_connection_closed(make_server: MakeServer, data: bytes, status: bytes) -> None:
    with raw(make_server(), data) as sock:
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 " + status)


def test_a_defect_is_500_without_details(make_server: MakeServer, caplog: pytest.LogCaptureFixture) -> None:
    server = make_server()
    with contextlib.closing(client_of(server)) as client:
        client.request("GET", "/broken")
        answer = client.getresponse()
        assert answer.status == 500
        assert b"secret" not in answer.read()
    assert server.failures == 1
    assert "secret details" in caplog.text


def test_three_hundred_stalled_connections_do_not_delay_a_scrape(make_server: MakeServer) -> None:
    most = WebSettings(listen=()).max_connections_per_client
    server = make_server()
    before = threading.active_count()
    with contextlib.ExitStack() as stack:
        for number in range(300):
            stack.enter_context(raw(server, b"GET /metrics HTTP/1.1\r\nX-Slow: " if number % 2 else b""))
        times = [scrape(server) for _ in range(20)]
        threads = threading.active_count() - before

    assert max(times) < 1.0
    assert threads <= most + 2
    assert server.evicted >= 300 - most


def test_a_trickling_head_ends_at_the_deadline(make_server: MakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpd, "HEAD_SECONDS", 0.5)
    server = make_server()
    started = time.monotonic()
    with raw(server, b"GET / HTTP/1.1\r\n") as sock:
        sock.settimeout(0.1)
        closed = False
        while not closed and time.monotonic() - started < 5:
            with contextlib.suppress(TimeoutError):
                closed = sock.recv(1) == b""
            with contextlib.suppress(OSError):
                sock.sendall(b"x")
    assert closed
    assert 0.4 < time.monotonic() - started < 2.0


def test_an_idle_connection_ends(make_server: MakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpd, "IDLE_SECONDS", 0.2)
    with raw(make_server()) as sock:
        assert sock.recv(1) == b""


def test_a_client_that_reads_nothing_holds_up_nobody(make_server: MakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpd, "WRITE_SECONDS", 1.0)
    server = make_server(max_connections=4)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            sock = stack.enter_context(raw(server))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            sock.sendall(b"GET /metrics HTTP/1.1\r\n\r\n" * 200)
        assert scrape(server) < 1.0


def test_a_stop_ends_idle_and_stalled_connections_at_once(make_server: MakeServer) -> None:
    server = make_server()
    with raw(server), raw(server, b"GET / HT"):
        wait_for(lambda: len(server._connections) == 2)
        started = time.monotonic()
        server.stop(1.0)
        assert time.monotonic() - started < 0.5
        with pytest.raises(OSError, match="refused"):
            raw(server)


def test_a_port_in_use_is_named(make_server: MakeServer) -> None:
    address = f"127.0.0.1:{port_of(make_server())}"
    with pytest.raises(OSError, match=f"cannot listen on {address}: Address already in use"):
        make_server(address)


def test_several_addresses(make_server: MakeServer) -> None:
    server = make_server("127.0.0.1:0", ":0")
    assert len(server.urls) == 2
    for url in server.urls:
        with contextlib.closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)) as client:
            client.request("GET", "/nothing")
            assert client.getresponse().status == 404
