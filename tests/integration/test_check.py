"""``depthgauge check`` as a whole, and what it says of supervisord and of the database, against real parts."""

import json
import os
from pathlib import Path

import psycopg
import psycopg.conninfo
import pytest
from click.testing import CliRunner

from cli.aspects import database, listeners, supervisors
from cli.aspects.finding import Finding, Status, Subject, run_all
from cli.check import as_text, look
from cli.main import main
from depthgauge.secrets import Secret
from exporter.event_log import LogFolder, LogWriter
from exporter.settings import SupervisorSettings
from sink.migrate import migrate
from tests.plugins.findings import brief, only
from tests.plugins.redis_server import MakeRedis, RedisServer
from tests.plugins.settings import MakeInputs
from tests.plugins.site import MakeSite
from tests.plugins.supervisord import MakeSupervisord, Program, python

PROC = Path("/proc")


def test_everything_sound(
    make_supervisord: MakeSupervisord,
    make_redis: MakeRedis,
    make_site: MakeSite,
    make_inputs: MakeInputs,
    tmp_path: Path,
) -> None:
    site = make_site()
    running = make_supervisord([Program("sleeper", python("import time; time.sleep(99)"))])
    running.wait_for_state("sleeper", "RUNNING")
    redis_server = make_redis("--appendonly", "yes")
    client = redis_server.client()
    client.rpush("thumbs", "a")
    text = f"""
[exporter]
state_dir = "{tmp_path}"
[[supervisor]]
url = "{running.unix_url}"
[[redis]]
url = "redis://127.0.0.1:{redis_server.port}/0"
[[redis.list]]
key = "thumbs"
[[probe]]
name = "site"
url = "{site.url}"
[bus]
url = "redis://127.0.0.1:{redis_server.port}/1"
[web]
listen = ["127.0.0.1:0"]
"""
    before = client.dbsize()
    findings, _ = look(make_inputs(text))
    assert brief(findings) == [
        "ok config",
        "ok install",
        "ok supervisor",
        "ok processes",
        "ok listener",
        "ok redis",
        "ok redis_server",
        "ok host",
        "ok probe",
        "ok state_dir",
        "ok spool",
        "ok web",
        "ok bus",
    ], as_text(findings, 100)
    messages = {finding.aspect: finding.message for finding in findings}
    assert messages["supervisor"].startswith(f"{running.unix_url} answers as 'supervisor': supervisor 4.")
    assert "1 of 1 processes running" in messages["supervisor"]
    assert "list: thumbs" in messages["redis"]
    # It only looked.
    assert (client.dbsize(), redis_server.client(db=1).dbsize()) == (before, 0)


def test_one_broken_part_hides_no_other(make_inputs: MakeInputs, redis_server: RedisServer, tmp_path: Path) -> None:
    text = f"""
[exporter]
state_dir = "{tmp_path}/none"
[[supervisor]]
url = "unix://{tmp_path}/none.sock"
[[redis]]
url = "redis://127.0.0.1:1/0"
[[redis]]
name = "good"
url = "redis://127.0.0.1:{redis_server.port}/0"
[[probe]]
name = "site"
url = "http://me:hunter2@127.0.0.1:1/?token=hunter2"
[bus]
url = "redis://:hunter2@127.0.0.1:1/0"
[sink]
dsn = "postgresql://me:hunter2@127.0.0.1:1/d"
[web]
listen = ["192.0.2.1:9"]
"""
    findings, _ = look(make_inputs(text))
    assert brief(findings) == [
        *("ok config", "ok install", "error supervisor", "ok listener", "error redis", "ok redis", "warning redis"),
        *(
            "ok redis_server",
            "ok host",
            "error probe",
            "warning state_dir",
            "warning spool",
            "error web",
            "error database",
            "error web",
            "error bus",
        ),
    ], as_text(findings, 100)
    assert "hunter2" not in as_text(findings, 100)
    assert all(finding.hint for finding in findings if finding.status is Status.ERROR)


def test_a_bad_configuration_is_all_that_is_told(make_inputs: MakeInputs) -> None:
    findings, _ = look(make_inputs("[exporter]\ninterval = 0\n[sink]\nbatch_rows = 0\n[web]\nlisten=['127.0.0.1:0']\n"))
    assert brief(findings) == ["error config"] * 4 + ["ok install"]
    assert "exporter.interval: is 0" in findings[0].message


def test_a_file_with_a_password_that_everybody_may_read(make_inputs: MakeInputs) -> None:
    text = "supervisor=[]\nredis=[]\n[bus]\nurl='redis://127.0.0.1:1'\npassword='x'\n[web]\nlisten=['127.0.0.1:0']\n"
    inputs = make_inputs(text)
    assert inputs.file is not None
    inputs.file.chmod(0o644)
    assert "warning config" in brief(look(inputs)[0])
    inputs.file.chmod(0o640)
    assert "warning config" not in brief(look(inputs)[0])


def test_the_command_prints_a_table_or_json_and_its_status(tmp_path: Path, redis_server: RedisServer) -> None:
    file = tmp_path / "depthgauge.toml"
    url = f"redis://127.0.0.1:{redis_server.port}/0"
    file.write_text(f"supervisor=[]\n[[redis]]\nurl='{url}'\nqueues=['rq:mail']\n[web]\nlisten=['127.0.0.1:0']\n")
    runner = CliRunner(env={name: None for name in os.environ if name.startswith("DEPTHGAUGE_")})
    result = runner.invoke(main, ["check", "--config.file", str(file)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "ok       redis default" in result.output
    assert "rq: mail" in result.output
    assert result.output.endswith("no errors, no warnings\n")
    file.write_text("supervisor=[]\n[[redis]]\nurl='redis://127.0.0.1:1'\n[web]\nlisten=['127.0.0.1:0']\n")
    result = runner.invoke(main, ["check", "exporter", "--json", "--config.file", str(file)], catch_exceptions=False)
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["ok"]) == (1, False)
    assert [each["aspect"] for each in answer["findings"] if each["status"] == "error"] == ["redis"]


def test_a_listener_is_alive_or_gone_or_not_wanted(tmp_path: Path) -> None:
    def told(state_dir: Path | None = tmp_path, *, has_bus: bool = True) -> tuple[Status, str]:
        (finding,) = listeners.look("main", state_dir, has_bus=has_bus)
        return finding.status, finding.message

    assert told(None) == (
        Status.OK,
        "not read without state_dir in [exporter]: state changes are found by comparing readings",
    )
    assert told(has_bus=False)[1].startswith("not read without a [bus]")
    assert told() == (
        Status.OK,
        "none: state changes are found by comparing readings; for exact ones see docs/supervisor.md, Exact events",
    )
    folder = LogFolder(tmp_path, "main")
    LogWriter(folder).beat()
    assert told() == (Status.OK, "alive: it tells state changes exactly")
    os.utime(folder.alive, (86400, 86400))
    assert told()[0] is Status.WARNING
    assert "no sign of life since 1970-01-02 00:00:00 UTC" in told()[1]
    folder.alive.unlink()
    folder.path.rmdir()
    folder.path.symlink_to(folder.path)
    assert told()[0] is Status.WARNING
    assert "cannot be looked at" in told()[1]


def test_a_check_that_breaks_is_an_error_of_its_own() -> None:
    def broken() -> list[Finding]:
        raise ZeroDivisionError("redis://:hunter2@h")

    subject = Subject(aspect="x", target="y")
    findings = run_all([(subject, broken), (subject, lambda: [subject.ok("fine")])])
    assert brief(findings) == ["error x", "ok x"]
    assert "the check itself failed: ZeroDivisionError: redis://:********@h" in findings[0].message


# supervisord


def test_a_supervisord_that_wants_a_login(make_supervisord: MakeSupervisord) -> None:
    running = make_supervisord(username="u", password="p")
    finding = only(supervisors.look(SupervisorSettings(name="main", url=running.unix_url), PROC))
    assert finding.status is Status.ERROR
    assert "it wants a user name and a password" in finding.message


def test_programs_that_do_not_start_and_processes_out_of_sight(
    make_supervisord: MakeSupervisord, tmp_path: Path
) -> None:
    running = make_supervisord(
        [
            Program("bad", "/nonexistent", options={"startretries": "0"}),
            Program("good", python("import time; time.sleep(99)")),
        ]
    )
    running.wait_for_state("bad", "FATAL")
    running.wait_for_state("good", "RUNNING")
    settings = SupervisorSettings(name="main", url=running.unix_url)
    ok, bad, hidden = supervisors.look(settings, tmp_path)
    assert (ok.status, bad.message) == (Status.OK, "1 processes do not start: bad:bad")
    assert hidden.message.startswith("1 of 1 processes cannot be seen in")


# The database


@pytest.mark.needs("postgres")
def test_a_database_before_and_after_migrate_and_without_rights(postgres_database: str) -> None:
    dsn = Secret(postgres_database)
    ok, behind = database.look(dsn)
    assert "(edition plain)" in ok.message
    assert (behind.status, "run `depthgauge migrate`" in behind.message) == (Status.ERROR, True)
    migrate(dsn)
    assert brief(list(database.look(dsn))) == ["ok database"] * 3
    with psycopg.connect(postgres_database, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS check_writer")
        admin.execute("CREATE ROLE check_writer LOGIN")
        try:
            admin.execute("SELECT depthgauge.grant_reader('check_writer')")
            writer = Secret(psycopg.conninfo.make_conninfo(postgres_database, user="check_writer"))
            _, closed = database.look(writer)
            assert closed.message.startswith("user check_writer may not add rows to snapshots, worker_snapshots")
            assert closed.hint is not None
            admin.execute(closed.hint.partition(": ")[2].encode())
            assert brief(list(database.look(writer))) == ["ok database"] * 3
        finally:
            admin.execute("DROP OWNED BY check_writer")
            admin.execute("DROP ROLE check_writer")


@pytest.mark.needs("postgres")
def test_a_database_whose_upkeep_nobody_does(postgres_database: str) -> None:
    dsn = Secret(postgres_database)
    migrate(dsn)
    with psycopg.connect(postgres_database, autocommit=True) as admin:
        admin.execute(
            "INSERT INTO depthgauge.dirty_buckets (rollup, bucket) VALUES ('queue_metrics_5m', '2026-11-24 12:00Z')"
        )
        never = database.look(dsn)[-1]
        assert (never.status, never.message) == (Status.WARNING, "upkeep has never been done, 1 buckets wait for it")
        admin.execute("CALL depthgauge.maintain()")
        assert database.look(dsn)[-1].status is Status.OK
        admin.execute("UPDATE depthgauge.maintenance SET finished_at = now() - interval '1 hour'")
        late = database.look(dsn)[-1]
        assert late.message == "upkeep was last done 60 minutes ago, 0 buckets wait for it"


@pytest.mark.needs("postgres")
def test_a_database_without_the_right_to_look_into_the_schema(postgres_database: str) -> None:
    migrate(Secret(postgres_database))
    with psycopg.connect(postgres_database, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS check_stranger")
        admin.execute("CREATE ROLE check_stranger LOGIN")
        try:
            stranger = Secret(psycopg.conninfo.make_conninfo(postgres_database, user="check_stranger"))
            finding = database.look(stranger)[-1]
            assert finding.status is Status.ERROR
        finally:
            admin.execute("DROP ROLE check_stranger")
