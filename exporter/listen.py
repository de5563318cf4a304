"""The listener: supervisord's events, one at a time, onto the disk before they are answered.

supervisord sends an event on standard input and waits for an answer on standard output; one that gets none, because the
listener has died, is sent again to the next. Nothing here waits for anything but the disk.
"""

import logging
import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO

from supervisor import childutils

from depthgauge.snapshot import ProcessState
from exporter.event_log import EventLine, LogWriter

log = logging.getLogger(__name__)

STATE: Final = "PROCESS_STATE_"
TICK: Final = "TICK_"
LATE: Final = 10.0
"""Seconds that an event may have waited without a word about it; ticks, which tell, come every 5."""

_FIELD: Final = re.compile(r"(\w+):(\S*)")
_CODES: Final[Mapping[str, int]] = {state.name: state.value for state in ProcessState}


class ProtocolError(Exception):
    """What comes in is not what supervisord says to its listeners."""


class Listener:
    """Answers supervisord until it hangs up.

    ``since`` is the earliest that the first event can have happened, where that is known: supervisord keeps events while
    it has no listener. Later on each of its ticks says so of the events behind it.
    """

    def __init__(
        self,
        writer: LogWriter,
        *,
        stdin: TextIO,
        stdout: TextIO,
        clock: Callable[[], datetime],
        since: datetime | None = None,
    ) -> None:
        self._writer = writer
        self._stdin = stdin
        self._stdout = stdout
        self._clock = clock
        self._since = since

    def run(self) -> None:
        """Take events until standard input ends; raise ProtocolError, and OSError when nobody hears the answers."""
        self._writer.beat()
        while True:
            childutils.listener.ready(self._stdout)
            head = self._stdin.readline()
            if not head:
                return
            headers = fields(head)
            try:
                length = int(headers["len"])
                name, serial = headers["eventname"], int(headers["serial"])
            except (KeyError, ValueError) as exc:
                raise ProtocolError(f"not an event of supervisord: {head[:200]!r}") from exc
            payload = self._stdin.read(length)
            if len(payload) < length:
                return
            self._take(name, serial, fields(payload))
            self._writer.beat()
            childutils.listener.ok(self._stdout)

    def _take(self, name: str, serial: int, told: Mapping[str, str]) -> None:
        if name.startswith(STATE):
            line = self._line(name, serial, told)
            if line is None:
                log.error("event %s makes no sense: %s", name, dict(told))
                return
            self._writer.add(line)
        else:
            if name.startswith(TICK) and _number(told, "when") is not None:
                self._since = datetime.fromtimestamp(int(told["when"]), UTC)
            self._writer.flush()

    def _line(self, name: str, serial: int, told: Mapping[str, str]) -> EventLine | None:
        if "processname" not in told:
            return None
        now = self._clock()
        late = (now - self._since).total_seconds() if self._since is not None else 0.0
        expected = _number(told, "expected")
        return EventLine(
            at=now,
            serial=serial,
            group=told.get("groupname", ""),
            process=told["processname"],
            from_state=_CODES.get(told.get("from_state", "")),
            to_state=_CODES.get(name.removeprefix(STATE), ProcessState.UNKNOWN),
            # It says pid 0 of a process that never came to be.
            pid=_number(told, "pid") or None,
            expected=None if expected is None else bool(expected),
            tries=_number(told, "tries"),
            late=late if late > LATE else None,
        )


def fields(text: str) -> dict[str, str]:
    """Return the ``key:value`` pairs of a header or a payload."""
    try:
        found: dict[str, str] = childutils.get_headers(text)
    except ValueError:
        # A supervisord may be named with spaces or colons, which its own reader does not expect.
        found = dict(_FIELD.findall(text))
    return found


def _number(told: Mapping[str, str], name: str) -> int | None:
    value = told.get(name, "")
    return int(value) if value.isascii() and value.isdigit() and len(value) <= 18 else None


def become_owner(folder: Path) -> None:
    """Become the user who owns the folder, where that is another one and this one is root; raise OSError.

    The exporter deletes what it has read, and need not be root for it.
    """
    if os.geteuid() != 0:
        return
    owner = folder.stat()
    if owner.st_uid != 0:
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)
        log.info("running as the owner of %s now, user %d", folder, owner.st_uid)
