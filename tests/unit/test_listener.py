"""The listener's side of supervisord's protocol."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from depthgauge.snapshot import ProcessState
from exporter.event_log import EventLine, LogFolder, LogWriter, parsed
from exporter.listen import Listener, ProtocolError, fields
from tests.plugins.snapshots import NOW

READY, OK = "READY\n", "RESULT 2\nOK"


def envelope(name: str, payload: str, serial: int = 1, server: str = "supervisor") -> str:
    return (
        f"ver:3.0 server:{server} serial:{serial} pool:depthgauge poolserial:{serial} eventname:{name} "
        f"len:{len(payload)}\n{payload}"
    )


class Stage:
    def __init__(self, folder: Path) -> None:
        self.folder = LogFolder(folder, "main")
        self.writer = LogWriter(self.folder)
        self.now = NOW
        self.answers = io.StringIO(newline="\n")

    def hear(self, text: str, since: datetime | None = None) -> None:
        stdin = io.StringIO(text, newline="\n")
        Listener(self.writer, stdin=stdin, stdout=self.answers, clock=lambda: self.now, since=since).run()

    @property
    def lines(self) -> list[EventLine]:
        path = self.folder.file(1)
        found = [parsed(text) for text in path.read_bytes().splitlines()] if path.exists() else []
        assert None not in found
        return [line for line in found if isinstance(line, EventLine)]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_every_event_is_written_and_answered(stage: Stage) -> None:
    base = "processname:mail_00 groupname:mail from_state:"
    stage.hear(
        envelope("PROCESS_STATE_STARTING", base + "STOPPED tries:0", 1)
        + envelope("TICK_5", "when:1764000000", 2)
        + envelope("PROCESS_STATE_EXITED", base + "RUNNING expected:0 pid:77", 3)
        + envelope("PROCESS_STATE_BACKOFF", base + "STARTING tries:2", 4)
        + envelope("REMOTE_COMMUNICATION", "type:x\nPROCESS_STATE_EXITED \u00fc", 5)
    )
    assert stage.answers.getvalue() == (READY + OK) * 5 + READY
    assert [(line.serial, line.from_state, line.to_state) for line in stage.lines] == [
        (1, ProcessState.STOPPED, ProcessState.STARTING),
        (3, ProcessState.RUNNING, ProcessState.EXITED),
        (4, ProcessState.STARTING, ProcessState.BACKOFF),
    ]
    exited = stage.lines[1]
    assert (exited.group, exited.process, exited.at) == ("mail", "mail_00", NOW)
    assert (exited.expected, exited.pid, exited.tries) == (False, 77, None)
    assert stage.lines[2].tries == 2
    assert stage.folder.alive.exists()


def test_an_event_is_on_the_disk_before_it_is_answered(stage: Stage) -> None:
    seen: list[int] = []

    class Answers(io.StringIO):
        def write(self, text: str) -> int:
            if "OK" in text:
                seen.append(len(stage.lines))
            return super().write(text)

    stage.answers = Answers(newline="\n")
    payload = "processname:p groupname:p from_state:STOPPED tries:0"
    stage.hear("".join(envelope("PROCESS_STATE_STARTING", payload, serial) for serial in range(3)))
    assert seen == [1, 2, 3]


def test_an_event_that_ends_in_the_middle_is_neither_written_nor_answered(stage: Stage) -> None:
    stage.hear(envelope("PROCESS_STATE_FATAL", "processname:p groupname:p from_state:BACKOFF")[:-3])
    assert stage.lines == []
    assert stage.answers.getvalue() == READY


@pytest.mark.parametrize("text", ["hello\n", "len:3\n", "serial:x eventname:TICK_5 len:0\n", "\n"])
def test_what_is_no_event_ends_it(stage: Stage, text: str) -> None:
    with pytest.raises(ProtocolError, match="not an event of supervisord"):
        stage.hear(text)


def test_a_state_that_nobody_knows_is_told_as_unknown(stage: Stage) -> None:
    stage.hear(
        envelope("PROCESS_STATE_DREAMING", "processname:p groupname:p from_state:SLEEPING pid:0 tries:-1")
        + envelope("PROCESS_STATE_RUNNING", "groupname:p", 2)
    )
    [line] = stage.lines
    assert (line.from_state, line.to_state, line.pid, line.tries) == (None, ProcessState.UNKNOWN, None, None)
    # What makes no sense at all is answered too: sent again it would make no more.
    assert stage.answers.getvalue().count("OK") == 2


def test_an_event_that_waited_behind_ticks_says_so(stage: Stage) -> None:
    payload = "processname:p groupname:p from_state:RUNNING pid:1"
    tick = int((NOW - timedelta(seconds=62)).timestamp())
    stage.hear(
        envelope("PROCESS_STATE_STOPPING", payload, 1)
        + envelope("TICK_5", f"when:{tick}", 2)
        + envelope("PROCESS_STATE_STOPPED", payload, 3)
        + envelope("TICK_5", f"when:{int(NOW.timestamp())}", 4)
        + envelope("PROCESS_STATE_STARTING", payload, 5)
    )
    assert [line.late for line in stage.lines] == [None, 62.0, None]


def test_an_event_that_waited_for_a_listener_says_so(stage: Stage) -> None:
    payload = "processname:p groupname:p from_state:RUNNING pid:1"
    stage.hear(envelope("PROCESS_STATE_STOPPING", payload, 1), since=NOW - timedelta(hours=1))
    stage.hear(envelope("PROCESS_STATE_STOPPED", payload, 2), since=NOW - timedelta(seconds=3))
    assert [line.late for line in stage.lines] == [3600.0, None]


def test_the_length_counts_characters(stage: Stage) -> None:
    payload = "processname:\u00fc\u4e2d groupname:g from_state:STOPPED tries:0"
    stage.hear(envelope("PROCESS_STATE_STARTING", payload) + envelope("TICK_60", "when:x", 2))
    assert [line.process for line in stage.lines] == ["\u00fc\u4e2d"]
    assert stage.answers.getvalue().count("OK") == 2


def test_a_supervisord_with_a_name_of_several_words(stage: Stage) -> None:
    stage.hear(envelope("PROCESS_STATE_FATAL", "processname:p groupname:p from_state:BACKOFF", server="the zoo: 2"))
    assert [line.to_state for line in stage.lines] == [ProcessState.FATAL]
    assert fields("a:b c") == {"a": "b"}


def test_ticks_try_again_what_could_not_be_written(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "later")
    stage.hear(envelope("PROCESS_STATE_FATAL", "processname:p groupname:p from_state:BACKOFF"))
    assert stage.writer.kept == 1
    stage.folder.state_dir.mkdir()
    stage.hear(envelope("TICK_5", f"when:{int(datetime.now(UTC).timestamp())}"))
    assert (stage.writer.kept, len(stage.lines)) == (0, 1)
