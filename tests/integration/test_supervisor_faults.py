"""The supervisor source where something is wrong: each fault has its kind and a message that says what to do."""

import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from depthgauge.errors import ErrorKind, SourceError
from depthgauge.secrets import Secret
from exporter.settings import SupervisorSettings
from exporter.sources.supervisor import SupervisorSource
from exporter.sources.supervisor_rpc import NOT_HERE, Timeouts
from tests.plugins.ports import free_port
from tests.plugins.proxy import MakeProxy
from tests.plugins.redis_server import RedisServer
from tests.plugins.scripted_server import MakeScripted
from tests.plugins.supervisord import MakeSupervisord, Program
from tests.plugins.waiting import wait_for

SHORT = Timeouts(connect=0.3, read=0.3, total=0.8)
SLACK = 1.0
"""Seconds that a busy machine may add to a deadline."""


def source(
    url: str, *, username: str | None = None, password: str | None = None, timeouts: Timeouts = SHORT
) -> SupervisorSource:
    settings = SupervisorSettings(
        name="main", url=url, username=username, password=None if password is None else Secret(password)
    )
    return SupervisorSource(settings, timeouts=timeouts, clock=lambda: datetime.now(UTC), monotonic=time.monotonic)


def failure(reader: SupervisorSource) -> SourceError:
    with pytest.raises(SourceError) as caught:
        reader.collect()
    return caught.value


def assert_fails(reader: SupervisorSource, kind: ErrorKind, *words: str) -> None:
    error = failure(reader)
    assert error.kind is kind, str(error)
    for word in words:
        assert word in str(error)


def test_socket_missing(tmp_path: Path) -> None:
    assert_fails(
        source(f"unix://{tmp_path}/none.sock"), ErrorKind.SOCKET_MISSING, "none.sock", "is supervisord running"
    )


def test_refused(make_proxy: MakeProxy, tmp_path: Path) -> None:
    proxy = make_proxy(str(tmp_path / "none"))
    proxy.stop()
    assert_fails(source(f"unix://{proxy.path}"), ErrorKind.REFUSED, "nothing listens")
    assert_fails(source(f"http://127.0.0.1:{free_port()}/RPC2"), ErrorKind.REFUSED, "nothing listens")
    proxy.start()


def test_name_that_does_not_resolve() -> None:
    assert_fails(source("http://no..such.host:9001/RPC2", timeouts=Timeouts()), ErrorKind.DNS, "no..such.host")


@pytest.mark.needs("root")
def test_permission_denied(make_supervisord: MakeSupervisord) -> None:
    daemon = make_supervisord()
    daemon.folder.chmod(0o755)
    code = textwrap.dedent(
        f"""
        import os, time
        from datetime import UTC, datetime
        from depthgauge.errors import SourceError
        from exporter.settings import SupervisorSettings
        from exporter.sources.supervisor import SupervisorSource
        from exporter.sources.supervisor_rpc import Timeouts
        settings = SupervisorSettings(name="main", url={daemon.unix_url!r})
        source = SupervisorSource(
            settings, timeouts=Timeouts(), clock=lambda: datetime.now(UTC), monotonic=time.monotonic
        )
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
        try:
            source.collect()
        except SourceError as error:
            print(error.kind, error)
        """
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("permission_denied ")
    assert "chmod" in done.stdout


def test_wrong_password_and_none(make_supervisord: MakeSupervisord) -> None:
    daemon = make_supervisord(tcp=True, username="watcher", password="hunter2")
    for url in (daemon.tcp_url, daemon.unix_url):
        assert_fails(source(url), ErrorKind.UNAUTHORIZED, "wants a user name")
        wrong = failure(source(url, username="watcher", password="hunter3"))
        assert wrong.kind is ErrorKind.UNAUTHORIZED
        assert "wrong user name or password" in str(wrong)
        assert "hunter" not in str(wrong)
        assert source(url, username="watcher", password="hunter2").collect().pid == daemon.pid


def test_url_without_rpc2(make_supervisord: MakeSupervisord) -> None:
    daemon = make_supervisord(tcp=True)
    for path in ("", "/", "/index.html", "/rpc"):
        assert_fails(source(f"http://127.0.0.1:{daemon.port}{path}"), ErrorKind.NOT_RPC, "add /RPC2")


def test_shutting_down(make_supervisord: MakeSupervisord) -> None:
    stubborn = Program(
        "stubborn", "bash -c 'trap \"\" TERM; echo ready > ready; sleep 600'", options={"stopwaitsecs": "60"}
    )
    daemon = make_supervisord([stubborn])
    wait_for((daemon.folder / "ready").exists)
    daemon.rpc.shutdown()
    reader = source(daemon.unix_url)
    assert_fails(reader, ErrorKind.SHUTTING_DOWN, "SHUTDOWN_STATE", "shutting down or restarting")


def test_frozen_supervisord_costs_no_more_than_the_deadline_and_comes_back(make_supervisord: MakeSupervisord) -> None:
    daemon = make_supervisord()
    reader = source(daemon.unix_url)
    threads = threading.active_count()
    daemon.pause()
    for _ in range(3):
        before = time.monotonic()
        assert_fails(reader, ErrorKind.TIMEOUT, "hangs or is overloaded")
        assert time.monotonic() - before < SHORT.total + SLACK
    assert threading.active_count() == threads
    daemon.resume()
    assert reader.collect().pid == daemon.pid


def test_full_backlog_of_a_frozen_supervisord(make_supervisord: MakeSupervisord) -> None:
    daemon = make_supervisord()
    daemon.pause()
    waiting: list[socket.socket] = []

    def fill() -> None:
        for _ in range(10_000):
            waiting.append(socket.socket(socket.AF_UNIX))
            waiting[-1].setblocking(False)
            waiting[-1].connect(str(daemon.socket_path))

    try:
        with pytest.raises(BlockingIOError):
            fill()
        assert_fails(source(daemon.unix_url), ErrorKind.TIMEOUT, "accepts no more connections")
    finally:
        for each in waiting:
            each.close()
        daemon.resume()


def test_faults_on_the_wire(make_supervisord: MakeSupervisord, make_proxy: MakeProxy) -> None:
    daemon = make_supervisord([Program("one", "sleep 600")], tcp=True)
    proxy = make_proxy(("127.0.0.1", daemon.port or 0))
    reader = source(f"http://127.0.0.1:{proxy.port}/RPC2")
    assert reader.collect().pid == daemon.pid
    wait_for(lambda: proxy.connections == 0, what="the connection is closed after the call")
    proxy.deaf()
    assert_fails(reader, ErrorKind.TIMEOUT)
    proxy.stall()
    assert_fails(reader, ErrorKind.TIMEOUT)
    proxy.resume()
    assert reader.collect().pid == daemon.pid
    proxy.stop()
    assert_fails(reader, ErrorKind.REFUSED)
    proxy.start()
    assert reader.collect().pid == daemon.pid


def test_connection_cut_while_waiting(make_supervisord: MakeSupervisord, make_proxy: MakeProxy) -> None:
    daemon = make_supervisord()
    proxy = make_proxy(str(daemon.socket_path))
    proxy.stall()

    def cut() -> None:
        wait_for(lambda: proxy.connections == 1)
        proxy.cut()
        proxy.resume()

    cutter = threading.Thread(target=cut)
    cutter.start()
    assert_fails(source(f"unix://{proxy.path}", timeouts=Timeouts()), ErrorKind.CLOSED, "closed")
    cutter.join()


def test_proxy_variables_are_ignored(make_supervisord: MakeSupervisord, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = make_supervisord(tcp=True)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    assert source(daemon.tcp_url).collect().pid == daemon.pid


def test_something_else_listens_there(redis_server: RedisServer) -> None:
    assert_fails(source(f"http://127.0.0.1:{redis_server.port}/RPC2"), ErrorKind.CLOSED, "is it supervisord's port")


def test_server_on_another_address_of_this_host_is_not_taken_for_a_stranger(make_supervisord: MakeSupervisord) -> None:
    daemon = make_supervisord(tcp=True)
    reader = source(daemon.tcp_url.replace("127.0.0.1", "localhost"))
    reader.collect()
    assert reader.peer_pid is None
    assert NOT_HERE == 0


def reply(body: bytes, *, status: str = "200 OK", kind: str = "text/xml", extra: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


FAULT = (
    b"<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>%d</int></value></member>"
    b"<member><name>faultString</name><value><string>%s</string></value></member></struct></value></fault></methodResponse>"
)
BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><methodResponse>&b;</methodResponse>'
ODD = b"<methodResponse><params><param><value><array><data></data></array></value></param></params></methodResponse>"


@pytest.mark.parametrize(
    ("answer", "kind", "word"),
    [
        (b"", ErrorKind.CLOSED, "closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", ErrorKind.GARBAGE, "empty"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<?xml", ErrorKind.CLOSED, "middle of the reply"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", ErrorKind.NOT_RPC, "does not speak HTTP"),
        (reply(b""), ErrorKind.GARBAGE, "empty"),
        (reply(b"\x00\xff\xfe garbage"), ErrorKind.GARBAGE, "no XML"),
        (reply(b"<methodResponse><params>"), ErrorKind.GARBAGE, "no XML"),
        (reply(b"<a/>"), ErrorKind.GARBAGE, "no XML-RPC"),
        (reply(ODD), ErrorKind.GARBAGE, "6 answers"),
        (reply(BOMB), ErrorKind.GARBAGE, "document type"),
        (reply(FAULT % (1, b"UNKNOWN_METHOD")), ErrorKind.FAULT, "UNKNOWN_METHOD (fault 1)"),
        (reply(FAULT % (6, b"SHUTDOWN_STATE")), ErrorKind.SHUTTING_DOWN, "SHUTDOWN_STATE"),
        (reply(b"<html>hello", kind="text/html; charset=utf-8"), ErrorKind.NOT_RPC, "add /RPC2"),
        (reply(b"<HTML>hello", kind="text/plain"), ErrorKind.NOT_RPC, "add /RPC2"),
        (
            reply(b"", status="301 Moved", extra="Location: http://elsewhere/\r\n"),
            ErrorKind.NOT_RPC,
            "http://elsewhere/",
        ),
        (reply(b"", status="403 Forbidden"), ErrorKind.UNAUTHORIZED, "user name"),
        (reply(b"", status="404 Not Found"), ErrorKind.NOT_RPC, "add /RPC2"),
        (reply(b"", status="500 Internal Server Error"), ErrorKind.FAULT, "HTTP 500"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", ErrorKind.TOO_LARGE, "99999999999"),
    ],
)
def test_bad_answers(scripted: MakeScripted, answer: bytes, kind: ErrorKind, word: str) -> None:
    server = scripted(answer)
    assert_fails(source(server.url, timeouts=Timeouts()), kind, word, server.url)


def test_endless_answer_is_cut_off(scripted: MakeScripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.sources.supervisor_rpc.MAX_REPLY", 1_000_000)
    server = scripted(b"HTTP/1.1 200 OK\r\n\r\n", *([b"<!-- -->" * 10_000] * 100))
    assert_fails(source(server.url, timeouts=Timeouts()), ErrorKind.TOO_LARGE, "1000000 bytes")


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n"])
def test_trickling_server_does_not_beat_the_total_deadline(scripted: MakeScripted, start: bytes) -> None:
    server = scripted(start, *([b"x"] * 1000), pause=0.05)
    before = time.monotonic()
    assert_fails(source(server.url), ErrorKind.TIMEOUT, "no answer in time")
    assert SHORT.total - 0.1 < time.monotonic() - before < SHORT.total + SLACK


def test_request_is_one_authorised_multicall_on_a_connection_to_be_closed(scripted: MakeScripted) -> None:
    server = scripted(reply(b""))
    assert_fails(source(server.url, username="Aladdin", password="open sesame"), ErrorKind.GARBAGE)
    (request,) = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /RPC2 HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    assert b"\r\nConnection: close\r\n" in head
    assert b"\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n" in head
    assert body.count(b"<methodName>") == 1
    assert body.count(b"supervisor.get") == 6
