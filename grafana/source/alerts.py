"""Alert rules that Grafana evaluates itself, for an installation that has the database and no Prometheus.

Where the rules for Prometheus (``prometheus/rules``) have the same notion, a rule has the same name here, and so the same page
among the runbooks. Annotations have no dollar: Grafana would take it for a variable of its environment.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from grafana.source import alert_questions as ask
from grafana.source import health_history, queue_history, worker_history
from grafana.source.board import Board

RUNBOOKS: Final = "https://github.com/depthgauge/depthgauge/blob/main/docs/runbooks"
PAGE: Final = "https://github.com/depthgauge/depthgauge/blob/main/docs/grafana.md"

CRITICAL: Final = "critical"
WARNING: Final = "warning"

_QUEUE: Final = (
    "Queue {{ if .Labels.queue }}{{ .Labels.queue }}{{ else }}(all together){{ end }}"
    " ({{ .Labels.system }} in Redis {{ .Labels.redis }})"
)
_PROCESS: Final = (
    "{{ .Labels.process_group }}:{{ .Labels.process }} of supervisor {{ .Labels.supervisor }} on {{ .Labels.host }}"
)
_DURATION: Final = "{{ humanizeDuration .Values.B.Value }}"
_RATIO: Final = "{{ humanizePercentage .Values.B.Value }}"
# Grafana writes a number as it is, without a form told, as something like 7.0 or 1e+06.
_NUMBER: Final = '{{ printf "%.0f" .Values.B.Value }}'


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One rule: it fires while its number is above the threshold for long enough."""

    name: str
    severity: str
    question: str
    seconds: int
    """How far back its rows may lie."""
    above: float
    lasting: str
    summary: str
    description: str
    board: Board
    panel: str
    """The title of the panel that shows it."""
    own: bool = False
    """Whether the rules for Prometheus have nothing like it: then docs/grafana.md tells of it."""
    silence_is: str = "OK"
    """The state when there are no rows at all."""

    @property
    def runbook(self) -> str:
        """Return where it is told what it means and what to do."""
        return f"{PAGE}#{self.name.lower()}" if self.own else f"{RUNBOOKS}/{self.name}.md"


def queues() -> Iterator[Alert]:
    """Give the rules about queues."""
    board = queue_history.board()
    for name, severity, above, words in (
        ("JobQueueWaitTooLong", WARNING, 600, "for too long"),
        ("JobQueueWaitCritical", CRITICAL, 3600, "for far too long"),
    ):
        yield Alert(
            name=name,
            severity=severity,
            question=ask.wait(),
            seconds=300,
            above=above,
            lasting="3m",
            summary=f"The next job of a queue has been waiting {words}.",
            description=f"{_QUEUE}: its next job has been waiting for {_DURATION}, more than {above // 60}m.",
            board=board,
            panel="Oldest job",
        )
    yield Alert(
        name="JobQueueNoWorkers",
        severity=CRITICAL,
        question=ask.unserved(),
        seconds=3600,
        above=0,
        lasting="5m",
        summary="Jobs wait in a queue that no worker serves.",
        description=f"{_QUEUE} has had waiting jobs and no worker for 5m; {_NUMBER} wait now.",
        board=board,
        panel="Workers by queue",
    )
    yield Alert(
        name="JobQueueFailedJobs",
        severity=WARNING,
        question=ask.failures(),
        seconds=3600,
        above=10,
        lasting="0s",
        summary="Failed jobs of a queue pile up.",
        description=f"{_QUEUE} keeps {_NUMBER} failed jobs more than within the last hour at its fewest.",
        board=board,
        panel="Failed jobs kept",
    )


def processes() -> Iterator[Alert]:
    """Give the rules about supervised processes."""
    board = worker_history.board()
    yield Alert(
        name="SupervisorProcessFatal",
        severity=CRITICAL,
        question=ask.fatal(),
        seconds=300,
        above=0,
        lasting="3m",
        summary="Supervisord has given up a process.",
        description=f"{_PROCESS} is FATAL.",
        board=board,
        panel="States",
    )
    yield Alert(
        name="SupervisorProcessCrashLoop",
        severity=CRITICAL,
        question=ask.crashes(),
        seconds=900,
        above=5,
        lasting="0s",
        summary="A process is restarted again and again.",
        description=f"{_PROCESS} was started {_NUMBER} times in 15m, more than 5.",
        board=board,
        panel="Starts",
    )


def health() -> Iterator[Alert]:
    """Give the rules about servers, URLs and disks."""
    board = health_history.board()
    yield Alert(
        name="DepthgaugeSourceSilent",
        severity=CRITICAL,
        question=ask.unread(),
        seconds=86_400,
        above=300,
        lasting="2m",
        summary="A server is not read any more.",
        description=f"The {{{{ .Labels.kind }}}} {{{{ .Labels.target }}}} has not been read for {_DURATION}, though snapshots arrive.",
        board=board,
        panel="Response time of databases and URLs",
        own=True,
    )
    yield Alert(
        name="DepthgaugeProbeDown",
        severity=CRITICAL,
        question=ask.unanswered(),
        seconds=300,
        above=0.99,
        lasting="3m",
        summary="A probed URL does not answer, or answers with an error.",
        description="Probe {{ .Labels.target }} has failed for 3m, seen from {{ .Labels.host }}.",
        board=board,
        panel="URLs that answered",
    )
    yield Alert(
        name="DepthgaugePostgresConnectionsHigh",
        severity=WARNING,
        question=ask.connections(),
        seconds=300,
        above=0.8,
        lasting="5m",
        summary="A PostgreSQL has few connections left.",
        description=f"Database {{{{ .Labels.target }}}} uses {_RATIO} of the connections that it allows.",
        board=board,
        panel="Connections",
    )
    yield Alert(
        name="DepthgaugeHostDiskFull",
        severity=WARNING,
        question=ask.full_disks(),
        seconds=300,
        above=0.9,
        lasting="15m",
        summary="A file system is nearly full.",
        description=f"{{{{ .Labels.target }}}} of {{{{ .Labels.host }}}} is {_RATIO} full.",
        board=board,
        panel="Disks, used",
    )


def own() -> Iterator[Alert]:
    """Give the rules about Depthgauge itself."""
    board = worker_history.board()
    yield Alert(
        name="DepthgaugeSnapshotsMissing",
        severity=CRITICAL,
        question=ask.silence(),
        seconds=86_400,
        above=300,
        lasting="2m",
        summary="No snapshots arrive from a host.",
        # Where there is no row at all there are no labels either.
        description=(
            "{{ if .Labels.host }}"
            f"Nothing has come from {{{{ .Labels.host }}}} for {_DURATION}: whatever else is shown of it is as old."
            "{{ else }}No host has sent anything for a day.{{ end }}"
        ),
        board=board,
        panel="Snapshots a minute",
        own=True,
        silence_is="Alerting",
    )
    yield Alert(
        name="DepthgaugeSnapshotsLost",
        severity=WARNING,
        question=ask.lost(),
        seconds=172_800,
        above=0,
        lasting="0s",
        summary="Snapshots are missing in the history, and nobody has told why.",
        description=f"{_NUMBER} snapshots of {{{{ .Labels.host }}}} of the last two days never arrived, and will not.",
        board=board,
        panel="Snapshots a minute",
    )
    yield Alert(
        name="DepthgaugeSnapshotsDropped",
        severity=WARNING,
        question=ask.dropped(),
        seconds=86_400,
        above=0,
        lasting="0s",
        summary="Snapshots were dropped: history has a gap.",
        description=f"The exporter of {{{{ .Labels.host }}}} had to drop {_NUMBER} snapshots, as was told within the last hour.",
        board=board,
        panel="Snapshots a minute",
    )
    yield Alert(
        name="DepthgaugeMaintenanceStale",
        severity=WARNING,
        question=ask.upkeep(),
        seconds=3600,
        above=3600,
        lasting="5m",
        summary="The database is not kept up: rollups and retention are late.",
        description=f"depthgauge.maintain() last ended well {_DURATION} ago, more than 1h.",
        board=board,
        panel="Snapshots a minute",
    )


def alerts() -> tuple[Alert, ...]:
    """Return all of them."""
    return (*queues(), *processes(), *health(), *own())
