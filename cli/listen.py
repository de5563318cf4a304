"""``depthgauge listen``: what the listener gets from its process."""

import logging
import os
import signal
import sys
from contextlib import suppress
from datetime import UTC, datetime
from types import FrameType
from typing import TextIO

import psutil

from depthgauge.errors import DepthgaugeError
from exporter.event_log import LogFolder, LogWriter
from exporter.listen import Listener, ProtocolError, become_owner

log = logging.getLogger(__name__)


def run(folder: LogFolder) -> int:
    """Listen until supervisord hangs up or says to stop; return the exit status, raise DepthgaugeError."""
    stdin, stdout = _private_streams()
    writer = LogWriter(folder, enter=become_owner)
    before = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        Listener(writer, stdin=stdin, stdout=stdout, clock=_now, since=_since(folder)).run()
    except ProtocolError as exc:
        raise DepthgaugeError(f"{exc}; depthgauge listen is started by supervisord, as an [eventlistener:x]") from exc
    except BrokenPipeError:
        log.info("supervisord does not listen to its listener any more")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if not writer.flush():
            log.error("lost %d events that could not be written", writer.kept)
    return 0


def _now() -> datetime:
    return datetime.now(UTC)


def _since(folder: LogFolder) -> datetime | None:
    """Return when the listener before this one last heard of supervisord, or when supervisord was started, if later."""
    moments: list[float] = []
    with suppress(OSError):
        moments.append(folder.alive.stat().st_mtime)
    with suppress(psutil.Error):
        moments.append(psutil.Process(os.getppid()).create_time())
    return datetime.fromtimestamp(max(moments), UTC) if moments else None


def _private_streams() -> tuple[TextIO, TextIO]:
    """Return the streams to and from supervisord, and let all else that is printed go to standard error.

    supervisord gives up a listener that says a word out of turn. It counts characters of UTF-8, whatever the locale.
    """
    stdin, stdout = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return (
        open(stdin, encoding="utf-8", errors="replace", newline="\n"),  # noqa: PTH123  they live as long as the process
        open(stdout, "w", encoding="utf-8", newline="\n"),  # noqa: PTH123  the same
    )


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  the signature of handlers
    raise SystemExit(0)
