"""Tokens, reloads and TLS on both daemons as users run them."""

import base64
import contextlib
import http.client
import signal
import socket
import ssl
import stat
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import bcrypt
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.plugins.certificates import Authority
from tests.plugins.daemons import Daemon, MakeDaemon
from tests.plugins.redis_server import RedisServer
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("redis-server")

FIRST = "first-token-of-the-test"
SECOND = "second-token-of-the-test"
BOTH = pytest.mark.parametrize("command", ["exporter", "sink"])


class Web:
    """Asks a daemon."""

    def __init__(self, daemon: Daemon, context: ssl.SSLContext | None = None) -> None:
        self._netloc = urlsplit(daemon.url).netloc
        self._context = context

    def ask(
        self, path: str, method: str = "GET", token: str | None = None, login: str | None = None
    ) -> tuple[int, str]:
        """Return status and text."""
        connection = http.client.HTTPConnection(self._netloc, timeout=5)
        if self._context is not None:
            connection = http.client.HTTPSConnection(self._netloc, timeout=5, context=self._context)
        headers = {}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if login is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def value(self, name: str) -> float:
        """Return the one sample of a metric."""
        text = self.ask("/metrics")[1]
        (found,) = [s.value for f in text_string_to_metric_families(text) for s in f.samples if s.name == name]
        return float(found)


Text = Callable[..., str]


@pytest.fixture
def text_of(redis_server: RedisServer, tmp_path: Path) -> Text:
    """Give a function that adds settings of [web] to a configuration for both daemons."""

    def make(web: str = "", *, log: str = "") -> str:
        return (
            "supervisor = []\n[exporter]\ninterval = 1\n"
            f'state_dir = "{tmp_path}/state"\n[[redis]]\nurl = "{redis_server.url}"\n[bus]\nurl = "{redis_server.url}"\n'
            f'[sink]\ndsn = "postgresql://nobody@127.0.0.1:1/none"\n[log]\n{log}\n[web]\n{web}\n'
        )

    return make


def start(
    make_daemon: MakeDaemon, command: str, text: str, context: ssl.SSLContext | None = None
) -> tuple[Daemon, Web]:
    daemon = make_daemon(command, text)
    web = Web(daemon, context)
    wait_for(lambda: _alive(web), what=f"{command} answers; {daemon.log}")
    return daemon, web


def _alive(web: Web) -> bool:
    try:
        return web.ask("/-/healthy")[0] in {200, 401}
    except OSError:
        return False


@BOTH
def test_a_token_is_rotated_by_a_reload(make_daemon: MakeDaemon, text_of: Text, tmp_path: Path, command: str) -> None:
    token = tmp_path / "token"
    token.write_text(f"# of the test\n{FIRST}\n")
    daemon, web = start(make_daemon, command, text_of(f'token_file = "{token}"'))
    began = web.value("depthgauge_config_last_reload_success_timestamp_seconds")
    assert web.value("depthgauge_config_last_reload_successful") == 1
    assert [web.ask("/api/nothing", token=each)[0] for each in (FIRST, SECOND)] == [404, 401]
    assert web.ask("/-/reload", "POST")[0] == 401
    assert web.ask("/-/reload", "GET", FIRST)[0] == 405

    token.write_text(f"{FIRST}\n{SECOND}\n")
    assert web.ask("/-/reload", "POST", FIRST) == (200, "reloaded\n")
    assert [web.ask("/api/nothing", token=each)[0] for each in (FIRST, SECOND)] == [404, 404]

    token.write_text(f"{SECOND}\n")
    daemon.process.send_signal(signal.SIGHUP)
    wait_for(lambda: web.ask("/api/nothing", token=FIRST)[0] == 401)
    assert web.ask("/api/nothing", token=SECOND)[0] == 404
    assert web.value("depthgauge_config_last_reload_success_timestamp_seconds") > began
    assert FIRST not in daemon.text
    assert SECOND not in daemon.text
    assert daemon.stop() == 0


def test_a_bad_configuration_changes_nothing(make_daemon: MakeDaemon, text_of: Text) -> None:
    daemon, web = start(make_daemon, "exporter", text_of(f'token = "{FIRST}"'))
    daemon.config.write_text(text_of(f'token = "{SECOND}"\nrate_limit = -1\ncors_origins = ["x"]'))
    status, told = web.ask("/-/reload", "POST", FIRST)
    assert status == 500
    assert "web.rate_limit: is -1" in told
    assert "web.cors_origins: item 1" in told
    assert SECOND not in told
    assert web.ask("/api/nothing", token=FIRST)[0] == 404
    assert web.value("depthgauge_config_last_reload_successful") == 0
    daemon.process.send_signal(signal.SIGHUP)
    wait_for(lambda: daemon.text.count("the configuration is not reloaded") >= 4)

    daemon.config.write_text(text_of(f'token = "{SECOND}"'))
    assert web.ask("/-/reload", "POST", FIRST)[0] == 200
    assert web.value("depthgauge_config_last_reload_successful") == 1
    assert web.ask("/api/nothing", token=SECOND)[0] == 404
    assert daemon.process.poll() is None


def test_what_needs_a_restart_is_named(make_daemon: MakeDaemon, text_of: Text) -> None:
    daemon, web = start(make_daemon, "exporter", text_of(f'token = "{FIRST}"'))
    changed = text_of(f'token = "{FIRST}"\ntelemetry_path = "/m"\nrate_limit = 3')
    daemon.config.write_text(changed.replace("interval = 1\n", "interval = 2\n"))
    assert web.ask("/-/reload", "POST", FIRST) == (
        200,
        "reloaded; restart to apply: exporter.interval, web.telemetry_path\n",
    )
    assert "restart to apply: exporter.interval, web.telemetry_path" in daemon.text
    assert web.ask("/metrics")[0] == 200
    # The level of the log is one of those that take effect.
    assert web.ask("/api/nothing", token=SECOND)[0] == 401
    assert daemon.text.count("wrong credentials") == 1
    daemon.config.write_text(text_of(f'token = "{FIRST}"', log='level = "error"'))
    assert web.ask("/-/reload", "POST", FIRST) == (200, "reloaded\n")
    assert web.ask("/api/nothing", token=SECOND)[0] == 401
    assert daemon.text.count("wrong credentials") == 1


def test_users_headers_and_origins_come_by_a_reload(make_daemon: MakeDaemon, text_of: Text, tmp_path: Path) -> None:
    daemon, web = start(make_daemon, "exporter", text_of(f'token = "{FIRST}"'))
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    (daemon.folder / "web.yml").write_text(f"basic_auth_users:\n  ann: {hashed}\n")
    daemon.config.write_text(text_of(f'token = "{FIRST}"\nconfig_file = "web.yml"'))
    assert web.ask("/-/reload", "POST", FIRST)[0] == 200
    for path in ("/metrics", "/", "/-/healthy"):
        assert web.ask(path)[0] == 401
        assert web.ask(path, login="ann:wrong")[0] == 401
        assert web.ask(path, login="ann:secret")[0] == 200
        assert web.ask(path, token=FIRST)[0] == 200
    assert hashed not in daemon.text
    assert "wrong credentials from 127.0.0.1 for /metrics" in daemon.text


@BOTH
def test_tls_comes_and_changes_by_a_reload(
    make_daemon: MakeDaemon, text_of: Text, authority: Authority, tmp_path: Path, command: str
) -> None:
    authority.issue("web")
    text = "tls_server_config: {cert_file: tls/web.crt, key_file: tls/web.key}\n"
    (tmp_path / "web.yml").write_text(text)
    settings = text_of(f'token = "{FIRST}"\nconfig_file = "{tmp_path}/web.yml"')
    daemon, web = start(make_daemon, command, settings, authority.trusting())
    assert daemon.url.startswith("https://")
    assert web.ask("/metrics")[0] == 200
    with pytest.raises(OSError, match=r"reset|closed|BadStatus|aborted|connection"):
        Web(daemon).ask("/metrics")

    (tmp_path / "tls" / "web.key").write_text("broken")
    status, told = web.ask("/-/reload", "POST", FIRST)
    assert (status, "tls_server_config" in told) == (500, True)
    assert web.ask("/metrics")[0] == 200
    assert web.value("depthgauge_http_certificate_errors_total") == 1


def test_a_token_is_made_and_kept(make_daemon: MakeDaemon, text_of: Text, tmp_path: Path) -> None:
    daemon, web = start(make_daemon, "exporter", text_of())
    path = tmp_path / "state" / "api.token"
    token = path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(token) >= 40
    assert web.ask("/api/nothing", token=token)[0] == 404
    assert str(path) in daemon.text
    assert token not in daemon.text
    assert daemon.stop() == 0

    _, again = start(make_daemon, "exporter", text_of())
    assert path.read_text().strip() == token
    assert again.ask("/api/nothing", token=token)[0] == 404
    path.write_text(f"{SECOND}\n")
    assert again.ask("/-/reload", "POST", token)[0] == 200
    assert again.ask("/api/nothing", token=SECOND)[0] == 404


def test_a_sink_without_a_token_is_reloaded_by_a_signal_only(make_daemon: MakeDaemon, text_of: Text) -> None:
    daemon, web = start(make_daemon, "sink", text_of())
    assert web.ask("/-/reload", "POST", FIRST)[0] == 401
    daemon.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "the configuration is reloaded" in daemon.text)
    assert web.ask("/metrics")[0] == 200


def test_without_any_configuration_the_token_is_where_its_user_finds_it(
    make_daemon: MakeDaemon, tmp_path: Path
) -> None:
    home = {"XDG_STATE_HOME": "", "HOME": str(tmp_path / "home")}
    daemon = make_daemon("exporter", "supervisor = []\nredis = []\n", environ=home).ready()
    path = tmp_path / "home" / ".local" / "state" / "depthgauge" / "api.token"
    assert str(path) in daemon.text
    assert Web(daemon).ask("/api/nothing", token=path.read_text().strip())[0] == 404
    assert sorted(each.name for each in path.parent.iterdir()) == ["api.token"], "nothing else is kept there"
    assert daemon.stop() == 0
    systemd = make_daemon("exporter", "supervisor = []\nredis = []\n", environ={"STATE_DIRECTORY": str(tmp_path / "s")})
    systemd.ready()
    assert (tmp_path / "s" / "api.token").exists()


def test_stalled_clients_do_not_delay_the_scrapes_of_a_real_exporter(
    make_daemon: MakeDaemon, text_of: Text, tmp_path: Path
) -> None:
    _, web = start(make_daemon, "exporter", text_of())
    host, _, port = web._netloc.rpartition(":")

    def scrape() -> float:
        began = time.monotonic()
        assert web.ask("/metrics")[0] == 200
        return time.monotonic() - began

    with contextlib.ExitStack() as stack:
        for number in range(300):
            sock = stack.enter_context(socket.create_connection((host, int(port)), timeout=5))
            sock.sendall(b"GET / HTTP/1.1\r\nX-Slow: " if number % 2 else b"")
        took = sorted(scrape() for _ in range(30))
    assert statistics.median(took) < 0.05
    assert took[-1] < 1
