"""Clients that mean harm, with TLS and without, and a scraper beside them."""

import base64
import contextlib
import socket
import statistics
import threading
import time
from collections.abc import Callable

import bcrypt
import pytest

from depthgauge import httpd
from depthgauge.secrets import Secret
from depthgauge.settings import WebConfig, WebSettings
from tests.plugins.certificates import Authority
from tests.plugins.served import Client, MakeServer, tls_config
from tests.plugins.waiting import wait_for

MakeClient = Callable[..., Client]

FAST = 0.05
"""Seconds: what a scrape may take, the median of several."""


def test_stalled_connections(make_client: MakeClient) -> None:
    client = make_client()
    before = threading.active_count()
    with contextlib.ExitStack() as stack:
        for number in range(300):
            # Half of them have shaken hands where there is TLS; the others are silent.
            half = b"GET /metrics HTTP/1.1\r\nX-Slow: "
            stack.enter_context(client.raw(half) if number % 2 else client.plain())
        assert client.median_scrape() < FAST
        # One client has so many places, whatever it opens.
        most = WebSettings(listen=()).max_connections_per_client
        assert threading.active_count() - before <= most + 6


def test_heads_of_ten_megabytes(make_client: MakeClient) -> None:
    client, stop = make_client(), threading.Event()
    sent: list[int] = []

    def flood() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError), client.raw(b"GET / HTTP/1.1\r\nX: ") as sock:
                for _ in range(160):
                    sock.sendall(b"x" * 65536)
            sent.append(1)

    floods = [threading.Thread(target=flood) for _ in range(3)]
    for each in floods:
        each.start()
    try:
        wait_for(lambda: len(sent) > 3)
        assert client.median_scrape() < FAST
    finally:
        stop.set()
        for each in floods:
            each.join()


def test_a_head_that_drips(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpd, "HEAD_SECONDS", 0.5)
    client = make_client()
    started, closed = time.monotonic(), False
    with client.raw(b"GET / HTTP/1.1\r\n") as sock:
        sock.settimeout(0.1)
        while not closed and time.monotonic() - started < 5:
            try:
                sock.sendall(b"x")
                closed = sock.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                closed = True
    assert closed
    assert time.monotonic() - started < 3.0
    assert client.median_scrape() < FAST


def test_half_closed(make_client: MakeClient) -> None:
    client = make_client()
    with contextlib.ExitStack() as stack:
        for data in (b"", b"GET /met", b"GET /metrics HTTP/1.1\r\n\r\n") * 20:
            sock = stack.enter_context(client.raw(data))
            socket.socket.shutdown(sock, socket.SHUT_WR)
        assert client.median_scrape() < FAST


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n\r\n\r\n",
        b"\x00" * 1000 + b"\r\n\r\n",
        b"BREW /metrics HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\nabcde",
        b"GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nA: b\nX-Smuggled: c\r\n\r\n",
        b"GET /a HTTP/1.1\r\n\r\nGARBAGE\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
    ],
)
def test_garbage_is_refused_and_never_served(make_client: MakeClient, data: bytes) -> None:
    answer = make_client().answer_to(data)
    assert answer.startswith(b"HTTP/1.1 4")
    assert b" 200 " not in answer
    assert b"X-Frame-Options: deny" in answer


def test_silent_and_odd_tls_clients_delay_nobody(make_server: MakeServer, authority: Authority) -> None:
    server = make_server(config=tls_config(authority))
    client = Client(server, authority.trusting())
    with contextlib.ExitStack() as stack:
        stack.enter_context(client.plain())
        stack.enter_context(client.plain(b"\x16\x03\x01\x02\x00\x01"))
        stack.enter_context(client.plain(b"\x16\x03\x01\xff\xff"))
        with client.plain(b"GET /metrics HTTP/1.1\r\n\r\n") as plain, contextlib.suppress(ConnectionResetError):
            assert b"HTTP/1.1 200" not in plain.recv(1000)
        assert client.median_scrape() < FAST
    assert wait_for(lambda: server.handshakes_failed >= 3)


def test_a_handshake_has_a_deadline(
    make_server: MakeServer, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(httpd, "HANDSHAKE_SECONDS", 0.3)
    client = Client(make_server(config=tls_config(authority)), authority.trusting())
    started = time.monotonic()
    with client.plain(b"\x16\x03\x01\x02\x00\x01") as sock:
        assert sock.recv(1000) == b""
    assert 0.2 < time.monotonic() - started < 2.0


def test_one_client_cannot_take_all_places(make_server: MakeServer) -> None:
    server = make_server("127.0.0.1:0", max_connections=8, max_connections_per_client=4)
    client = Client(server)
    other = socket.socket()
    other.bind(("127.0.0.2", 0))
    with contextlib.ExitStack() as stack:
        stack.enter_context(other)
        other.settimeout(5)
        other.connect(("127.0.0.1", client.port))
        wait_for(lambda: len(server._connections) == 1)
        for _ in range(20):
            stack.enter_context(client.plain())
        wait_for(lambda: server.evicted >= 16)
        assert len(server._connections) <= 5
        # The other client was here first and has waited longest; it has its place still.
        other.sendall(b"HEAD /metrics HTTP/1.1\r\n\r\n")
        assert other.recv(100).startswith(b"HTTP/1.1 200")


def test_too_many_requests_of_one_client(make_client: MakeClient) -> None:
    client = make_client(rate_limit=1, rate_burst=5)
    statuses = [client.get("/page").status for _ in range(7)]
    assert statuses == [404] * 5 + [429] * 2
    assert client.get("/page").headers["Retry-After"] == "1"
    assert client.median_scrape() < FAST


def test_headers_on_everything(make_client: MakeClient) -> None:
    client = make_client()
    for path, method, status in (
        ("/metrics", "GET", 200),
        ("/no", "HEAD", 404),
        ("/broken", "GET", 500),
        ("/", "PUT", 405),
    ):
        answer = client.get(path, method)
        assert answer.status == status
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "deny"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer.headers["Server"] is None
        assert b"secret" not in answer.read()


def test_a_password_costs_its_time_once(make_server: MakeServer) -> None:
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(12)).decode()
    client = Client(make_server(config=WebConfig(users=(("ann", Secret(hashed)),))))

    def timed(login: str) -> tuple[int, float]:
        started = time.monotonic()
        status = client.get("/metrics", Authorization="Basic " + base64.b64encode(login.encode()).decode()).status
        return status, time.monotonic() - started

    (status, first), again = timed("ann:secret"), [timed("ann:secret") for _ in range(9)]
    assert status == 200
    assert {status for status, _ in again} == {200}
    assert statistics.median(seconds for _, seconds in again) < min(FAST, first)
    # A name that nobody has takes as long as a wrong password of somebody.
    wrong, unknown = timed("ann:wrong"), timed("bob:wrong")
    assert (wrong[0], unknown[0]) == (401, 401)
    assert min(wrong[1], unknown[1]) > FAST


def test_who_is_refused_hears_why(make_client: MakeClient) -> None:
    client = make_client()
    for _ in range(20):
        assert client.answer_to(b"GET / HTTP/1.1\r\nX: " + b"x" * 200_000).startswith(b"HTTP/1.1 431 ")


def test_answers_leave_at_once(make_server: MakeServer, authority: Authority) -> None:
    """Behind a handshake they would wait for an acknowledgement that the client delays."""
    server = make_server(config=tls_config(authority))
    with Client(server, authority.trusting()).raw(b"HEAD / HTTP/1.1\r\n\r\n") as sock:
        assert sock.recv(100)
        (connection,) = server._connections
        assert connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
