"""What ``depthgauge check`` and ``healthcheck`` say of this host."""

import http.server
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.aspects import host
from cli.aspects.finding import Status
from cli.healthcheck import run as healthcheck
from cli.main import main
from depthgauge.settings import WebSettings
from tests.plugins.findings import only

Answer = Callable[[int], int]


@pytest.fixture
def daemon() -> Iterator[Answer]:
    """Give a function that starts a server which answers every request with this status, and returns its port."""
    servers: list[http.server.HTTPServer] = []
    threads: list[threading.Thread] = []

    def start(status: int) -> int:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status if self.path == "/-/healthy" else 404)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threads.append(threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}))
        threads[-1].start()
        return server.server_port

    yield start
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


def test_ports(daemon: Answer) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        ours = daemon(200)
        theirs = daemon(404)
        listen = (f"127.0.0.1:{taken}", f"127.0.0.1:{ours}", f"127.0.0.1:{theirs}", "127.0.0.1:0", "nowhere.invalid:80")
        findings = host.look_at_ports("exporter", WebSettings(listen=listen))
    assert [(finding.status, finding.message) for finding in findings[:4]] == [
        (Status.ERROR, "in use by another program"),
        (Status.OK, "in use by a daemon that says it is healthy"),
        (Status.ERROR, "in use by another program"),
        (Status.OK, "a free port will be taken"),
    ]
    assert findings[4].message.startswith("cannot listen there: ")
    assert only(host.look_at_ports("exporter", WebSettings(listen=(f":{taken}",)))).message == "free"


def test_the_healthcheck_of_a_container(daemon: Answer, capsys: pytest.CaptureFixture[str]) -> None:
    assert healthcheck(WebSettings(listen=(f"127.0.0.1:{daemon(200)}",))) == 0
    assert healthcheck(WebSettings(listen=(f":{daemon(200)}",))) == 0
    assert capsys.readouterr().err == ""
    assert healthcheck(WebSettings(listen=(f"127.0.0.1:{daemon(503)}",))) == 1
    assert "HTTP status 503" in capsys.readouterr().err
    assert healthcheck(WebSettings(listen=("127.0.0.1:1",))) == 1
    assert "Connection refused" in capsys.readouterr().err
    assert healthcheck(WebSettings(listen=("[::1]:0",))) == 1
    assert "a port that it chose itself" in capsys.readouterr().err
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert healthcheck(WebSettings(listen=(f"127.0.0.1:{silent.getsockname()[1]}",)), timeout=0.1) == 1
    assert "timed out" in capsys.readouterr().err
    result = CliRunner().invoke(main, ["healthcheck", "sink", "--web.listen-address", f"127.0.0.1:{daemon(200)}"])
    assert result.exit_code == 0, result.output


def test_another_distribution_with_our_names() -> None:
    sound = {"exporter": ["depthgauge"], "cli": ["depthgauge", "depthgauge"], "other": ["x"]}
    assert only(host.look_at_distributions(sound)).status is Status.OK
    finding = only(host.look_at_distributions({**sound, "exporter": ["depthgauge", "exporter"]}))
    assert finding.message == "the package exporter is brought by exporter too"
    assert only(host.look_at_distributions()).status is Status.OK


def test_a_state_dir_that_is_missing_or_closed(tmp_path: Path) -> None:
    assert only(host.look_at_state_dir(tmp_path)).status is Status.OK
    assert only(host.look_at_state_dir(tmp_path / "none")).status is Status.WARNING
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)
    try:
        finding = only(host.look_at_state_dir(closed))
    finally:
        os.seteuid(me)
    assert finding.status is Status.ERROR
