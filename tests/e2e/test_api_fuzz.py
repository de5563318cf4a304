"""schemathesis over a real exporter, from the document that the exporter serves."""

import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.plugins.daemons import Daemon, MakeDaemon
from tests.plugins.redis_server import RedisServer

pytestmark = pytest.mark.needs("redis-server")

SECONDS = 25
HISTORY = "/api/system/queue/historical"


def status_of(daemon: Daemon, path: str, header: str | None = None) -> int:
    request = urllib.request.Request(daemon.url + path)
    if header is not None:
        request.add_header("Authorization", header)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code


@pytest.mark.timeout(180)
def test_no_request_breaks_the_contract(make_daemon: MakeDaemon, redis_server: RedisServer, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    with redis_server.client() as client:
        client.sadd("rq:queues", "rq:queue:high")
        client.rpush("rq:queue:high", "a", "b")
    daemon = make_daemon(
        "exporter",
        f'[exporter]\nhost = "web-1"\ninterval = 1\nstate_dir = "{state}"\n'
        f'[[redis]]\nname = "a"\nurl = "{redis_server.url}"\nsystems = ["rq"]\n[bus]\nurl = "{redis_server.url}"\n',
    ).ready()
    guarded = status_of(daemon, "/api/openapi.json") == 401
    tokens = [path.read_text().split()[0] for path in state.glob("*token*") if path.is_file()]
    header = f"Bearer {tokens[0]}" if guarded else None
    arguments = [] if header is None else ["--header", f"Authorization: {header}"]
    if not guarded:
        arguments += ["--exclude-checks", "ignored_auth"]
    if status_of(daemon, HISTORY, header) == 404:
        arguments += ["--exclude-path", HISTORY]

    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{daemon.url}/api/openapi.json"),
            *("--checks", "all", "--max-examples", "40", "--max-time", str(SECONDS), "--seed", "1"),
            *("--no-color", "--request-timeout", "10", *arguments),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS + 90,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "No issues found" in done.stdout
    assert daemon.value("depthgauge_http_failed_requests_total") == 0
    assert "Traceback" not in daemon.text
