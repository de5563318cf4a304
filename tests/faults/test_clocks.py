"""Clocks that jump and clocks that are wrong; the monotonic clock is left alone, as it is when a machine's time is set."""

import itertools
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.plugins.parts import libfaketime
from tests.plugins.sinks import recent_slot
from tests.plugins.stage import MakeStage
from tests.plugins.taken import wait_taken

pytestmark = [pytest.mark.needs("redis-server", "postgres", "libfaketime")]

HOUR = 3600.0


def fake_clock(file: Path, offset: float) -> Mapping[str, str]:
    """Return the environment of a process whose clock is as far off as the file says, now and later."""
    set_clock(file, offset)
    return {
        "LD_PRELOAD": str(libfaketime()),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def set_clock(file: Path, offset: float) -> None:
    """Say how far the clock is off, in seconds: at once, never half a number."""
    new = file.with_suffix(".new")
    new.write_text(f"{offset:+.3f}\n")
    new.replace(file)


def test_an_exporters_clock_stepped_back_an_hour(make_stage: MakeStage, tmp_path: Path) -> None:
    """It has been wrong before, so the hour it steps back into has rows of the same host already: those slots collide."""
    stage = make_stage()
    _, url, tap = stage.tap()
    sink = stage.sink()
    clock = tmp_path / "clock"
    started = time.monotonic()
    stage.exporter(url, environ=fake_clock(clock, -HOUR))
    wait_taken(tap, 8)
    set_clock(clock, 0.0)
    wait_taken(tap, 4)
    set_clock(clock, started - time.monotonic() - HOUR)
    wait_taken(tap, 12)
    stage.settle()

    [run] = tap.taken.of("web-1")
    slots = [snapshot.slot for _, snapshot in sorted(tap.taken.runs[run].items()) if snapshot is not None]
    steps = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(slots)]
    assert max(steps) > HOUR - 60
    assert min(steps) < 60 - HOUR
    done = stage.account()
    assert done.shared_slots >= 2
    assert sink.value("depthgauge_sink_snapshots_collided_total") == done.shared_slots
    stage.record(
        "exporter's clock stepped back an hour, into slots that have rows",
        "`depthgauge_sink_snapshots_collided_total`",
        collisions=done.shared_slots,
        account=done,
    )


def test_a_sinks_clock_an_hour_behind(make_stage: MakeStage, tmp_path: Path) -> None:
    stage = make_stage()
    stage.publish(40)
    stage.sink(environ=fake_clock(tmp_path / "clock", -HOUR))
    stage.drained()

    assert stage.ledger() == 40
    stage.record("sink's clock an hour behind", "nothing to tell")


def test_a_sinks_clock_three_hours_behind(make_stage: MakeStage, tmp_path: Path) -> None:
    """It takes the present for the future: that is for a human to look at, and nothing is thrown away."""
    stage = make_stage()
    stage.publish(10, base=recent_slot(back=300))
    stage.publish(10, first=11, base=recent_slot(back=10))
    sink = stage.sink(environ=fake_clock(tmp_path / "clock", -3 * HOUR))
    stage.drained()

    assert sink.value("depthgauge_sink_snapshots_quarantined_total", reason="future") == 10
    done = stage.account()
    assert done.counted == {"quarantined": 10}
    stage.record(
        "sink's clock three hours behind",
        'the stream `depthgauge:quarantine`, `depthgauge_sink_snapshots_quarantined_total{reason="future"}`',
        account=done,
    )
