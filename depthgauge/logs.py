"""What the programs say: one line a message, logfmt or JSON, on standard error.

A line cannot be forged (control characters are escaped) and shows no password (URLs and connection strings are masked,
whoever logs them).
"""

import json
import logging
import math
import re
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, TextIO

from depthgauge.secrets import Secret, masked

LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
FORMATS: Final = ("logfmt", "json")

MAX_VALUE: Final = 8192
"""Characters kept of one value."""

_NAMES: Final = {logging.WARNING: "warn", logging.CRITICAL: "error"}
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_OURS: Final = frozenset({"time", "level", "logger", "msg", "error", "stack"})
_BARE: Final = re.compile(r"[A-Za-z0-9_./:@+*,;()\[\]{}<>?!#$%&~^|-]+")
_KEY_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def configure(level: str, format: str, stream: TextIO | None = None) -> None:  # noqa: A002  it is the option's name
    """Send everything that is logged to ``stream`` (default: standard error), replacing what was configured before.

    ``level`` is one of LEVELS, ``format`` one of FORMATS; raise ValueError for another.
    """
    if level not in LEVELS or format not in FORMATS:
        raise ValueError(
            f"log level {level!r} and format {format!r}: allowed are {', '.join(LEVELS)} and {', '.join(FORMATS)}"
        )
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter() if format == "json" else LogfmtFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old.formatter, LogfmtFormatter | JsonFormatter):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(LEVELS[level])
    logging.captureWarnings(capture=True)


def fields(record: logging.LogRecord) -> Iterator[tuple[str, str | float | bool | None]]:
    """Give the keys and values of a record in the order in which they are written."""
    moment = datetime.fromtimestamp(record.created, UTC)
    yield "time", moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    yield "level", _NAMES.get(record.levelno, record.levelname.lower())
    yield "logger", record.name
    yield "msg", _text(_message(record))
    for name, value in vars(record).items():
        if name not in _STANDARD and not name.startswith("_"):
            yield (
                f"{name}_" if name in _OURS else name,
                value if isinstance(value, bool | int | float | None) else _text(value),
            )
    if record.exc_info and record.exc_info[1] is not None:
        yield "error", _text("".join(traceback.format_exception(*record.exc_info)).rstrip())
    if record.stack_info:
        yield "stack", _text(record.stack_info)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as exc:  # noqa: BLE001  a wrong number of arguments must not cost the message
        return f"{record.msg} (its arguments do not fit: {type(exc).__name__})"


def _text(value: object) -> str:
    if isinstance(value, Secret):
        return str(value)
    # Cut after masking: half a URL no longer shows where its password ends.
    text = masked(str(value)[: 2 * MAX_VALUE])
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…"


class LogfmtFormatter(logging.Formatter):
    """``time=… level=info logger=exporter.collect msg="it works" queue=mail``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return " ".join(f"{_KEY_UNSAFE.sub('_', key)}={_logfmt(value)}" for key, value in fields(record))


class JsonFormatter(logging.Formatter):
    """The same as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return json.dumps({key: _json(value) for key, value in fields(record)}, ensure_ascii=True)


def _json(value: str | float | bool | None) -> str | float | bool | None:
    # JSON has no words for these two.
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _logfmt(value: str | float | bool | None) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if _BARE.fullmatch(text):
        return text
    escaped = (
        text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    )
    return '"' + _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", escaped) + '"'
