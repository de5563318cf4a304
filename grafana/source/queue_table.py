"""The table of queues by how late they are, which several dashboards show."""

from typing import Final

from grafana_foundation_sdk.builders import table as builders

from grafana.source.columns import Column
from grafana.source.looks import BAD, COUNT, WAITING, WARN, Look, texts
from grafana.source.panels import grid
from grafana.source.promql import BY_QUEUE, Select, backlog, jobs, kept, nobody, rows, wait

LINK: Final = (
    "/d/depthgauge-queues?${datasource:queryparam}&${job:queryparam}&${instance:queryparam}"
    "&var-redis=${__data.fields.redis:percentencode}&var-system=${__data.fields.system:percentencode}"
    "&var-queue=${__data.fields.queue:percentencode}&${__url_time_range}"
)
NOBODY: Final = Look(texts=texts({0: ("", "transparent"), 1: ("no worker", BAD)}), absent="")
PAUSED: Final = Look(texts=texts({0: ("", "transparent"), 1: ("paused", WARN)}), absent="")
FIGURE: Final = Look(unit="short", minimum=0, decimals=0)


def table(title: str, description: str, select: Select, *, link: str | None = None, height: int = 10) -> builders.Panel:
    """Return the table; the queue that is latest stands first."""
    return grid(
        title,
        f"{description} A row without a name is what a system keeps for all its queues together.",
        rows(wait(select)),
        rows(jobs("waiting", select)),
        rows(jobs("active", select)),
        rows(jobs("delayed", select)),
        rows(f"sum {BY_QUEUE} ({select('jobqueue_workers')})"),
        rows(backlog(select("jobqueue_registry_workers"))),
        rows(f"{nobody(select)} > 0"),
        rows(f"{backlog(select('jobqueue_paused'))} > 0"),
        rows(kept("failed", select)),
        columns=(
            Column(field="queue", title="Queue", link=link, link_title="This queue alone"),
            Column(field="system", title="System", width=100),
            Column(field="redis", title="Redis", width=120),
            Column(field="Value #A", title="Oldest job", look=WAITING, width=130),
            Column(field="Value #B", title="Waiting", look=COUNT, width=110),
            Column(field="Value #C", title="Active", look=FIGURE, width=100),
            Column(field="Value #D", title="Delayed", look=FIGURE, width=100),
            Column(field="Value #E", title="Processes", look=FIGURE, width=110),
            Column(field="Value #F", title="Registered workers", look=FIGURE, width=150),
            Column(field="Value #G", title="Nobody works", look=NOBODY, width=130),
            Column(field="Value #H", title="Paused", look=PAUSED, width=100),
            Column(field="Value #I", title="Failed, kept", look=FIGURE, width=120),
        ),
        sort="Oldest job",
        height=height,
    )
