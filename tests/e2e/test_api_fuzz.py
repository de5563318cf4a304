"""schemathesis over a real exporter, from the document that the exporter serves."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from depthgauge.secrets import Secret
from exporter.web.openapi import document
from sink.migrate import migrate
from tests.plugins import past
from tests.plugins.api import Answer, state_of, token_of
from tests.plugins.daemons import MakeDaemon
from tests.plugins.redis_server import RedisServer

pytestmark = pytest.mark.needs("redis-server", "postgres")

SECONDS = 25
RATE = 40
"""Requests a second: below what a client may ask."""
HISTORY = "/api/system/queue/historical"
CONFIG = f"""
warnings.display = ["missing_auth", "missing_test_data", "missing_deserializer", "unresolvable_reference", "rate_limited"]
[[operations]]
include-path = "{HISTORY}"
checks.positive_data_acceptance.expected-statuses = ["2xx", "3xx", "400", "429"]
"""
"""A schema cannot say that a range ends after its begin, or that a cursor is one that was given: 400 is right there, and on a
slow machine, which asks less often, it may be most of the answers (the warning ``validation_mismatch``)."""


@pytest.mark.timeout(180)
def test_no_request_breaks_the_contract(
    make_daemon: MakeDaemon, redis_server: RedisServer, postgres_database: str, tmp_path: Path
) -> None:
    migrate(Secret(postgres_database))
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    past.fill(postgres_database, today - timedelta(days=1), days=1, queues=2, interval=300)
    with redis_server.client() as client:
        client.sadd("rq:queues", "rq:queue:high")
        client.rpush("rq:queue:high", "a", "b")
    daemon = make_daemon(
        "exporter",
        f'[exporter]\nhost = "web-1"\ninterval = 1\n{state_of(tmp_path)}'
        f'[[redis]]\nname = "a"\nurl = "{redis_server.url}"\nsystems = ["rq"]\n[bus]\nurl = "{redis_server.url}"\n'
        f"[history]\ndsn = {json.dumps(postgres_database)}\n",
        folder=tmp_path,
    ).ready()
    # Asking without a token again and again would only lock this client out: one question an address does.
    arguments = ["--exclude-checks", "ignored_auth"]
    token = token_of(daemon)
    if token is not None:
        arguments += ["--header", f"Authorization: Bearer {token}"]
        told = {Answer(daemon, path, known=False).status for path in document()["paths"]}
        assert told == {401}
    # What every endpoint is like at its best is there to be tested: history too, with rows.
    assert {path: Answer(daemon, path).status for path in document()["paths"]} == dict.fromkeys(
        document()["paths"], 200
    )
    start = (today - timedelta(days=1)).isoformat().replace("+00:00", "Z")
    assert Answer(daemon, f"{HISTORY}?start_date={start}&step=1h").told["count"] == 24
    (tmp_path / "schemathesis.toml").write_text(CONFIG)

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
