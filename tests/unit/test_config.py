"""Configurations that are good: what comes out, and who wins."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from cli.config import load, load_exporter, load_sink
from cli.discover import Places
from cli.effective import duration_text, show
from cli.inputs import LogSettings
from cli.schema import SYSTEMS, Role
from depthgauge.errors import ConfigError
from depthgauge.secrets import Secret
from depthgauge.settings import BusSettings, WebSettings
from exporter.queues import NAMES
from exporter.settings import (
    ExporterSettings,
    ListSettings,
    PrefixSettings,
    QueueRule,
    RedisSettings,
    SortedSetSettings,
    SupervisorSettings,
)
from exporter.sources.supervisor_rpc import Endpoint
from sink.settings import Retention, SinkSettings
from tests.plugins.settings import MakeInputs

EXPORTER = frozenset({Role.EXPORTER})
SINK = frozenset({Role.SINK})

WHOLE = """\
[exporter]
host = "front"
interval = 5
state_dir = "/var/lib/depthgauge"
series_budget = 10

[[supervisor]]
name = "main"
url = "unix:///run/s.sock"
username = "u"
password_file = "pw"
[[supervisor.queues]]
program = "laravel-worker-(?P<queue>.+)"
[[supervisor.queues]]
program = "nightly"
queues = ["a", "b"]
system = "rq"
redis = "other"

[[supervisor]]
name = "far"
url = "http://far:9001/RPC2"

[[redis]]
url = "rediss://me:p%2Fw@host:6380/3?ssl_ca_certs=/ca.pem"
systems = ["laravel", "rq"]
queues = ["high", "rq:low"]
[redis.laravel]
prefix = "app_"
[redis.rq]
prefix = "rqq"
[[redis.list]]
key = "thumbs"
take = "right"
processing = "thumbs:busy"
time_field = "meta.at"
[[redis.sorted_set]]
key = "remind"
name = "reminders"
score = "priority"

[[redis]]
name = "other"
url_file = "redis-url"

[bus]
url = "redis://bus/1"
username = "writer"
password = "p:w/d"
max_bytes = "2MiB"
allow_eviction = true

[sink]
dsn = "host=db user=me"
consumer = "one"
batch_rows = 7
batch_seconds = 0
claim_after = 90
maintain_every = "0s"
gaps_open = "3d"
retention = { raw = "1d12h", processes = "1d", events = "2d", 5m = "3d", 1h = "4d" }

[web]
listen = ["127.0.0.1:1", "[::1]:2"]
telemetry_path = "/m"
max_connections = 3

[log]
level = "debug"
format = "json"
"""


@pytest.fixture
def secrets(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("from a file\n")
    (tmp_path / "redis-url").write_text("redis://elsewhere/0\r\n")


def test_every_setting_arrives(make_inputs: MakeInputs, secrets: None) -> None:
    bus = BusSettings(url=Secret("redis://writer:p%3Aw%2Fd@bus/1"), max_bytes=2 << 20, allow_eviction=True)
    web = WebSettings(listen=("127.0.0.1:1", "[::1]:2"), telemetry_path="/m", max_connections=3)
    assert load_exporter(make_inputs(WHOLE)) == ExporterSettings(
        host="front",
        interval=5.0,
        state_dir=Path("/var/lib/depthgauge"),
        series_budget=10,
        supervisors=(
            SupervisorSettings(
                name="main",
                url="unix:///run/s.sock",
                username="u",
                password=Secret("from a file"),
                rules=(
                    QueueRule(program=re.compile("laravel-worker-(?P<queue>.+)")),
                    QueueRule(program=re.compile("nightly"), queues=("a", "b"), system="rq", redis="other"),
                ),
            ),
            SupervisorSettings(name="far", url="http://far:9001/RPC2"),
        ),
        redis=(
            RedisSettings(
                name="default",
                url=Secret("rediss://me:p%2Fw@host:6380/3?ssl_ca_certs=/ca.pem"),
                systems=("laravel", "rq"),
                queues=("high", "rq:low"),
                laravel=PrefixSettings(prefix="app_"),
                rq=PrefixSettings(prefix="rqq"),
                lists=(
                    ListSettings(
                        key="thumbs", name="thumbs", take="right", processing="thumbs:busy", time_field="meta.at"
                    ),
                ),
                sorted_sets=(SortedSetSettings(key="remind", name="reminders", score="priority"),),
            ),
            RedisSettings(name="other", url=Secret("redis://elsewhere/0")),
        ),
        bus=bus,
        web=web,
    )
    assert load_sink(make_inputs(WHOLE)) == SinkSettings(
        dsn=Secret("host=db user=me"),
        bus=bus,
        consumer="one",
        batch_rows=7,
        batch_seconds=0.0,
        claim_after=90.0,
        retention=Retention(
            raw=timedelta(hours=36),
            processes=timedelta(days=1),
            events=timedelta(days=2),
            five_minutes=timedelta(days=3),
            hours=timedelta(days=4),
        ),
        maintain_every=timedelta(0),
        gaps_open=timedelta(days=3),
        web=web,
    )
    assert load(make_inputs(WHOLE), SINK).log == LogSettings(level="debug", format="json")


def test_the_defaults_are_those_of_the_settings(make_inputs: MakeInputs) -> None:
    assert load_exporter(make_inputs()) == ExporterSettings(
        host="web-1", redis=(RedisSettings(name="default", url=Secret("redis://localhost:6379/0")),)
    )
    bus = BusSettings(url=Secret("redis://b"))
    text = "[bus]\nurl='redis://b'\n[sink]\ndsn='dbname=x'\n"
    assert load_sink(make_inputs(text)) == SinkSettings(dsn=Secret("dbname=x"), bus=bus, consumer="web-1-10140")
    assert load(make_inputs(), EXPORTER).log == LogSettings(level="info", format="logfmt")


def test_a_sink_that_takes_any_port_is_told_apart_by_its_pid(make_inputs: MakeInputs) -> None:
    text = "[bus]\nurl='redis://b'\n[sink]\ndsn='dbname=x'\n[web]\nlisten=[':0']\n"
    assert load_sink(make_inputs(text)).consumer == "web-1-pid4711"


def test_an_empty_list_means_none_and_nothing_is_searched_for(make_inputs: MakeInputs, tmp_path: Path) -> None:
    (tmp_path / "s.conf").write_text("[unix_http_server]\nfile=/tmp/x.sock\n")
    places = Places(configs=(tmp_path / "s.conf",), sockets=())
    settings = load_exporter(make_inputs("supervisor=[]\nredis=[]\n", places=places))
    assert (settings.supervisors, settings.redis) == ((), ())
    assert load_exporter(make_inputs(places=places)).supervisors[0].url == "unix:///tmp/x.sock"


@pytest.mark.parametrize(
    ("environ", "flags", "expected"),
    [
        ({}, {}, (":1",)),
        ({"DEPTHGAUGE_WEB_LISTEN_ADDRESS": ":2, :3"}, {}, (":2", ":3")),
        ({"DEPTHGAUGE_WEB_LISTEN_ADDRESS": ""}, {}, (":1",)),
        ({"DEPTHGAUGE_WEB_LISTEN_ADDRESS": ":2"}, {"web.listen-address": (":4", ":5")}, (":4", ":5")),
        ({"DEPTHGAUGE_WEB_LISTEN_ADDRESS": "wrong"}, {"web.listen-address": (":4",)}, None),
    ],
)
def test_flag_over_environment_over_file(
    environ: dict[str, str],
    flags: dict[str, tuple[str, ...]],
    expected: tuple[str, ...] | None,
    make_inputs: MakeInputs,
) -> None:
    inputs = make_inputs("[web]\nlisten=[':1']\n", environ=environ, flags=flags)
    if expected is None:
        # A mistake is a mistake also where it would not count.
        with pytest.raises(ConfigError, match="variable DEPTHGAUGE_WEB_LISTEN_ADDRESS"):
            load_exporter(inputs)
    else:
        assert load_exporter(inputs).web.listen == expected


def test_every_variable_counts(make_inputs: MakeInputs, tmp_path: Path) -> None:
    for name, content in {"pw": "p1", "url": "redis://r2", "bus": "redis://b2", "dsn": "dbname=d2"}.items():
        (tmp_path / name).write_text(content)
    environ = {
        "DEPTHGAUGE_HOST": "h",
        "DEPTHGAUGE_INTERVAL": "2.5",
        "DEPTHGAUGE_STATE_DIR": "/s",
        "DEPTHGAUGE_SUPERVISOR_URL": "http://h:9001/RPC2",
        "DEPTHGAUGE_SUPERVISOR_USERNAME": "u",
        "DEPTHGAUGE_SUPERVISOR_PASSWORD_FILE": str(tmp_path / "pw"),
        "DEPTHGAUGE_REDIS_URL_FILE": str(tmp_path / "url"),
        "DEPTHGAUGE_REDIS_PASSWORD": "p2",
        "DEPTHGAUGE_BUS_URL_FILE": str(tmp_path / "bus"),
        "DEPTHGAUGE_SINK_DSN_FILE": str(tmp_path / "dsn"),
        "DEPTHGAUGE_SINK_CONSUMER": "c",
        "DEPTHGAUGE_WEB_TELEMETRY_PATH": "/m",
        "DEPTHGAUGE_LOG_LEVEL": "error",
        "DEPTHGAUGE_LOG_FORMAT": "json",
    }
    settings = load_exporter(make_inputs(environ=environ))
    assert (settings.host, settings.interval, settings.state_dir) == ("h", 2.5, Path("/s"))
    assert settings.supervisors == (
        SupervisorSettings(name="main", url="http://h:9001/RPC2", username="u", password=Secret("p1")),
    )
    assert [redis.url for redis in settings.redis] == [Secret("redis://:p2@r2")]
    assert settings.bus == BusSettings(url=Secret("redis://b2"))
    assert settings.web.telemetry_path == "/m"
    sink = load_sink(make_inputs(environ=environ))
    assert (sink.dsn, sink.consumer) == (Secret("dbname=d2"), "c")
    assert load(make_inputs(environ=environ), EXPORTER).log == LogSettings(level="error", format="json")


def test_a_variable_changes_the_only_table_and_keeps_the_rest_of_it(make_inputs: MakeInputs) -> None:
    text = "[[redis]]\nname='jobs'\nurl='redis://:old@a'\nqueues=['high']\n"
    (redis,) = load_exporter(make_inputs(text, environ={"DEPTHGAUGE_REDIS_URL": "redis://:new@b"})).redis
    assert redis == RedisSettings(name="jobs", url=Secret("redis://:new@b"), queues=("high",))
    environ = {"DEPTHGAUGE_REDIS_URL": "redis://c"}
    with pytest.raises(
        ConfigError, match=r"variable DEPTHGAUGE_REDIS_URL: speaks of one \[\[redis\]\], but the file has 2"
    ):
        load_exporter(make_inputs(text + "[[redis]]\nname='b'\n", environ=environ))


def test_a_login_in_a_url_wins_over_one_of_a_lower_layer(make_inputs: MakeInputs) -> None:
    text = "[bus]\nurl='redis://a'\npassword='of the file'\n"
    environ = {"DEPTHGAUGE_BUS_URL": "redis://:new@b"}
    assert load_exporter(make_inputs(text, environ=environ)).bus == BusSettings(url=Secret("redis://:new@b"))
    environ = {"DEPTHGAUGE_BUS_URL": "redis://b"}
    assert load_exporter(make_inputs(text, environ=environ)).bus == BusSettings(
        url=Secret("redis://:of%20the%20file@b")
    )


def test_zero_is_a_value_and_empty_is_unset(make_inputs: MakeInputs) -> None:
    assert load_exporter(make_inputs(environ={"DEPTHGAUGE_INTERVAL": ""})).interval == 15.0
    with pytest.raises(ConfigError, match=r"variable DEPTHGAUGE_INTERVAL: exporter.interval: is 0, 1 to 3600"):
        load_exporter(make_inputs(environ={"DEPTHGAUGE_INTERVAL": "0"}))
    with pytest.raises(ConfigError, match="DEPTHGAUGE_BUS_URL_FILE: DEPTHGAUGE_BUS_URL is set too"):
        load_exporter(make_inputs(environ={"DEPTHGAUGE_BUS_URL": "redis://h", "DEPTHGAUGE_BUS_URL_FILE": "/x"}))


def test_misspelt_variables_are_named_and_those_of_kubernetes_are_not(make_inputs: MakeInputs) -> None:
    environ = {"DEPTHGAUGE_REDIS_ULR": "redis://h", "DEPTHGAUGE_SERVICE_HOST": "10.0.0.1", "DEPTHGAUGE_PORT": "tcp://x"}
    assert load(make_inputs(environ=environ), EXPORTER).warnings == (
        "the variable DEPTHGAUGE_REDIS_ULR is not known, did you mean DEPTHGAUGE_REDIS_URL?",
        "no supervisord was found (looked at  and others); name it in [[supervisor]] if there is one",
    )


def test_files_with_secrets_of_another_daemon_are_left_alone(make_inputs: MakeInputs) -> None:
    text = "[bus]\nurl='redis://h'\n[sink]\ndsn_file='/nope'\n"
    assert load_exporter(make_inputs(text)).bus is not None
    with pytest.raises(ConfigError, match=r":4: sink.dsn_file: cannot read '/nope'"):
        load_sink(make_inputs(text))
    text = "[bus]\nurl='redis://h'\n[sink]\ndsn='dbname=x'\n[[redis]]\nurl_file='/nope'\n"
    assert load_sink(make_inputs(text)).dsn == Secret("dbname=x")


def test_the_effective_configuration_masks_secrets_and_tells_origins(make_inputs: MakeInputs, secrets: None) -> None:
    inputs = make_inputs(
        WHOLE.replace("host=db user=me", "postgresql://me:hunter2?#@db/x").replace("p%2Fw", "hunter2"),
        environ={"DEPTHGAUGE_INTERVAL": "1m", "DEPTHGAUGE_SUPERVISOR_X": "1"},
        flags={"log.level": ("warn",)},
    )
    text = show(load(inputs, EXPORTER), EXPORTER)
    assert "interval = 60  # variable DEPTHGAUGE_INTERVAL\n" in text
    assert 'level = "warn"  # --log.level\n' in text
    assert f'host = "front"  # {inputs.file}:2\n' in text
    assert 'url = "rediss://me:********@host:6380/3?ssl_ca_certs=/ca.pem"' in text
    assert 'password = "********"' in text
    assert 'pw"' in text
    whole = text + show(load(inputs, SINK), SINK)
    assert 'dsn = "postgresql://me:********@db/x"' in whole
    assert 'raw = "1d12h"' in whole
    assert not re.search("hunter2|from a file|p:w/d|elsewhere", whole)
    assert 'listen = [":10139"]  # default' in show(load(make_inputs(), EXPORTER), EXPORTER)


def test_the_effective_configuration_can_be_read_again(make_inputs: MakeInputs, secrets: None) -> None:
    text = WHOLE.replace("p:w/d", "x")
    first = load(make_inputs(text), EXPORTER)
    shown = show(first, EXPORTER).replace("rediss://me:********@", "rediss://me:p%2Fw@")
    again = load(make_inputs(shown.replace("********", "x")), EXPORTER)
    assert again.exporter == first.exporter


def test_durations_as_text() -> None:
    assert duration_text(timedelta(days=30)) == "30d"
    assert duration_text(timedelta(hours=1, minutes=30, milliseconds=5)) == "1h30m5ms"
    assert duration_text(timedelta()) == "0s"


@pytest.mark.parametrize(
    "url", ["unix:///run/s.sock", "http://h:9001/RPC2", "http://[::1]:9001/RPC2", "http://h/x/RPC2"]
)
def test_a_url_that_is_taken_is_one_that_the_source_takes(url: str, make_inputs: MakeInputs) -> None:
    settings = load_exporter(make_inputs(f"[[supervisor]]\nurl='{url}'\n"))
    assert Endpoint.parse(settings.supervisors[0].url).url == url


def test_the_queue_systems_are_those_that_can_be_read() -> None:
    assert set(SYSTEMS) == NAMES
