"""The spool against a model, in any course of events: each record it took is read, once and in order, or counted."""

import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from exporter import spool_files
from tests.plugins.spools import Spools, put, take

MAX_BYTES = 48 << 10


class Course(RuleBasedStateMachine):
    """Appends, reads, ageing, crashes and damage."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.spools = Spools(Path(self.folder.name) / "spool")
        self.run_number = 0
        self.owner: dict[int, str] = {}
        """By the sequence of all that was taken."""
        self.got: list[int] = []
        self.told: dict[tuple[str, str], int] = {}
        self.spool = self.spools.open("r0", max_bytes=MAX_BYTES)

    @rule(count=st.integers(1, 40), size=st.integers(0, 3000))
    def append(self, count: int, size: int) -> None:
        new = range(len(self.owner) + 1, len(self.owner) + count + 1)
        put(self.spool, *(self.spools.record(seq, size=size) for seq in new))
        self.owner |= dict.fromkeys(new, self.spool.run_id)

    @rule(count=st.integers(1, 80))
    def read(self, count: int) -> None:
        self.got += take(self.spool, count)

    @rule(minutes=st.integers(1, 50))
    def age(self, minutes: int) -> None:
        self.spools.clock.forward(minutes=minutes)
        self.spool.expire()

    @rule()
    def crash(self) -> None:
        self.spools.end(self.spool)
        self.run_number += 1
        self.spool = self.spools.open(f"r{self.run_number}", max_bytes=MAX_BYTES)

    @rule(body=st.binary(max_size=60), cut=st.integers(1, 20))
    def crash_while_writing(self, body: bytes, cut: int) -> None:
        number = len(self.owner) + 1
        mine = [path for path in self.spools.segments if path.stem.endswith(f"-{self.spool.run_id}")]
        new = self.spools.folder / spool_files.segment_name(number, self.spool.run_id)
        with (mine[-1] if mine else new).open("ab") as file:
            file.write(spool_files.frame(number, 0.0, body)[:-cut])
        self.crash()

    @precondition(lambda self: len(self.spools.segments) > 1)
    @rule(data=st.data())
    def damage(self, data: st.DataObject) -> None:
        segment = data.draw(st.sampled_from(self.spools.segments[:-1]))
        content = bytearray(segment.read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        segment.write_bytes(content)

    @invariant()
    def bounds_hold_and_counts_never_fall(self) -> None:
        assert sum(path.stat().st_size for path in self.spools.segments) == self.spool.stats.bytes <= MAX_BYTES
        for run, drops in {**self.spool.earlier_drops, self.spool.run_id: self.spool.drops}.items():
            for reason, count in drops.items():
                assert count >= self.told.get((run, reason), 0)
                self.told[run, reason] = count

    def teardown(self) -> None:
        self.read(len(self.owner) + 1)
        self.bounds_hold_and_counts_never_fall()
        self.spools.end_all()
        self.folder.cleanup()
        assert self.got == sorted(set(self.got))
        explained = Counter(self.owner[seq] for seq in self.got)
        for (run, _), count in self.told.items():
            explained[run] += count
        assert explained == Counter(self.owner.values())
        assert not self.spool.busy


TestCourse = Course.TestCase
TestCourse.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
