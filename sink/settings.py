"""What the sink is told: frozen values, already validated. The command line makes them (cli/config.py)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from depthgauge.secrets import Secret
from depthgauge.settings import BusSettings, WebSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """Ages after which rows are dropped, by class of table (``depthgauge.series.class``)."""

    raw: timedelta = timedelta(days=30)
    processes: timedelta = timedelta(days=7)
    events: timedelta = timedelta(days=180)
    five_minutes: timedelta = timedelta(days=180)
    hours: timedelta = timedelta(days=730)

    @property
    def by_class(self) -> Mapping[str, timedelta]:
        """The ages by the names that settings and the database use."""
        return {
            "raw": self.raw,
            "processes": self.processes,
            "events": self.events,
            "5m": self.five_minutes,
            "1h": self.hours,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class SinkSettings:
    """Everything the sink daemon is told."""

    dsn: Secret
    """A libpq connection string or URL."""
    bus: BusSettings
    consumer: str
    """This sink's name in the consumer group: stable over restarts, unique among sinks."""
    batch_rows: int = 5000
    """Rows a transaction may have (a single snapshot may have more)."""
    batch_seconds: float = 1.0
    """Seconds to wait for more snapshots once one is at hand."""
    claim_after: float = 60.0
    """Seconds after which what another sink has read and not acknowledged is taken over: longer than a batch may take."""
    retention: Retention = field(default_factory=Retention)
    maintain_every: timedelta = timedelta(minutes=1)
    """Pause between two calls of ``depthgauge.maintain()``; zero leaves them to somebody else."""
    gaps_open: timedelta = timedelta(hours=24)
    """Age up to which a gap in the ledger may still be filled from an exporter's spool."""
    web: WebSettings = field(default_factory=lambda: WebSettings(listen=(":10140",)))
