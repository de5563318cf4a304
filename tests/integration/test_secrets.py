"""Nothing that is secret comes out: every secret setting holds a mark, and all that the programs say is searched for it."""

import contextlib
import http.client
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import bcrypt
import pytest

from cli.config import load
from cli.schema import Role
from cli.table import all_sections
from tests.plugins.certificates import Authority
from tests.plugins.daemons import MakeDaemon
from tests.plugins.redis_server import RedisServer
from tests.plugins.settings import MakeInputs
from tests.plugins.waiting import wait_for

MARK = "planted-secret-mark"
HASH = bcrypt.hashpw(MARK.encode(), bcrypt.gensalt(4)).decode()


def configuration(redis: RedisServer, folder: Path) -> str:
    login = f"//depthgauge:{MARK}@127.0.0.1:1"
    return f"""
[exporter]
interval = 1
state_dir = "{folder}/state"
[[supervisor]]
url = "http://127.0.0.1:1/RPC2"
username = "me"
password = "{MARK}"
[[redis]]
url = "redis:{login}/0"
[[redis]]
name = "other"
url = "redis://127.0.0.1:1/0"
password = "{MARK}"
[[database]]
dsn = "postgresql:{login}/app"
[[probe]]
name = "site"
url = "http:{login}/up"
[bus]
url = "redis://127.0.0.1:{redis.port}/0"
password = "{MARK}"
[sink]
dsn = "host=127.0.0.1 port=1 user=me password={MARK}"
[history]
dsn = "postgresql:{login}/depthgauge"
[web]
token = "{MARK}-token"
config_file = "{folder}/web.yml"
[log]
level = "debug"
"""


@pytest.fixture
def planted(redis_server: RedisServer, authority: Authority, tmp_path: Path) -> str:
    """Give a configuration whose secrets are all marked; the key stands in the web config itself."""
    _, key = authority.issue("web")
    lines = "".join(f"    {line}\n" for line in key.read_text().splitlines())
    (tmp_path / "web.yml").write_text(
        f"tls_server_config:\n  cert_file: tls/web.crt\n  key: |\n{lines}basic_auth_users: {{ann: {HASH}}}\n"
    )
    return configuration(redis_server, tmp_path)


def secrets_of(folder: Path) -> list[str]:
    key = (folder / "tls" / "web.key").read_text().splitlines()
    return [MARK, HASH, HASH[7:], key[1], key[2]]


def assert_clean(text: str, folder: Path, where: str) -> None:
    assert text, f"{where} is empty"
    for secret in secrets_of(folder):
        assert secret not in text, f"{where} tells {secret[:12]}…"


@pytest.mark.needs("redis-server")
def test_every_secret_setting_is_planted(make_inputs: MakeInputs, planted: str) -> None:
    made = load(make_inputs(planted), frozenset({Role.EXPORTER, Role.SINK, Role.HISTORY}))
    for section in all_sections():
        for key in section.keys:
            if key.secret:
                nodes = made.tables.get(section.name, ())
                assert any(key.name in node.values for node in nodes), f"plant {section.name}.{key.name} here too"
    assert_clean(repr(made), Path(str(made.file)).parent, "repr")


@pytest.mark.needs("redis-server")
@pytest.mark.parametrize(
    "arguments",
    [
        ("exporter", "--print-config"),
        ("sink", "--print-config"),
        ("check", "--print-config"),
        ("check", "--json"),
        ("healthcheck",),
    ],
)
def test_commands(planted: str, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    file = tmp_path / "depthgauge.toml"
    file.write_text(planted)
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments, "--config.file", str(file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert_clean(done.stdout + done.stderr, tmp_path, " ".join(arguments))


@pytest.mark.needs("redis-server")
@pytest.mark.parametrize("command", ["exporter", "sink"])
def test_daemons(make_daemon: MakeDaemon, planted: str, authority: Authority, tmp_path: Path, command: str) -> None:
    daemon = make_daemon(command, planted)
    listening = re.compile(r"listening on (https://[0-9.:]+)")
    found = wait_for(lambda: listening.search(daemon.text), 20, what=f"{command} listens; {daemon.log}")
    netloc = urlsplit(found[1]).netloc

    def ask(path: str, token: str | None = None, method: str = "GET") -> tuple[int, str]:
        connection = http.client.HTTPSConnection(netloc, timeout=5, context=authority.trusting())
        with contextlib.closing(connection):
            connection.request(method, path, headers={"Authorization": f"Bearer {token}"} if token else {})
            answer = connection.getresponse()
            return answer.status, f"{answer.headers}{answer.read().decode()}"

    token = f"{MARK}-token"
    for path in ("/", "/metrics", "/-/ready", "/nothing", "/api/nothing", f"/api/{'x' * 100}?token=x"):
        for given in (None, token, f"wrong-{'x' * 20}"):
            assert_clean(ask(path, given)[1], tmp_path, path)
    assert ask("/", token)[0] == 200
    # Mistakes right where the secrets are.
    broken = planted.replace(f'token = "{MARK}-token"', f'token = "{MARK} token with blanks"').replace(
        "host=127.0.0.1 port=1", "host='127.0.0.1 port=1"
    )
    daemon.config.write_text(broken.replace("redis://", "rediss//", 1))
    with (tmp_path / "web.yml").open("a") as file:
        file.write(f"rate_limit: {MARK}\n")
    status, told = ask("/-/reload", token, "POST")
    assert status == 500
    assert_clean(told.replace(f"rate_limit: {MARK}", ""), tmp_path, "the answer to a reload")
    daemon.process.send_signal(signal.SIGHUP)
    wait_for(lambda: daemon.text.count("the configuration is not reloaded") >= 4)
    assert daemon.stop() == 0
    assert_clean(daemon.text, tmp_path, "the log")
