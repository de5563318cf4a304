"""Connections to real servers, and how their failures are told."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from depthgauge.errors import ErrorKind, SourceError
from depthgauge.redis_link import Link, client
from depthgauge.resp import MAX_BULK, TooLarge
from depthgauge.secrets import Secret
from tests.plugins.ports import free_port
from tests.plugins.redis_server import MakeRedis, RedisServer, valkey_binary


def ask(url: str, *, seconds: float = 3.0) -> list[object]:
    link = Link(Secret(url), connect_timeout=seconds)
    try:
        return list(link.exchange([("PING",)], deadline=time.monotonic() + seconds))
    finally:
        link.close()


def failure(url: str, *, seconds: float = 3.0) -> SourceError:
    with pytest.raises(SourceError) as caught:
        ask(url, seconds=seconds)
    return caught.value


def test_tcp_and_unix_socket(redis_server: RedisServer) -> None:
    assert ask(redis_server.url) == [b"PONG"]
    assert ask(redis_server.unix_url) == [b"PONG"]


@pytest.mark.needs("valkey")
def test_valkey(make_redis: MakeRedis) -> None:
    assert ask(make_redis(binary=valkey_binary()).url) == [b"PONG"]


def test_the_database_of_the_url_is_selected_and_the_connection_has_a_name(redis_server: RedisServer) -> None:
    redis_server.client(db=3).set("k", "three")
    link = Link(Secret(f"redis://127.0.0.1:{redis_server.port}/3"), connect_timeout=3)
    try:
        assert link.exchange([("GET", "k")], deadline=time.monotonic() + 3) == [b"three"]
        assert {"depthgauge"} <= {each["name"] for each in redis_server.client().client_list()}
    finally:
        link.close()


def test_a_database_that_does_not_exist(redis_server: RedisServer) -> None:
    error = failure(f"redis://127.0.0.1:{redis_server.port}/99")
    assert error.kind is ErrorKind.FAULT
    assert "SELECT was refused" in str(error)


def test_password_and_user(make_redis: MakeRedis) -> None:
    server = make_redis("--requirepass", "sesame")
    server.client(password="sesame").acl_setuser("watcher", enabled=True, passwords=["+pw"], commands=["+ping"])
    assert ask(f"redis://:sesame@127.0.0.1:{server.port}/0") == [b"PONG"]
    assert ask(f"redis://watcher:pw@127.0.0.1:{server.port}/0") == [b"PONG"], "CLIENT SETNAME is not needed"
    wrong = failure(f"redis://:wrong@127.0.0.1:{server.port}/0")
    assert wrong.kind is ErrorKind.UNAUTHORIZED
    assert "AUTH was refused" in str(wrong)
    assert "wrong@" not in str(wrong), "passwords are masked"
    assert failure(f"redis://nobody:x@127.0.0.1:{server.port}/0").kind is ErrorKind.UNAUTHORIZED


def test_a_password_where_none_is_set(redis_server: RedisServer) -> None:
    error = failure(f"redis://:sesame@127.0.0.1:{redis_server.port}/0")
    assert error.kind is ErrorKind.UNAUTHORIZED


def test_nobody_listens(tmp_path: Path) -> None:
    assert failure(f"redis://127.0.0.1:{free_port()}/0").kind is ErrorKind.REFUSED
    assert failure(f"unix://{tmp_path}/none.sock").kind is ErrorKind.SOCKET_MISSING
    assert failure("redis://no-such-host.invalid:6379/0").kind is ErrorKind.DNS


def test_a_frozen_server_is_left_at_the_deadline(redis_server: RedisServer) -> None:
    redis_server.pause()
    started = time.monotonic()
    error = failure(redis_server.url, seconds=0.4)
    assert error.kind is ErrorKind.TIMEOUT
    assert time.monotonic() - started < 1.5
    redis_server.resume()
    assert ask(redis_server.url) == [b"PONG"]


def test_a_server_that_is_no_redis() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import socket,sys; s=socket.socket(fileno=0); c,_=s.accept(); c.recv(99); c.sendall(b'HTTP/1.1 400 Bad\\r\\n\\r\\n')",
            ],
            stdin=listener.fileno(),
        )
        assert failure(f"redis://127.0.0.1:{port}/0").kind is ErrorKind.GARBAGE
        assert process.wait(20) == 0


def test_after_a_failure_the_next_exchange_connects_anew_as_often_as_it_takes(redis_server: RedisServer) -> None:
    link = Link(Secret(redis_server.url), connect_timeout=3)
    try:
        for _ in range(150):  # more than a redis-py pool would ever make
            with pytest.raises(SourceError):
                link.exchange([("QUIT",), ("PING",)], deadline=time.monotonic() + 3)
        assert link.exchange([("PING",)], deadline=time.monotonic() + 3) == [b"PONG"]
        redis_server.kill()
        with pytest.raises(SourceError) as caught:
            link.exchange([("PING",)], deadline=time.monotonic() + 3)
        assert caught.value.kind in {ErrorKind.CLOSED, ErrorKind.REFUSED}
        redis_server.start()
        assert link.exchange([("PING",)], deadline=time.monotonic() + 3) == [b"PONG"]
    finally:
        link.close()


def test_a_connection_the_server_closed_while_idle_is_opened_anew_at_once(redis_server: RedisServer) -> None:
    link = Link(Secret(redis_server.url), connect_timeout=3)
    try:
        assert link.exchange([("PING",)], deadline=time.monotonic() + 3) == [b"PONG"]
        redis_server.client().client_kill_filter(_type="normal", skipme=True)
        assert link.exchange([("PING",)], deadline=time.monotonic() + 3) == [b"PONG"]
        assert link.connects == 2
    finally:
        link.close()


def test_a_payload_that_is_too_large_is_named_with_its_size(redis_server: RedisServer) -> None:
    redis_server.client().set("big", b"x" * (MAX_BULK + 1))
    link = Link(Secret(redis_server.url), connect_timeout=3)
    try:
        replies = link.exchange([("GET", "big"), ("PING",)], deadline=time.monotonic() + 3)
        assert replies == [TooLarge(MAX_BULK + 1), b"PONG"]
    finally:
        link.close()


def test_a_redis_py_client_of_ours_gives_up_in_time(redis_server: RedisServer) -> None:
    made = client(Secret(redis_server.url), timeout=0.3)
    assert made.ping()
    redis_server.pause()
    started = time.monotonic()
    with pytest.raises(Exception, match=r"(?i)time"):
        made.ping()
    assert time.monotonic() - started < 1.5
    redis_server.resume()
    made.close()


@pytest.mark.needs("redis-server", "openssl")
def test_tls(make_redis: MakeRedis, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            key,
            "-out",
            certificate,
        ],
        check=True,
        capture_output=True,
    )
    port = free_port()
    make_redis(
        "--tls-port",
        str(port),
        "--tls-cert-file",
        str(certificate),
        "--tls-key-file",
        str(key),
        "--tls-ca-cert-file",
        str(certificate),
        "--tls-auth-clients",
        "no",
    )
    assert ask(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate}") == [b"PONG"]
    assert failure(f"rediss://127.0.0.1:{port}/0").kind is ErrorKind.TLS, "a certificate of nobody known"
    assert failure(f"redis://127.0.0.1:{port}/0").kind in {ErrorKind.CLOSED, ErrorKind.GARBAGE}
