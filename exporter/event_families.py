"""The part of the table of metrics that is about events and their listeners."""

from typing import Final

from depthgauge.exposition import Metric

EVENTS: Final = Metric(
    name="depthgauge_events_total",
    type="counter",
    help="State changes of processes put into snapshots, by source: listener (exact) or poll.",
    labels=("source",),
)
EVENTS_LOST: Final = Metric(
    name="depthgauge_events_lost_total",
    type="counter",
    help="State changes that no snapshot holds: given_up by a listener for want of room, unreadable lines, internal defects.",
    labels=("reason",),
)
EVENT_LOG_FAILURES: Final = Metric(
    name="depthgauge_event_log_failures_total",
    type="counter",
    help="Failed attempts to read the files of this supervisord's listener, or to keep the place in them.",
    labels=("supervisor",),
)
LISTENER_UP: Final = Metric(
    name="depthgauge_listener_up",
    type="gauge",
    help="Whether the event listener of this supervisord was alive at the last collection; absent where there was never one.",
    labels=("supervisor",),
)

EVENT_FAMILIES: Final[tuple[Metric, ...]] = (EVENTS, EVENTS_LOST, EVENT_LOG_FAILURES, LISTENER_UP)
