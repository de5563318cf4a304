"""``depthgauge check`` against real parts, sound and broken."""

import http.server
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import psycopg.conninfo
import pytest
from click.testing import CliRunner

from cli.aspects import bus, database, host, redis_servers, supervisors
from cli.aspects.finding import Finding, Status, Subject, run_all
from cli.check import as_text, look
from cli.healthcheck import run as healthcheck
from cli.main import main
from cli.schema import Role
from depthgauge.secrets import Secret
from depthgauge.settings import BusSettings, WebSettings
from depthgauge.snapshot import Cycle, RedisQueues, Snapshot
from depthgauge.stream import HOSTS, LATEST_PREFIX, pack
from exporter.settings import ListSettings, RedisSettings, SupervisorSettings
from sink.migrate import migrate
from tests.plugins.redis_server import MakeRedis, RedisServer
from tests.plugins.settings import MakeInputs
from tests.plugins.supervisord import MakeSupervisord, Program, python

PROC = Path("/proc")


def brief(findings: list[Finding] | tuple[Finding, ...]) -> list[str]:
    return [f"{finding.status} {finding.aspect}" for finding in findings]


def set_user(server: RedisServer, name: str, *rules: str) -> None:
    client: Any = server.client()
    client.execute_command("ACL", "SETUSER", name, *rules)


def only(findings: object) -> Finding:
    assert isinstance(findings, list | tuple)
    (finding,) = findings
    assert isinstance(finding, Finding)
    return finding


def test_everything_sound(
    make_supervisord: MakeSupervisord, make_redis: MakeRedis, make_inputs: MakeInputs, tmp_path: Path
) -> None:
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
        "ok redis",
        "ok state_dir",
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
[bus]
url = "redis://:hunter2@127.0.0.1:1/0"
[sink]
dsn = "postgresql://me:hunter2@127.0.0.1:1/d"
[web]
listen = ["192.0.2.1:9"]
"""
    findings, _ = look(make_inputs(text))
    assert brief(findings) == [
        *("ok config", "ok install", "error supervisor", "error redis", "ok redis", "warning redis"),
        *("warning state_dir", "error web", "error database", "error web", "error bus"),
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


# Redis


@pytest.mark.parametrize(
    ("rules", "missing"),
    [
        (
            "+time +info +scan +type +llen +lindex +zcard +zcount +zrange +select",
            "lrange, scard, smembers, sscan, hmget, exists",
        ),
        ("+@read +select", "time, info"),
    ],
)
def test_commands_that_the_user_may_not_run(rules: str, missing: str, redis_server: RedisServer) -> None:
    set_user(redis_server, "reader", "on", ">pw", "~*", *rules.split())
    url = Secret(f"redis://reader:pw@127.0.0.1:{redis_server.port}/0")
    finding = only(redis_servers.look(RedisSettings(name="r", url=url)).findings)
    assert finding.status is Status.ERROR
    assert finding.message == f"this user may not run {missing}"
    assert finding.hint == "ACL SETUSER … " + " ".join(f"+{name}" for name in missing.split(", "))


def test_commands_of_systems_that_are_not_read_are_not_asked_for(redis_server: RedisServer) -> None:
    rules = "+time +info +scan +type +llen +lindex +select"
    set_user(redis_server, "reader", "on", ">pw", "~jobs*", *rules.split())
    url = Secret(f"redis://reader:pw@127.0.0.1:{redis_server.port}/0")
    lists = (ListSettings(key="jobs", name="jobs"),)
    found = redis_servers.look(RedisSettings(name="r", url=url, systems=("list",), lists=lists))
    assert found.findings[0].status is Status.OK, found
    assert found.run_id == redis_server.client().info("server")["run_id"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://:wrong@127.0.0.1:{port}/0", "check user name and password"),
        ("redis://127.0.0.1:{port}/99", "SELECT was refused"),
    ],
)
def test_a_redis_that_lets_us_not_in(url: str, words: str, make_redis: MakeRedis) -> None:
    server = make_redis("--requirepass", "pw") if "wrong" in url else make_redis()
    settings = RedisSettings(name="r", url=Secret(url.format(port=server.port)))
    finding = only(redis_servers.look(settings).findings)
    assert finding.status is Status.ERROR
    assert words in finding.message
    assert "wrong" not in finding.message.replace("WRONGPASS", "")


def test_an_empty_redis_and_a_key_of_the_wrong_type(redis_server: RedisServer) -> None:
    url = Secret(f"redis://127.0.0.1:{redis_server.port}/0")
    _, empty = redis_servers.look(RedisSettings(name="r", url=url)).findings
    assert (empty.status, empty.message) == (Status.WARNING, "no queue was found")
    redis_server.client().set("jobs", "a text")
    lists = (ListSettings(key="jobs", name="jobs"),)
    _, broken = redis_servers.look(RedisSettings(name="r", url=url, lists=lists)).findings
    assert broken.message == "1 queues cannot be read whole: list:jobs (wrong_type)"


# The bus


def test_a_bus_that_may_not_be_written_to(make_redis: MakeRedis) -> None:
    redis_server = make_redis("--appendonly", "yes")
    client = redis_server.client()
    set_user(redis_server, "w", "on", ">pw", "~depthgauge:*", "+ping", "+info", "+get", "+set", "+del")
    settings = BusSettings(url=Secret(f"redis://w:pw@127.0.0.1:{redis_server.port}/0"))
    finding = only(bus.look(settings, {Role.EXPORTER}, {}))
    assert finding.message == "this user may not run xadd, pexpire, zadd, memory"
    set_user(redis_server, "w", "resetkeys", "~other:*", "+@all")
    finding = only(bus.look(settings, {Role.EXPORTER}, {}))
    assert (finding.status, finding.message[:25]) == (Status.ERROR, "it cannot be written to: ")
    set_user(redis_server, "w", "~depthgauge:*")
    assert only(bus.look(settings, {Role.EXPORTER, Role.SINK}, {})).status is Status.OK
    assert client.dbsize() == 0
    client.replicaof("127.0.0.1", 1)
    finding = only(bus.look(settings, {Role.SINK}, {}))
    assert "READONLY" in finding.message


def test_a_bus_that_may_lose_what_is_on_it(make_redis: MakeRedis) -> None:
    server = make_redis("--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru")
    url = Secret(f"redis://127.0.0.1:{server.port}/0")
    evicts, forgets = bus.look(BusSettings(url=url), {Role.EXPORTER}, {})
    assert (evicts.status, forgets.status) == (Status.ERROR, Status.WARNING)
    assert "maxmemory-policy allkeys-lru" in evicts.message
    assert "it keeps nothing on disk" in forgets.message
    allowed, _ = bus.look(BusSettings(url=url, allow_eviction=True), {Role.EXPORTER}, {})
    assert allowed.status is Status.WARNING


def test_one_name_that_means_two_servers(make_redis: MakeRedis) -> None:
    redis_server = make_redis("--appendonly", "yes")
    client = redis_server.client()
    now = datetime.now(UTC)
    other = Snapshot(
        host="web-2",
        run_id="r",
        seq=1,
        slot=now,
        taken_at=now,
        interval=15,
        cycle=Cycle(seconds=0),
        queues=(RedisQueues(observed_at=now, redis="default", run_id="b" * 40),),
    )
    client.zadd(HOSTS, {"web-2": 1, "gone": 0, "broken": 2})
    client.set(f"{LATEST_PREFIX}web-2", pack(other))
    client.set(f"{LATEST_PREFIX}broken", b"?")
    settings = BusSettings(url=Secret(f"redis://127.0.0.1:{redis_server.port}/0"))
    _, two = bus.look(settings, {Role.EXPORTER}, {"default": "a" * 40})
    assert (two.status, two.target) == (Status.WARNING, "default")
    assert two.message.startswith("host web-2 means another server by this name (run id bbbbbbbb…, here aaaaaaaa…)")
    only(bus.look(settings, {Role.EXPORTER}, {"default": "b" * 40, "another": "a" * 40}))


# The database


@pytest.mark.needs("postgres")
def test_a_database_before_and_after_migrate_and_without_rights(postgres_database: str) -> None:
    dsn = Secret(postgres_database)
    ok, behind = database.look(dsn)
    assert "(edition plain)" in ok.message
    assert (behind.status, "run `depthgauge migrate`" in behind.message) == (Status.ERROR, True)
    migrate(dsn)
    assert brief(list(database.look(dsn))) == ["ok database", "ok database"]
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
            assert brief(list(database.look(writer))) == ["ok database", "ok database"]
        finally:
            admin.execute("DROP OWNED BY check_writer")
            admin.execute("DROP ROLE check_writer")


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


# The host


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
