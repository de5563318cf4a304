"""Whether each Redis tells how it is, whether this host does, and whether the probed URLs answer. Each is read once."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cli.aspects.finding import Finding, Subject
from depthgauge.errors import SourceError
from depthgauge.health import Machine
from exporter.settings import ExporterSettings, ProbeSettings, RedisSettings
from exporter.sources.http_get import HttpGet
from exporter.sources.machine import MachineSource
from exporter.sources.probe import FIRST_ERROR_STATUS
from exporter.sources.redis_cluster_server import redis_server_source
from exporter.sources.uptime import FILE, load

TIMEOUT: Final = 10.0
SOON: Final = timedelta(days=14)
"""A certificate that ends within this is worth a warning."""


def _now() -> datetime:
    return datetime.now(UTC)


def look_at_redis(settings: RedisSettings) -> Sequence[Finding]:
    """Ask one Redis how it is."""
    subject = Subject(aspect="redis_server", target=settings.name)
    source = redis_server_source(settings, clock=_now, timeout=TIMEOUT)
    try:
        server = source.collect()
    except SourceError as exc:
        return [subject.error(str(exc), f"reason {exc.kind.value}, see docs/health.md")]
    finally:
        source.close()
    if server.ping_seconds is None:
        return [subject.warning("this user may not run ping: its time is left out", "ACL SETUSER … +ping")]
    limit = f"of {_mib(server.max_memory_bytes)}" if server.max_memory_bytes else "without a limit"
    used = f"{_mib(server.used_memory_bytes)} {limit}"
    return [subject.ok(f"version {server.version}, PING takes {server.ping_seconds * 1000:.1f} ms, memory {used}")]


def look_at_host(settings: ExporterSettings, proc: Path) -> Sequence[Finding]:
    """Read this host, and the file that tells its reboots."""
    subject = Subject(aspect="host", target=settings.host)
    try:
        machine = MachineSource(settings.host, clock=_now, timeout=TIMEOUT, proc=proc).collect()
    except SourceError as exc:
        return [subject.error(str(exc), f"reason {exc.kind.value}, see docs/health.md")]
    if settings.state_dir is None:
        memory = "without exporter.state_dir a reboot is not told in the uptime ratio"
    else:
        path = settings.state_dir / FILE
        try:
            known = load(path)
        except (OSError, ValueError) as exc:
            return [subject.warning(f"{path} cannot be used: {exc}", "the exporter replaces it; see docs/health.md")]
        memory = f"up {known.ratio():.1%} of what is known of the last 24 hours" if known else "no uptime known yet"
    return [subject.ok(f"{_described(machine)}; {memory}")]


def _described(machine: Machine) -> str:
    disks = ", ".join(f"{disk.mountpoint} ({disk.used_ratio:.0%} used)" for disk in machine.disks[:5])
    more = f" and {len(machine.disks) - 5} more" if len(machine.disks) > 5 else ""
    total = _mib(machine.memory_total_bytes)
    return f"{machine.cpus} CPUs, {total} of memory, {f'disks {disks}{more}' if disks else 'no disk of its own'}"


def _mib(size: int | None) -> str:
    return "unknown" if size is None else f"{size / (1 << 20):,.0f} MiB"


def look_at_probe(settings: ProbeSettings, *, now: datetime | None = None) -> Sequence[Finding]:
    """Ask one URL once."""
    subject = Subject(aspect="probe", target=settings.name)
    get = HttpGet(settings.url, ca_file=settings.ca_file)
    try:
        answer = get.ask(settings.timeout)
    except SourceError as exc:
        return [subject.error(str(exc), f"reason {exc.kind.value}, see docs/health.md")]
    told = f"{get.shown} answers {answer.status} in {answer.seconds:.3f} s"
    if answer.status >= FIRST_ERROR_STATUS:
        return [
            subject.error(told, "a status below 400 counts as up: see the application's log, or probe another path")
        ]
    expires_at = answer.certificate_expires_at
    if expires_at is None:
        return [subject.ok(told)]
    if expires_at - (now or _now()) < SOON:
        return [subject.warning(f"{told}; its certificate ends on {expires_at:%Y-%m-%d}", "renew the certificate")]
    return [subject.ok(f"{told}; its certificate ends on {expires_at:%Y-%m-%d}")]
