"""The files between listener and exporter: what is written is read once, whatever happens to either end."""

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from exporter import event_log
from exporter.event_log import EventLine, LogFolder, LogWriter
from exporter.event_reader import LogReader, Position
from tests.plugins.snapshots import NOW

ALL = 100_000


def line(serial: int, name: str = "mail") -> EventLine:
    return EventLine(at=NOW + timedelta(seconds=serial), serial=serial, group=name, process=name, to_state=20)


def serials(reader: LogReader, most: int = ALL) -> list[int]:
    return [event.number for event in reader.read(most).events]


@pytest.fixture
def folder(tmp_path: Path) -> LogFolder:
    return LogFolder(tmp_path, "main")


def write(folder: LogFolder, *numbers: int, **bounds: Any) -> LogWriter:
    writer = LogWriter(folder, **bounds)
    for number in numbers:
        writer.add(line(number))
    return writer


def test_what_is_written_is_read_once(folder: LogFolder) -> None:
    reader = LogReader(folder, "main")
    assert reader.read(ALL).events == ()
    writer = write(folder)
    full = EventLine(
        at=NOW,
        serial=7,
        group="g\x00",
        process="p",
        from_state=20,
        to_state=100,
        pid=9,
        expected=False,
        tries=2,
        late=31.6,
    )
    writer.add(full)
    [event] = reader.read(ALL).events
    assert (event.supervisor, event.process, event.occurred_at, event.number) == ("main", "p", NOW, 7)
    assert (event.from_state, event.to_state, event.expected, event.exit_status) == (20, 100, False, None)
    assert (event.source, event.detail) == ("listener", "pid 9; tries 2; received up to 32 s late")
    assert event.group.startswith("g\ufffd~")
    assert reader.read(ALL).events == []
    writer.add(line(8))
    assert serials(reader) == [8]


def test_a_position_that_is_not_kept_is_read_again_one_that_is_kept_is_not(folder: LogFolder) -> None:
    write(folder, *range(10))
    reader = LogReader(folder, "main")
    assert serials(reader, 4) == [0, 1, 2, 3]
    kept = reader.position
    assert kept is not None
    assert serials(reader, 3) == [4, 5, 6]
    reader.keep(kept)
    assert serials(LogReader(folder, "main")) == [4, 5, 6, 7, 8, 9]


def test_more_is_said_of_what_does_not_fit(folder: LogFolder) -> None:
    write(folder, *range(5))
    reader = LogReader(folder, "main")
    assert [reader.read(2).more, reader.read(2).more, reader.read(2).more] == [True, True, False]
    write(folder, 5)
    reading = reader.read(1)
    assert (len(reading.events), reading.more) == (1, False)


def test_a_torn_line_is_left_until_it_is_ended_and_costs_no_other(folder: LogFolder) -> None:
    write(folder, 1)
    with folder.file(1).open("ab") as file:
        file.write(b'{"type":"event","at":"20')
    reader = LogReader(folder, "main")
    reading = reader.read(ALL)
    assert ([event.number for event in reading.events], reading.unreadable) == ([1], 0)
    write(folder, 2, 3)
    reading = reader.read(ALL)
    assert ([event.number for event in reading.events], reading.unreadable) == ([2, 3], 1)


@pytest.mark.parametrize(
    "garbage",
    [b"\n", b"\xff\x00\n", b"[]\n", b'{"type":"event"}\n', b'{"type":"lost","count":-1}\n', b"9" * 200_000 + b"\n"],
)
def test_garbage_is_counted_and_passed_over(folder: LogFolder, garbage: bytes) -> None:
    write(folder, 1)
    with folder.file(1).open("ab") as file:
        file.write(garbage)
    write(folder, 2)
    reader = LogReader(folder, "main")
    reading = reader.read(ALL)
    assert [event.number for event in reading.events] == [1, 2]
    assert reading.unreadable >= 1
    assert reading.lost == 0


def test_numbers_that_no_database_can_hold_are_garbage(folder: LogFolder) -> None:
    write(folder, 1)
    text = folder.file(1).read_bytes()
    folder.file(1).write_bytes(text.replace(b'"to_state":20', b'"to_state":%d' % 2**64) + text)
    reading = LogReader(folder, "main").read(ALL)
    assert (len(reading.events), reading.unreadable) == (1, 1)


def test_files_are_rotated_and_those_that_were_published_are_deleted(folder: LogFolder) -> None:
    write(folder, *range(40), max_bytes=500)
    numbers = folder.numbers()
    assert len(numbers) > 3
    assert all(folder.file(number).stat().st_size < 1000 for number in numbers)
    reader = LogReader(folder, "main")
    assert serials(reader, 13) == list(range(13))
    half = reader.position
    assert half is not None
    reader.keep(half)
    assert folder.numbers() == [number for number in numbers if number >= half.file]
    assert serials(LogReader(folder, "main")) == list(range(13, 40))
    assert serials(reader) == list(range(13, 40))
    assert reader.position is not None
    reader.keep(reader.position)
    assert folder.numbers() == numbers[-1:]
    write(folder, 40)
    assert serials(LogReader(folder, "main")) == [40]


def test_beyond_its_bound_the_oldest_file_goes_and_what_was_lost_is_counted(folder: LogFolder) -> None:
    write(folder, *range(200), max_bytes=500, max_files=4)
    assert len(folder.numbers()) == 4
    reading = LogReader(folder, "main").read(ALL)
    numbers = [event.number for event in reading.events]
    assert numbers == list(range(200 - len(numbers), 200))
    assert reading.lost == 200 - len(numbers)


def test_what_was_read_of_a_file_before_it_went_is_not_lost(folder: LogFolder) -> None:
    write(folder, *range(20), max_bytes=500, max_files=4)
    reader = LogReader(folder, "main")
    first = serials(reader, 7)
    write(folder, *range(20, 200), max_bytes=500, max_files=4)
    reading = reader.read(ALL)
    rest = [event.number for event in reading.events]
    assert first == list(range(7))
    assert len(first) + len(rest) + reading.lost == 200
    # The same by a reader that had kept its place, and came back.
    other = LogFolder(folder.state_dir, "other")
    write(other, *range(20), max_bytes=500, max_files=4)
    before = LogReader(other, "other")
    assert serials(before, 7) == first
    assert before.position is not None
    before.keep(before.position)
    write(other, *range(20, 200), max_bytes=500, max_files=4)
    after = LogReader(other, "other").read(ALL)
    assert 7 + len(after.events) + after.lost == 200


def test_a_file_that_was_read_whole_and_goes_is_no_loss(folder: LogFolder) -> None:
    reader = LogReader(folder, "main")
    seen: list[int] = []
    lost = 0
    for number in range(100):
        write(folder, number, max_bytes=300, max_files=3)
        reading = reader.read(ALL)
        seen += [event.number for event in reading.events]
        lost += reading.lost
    assert (seen, lost) == (list(range(100)), 0)


def test_an_event_that_is_sent_again_is_written_once(folder: LogFolder) -> None:
    write(folder, 1, 2)
    # The listener is killed between its line and its answer: the next one gets the same event first.
    write(folder, 2, 3)
    # Only the first may be such a one.
    writer = write(folder, 4)
    writer.add(line(4))
    assert serials(LogReader(folder, "main")) == [1, 2, 3, 4, 4]


def test_without_a_folder_events_are_kept_up_to_a_bound_and_written_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    folder = LogFolder(tmp_path / "state", "main")
    writer = write(folder, *range(50), max_kept=30)
    writer.beat()
    assert writer.kept == 30
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    folder.state_dir.mkdir()
    writer.beat()
    writer.add(line(50))
    assert writer.kept == 0
    reading = LogReader(folder, "main").read(ALL)
    assert [event.number for event in reading.events] == list(range(21, 51))
    assert reading.lost == 21
    assert [record.levelname for record in caplog.records[2:]] == ["INFO", "INFO"]


def test_a_disk_that_fails_in_the_middle_leaves_no_half_and_no_double(
    folder: LogFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = write(folder, 1)
    size = folder.file(1).stat().st_size

    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    writer.add(line(2))
    assert writer.kept == 1
    assert folder.file(1).stat().st_size == size
    monkeypatch.undo()
    assert writer.flush()
    assert serials(LogReader(folder, "main")) == [1, 2]


def test_names_that_are_no_file_names(tmp_path: Path) -> None:
    names = ["a/../b", "a-1", "a", "..", "x" * 300, "x" * 299 + "y", "ü\n"]
    for number, name in enumerate(names):
        folder = LogFolder(tmp_path, name)
        write(folder, number)
        LogWriter(folder).beat()
    assert [serials(LogReader(LogFolder(tmp_path, name), name)) for name in names] == [[n] for n in range(len(names))]
    assert {path.parent for path in tmp_path.rglob("*.jsonl")} == {tmp_path / "events"}
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o777 == 0o644 for path in tmp_path.rglob("*.jsonl"))


def test_files_that_are_not_those_of_before_are_read_from_the_start(folder: LogFolder) -> None:
    write(folder, *range(30), max_bytes=500)
    reader = LogReader(folder, "main")
    assert len(serials(reader)) == 30
    for number in folder.numbers():
        folder.file(number).unlink()
    write(folder, 100)
    assert serials(reader) == [100]
    folder.position.write_text("not a position")
    anew = LogReader(folder, "main")
    assert serials(anew) == [100]
    assert anew.failures == 1


def test_a_place_that_cannot_be_kept_is_counted_and_told_once(
    folder: LogFolder, caplog: pytest.LogCaptureFixture
) -> None:
    write(folder, 1)
    reader = LogReader(folder, "main")
    folder.position.mkdir()
    for _ in range(3):
        reader.keep(Position(1))
    assert reader.failures == 3
    assert len(caplog.records) == 1


def test_a_sign_of_life_is_young_by_the_machines_clock(folder: LogFolder) -> None:
    reader = LogReader(folder, "main")
    now = datetime.now(UTC)
    assert reader.is_alive(now) is None
    LogWriter(folder).beat()
    assert reader.is_alive(now)
    assert reader.is_alive(now + timedelta(seconds=14))
    assert reader.is_alive(now + timedelta(seconds=16)) is False
    # A clock that was set back an hour: its last touch is an hour ahead.
    assert reader.is_alive(now - timedelta(hours=1)) is False
    os.utime(folder.alive, (0, 0))
    assert reader.is_alive(now) is False
    LogWriter(folder).beat()
    assert reader.is_alive(datetime.now(UTC))


def test_a_link_in_the_place_of_a_file_is_not_followed(folder: LogFolder, tmp_path: Path) -> None:
    folder.path.mkdir()
    target = tmp_path / "target"
    target.write_bytes(b"")
    folder.file(1).symlink_to(target)
    folder.alive.symlink_to(target)
    writer = write(folder, 1)
    writer.beat()
    assert (writer.kept, target.read_bytes()) == (1, b"")


def test_the_real_bounds() -> None:
    assert (event_log.MAX_BYTES, event_log.MAX_FILES, event_log.MAX_KEPT) == (1024 * 1024, 16, 10_000)
