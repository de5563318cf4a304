"""All rules: one explicit tuple of groups."""

from typing import Final

from cli.rules import exporters, health, queues, sinks, supervisor
from cli.rules.model import Alert, Group, Threshold
from cli.rules.recordings import RECORDINGS

GROUPS: Final = (
    Group(name="depthgauge-queues", help="Queues and their workers", recordings=RECORDINGS, alerts=queues.ALERTS),
    Group(name="depthgauge-supervisors", help="Supervisord and its processes", alerts=supervisor.ALERTS),
    Group(name="depthgauge-health", help="Redis, PostgreSQL, hosts and URLs", alerts=health.ALERTS),
    Group(name="depthgauge-exporters", help="Exporters", alerts=exporters.EXPORTER),
    Group(name="depthgauge-bus", help="The bus and the spool", alerts=exporters.BUS_ALERTS),
    Group(name="depthgauge-sinks", help="Sinks and the database of history", alerts=sinks.ALERTS),
)
ALERTS: Final[tuple[Alert, ...]] = tuple(alert for group in GROUPS for alert in group.alerts)
THRESHOLDS: Final[tuple[Threshold, ...]] = tuple(alert.threshold for alert in ALERTS)
