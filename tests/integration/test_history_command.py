"""``depthgauge history``, the API in a running exporter, and what ``depthgauge check`` says of [history]."""

import csv
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import psycopg.conninfo
import pytest
from click.testing import CliRunner, Result

from cli.aspects import history
from cli.aspects.finding import Status
from cli.main import main
from depthgauge.secrets import Secret
from sink.migrate import migrate
from tests.plugins.daemons import MakeDaemon
from tests.plugins.findings import only
from tests.plugins.history import DAY
from tests.plugins.past import fill
from tests.plugins.ports import free_port
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("postgres")

MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - 2 * DAY
TOKEN = "a-token-of-the-test"
WEB = f'[web]\ntoken = "{TOKEN}"\n'


@pytest.fixture
def filled(postgres_database: str) -> str:
    migrate(Secret(postgres_database))
    fill(postgres_database, MIDNIGHT, days=1, queues=2, interval=60)
    return postgres_database


@pytest.fixture
def config(filled: str, tmp_path: Path) -> Path:
    file = tmp_path / "history.toml"
    file.write_text(f"[history]\ndsn = {json.dumps(filled)}\n")
    return file


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("DEPTHGAUGE_")}


def invoke(config: Path, *args: str) -> Result:
    runner = CliRunner(env={name: None for name in os.environ if name.startswith("DEPTHGAUGE_")})
    return runner.invoke(main, ["history", "--config.file", str(config), *args], catch_exceptions=False)


def a_day(*more: str) -> tuple[str, ...]:
    return ("--start", MIDNIGHT.date().isoformat(), "--end", (MIDNIGHT + DAY).date().isoformat(), *more)


def test_the_same_as_json_csv_and_a_table(config: Path) -> None:
    told = json.loads(invoke(config, *a_day("--format", "json")).stdout)
    assert {name: told[name] for name in told if name != "data"} == {
        "count": 1440,
        "step": 60,
        "resolution": "raw",
        "truncated": False,
        "next_cursor": None,
    }
    rows = list(csv.DictReader(invoke(config, *a_day("--format", "csv")).stdout.splitlines()))
    assert [row["recorded_at"] for row in rows] == [record["recorded_at"] for record in told["data"]]
    for row, record in zip(rows, told["data"], strict=True):
        assert json.loads(row["pending_by_queue"]) == record["pending_by_queue"]
        assert int(row["pending_jobs"]) == record["pending_jobs"]
    lines = invoke(config, *a_day("--queue", "queue-01")).stdout.splitlines()
    assert lines[0].split() == ["recorded", "at", "workers", "pending", "processing", "delayed", "failed", "completed"]
    assert lines[-1] == "1440 records, one every 60 s, from raw rows"
    assert lines[1].split()[:3] == [
        told["data"][0]["recorded_at"],
        str(told["data"][0]["workers_by_queue"]["queue-01"]),
        str(told["data"][0]["pending_by_queue"]["queue-01"]),
    ]


def test_it_pages_until_the_limit(config: Path) -> None:
    # Two days of minutes are more than a reply of the API holds by default.
    told = json.loads(invoke(config, "--start", str(MIDNIGHT - DAY), "--step", "60", "--format", "json").stdout)
    assert (told["count"], told["truncated"]) == (1440, False)
    result = invoke(config, *a_day("--limit", "7"))
    assert result.stdout.splitlines()[-1].startswith("7 records")
    assert "there is more" in result.stderr


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("--start", "yesterday"), "--start: it is no date or time"),
        (("--limit", "x"), "--limit: it has to be a whole number"),
        (("--limit", "0"), "--limit: it has to be a whole number"),
        (("--step", "2d"), "--step: it has to be"),
        (("--format", "xml"), "'xml' is not one of"),
    ],
)
def test_a_wrong_option_is_named(config: Path, args: tuple[str, ...], text: str) -> None:
    result = invoke(config, *args)
    assert (result.exit_code, text in result.stderr) == (1, True), result.stderr


def test_without_a_database_it_says_so(tmp_path: Path) -> None:
    file = tmp_path / "history.toml"
    file.write_text("")
    result = invoke(file)
    assert (result.exit_code, "history.dsn: missing" in result.stderr) == (1, True), result.stderr
    file.write_text(f"[history]\ndsn = 'postgresql://u:hunter2@127.0.0.1:{free_port()}/x'\n")
    result = invoke(file)
    assert (result.exit_code, "cannot connect to the database" in result.stderr) == (1, True)
    assert "hunter2" not in result.stderr


def test_a_pipe_that_closes_and_ctrl_c_are_quiet(filled: str, config: Path) -> None:
    command = [sys.executable, "-m", "cli.main", "history", "--config.file", str(config), *a_day("--format", "csv")]
    command += ["--log.level", "warn"]
    piped = subprocess.run(
        ["bash", "-o", "pipefail", "-c", '"$@" | head -n 2', "-", *command],
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment(),
        timeout=60,
    )
    assert (piped.returncode, piped.stderr) == (0, "")
    assert piped.stdout.startswith("recorded_at,active_workers")
    with psycopg.connect(filled) as locked:
        locked.execute("LOCK TABLE depthgauge.series IN ACCESS EXCLUSIVE MODE")
        # A shell's background job is born with SIGINT ignored, and so would be all that it starts, this run included.
        interruptible = ["env", "--default-signal=INT", *command]
        waiting = subprocess.Popen(
            interruptible, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment()
        )
        question = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'depthgauge-history' AND wait_event_type = 'Lock'"
        with psycopg.connect(filled, autocommit=True) as looking:
            wait_for(lambda: looking.execute(question).fetchone() == (1,), 20)
        waiting.send_signal(signal.SIGINT)
        out, err = waiting.communicate(timeout=20)
    assert (waiting.returncode, out, err) == (130, b"", b"")


def get(url: str) -> tuple[int, Any]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as exc:
        return exc.code, json.loads(exc.read())


def test_a_running_exporter_answers(filled: str, make_daemon: MakeDaemon) -> None:
    daemon = make_daemon(
        "exporter",
        f'supervisor = []\nredis = []\n[exporter]\nhost = "web-1"\n[history]\ndsn = {json.dumps(filled)}\n{WEB}',
    ).ready()
    page = f"{daemon.url}/api/system/queue/historical"
    day = f"start_date={MIDNIGHT.date()}&end_date={(MIDNIGHT + DAY).date()}"
    status, told = get(f"{page}?{day}")
    assert (status, told["count"], told["resolution"], len(told["data"])) == (200, 1440, "raw", 1440)
    status, told = get(f"{page}?{day}&steps=60")
    assert (status, told["error"]["parameter"]) == (400, "steps")
    assert daemon.stop() == 0


def test_an_exporter_without_history_says_so(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon("exporter", f'supervisor = []\nredis = []\n[exporter]\nhost = "web-1"\n{WEB}').ready()
    status, told = get(f"{daemon.url}/api/system/queue/historical")
    assert (status, told["error"]["message"]) == (503, "history is not configured: set [history] dsn")


def test_what_check_says(filled: str) -> None:
    owner = only(history.look(Secret(filled)))
    assert (owner.status, "may write too" in owner.message) == (Status.WARNING, True)
    with psycopg.connect(filled, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS check_reader")
        admin.execute("CREATE ROLE check_reader LOGIN")
        try:
            reader = Secret(psycopg.conninfo.make_conninfo(filled, user="check_reader"))
            closed = only(history.look(reader))
            assert closed.status is Status.ERROR
            assert closed.hint is not None
            admin.execute(closed.hint.partition(": ")[2].encode())
            good = only(history.look(reader))
            assert (good.status, good.message) == (
                Status.OK,
                "history may be read by user check_reader, and nothing written",
            )
            admin.execute("REVOKE SELECT ON depthgauge.queue_metrics_5m FROM check_reader")
            assert only(history.look(reader)).message == "user check_reader may not read queue_metrics_5m"
        finally:
            admin.execute("DROP OWNED BY check_reader")
            admin.execute("DROP ROLE check_reader")
    away = only(history.look(Secret(f"postgresql://127.0.0.1:{free_port()}/x")))
    assert (away.status, "cannot connect" in away.message) == (Status.ERROR, True)
