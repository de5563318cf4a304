"""Settings that both daemons are told: frozen values, already validated."""

from dataclasses import dataclass

from depthgauge.secrets import Secret


@dataclass(frozen=True, kw_only=True, slots=True)
class BusSettings:
    """The Redis that carries snapshots."""

    url: Secret
    max_bytes: int = 64 * 1024 * 1024
    """Memory the stream may take before publishing stops."""
    allow_eviction: bool = False
    """Publish even to a Redis whose eviction policy may evict the stream."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HistorySettings:
    """Where the API reads history."""

    dsn: Secret
    """Of a role that may read and nothing else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WebSettings:
    """Where a daemon listens."""

    listen: tuple[str, ...]
    """``host:port``, ``:port`` or ``[v6]:port``; port 0 takes a free one."""
    telemetry_path: str = "/metrics"
    max_connections: int = 64
