"""What the spool remembers beside its records: how far it was read, and what it had to drop of which run."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

MAX_RUNS: Final = 20
MAX_RUN_AGE: Final = 7 * 86_400.0
"""Seconds after which the drops of a run are no longer told: it was last heard of so long ago."""


class RunDrops(msgspec.Struct, frozen=True, kw_only=True):
    """What was dropped of one run of the exporter."""

    changed_at: float
    """Unix time."""
    drops: Mapping[str, int]


Losses = Mapping[str, RunDrops]
"""By run id; never changed, only replaced, so that another thread may read it."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The file's content."""

    next: int = 1
    """The number of the first record that the stream has not taken."""
    runs: Mapping[str, RunDrops] = msgspec.field(default_factory=dict)


def encode(state: State) -> bytes:
    """Return the file: a checksum in hex, a blank, JSON."""
    text = msgspec.json.encode(state)
    return b"%08x " % zlib.crc32(text) + text


def decode(data: bytes) -> State | None:
    """Return the state, None if the file is damaged: a wrong position would skip what nobody has seen."""
    crc, _, text = data.partition(b" ")
    if crc != b"%08x" % zlib.crc32(text):
        return None
    try:
        return msgspec.json.decode(text, type=State)
    except msgspec.MsgspecError:
        return None


def load(path: Path) -> State | None:
    """Return the state in the file, a new one if there is none, None if it is damaged."""
    try:
        return decode(path.read_bytes())
    except FileNotFoundError:
        return State()


def with_drops(losses: Losses, run_id: str, drops: Mapping[str, int], *, now: float) -> Losses:
    """Return the losses with these counts added to the run's."""
    known = losses[run_id].drops if run_id in losses else {}
    more = {reason: known.get(reason, 0) + count for reason, count in drops.items() if count > 0}
    if not more:
        return losses
    return {**losses, run_id: RunDrops(changed_at=now, drops={**known, **more})}


def with_totals(losses: Losses, run_id: str, totals: Mapping[str, int], *, now: float) -> Losses:
    """Return the losses with the run's counts of these reasons set; counts never fall."""
    known = losses[run_id].drops if run_id in losses else {}
    return with_drops(
        losses, run_id, {reason: total - known.get(reason, 0) for reason, total in totals.items()}, now=now
    )


def pruned(losses: Losses, *, own: str, now: float) -> Losses:
    """Return the losses of the newest runs only, and of this exporter's own in any case."""
    young = {run: lost for run, lost in losses.items() if now - lost.changed_at <= MAX_RUN_AGE or run == own}
    newest = sorted(young, key=lambda run: (run == own, young[run].changed_at))[-MAX_RUNS:]
    return {run: lost for run, lost in young.items() if run in newest}
