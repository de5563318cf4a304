"""The spool on a real disk: order, bounds, what survives which crash, and what is counted."""

import os
import stat
import zlib

import pytest

from exporter import spool_files, spool_state
from exporter.spool import SpoolHeld
from tests.plugins.spools import Spools, put, take


def fill(spools: Spools, run: str, seqs: range, *, size: int = 100) -> None:
    """Put records in as a run that is killed then."""
    spool = spools.open(run)
    put(spool, *(spools.record(seq, size=size) for seq in seqs))
    spools.end(spool)


def test_what_goes_in_comes_out_in_order(spools: Spools) -> None:
    spool = spools.open()
    put(spool, *(spools.record(seq) for seq in range(1, 301)))
    assert spool.stats.snapshots == 300
    assert spool.stats.oldest == spools.clock.now.timestamp()
    assert spool.stats.bytes == sum(path.stat().st_size for path in spools.segments)

    assert take(spool) == list(range(1, 301))

    assert (spool.busy, spool.stats, spools.segments, spool.drops) == (False, (0, 0, None), [], {})
    put(spool, spools.record(301))
    assert take(spool) == [301]
    assert spools.troubles == []


def test_nobody_else_may_read_it(spools: Spools) -> None:
    spool = spools.open()
    put(spool, spools.record(1))
    take(spool)
    put(spool, spools.record(2))

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in spools.folder.iterdir()}
    assert set(modes.values()) == {0o600}
    assert {"lock", "state"} < set(modes)
    assert stat.S_IMODE(spools.folder.stat().st_mode) == 0o700


def test_only_one_exporter_uses_a_folder(spools: Spools) -> None:
    first = spools.open("r1")
    with pytest.raises(SpoolHeld, match=r"in use by another exporter: give each its own exporter\.state_dir"):
        spools.open("r2")
    spools.end(first)
    spools.open("r2")


def test_a_batch_stays_until_the_stream_has_it(spools: Spools) -> None:
    spool = spools.open()
    put(spool, *(spools.record(seq) for seq in range(1, 11)))
    batch = spool.peek(6, 1 << 20)
    assert [int(each.fields["seq"]) for each in batch] == [1, 2, 3, 4, 5, 6]
    assert [int(each.fields["seq"]) for each in spool.peek(6, 1 << 20)] == [1, 2, 3, 4, 5, 6]
    spool.advance(batch[:2])
    assert [int(each.fields["seq"]) for each in spool.peek(2, 1 << 20)] == [3, 4]
    # By size: at least one, whatever its size.
    assert len(spool.peek(50, 1)) == 1
    assert len(spool.peek(50, 300)) == 2


def test_a_later_run_takes_up_what_was_left(spools: Spools) -> None:
    spool = spools.open("r1")
    put(spool, *(spools.record(seq) for seq in range(1, 21)))
    assert take(spool, 5) == [1, 2, 3, 4, 5]
    spools.end(spool)
    fill(spools, "r2", range(21, 31))

    spool = spools.open("r3")
    put(spool, spools.record(31))

    assert take(spool) == list(range(6, 32))
    assert (spool.drops, spool.earlier_drops, spools.troubles) == ({}, {}, [])


def test_when_it_is_full_the_oldest_go_and_are_counted_by_run(spools: Spools) -> None:
    fill(spools, "r1", range(1, 41), size=1000)
    spool = spools.open("r2", max_bytes=64 << 10)
    put(spool, *(spools.record(seq, size=1000) for seq in range(41, 121)))

    assert spool.stats.bytes <= 64 << 10
    assert sum(path.stat().st_size for path in spools.segments) <= 64 << 10
    left = take(spool)
    assert left == list(range(left[0], 121))
    assert len(left) >= 40
    lost = left[0] - 1
    assert spool.earlier_drops == {"r1": {"spool_full": 40}}
    assert spool.drops == {"spool_full": lost - 40}


def test_a_snapshot_larger_than_the_spool_is_counted_and_in_nobodys_way(spools: Spools) -> None:
    spool = spools.open(max_bytes=20_000)
    put(spool, spools.record(1), spools.record(2, size=20_000), spools.record(3))
    assert spool.drops == {"spool_full": 1}
    assert take(spool) == [1, 3]


def test_what_is_too_old_goes_and_is_counted_by_run(spools: Spools) -> None:
    fill(spools, "r1", range(1, 11))
    spools.clock.forward(minutes=30)
    spool = spools.open("r2", max_age=3600)
    put(spool, *(spools.record(seq) for seq in range(11, 16)))
    spools.clock.forward(minutes=15)
    put(spool, spools.record(16))
    spool.expire()
    assert (spool.earlier_drops, spool.drops) == ({}, {})

    spools.clock.forward(minutes=30)
    spool.expire()
    assert (spool.earlier_drops, spool.drops) == ({"r1": {"spool_expired": 10}}, {})
    spools.clock.forward(minutes=16)
    spool.expire()

    assert (spool.earlier_drops, spool.drops) == ({"r1": {"spool_expired": 10}}, {"spool_expired": 5})
    assert take(spool) == [16]


def test_drops_outlive_a_kill_and_a_later_run_tells_them(spools: Spools) -> None:
    fill(spools, "r1", range(1, 11))
    spools.clock.forward(hours=2)
    spool = spools.open("r2")
    spool.expire()
    spool.note({"duplicate_host": 2})
    spool.note({"duplicate_host": 3, "bus_away": 0})
    assert spool.drops == {"duplicate_host": 3}
    spools.end(spool)

    assert spools.open("r3").earlier_drops == {"r1": {"spool_expired": 10}, "r2": {"duplicate_host": 3}}


def test_only_the_newest_runs_are_remembered_and_none_for_ever(spools: Spools) -> None:
    for run in range(25):
        spools.clock.forward(hours=1)
        spool = spools.open(f"r{run}")
        spool.note({"bus_away": 1})
        spools.end(spool)
    spool = spools.open("last")
    assert set(spool.earlier_drops) == {f"r{run}" for run in range(5, 25)}
    spool.note({"bus_away": 7})
    assert len({**spool.earlier_drops, "last": 0}) <= 21

    spools.clock.forward(days=7, hours=-1)
    spool.note({"bus_away": 8})
    spools.end(spool)
    spool = spools.open("other")
    assert "last" in spool.earlier_drops
    assert "r5" not in spool.earlier_drops


def test_the_oldest_expire_before_a_full_segment_is_read(spools: Spools) -> None:
    """Many segments at once, and every one of them is deleted."""
    fill(spools, "r1", range(1, 201), size=1000)
    assert len(spools.segments) > 5
    spools.clock.forward(hours=2)
    spool = spools.open("r2")
    spool.expire()
    assert spool.earlier_drops == {"r1": {"spool_expired": 200}}
    assert spools.segments == []


# Damage


def test_a_torn_end_was_never_promised(spools: Spools) -> None:
    fill(spools, "r1", range(1, 4))
    (segment,) = spools.segments
    os.truncate(segment, segment.stat().st_size - 7)

    spool = spools.open("r2")
    put(spool, spools.record(4))

    assert spools.troubles == ["torn"]
    assert take(spool) == [1, 2, 4]
    assert spool.earlier_drops == {}


def test_zeros_that_a_power_cut_left_are_a_torn_end(spools: Spools) -> None:
    fill(spools, "r1", range(1, 4))
    (segment,) = spools.segments
    with segment.open("ab") as file:
        file.write(bytes(500))
    assert take(spools.open("r2")) == [1, 2, 3]
    assert spools.troubles == ["torn"]


@pytest.mark.parametrize("part", ["head", "length", "body"])
@pytest.mark.parametrize("which", [0, 4, 9])
def test_a_damaged_record_is_counted_and_the_others_are_read(spools: Spools, part: str, which: int) -> None:
    fill(spools, "r1", range(1, 11))
    (segment,) = spools.segments
    data = bytearray(segment.read_bytes())
    size = len(data) // 10
    at = size * which + {"head": 1, "length": 22, "body": 80}[part]
    data[at] ^= 0x10
    segment.write_bytes(data)

    spool = spools.open("r2")
    put(spool, spools.record(11))

    if (part, which) == ("length", 9):
        # The last one claims to be longer than the file: it looks torn.
        assert spools.troubles == ["torn"]
        assert take(spool) == [*range(1, 10), 11]
        return
    assert take(spool) == [seq for seq in range(1, 12) if seq != which + 1]
    assert spool.earlier_drops == {"r1": {"spool_corrupt": 1}}
    assert "corrupt" in spools.troubles


def test_damage_while_it_runs_and_a_file_that_is_gone(spools: Spools) -> None:
    spool = spools.open()
    put(spool, *(spools.record(seq, size=1000) for seq in range(1, 101)))
    first, second = spools.segments[:2]
    lost = int(second.name[:20]) - int(first.name[:20])
    first.unlink()
    assert take(spool) == list(range(1 + lost, 101))
    assert spool.drops == {"spool_corrupt": lost}


def test_a_segment_of_nothing_but_rubbish(spools: Spools) -> None:
    fill(spools, "r1", range(1, 4))
    fill(spools, "r2", range(4, 7))
    spools.segments[0].write_bytes(os.urandom(1000))
    spool = spools.open("r3")
    assert take(spool) == [4, 5, 6]
    assert spool.earlier_drops == {"r1": {"spool_corrupt": 3}}


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "gone", "not a state"])
def test_a_damaged_state_costs_no_record(spools: Spools, damage: str) -> None:
    spool = spools.open("r1")
    put(spool, *(spools.record(seq) for seq in range(1, 11)))
    take(spool, 4)
    spools.end(spool)
    state = spools.folder / "state"
    data = bytearray(state.read_bytes())
    if damage == "cut":
        state.write_bytes(data[:-3])
    elif damage == "flip":
        state.write_bytes(data.replace(b'"next":5', b'"next":9'))
        assert state.read_bytes() != data
    elif damage == "empty":
        state.write_bytes(b"")
    elif damage == "gone":
        state.unlink()
    else:
        state.write_bytes(b"%08x []" % zlib.crc32(b"[]"))

    # What the stream had is sent again: nothing is skipped.
    assert take(spools.open("r2")) == list(range(1, 11))
    assert spools.troubles == ([] if damage == "gone" else ["state"])


def test_a_run_id_that_is_no_file_name(spools: Spools) -> None:
    spool = spools.open("../r1")
    with pytest.raises(ValueError, match="cannot be part of a file name"):
        spool.append([spools.record(1)])


def test_frames_among_rubbish() -> None:
    good = [spool_files.frame(number, 1.0, b"body %d" % number) for number in (1, 2, 3)]
    data = b"DGs1" + good[0] + b"\xff" * 9 + good[1] + good[2][:-1]
    parsed = spool_files.parse(data)
    assert [each.number for each in parsed.frames] == [1, 2]
    assert (parsed.damaged, parsed.torn) == (0, True)
    # A number does not come twice.
    assert [each.number for each in spool_files.parse(good[1] + good[1] + good[0]).frames] == [2]


def test_counts_never_fall() -> None:
    losses = spool_state.with_totals({}, "r", {"a": 3}, now=1)
    assert spool_state.with_totals(losses, "r", {"a": 2}, now=2) is losses
    assert spool_state.decode(spool_state.encode(spool_state.State(next=4, runs=losses))) == spool_state.State(
        next=4, runs=losses
    )
