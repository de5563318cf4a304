"""What the log looks like: one line a message that nobody can forge, without a password."""

import io
import json
import logging
import re
import time
import warnings
from collections.abc import Iterator

import pytest

from depthgauge import logs
from depthgauge.secrets import Secret

log = logging.getLogger("tests.logs")


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """Give the root logger, as it was before afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def stream(root: logging.Logger) -> io.StringIO:
    stream = io.StringIO()
    logs.configure("info", "logfmt", stream)
    return stream


def test_a_line_of_logfmt(stream: io.StringIO) -> None:
    log.info("read %d queues", 3, extra={"redis": "default", "seconds": 0.25, "ok": True, "run": None, "why": "a b"})
    (line,) = stream.getvalue().splitlines()
    time_, _, rest = line.partition(" ")
    assert re.fullmatch(r"time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time_)
    assert rest == (
        'level=info logger=tests.logs msg="read 3 queues" redis=default seconds=0.25 ok=true run=null why="a b"'
    )


def test_a_line_of_json(root: logging.Logger) -> None:
    stream = io.StringIO()
    logs.configure("debug", "json", stream)
    log.debug('a "b"\n', extra={"count": 3, "level": "x", "nan": float("nan"), "token": Secret("hunter2")})
    entry = json.loads(stream.getvalue())
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "level": "debug",
        "logger": "tests.logs",
        "msg": 'a "b"\n',
        "count": 3,
        "level_": "x",
        "nan": "nan",
        "token": "Secret('********')",
    }


@pytest.mark.parametrize("format_", logs.FORMATS)
def test_a_name_cannot_forge_a_line(format_: str, root: logging.Logger) -> None:
    stream = io.StringIO()
    logs.configure("info", format_, stream)
    evil = 'x\nlevel=error msg="owned"\r\x1b[31m\u2028\x85\ud800\\"'
    log.info("queue %s", evil, extra={"queue": evil, "a b\n=": evil})
    text = stream.getvalue()
    assert len(text.splitlines()) == 1
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    text.encode()


def test_passwords_are_masked_wherever_they_stand(stream: io.StringIO) -> None:
    log.warning("redis://me:hunter2@h/0 and postgresql://me:hun?ter2#@h/d", extra={"dsn": "host=h password=hunter2"})
    try:
        raise ValueError("cannot connect to redis://:hunter2@h")
    except ValueError:
        log.exception("failed")
    text = stream.getvalue()
    assert "hunter2" not in text
    assert "hun?ter2" not in text
    assert text.count("********") >= 4


def test_an_exception_is_one_line_with_its_traceback(stream: io.StringIO) -> None:
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        log.exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "level=error" in line
    assert 'error="Traceback (most recent call last):\\n' in line
    assert "ZeroDivisionError: division by zero" in line


def test_wrong_arguments_do_not_cost_the_message() -> None:
    record = logging.makeLogRecord({"msg": "%d and %d", "args": ("one",)})
    assert 'msg="%d and %d (its arguments do not fit: TypeError)"' in logs.LogfmtFormatter().format(record)


def test_levels_and_warnings(root: logging.Logger) -> None:
    stream = io.StringIO()
    logs.configure("warn", "logfmt", stream)
    log.info("not seen")
    log.critical("seen")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("look out", stacklevel=1)
    first, second = stream.getvalue().splitlines()
    assert "level=error" in first
    assert "level=warn logger=py.warnings" in second
    assert "look out" in second


def test_configuring_again_replaces_what_was_before(root: logging.Logger, stream: io.StringIO) -> None:
    other = io.StringIO()
    logs.configure("error", "json", other)
    log.error("once")
    assert (stream.getvalue(), other.getvalue().count("once")) == ("", 1)
    with pytest.raises(ValueError, match="allowed are debug"):
        logs.configure("loud", "logfmt")
    with pytest.raises(ValueError, match="logfmt, json"):
        logs.configure("info", "xml")


def test_a_huge_message_is_cut_and_takes_no_time(stream: io.StringIO) -> None:
    started = time.monotonic()
    log.info("%s redis://:hunter2@h", "a:" * 3_000_000)
    log.info("%s", "redis://:" + "hunter2" * 500 + "@h")
    assert time.monotonic() - started < 5
    assert "hunter2" not in stream.getvalue()
    assert len(stream.getvalue()) < 3 * logs.MAX_VALUE
