"""The dashboard that is opened first: which queue is late, and does everything run that should."""

from grafana.source import variables
from grafana.source.board import PROMETHEUS, Board, Row
from grafana.source.panels import number
from grafana.source.promql import SCOPE, instant


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid="depthgauge-overview",
        title="Depthgauge / Overview",
        description="Which queue is late, and is everything running that should?",
        source=PROMETHEUS,
        variables=(variables.label_values("job", "Job", "depthgauge_build_info"),),
        rows=(
            Row(
                "At a glance",
                (number("Waiting", "Jobs that wait.", instant(f'sum(jobqueue_jobs{{{SCOPE}, state="waiting"}})')),),
            ),
        ),
    )
