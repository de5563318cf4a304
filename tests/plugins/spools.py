"""Spools in tests: opened, crashed, and read to the end."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import pytest

from exporter.spool import Limits, Record, Spool

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


class Spools:
    """Makes spools over one folder, and remembers the troubles they told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.troubles: list[str] = []
        self._open: list[Spool] = []

    def open(self, run_id: str = "r1", *, max_bytes: int = 1 << 20, max_age: float = 3600) -> Spool:
        """Open the spool as this run."""
        limits = Limits(max_bytes=max_bytes, max_age=timedelta(seconds=max_age))
        spool = Spool(self.folder, run_id=run_id, limits=limits, clock=self.clock, trouble=self.troubles.append)
        self._open.append(spool)
        return spool

    def end(self, spool: Spool) -> None:
        """End it; what its process had in memory is gone, as after kill -9: closing writes nothing."""
        self._open.remove(spool)
        spool.close()

    def end_all(self) -> None:
        for spool in [*self._open]:
            self.end(spool)

    def record(self, seq: int, *, size: int = 100, age: float = 0) -> Record:
        """Return a record whose body cannot be compressed into anything smaller; ``age`` in seconds."""
        slot = (self.clock.now - timedelta(seconds=age)).timestamp()
        return Record(slot, {"seq": str(seq).encode(), "d": b"x" * size})

    @property
    def segments(self) -> list[Path]:
        return sorted(self.folder.glob("*.segment"))


def put(spool: Spool, *records: Record) -> None:
    """Append all of them."""
    rest = list(records)
    while rest:
        rest = rest[spool.append(rest) :]


def take(spool: Spool, count: int = 1_000_000) -> list[int]:
    """Take so many records out; return their numbers in the sequence."""
    found: list[int] = []
    while len(found) < count and (batch := spool.peek(min(50, count - len(found)), 1 << 22)):
        found += [int(each.fields["seq"]) for each in batch]
        spool.advance(batch)
    return found


MakeSpools: TypeAlias = Callable[[Path], Spools]


@pytest.fixture
def spools(tmp_path: Path) -> Iterator[Spools]:
    """Give a maker of spools in a folder of their own."""
    made = Spools(tmp_path / "state" / "spool")
    yield made
    made.end_all()
