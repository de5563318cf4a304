"""The metrics about reading the fleet's snapshots out of the cache; only with a [bus] section."""

from typing import Final

from depthgauge.exposition import Metric

ERRORS: Final = Metric(
    name="depthgauge_fleet_read_errors_total",
    type="counter",
    help="Failed attempts to read the fleet's snapshots from the bus for the API, by reason.",
    labels=("reason",),
)
SKIPPED: Final = Metric(
    name="depthgauge_fleet_skipped_snapshots_total",
    type="counter",
    help="Snapshots in the cache that the API had to leave out, by reason: corrupt, newer_version, too_large.",
    labels=("reason",),
)
TABLE: Final = (ERRORS, SKIPPED)
