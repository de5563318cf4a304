"""``depthgauge snapshot``: one collection, printed as JSON."""

import re
import sys
import uuid
from typing import Final

import msgspec

from depthgauge.snapshot import Snapshot
from exporter.assembly import Assembly, utc_now
from exporter.collect import EveryoneCollects, source_timeout
from exporter.settings import ExporterSettings
from exporter.slots import slot_of

_NUMBERS: Final = re.compile(r"\[\n\s+([-+.\deE]+(?:,\n\s+[-+.\deE]+)*)\n\s+\]")
"""A list of numbers only, over several lines: no text has a bare line end in it."""


def run(settings: ExporterSettings) -> int:
    """Collect once and print the snapshot; return 1 if a source could not be read."""
    assembly = Assembly(settings, run_id=uuid.uuid4().hex, leases=EveryoneCollects())
    try:
        assembly.discover(source_timeout(settings.interval))
        snapshot = assembly.collector.take(slot_of(utc_now(), settings.interval), seq=0)
    finally:
        assembly.close()
    sys.stdout.write(as_text(snapshot))
    failed = [f"{source.kind} {source.target}: {source.error}" for source in snapshot.sources if not source.ok]
    for line in failed:
        print(f"depthgauge snapshot: could not read {line}", file=sys.stderr)
    return 1 if failed else 0


def as_text(snapshot: Snapshot) -> str:
    """Return the snapshot as JSON for readers: indented, with lists of numbers (histograms) on one line."""
    text = msgspec.json.format(msgspec.json.encode(snapshot), indent=2).decode()
    return _NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"
