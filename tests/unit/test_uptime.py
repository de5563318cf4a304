"""What is known of the last 24 hours: reboots, restarts of the exporter, clocks that jump, files that are damaged."""

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.sources.uptime import EARLY, FILE, MAX_BOOTS, SAVE_EVERY, WINDOW, Boot, Boots, UptimeFile, after, load

DAY = 86_400.0
HOUR = 3_600.0
NOON = 1_700_000_000.0


def seen(*boots: Boot) -> Boots:
    known = None
    for boot in boots:
        known = after(known, boot)
    assert known is not None
    return known


def boot(begin: float, uptime: float, boot_id: str = "") -> Boot:
    return Boot(begin=begin, uptime=uptime, boot_id=boot_id)


def test_one_boot_is_all_that_is_known() -> None:
    assert seen(boot(NOON, 0)).ratio() == 1.0
    assert seen(boot(NOON, 10 * DAY)).ratio() == 1.0


def test_a_reboot_counts_as_far_as_the_hours_are_known() -> None:
    # Up for 7 hours, away for 1, up for 2: 10 hours are known.
    known = seen(boot(NOON, 7 * HOUR), boot(NOON + 8 * HOUR, 2 * HOUR))
    assert known.ratio() == pytest.approx(0.9)
    # Away for 6 of the last 24 hours, the rest of an hour lies before them.
    known = seen(boot(NOON - 9 * DAY, 9 * DAY + HOUR), boot(NOON + 7 * HOUR, 12 * HOUR))
    assert known.ratio() == pytest.approx(0.75)
    # A day later that is forgotten.
    assert seen(*known.earlier, known.current, boot(NOON + 7 * HOUR, 25 * HOUR)).ratio() == 1.0


@pytest.mark.parametrize("boot_id", ["", "a"])
def test_a_restart_of_the_exporter_is_no_reboot(boot_id: str) -> None:
    # For three hours nobody looked; the boot began before that.
    known = seen(boot(NOON, HOUR, boot_id), boot(NOON, 4 * HOUR, boot_id))
    assert known.earlier == ()
    assert known.ratio() == 1.0


def test_the_name_of_the_boot_tells_what_times_do_not() -> None:
    # Without names it could be a clock that was set back by an hour.
    assert len(seen(boot(NOON, HOUR, "a"), boot(NOON + HOUR / 2, 2 * HOUR, "b")).earlier) == 1
    assert seen(boot(NOON, HOUR), boot(NOON + HOUR / 2, 2 * HOUR)).earlier == ()
    # A container that is started anew on the same kernel.
    assert len(seen(boot(NOON, HOUR, "a"), boot(NOON + 2 * HOUR, 60, "a")).earlier) == 1


@pytest.mark.parametrize(
    ("jump", "first", "second"),
    [
        *((jump, "a", "b") for jump in (-365 * DAY, -2 * HOUR, -1.0, 0.5, HOUR, 365 * DAY)),
        # Without names a jump beyond what was seen cannot be told from a reboot.
        *((jump, "", "") for jump in (-HOUR, -1.0, 0.5, HOUR)),
    ],
)
def test_a_clock_that_jumps_changes_nothing(jump: float, first: str, second: str) -> None:
    before = seen(boot(NOON, 7 * HOUR, first), boot(NOON + 8 * HOUR, 2 * HOUR, second))
    jumped = after(before, boot(NOON + 8 * HOUR + jump, 2 * HOUR + 1, second))
    assert jumped.ratio() == pytest.approx(0.9, abs=0.001)
    assert len(jumped.earlier) == 1
    back = after(jumped, boot(NOON + 8 * HOUR, 2 * HOUR + 2, second))
    assert back.ratio() == pytest.approx(0.9, abs=0.001)


def test_a_clock_that_is_set_soon_after_boot_was_wrong_at_the_boot() -> None:
    known = after(seen(boot(NOON, 7 * HOUR, "a")), boot(0, 10, "b"))
    assert known.ratio() == 1.0, "by this clock the boot before has not been yet"
    known = after(known, boot(NOON + 8 * HOUR, EARLY - 1, "b"))
    assert known.ratio() == pytest.approx(7 / 8, abs=0.02)
    known = after(known, boot(NOON + 8 * HOUR, 2 * HOUR, "b"))
    assert known.ratio() == pytest.approx(0.9)


def test_a_host_that_reboots_again_and_again_does_not_fill_the_disk(tmp_path: Path) -> None:
    known = seen(*(boot(NOON + number * 60, 30, str(number)) for number in range(3 * MAX_BOOTS)))
    assert len(known.earlier) == MAX_BOOTS
    assert known.ratio() == pytest.approx(0.5, abs=0.01)
    file = UptimeFile(tmp_path / FILE, monotonic=lambda: 0.0)
    for each in (*known.earlier, known.current):
        file.see(each)
    file.save()
    assert load(tmp_path / FILE) == known


@given(
    st.lists(
        st.builds(
            Boot,
            begin=st.floats(-1e12, 1e12),
            uptime=st.floats(0, 1e12),
            boot_id=st.sampled_from(["", "a", "b"]),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_whatever_was_seen_the_ratio_is_one(boots: list[Boot]) -> None:
    known = seen(*boots)
    assert 0 <= known.ratio() <= 1
    assert len(known.earlier) <= MAX_BOOTS


# The file


def test_the_file_outlives_the_exporter(tmp_path: Path) -> None:
    path = tmp_path / FILE
    first = UptimeFile(path, monotonic=lambda: 0.0)
    assert first.see(boot(NOON, 7 * HOUR, "a")) == 1.0
    first.save()
    assert path.stat().st_mode & 0o777 == 0o600
    second = UptimeFile(path, monotonic=lambda: 0.0)
    assert second.see(boot(NOON, 8 * HOUR, "a")) == 1.0, "a restart alone"
    second.save()
    third = UptimeFile(path, monotonic=lambda: 0.0)
    assert third.see(boot(NOON + 9 * HOUR, HOUR, "b")) == pytest.approx(0.9)
    assert UptimeFile(None, monotonic=lambda: 0.0).see(boot(NOON + 9 * HOUR, HOUR, "b")) == 1.0


def test_it_is_not_written_all_the_time(tmp_path: Path) -> None:
    path, now = tmp_path / FILE, 0.0
    file = UptimeFile(path, monotonic=lambda: now)
    writes = set()
    for step in range(61):
        now = float(step)
        file.see(boot(NOON, HOUR + step))
        file.save()
        known = load(path)
        assert known is not None
        writes.add(known.current.uptime)
    assert writes == {HOUR, HOUR + SAVE_EVERY, HOUR + 2 * SAVE_EVERY}
    now += 1
    file.see(boot(NOON, HOUR + now))
    file.save(at_once=True)
    last = load(path)
    assert last is not None
    assert last.current.uptime == HOUR + now


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"current": {"begin": 1, "uptime": -1}}',
        b'{"current": {"begin": 1e300, "uptime": 1}}',
        b'{"current": {"begin": NaN, "uptime": 1}}',
        b"\xff\xfe",
        b" " * 70_000,
        b'{"current": {"begin": 1, "uptime": 1}, "earlier": [' + b'{"begin": 1, "uptime": 1},' * 300 + b"]}",
    ],
)
def test_a_damaged_file_is_told_once_and_replaced(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / FILE
    path.write_bytes(content)
    file = UptimeFile(path, monotonic=lambda: 0.0)
    for _ in range(3):
        assert file.see(boot(NOON, HOUR)) == 1.0
        file.save(at_once=True)
    (told,) = (record for record in caplog.records if record.levelno == logging.WARNING)
    assert str(path) in told.getMessage()
    assert "damaged" in told.getMessage()
    assert load(path) == seen(boot(NOON, HOUR))


def test_a_folder_that_cannot_be_written_to_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "later"
    now = 0.0
    file = UptimeFile(folder / FILE, monotonic=lambda: now)
    for step in range(5):
        now = step * SAVE_EVERY
        assert file.see(boot(NOON, HOUR + now)) == 1.0
        file.save()
    assert file.failures == 5
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [f"cannot write {folder / FILE}"]
    folder.mkdir()
    now += SAVE_EVERY
    with caplog.at_level(logging.INFO):
        file.save()
    assert caplog.records[-1].getMessage() == f"can write {folder / FILE} again"
    assert WINDOW == DAY
