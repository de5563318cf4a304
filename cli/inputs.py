"""What a configuration is made from, and what comes out of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cli.discover import Places
from cli.reading import Node
from cli.schema import DEFAULT_FILE, Role
from depthgauge.secrets import Secret
from depthgauge.settings import BusSettings, HistorySettings, WebSettings
from exporter.settings import ExporterSettings
from sink.settings import Retention, SinkSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """Everything a configuration is made from."""

    hostname: str
    pid: int
    environ: Mapping[str, str] = field(default_factory=dict)
    flags: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By the flag's name without dashes; each may have been given several times."""
    file: Path | None = None
    """Named by the user, so it has to be there."""
    default_file: Path = Path(DEFAULT_FILE)
    places: Places = field(default_factory=Places)


@dataclass(frozen=True, kw_only=True, slots=True)
class LogSettings:
    """How the log is written."""

    level: str
    format: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Configuration:
    """A configuration without a mistake."""

    file: Path | None
    tables: Mapping[str, Sequence[Node]]
    """What it was made from, for showing it."""
    log: LogSettings
    web: Mapping[Role, WebSettings]
    notes: tuple[str, ...]
    """What was found out by itself."""
    warnings: tuple[str, ...]
    """What looks odd."""
    exporter: ExporterSettings | None = None
    sink: SinkSettings | None = None
    dsn: Secret | None = None
    """The database, for whoever asked for it."""
    retention: Retention = field(default_factory=Retention)
    """How long it keeps what."""
    bus: BusSettings | None = None
    """The bus, where there is one."""
    history: HistorySettings | None = None
    """Where history is read, where somebody has said it."""
