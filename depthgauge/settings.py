"""Settings that both daemons are told: frozen values, already validated."""

from dataclasses import dataclass
from pathlib import Path

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
class Pem:
    """A certificate, key or list of CAs: a file that is read again when it changes, or the text itself."""

    path: Path | None = None
    text: Secret | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsSettings:
    """How a daemon speaks TLS."""

    cert: Pem
    key: Pem
    client_ca: Pem | None = None
    """Whom client certificates have to come from; None asks for none."""
    client_required: bool = False
    client_sans: tuple[str, ...] = ()
    """Names of which a client's certificate has to have one; empty takes all."""
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    ciphers: tuple[str, ...] = ()
    """OpenSSL's names, for TLS 1.2; empty takes OpenSSL's choice."""
    prefer_server_ciphers: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class RateLimit:
    """One request every ``interval`` seconds, and ``burst`` at once."""

    interval: float
    burst: int


@dataclass(frozen=True, kw_only=True, slots=True)
class WebConfig:
    """What the web config file says (the format of Prometheus's exporter-toolkit)."""

    tls: TlsSettings | None = None
    headers: tuple[tuple[str, str], ...] = ()
    users: tuple[tuple[str, Secret], ...] = ()
    """Names and bcrypt hashes; empty leaves open what is open without it."""
    rate_limit: RateLimit | None = None
    """Of all clients together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WebSettings:
    """Where a daemon listens, and whom it answers."""

    listen: tuple[str, ...]
    """``host:port``, ``:port`` or ``[v6]:port``; port 0 takes a free one."""
    telemetry_path: str = "/metrics"
    max_connections: int = 256
    max_connections_per_client: int = 128
    rate_limit: int = 50
    """Requests a second of one client, those for metrics and ``/-/`` aside; 0 sets no limit."""
    rate_burst: int = 200
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may read the API."""
    tokens: tuple[Secret, ...] = ()
    """Any of them opens the API; without one nothing does but ``config.users``."""
    config: WebConfig = WebConfig()
