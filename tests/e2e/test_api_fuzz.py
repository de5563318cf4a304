"""schemathesis over a real exporter, from the document that the exporter serves."""

import subprocess
import sys
from pathlib import Path

import pytest

from exporter.web.openapi import document
from tests.plugins.api import Answer, state_of, token_of
from tests.plugins.daemons import MakeDaemon
from tests.plugins.redis_server import RedisServer

pytestmark = pytest.mark.needs("redis-server")

SECONDS = 25
RATE = 40
"""Requests a second: below what a client may ask."""
HISTORY = "/api/system/queue/historical"


@pytest.mark.timeout(180)
def test_no_request_breaks_the_contract(make_daemon: MakeDaemon, redis_server: RedisServer, tmp_path: Path) -> None:
    with redis_server.client() as client:
        client.sadd("rq:queues", "rq:queue:high")
        client.rpush("rq:queue:high", "a", "b")
    daemon = make_daemon(
        "exporter",
        f'[exporter]\nhost = "web-1"\ninterval = 1\n{state_of(tmp_path)}'
        f'[[redis]]\nname = "a"\nurl = "{redis_server.url}"\nsystems = ["rq"]\n[bus]\nurl = "{redis_server.url}"\n',
        folder=tmp_path,
    ).ready()
    # Asking without a token again and again would only lock this client out: one question an address does.
    arguments = ["--exclude-checks", "ignored_auth"]
    token = token_of(daemon)
    if token is not None:
        arguments += ["--header", f"Authorization: Bearer {token}"]
        told = {Answer(daemon, path, known=False).status for path in document()["paths"]}
        assert told == {401}
    if Answer(daemon, HISTORY).status != 200:
        # Without a database there is no history; its own tests ask it.
        arguments += ["--exclude-path", HISTORY]

    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{daemon.url}/api/openapi.json"),
            *("--checks", "all", "--max-examples", "40", "--max-time", str(SECONDS), "--seed", "1"),
            *("--rate-limit", f"{RATE}/s", "--no-color", "--request-timeout", "10", *arguments),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS + 90,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    # No warnings either: nothing was kept from being tested.
    assert "No issues found" in done.stdout, done.stdout[-4000:]
    assert daemon.value("depthgauge_http_failed_requests_total") == 0
    assert "Traceback" not in daemon.text
