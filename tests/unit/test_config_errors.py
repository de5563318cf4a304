"""Every kind of mistake in a configuration: its line, what is wrong, what is allowed."""

from pathlib import Path

import pytest

from cli.config import load
from cli.schema import Role
from depthgauge.errors import ConfigError
from tests.plugins.settings import MakeInputs

EXPORTER = frozenset({Role.EXPORTER})
SINK = frozenset({Role.SINK})

# Text of the file, line of the mistake, setting, words of the message.
MISTAKES = {
    "syntax": ("[exporter]\nhost = \n", 2, "", "no valid TOML: Invalid value"),
    "key twice": ("[exporter]\nhost='a'\nhost='b'\n", 3, "", "no valid TOML: Cannot overwrite a value"),
    "unknown section": ("\n[exporterr]\n", 2, "exporterr", "unknown section, did you mean 'exporter'?"),
    "unknown sections": ("[xyz]\n", 1, "xyz", "unknown section, allowed here are bus, collectors, database, exporter, history, log, probe, redis, sink"),
    "unknown key": ("[exporter]\nintervall=1\n", 2, "exporter.intervall", "unknown setting, did you mean 'interval'?"),
    "unknown key, nothing close": ("[bus]\nurl='redis://h'\nq=1\n", 3, "bus.q", "allowed here are allow_eviction"),
    "unknown deep": ("[[redis]]\n[redis.rq]\nprefx='a'\n", 3, "redis.rq.prefx", "did you mean 'prefix'?"),
    "unknown in inline table": ("[sink]\nretention={rw='1d'}\ndsn=''\n", 2, "sink.retention.rw", "mean 'raw'?"),
    "missing dsn": ("[[database]]\nname='app'\n", 1, "database.dsn", "missing; set dsn in [[database]]"),
    "no such redis": (
        "[[redis]]\nname='a'\n[[database]]\ndsn='''dbname=app'''\n[database.failed_jobs]\n",
        5,
        "database.failed_jobs.redis",
        "no [[redis]] has the name 'default'",
    ),
    "ftp probe": ("[[probe]]\nname='a'\nurl='ftp://h'\n", 3, "probe.url", "is no URL to ask"),
    "key outside of its section": ("interval=15\n", 1, "interval", "unknown here, it belongs in [exporter]"),
    "key of another section": ("[exporter]\ndsn='x'\n", 2, "exporter.dsn", "it belongs in [[database]] or [sink] or [history]"),
    "value for a section": ("exporter=3\n", 1, "exporter", "has to be a table, opened by [exporter]"),
    "one for many": ("[redis]\nname='a'\n", 1, "redis", "has to be a table, opened by [[redis]]"),
    "many for one": ("[[bus]]\nurl='redis://h'\n", 1, "bus", "has to be a table, opened by [bus]"),
    "mixed list for many": ("redis=[{}, 3]\n", 1, "redis", "opened by [[redis]]"),
    "text wanted": ("[exporter]\nhost=3\n", 2, "exporter.host", "is a number, a text in quotes is wanted"),
    "date for a text": ("[exporter]\nhost=2025-01-01\n", 2, "exporter.host", "is a date or time"),
    "empty text": ("[exporter]\nhost=' '\n", 2, "exporter.host", "is empty"),
    "control characters": ('[exporter]\nhost="a\\u0000b"\n', 2, "exporter.host", "control characters"),
    "long text": (f"[exporter]\nhost='{'a' * 101}'\n", 2, "exporter.host", "more than 100 characters"),
    "longer text": (f"[exporter]\nstate_dir='{'a' * 5000}'\n", 2, "exporter.state_dir", "at most 4096"),
    "number wanted": ("[exporter]\ninterval=true\n", 2, "exporter.interval", "is true or false, a number is wanted"),
    "interval too short": ("[exporter]\ninterval=0.5\n", 2, "exporter.interval", "is 0.5, 1 to 3600 seconds is allowed"),
    "interval too long": ("[exporter]\ninterval=3601\n", 2, "exporter.interval", "1 to 3600"),
    "interval 0": ("[exporter]\ninterval=0\n", 2, "exporter.interval", "is 0, 1 to 3600"),
    "interval nan": ("[exporter]\ninterval=nan\n", 2, "exporter.interval", "1 to 3600"),
    "interval inf": ("[exporter]\ninterval=-inf\n", 2, "exporter.interval", "1 to 3600"),
    "interval huge": (f"[exporter]\ninterval={'9' * 400}\n", 2, "exporter.interval", "far too large"),
    "interval as text": ("[exporter]\ninterval='15 sec'\n", 2, "exporter.interval", "is no duration"),
    "empty queue": ("[[redis]]\nqueues=['a','']\n", 2, "redis.queues", "item 2 is empty"),
    "prefix with NUL": ('[[redis]]\n[redis.rq]\nprefix="a\\u0000"\n', 3, "redis.rq.prefix", "has a NUL in it"),
    "prefix no text": ("[[redis]]\n[redis.rq]\nprefix=7\n", 3, "redis.rq.prefix", "a text in quotes is wanted"),
    "prefix long": (
        f"[[redis]]\n[redis.rq]\nprefix='{'a' * 4097}'\n", 3, "redis.rq.prefix", "at most 4096 are allowed"
    ),
    "not whole": ("[exporter]\nseries_budget=1.5\n", 2, "exporter.series_budget", "is not a whole number"),
    "out of bounds": ("[web]\nmax_connections=0\n", 2, "web.max_connections", "1 to 10000 is allowed"),
    "boolean wanted": ("[bus]\nurl='redis://h'\nallow_eviction='no'\n", 3, "bus.allow_eviction", "true or false is wanted"),
    "list wanted": ("[web]\nlisten=':1'\n", 2, "web.listen", "is a text, a list in [ ] is wanted"),
    "empty list": ("[web]\nlisten=[]\n", 2, "web.listen", "is empty"),
    "twice in a list": ("[web]\nlisten=[':1',':1']\n", 2, "web.listen", "has an item twice"),
    "wrong item": ("[web]\nlisten=[':1',\n'1']\n", 2, "web.listen", "item 2 is '1', write \":10139\""),
    "port": ("[web]\nlisten=[':65536']\n", 2, "web.listen", "its port has to be 0 to 65535"),
    "bare v6": ("[web]\nlisten=['::1:80']\n", 2, "web.listen", "[v6 address]:port"),
    "path": ("[web]\ntelemetry_path='metrics'\n", 2, "web.telemetry_path", 'write a path such as "/metrics"'),
    "path taken": ("[web]\ntelemetry_path='/-/ready'\n", 2, "web.telemetry_path", "choose another path"),
    "size": ("[bus]\nurl='redis://h'\nmax_bytes='64MB'\n", 3, "bus.max_bytes", "is no size; write bytes as a number"),
    "size too small": ("[bus]\nurl='redis://h'\nmax_bytes=1\n", 3, "bus.max_bytes", "bytes is allowed"),
    "rollup shorter than its source": (
        "[sink]\nretention = { raw = '60d', 5m = '50d' }\ndsn=''\n", 2, "sink.retention.5m", "is shorter than raw"
    ),
    "claim too soon": (
        "[bus]\nurl='redis://h'\n[sink]\ndsn='dbname=x'\nbatch_seconds=20\nclaim_after='20s'\n",
        6,
        "sink.claim_after",
        "longer than batch_seconds",
    ),
    "duration wanted": ("[sink]\nretention.raw=30\n", 2, "sink.retention.raw", 'a duration such as "30d"'),
    "no duration": ("[sink]\nretention.raw='30x'\n", 2, "sink.retention.raw", "is no duration"),
    "duration bounds": ("[sink]\nretention.raw='1m'\n", 2, "sink.retention.raw", '"1h" to "100y"'),
    "choice": ("[log]\nlevel='loud'\n", 2, "log.level", "is 'loud', allowed are debug, info, warn, error"),
    "system": ("[[redis]]\nsystems=['sidekik']\n", 2, "redis.systems", "allowed are auto, laravel, celery, rq, sidekiq"),
    "regex": ("[[supervisor]]\nurl='unix:///s'\n[[supervisor.queues]]\nprogram='('\n", 4, "supervisor.queues.program",
              "is no regular expression: missing )"),
    "rule without queues": ("[[supervisor]]\nurl='unix:///s'\n[[supervisor.queues]]\nprogram='a'\n", 3,
                            "supervisor.queues.queues", "(?P<queue>…)"),
    "rule with both": ("[[supervisor]]\nurl='unix:///s'\n[[supervisor.queues]]\nprogram='(?P<queue>.)'\nqueues=['a']\n", 5,
                       "supervisor.queues.queues", "keep one of them"),
    "rule without program": ("[[supervisor]]\nurl='unix:///s'\n[[supervisor.queues]]\nqueues=['a']\n", 3,
                             "supervisor.queues.program", "missing; set program in [[supervisor.queues]]"),
    "rule's redis": ("[[supervisor]]\nurl='unix:///s'\n[[supervisor.queues]]\nprogram='a'\nqueues=[]\nredis='nope'\n", 6,
                     "supervisor.queues.redis", "no [[redis]] has the name 'nope'; there are: default"),
    "rule's system": ("[[supervisor]]\nurl='unix:///s'\n[[supervisor.queues]]\nprogram='a'\nqueues=[]\nsystem='x'\n", 6,
                      "supervisor.queues.system", "is 'x', allowed are laravel"),
    "supervisor without url": ("[[supervisor]]\nname='a'\n", 1, "supervisor.url", "missing; set url in [[supervisor]]"),
    "supervisor twice": ("[[supervisor]]\nurl='unix:///a'\n[[supervisor]]\nurl='unix:///b'\n", 3, "supervisor.name",
                         "'main' is taken by the one at"),
    "supervisor url": ("[[supervisor]]\nurl='ftp://h'\n", 2, "supervisor.url", "http://host:9001/RPC2"),
    "supervisor https": ("[[supervisor]]\nurl='https://h/RPC2'\n", 2, "supervisor.url", "is no URL of a supervisord"),
    "supervisor relative": ("[[supervisor]]\nurl='unix://s.sock'\n", 2, "supervisor.url", "unix:///path"),
    "supervisor login": ("[[supervisor]]\nurl='http://u:hunter2@h/RPC2'\n", 2, "supervisor.url", "put them into username"),
    "supervisor port": ("[[supervisor]]\nurl='http://h:x/RPC2'\n", 2, "supervisor.url", "cannot be taken apart"),
    "password without user": ("[[supervisor]]\nurl='unix:///s'\npassword='hunter2'\n", 3, "supervisor.password",
                              "needs a username"),
    "password and file": ("[[supervisor]]\nurl='unix:///s'\nusername='u'\npassword='hunter2'\npassword_file='p'\n", 5,
                          "supervisor.password_file", "password is set too; keep one of them"),
    "file missing": ("[[supervisor]]\nurl='unix:///s'\nusername='u'\npassword_file='nope'\n", 4,
                     "supervisor.password_file", "No such file or directory"),
    "file is a folder": ("[[redis]]\nurl_file='.'\n", 2, "redis.url_file", "Is a directory"),
    "file no text": ("[[redis]]\nurl_file=3\n", 2, "redis.url_file", "a text in quotes is wanted"),
    "redis url": ("[[redis]]\nurl='localhost:6379'\n", 2, "redis.url", "is no URL of a Redis"),
    "redis unknown scheme": ("[[redis]]\nurl='redis+proxy://h'\n", 2, "redis.url", "is no URL of a Redis"),
    "redis no host": ("[[redis]]\nurl='redis:///0'\n", 2, "redis.url", "has no host"),
    "redis database": ("[[redis]]\nurl='redis://h/mail'\n", 2, "redis.url", "no number of a database"),
    "redis option": ("[[redis]]\nurl='redis://h?socket_timeout=1'\n", 2, "redis.url", "the option 'socket_timeout'"),
    "redis db option": ("[[redis]]\nurl='redis://h?db=x'\n", 2, "redis.url", "db that is no number"),
    "redis raw password": ("[[redis]]\nurl='redis://:hunter2#x@h/0'\n", 2, "redis.url", "percent-encode"),
    "redis no path": ("[[redis]]\nurl='unix://'\n", 2, "redis.url", "has no path"),
    "redis both logins": ("[[redis]]\nurl='redis://:hunter2@h'\npassword='hunter2'\n", 3, "redis.password",
                          "the URL holds a user name or password too"),
    "redis twice": ("[[redis]]\n[[redis]]\n", 2, "redis.name", "'default' is taken by the one at"),
    "queue without name": ("[[redis]]\nqueues=['rq:']\n", 2, "redis.queues", "no name of a queue behind the colon"),
    "list without key": ("[[redis]]\n[[redis.list]]\nname='a'\n", 2, "redis.list.key", "missing"),
    "list's end": ("[[redis]]\n[[redis.list]]\nkey='a'\ntake='top'\n", 4, "redis.list.take", "allowed are left, right"),
    "list twice": ("[[redis]]\n[[redis.list]]\nkey='a'\n[[redis.list]]\nkey='a'\n", 4, "redis.list.name", "is taken"),
    "sorted set twice": ("[[redis]]\n[[redis.sorted_set]]\nkey='a'\n[[redis.sorted_set]]\nkey='b'\nname='a'\n", 6,
                         "redis.sorted_set.name", "is taken"),
    "bus without url": ("[bus]\nmax_bytes='2MiB'\n", 1, "bus.url", "the variable DEPTHGAUGE_BUS_URL"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_line_setting_and_what_is_allowed(name: str, make_inputs: MakeInputs) -> None:
    text, line, setting, words = MISTAKES[name]
    inputs = make_inputs(text)
    with pytest.raises(ConfigError) as caught:
        load(inputs, EXPORTER)
    place = f"{inputs.file}:{line}: {setting}: " if setting else f"{inputs.file}:{line}: "
    found = [problem for problem in caught.value.problems if problem.startswith(place)]
    assert any(words in problem for problem in found), caught.value.problems
    assert "hunter2" not in str(caught.value)


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(make_inputs: MakeInputs) -> None:
    text = """\
        hots = 1
        [exporter]
        interval = 0
        [[redis]]
        url = "nope"
        [[redis]]
        url = "redis://h"
        [web]
        listen = "x"
        """
    with pytest.raises(ConfigError) as caught:
        load(make_inputs(text, environ={"DEPTHGAUGE_STATE_DIR": "\0"}, flags={"log.level": ("loud",)}), SINK)
    file = str(make_inputs().default_file.with_name("depthgauge.toml"))
    places = [problem.removeprefix(f"{file}:").split(":")[0] for problem in caught.value.problems]
    assert places == ["1", "3", "5", "6", "9", "variable DEPTHGAUGE_STATE_DIR", "--log.level", " bus.url", " sink.dsn"]


def test_a_broken_file_is_not_blamed_for_what_it_may_say(make_inputs: MakeInputs) -> None:
    with pytest.raises(ConfigError) as caught:
        load(make_inputs("[sink\n"), SINK)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff", "is not UTF-8 text: byte 0"),
        (b"#" * (1 << 20) + b"\n", "has more than"),
        (b"a = " + b"[" * 5000, "nested"),
    ],
)
def test_a_file_that_is_no_text_or_absurd(content: bytes, words: str, make_inputs: MakeInputs) -> None:
    inputs = make_inputs("")
    assert inputs.file is not None
    inputs.file.write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        load(inputs, EXPORTER)


def test_a_file_that_was_named_has_to_be_there(make_inputs: MakeInputs, tmp_path: Path) -> None:
    inputs = make_inputs("")
    assert inputs.file is not None
    inputs.file.unlink()
    with pytest.raises(ConfigError, match=r"--config.file: cannot read '.*depthgauge.toml': No such file"):
        load(inputs, EXPORTER)
    with pytest.raises(ConfigError, match=r"variable DEPTHGAUGE_CONFIG_FILE: cannot read"):
        load(make_inputs(environ={"DEPTHGAUGE_CONFIG_FILE": str(tmp_path / "nope")}), EXPORTER)


@pytest.mark.parametrize(
    ("content", "words"), [("", "is empty"), ("redis://h/x", "no number of a database"), ("a\0b", "control characters")]
)
def test_what_is_in_a_secret_file_is_checked_and_not_told(
    content: str, words: str, make_inputs: MakeInputs, tmp_path: Path
) -> None:
    (tmp_path / "url").write_text(content)
    with pytest.raises(ConfigError, match=rf":2: redis.url_file: the content of '.*/url' .*{words}"):
        load(make_inputs("[[redis]]\nurl_file='url'\n"), EXPORTER)


@pytest.mark.parametrize(
    "dsn", ["mysql://root:hunter2@h/x", "host=h password hunter2", "postgresql://u:hunter2@h/d?x=1"]
)
def test_a_connection_string_that_libpq_cannot_read_is_not_told(dsn: str, make_inputs: MakeInputs) -> None:
    with pytest.raises(ConfigError, match=r":2: sink.dsn: is no connection string that libpq can read") as caught:
        load(make_inputs(f"[sink]\ndsn='{dsn}'\n[bus]\nurl='redis://h'\n"), SINK)
    assert "hunter2" not in str(caught.value)


def test_what_a_sink_needs_and_lacks(make_inputs: MakeInputs) -> None:
    with pytest.raises(ConfigError) as caught:
        load(make_inputs(), SINK)
    assert caught.value.problems == (
        "configuration: bus.url: missing; set url in [bus] or url_file or the variable DEPTHGAUGE_BUS_URL",
        "configuration: sink.dsn: missing; set dsn in [sink] or dsn_file or the variable DEPTHGAUGE_SINK_DSN",
    )
    with pytest.raises(ConfigError, match=r"^configuration: sink.dsn: missing; [^\n]*$"):
        load(make_inputs(), frozenset({Role.MIGRATE}))
