"""What an exporter reads beside supervisord and queues, as its settings say."""

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from exporter.collect import HealthSources, source_timeout
from exporter.settings import ExporterSettings
from exporter.sources.machine import MachineSource
from exporter.sources.probe import ProbeSource
from exporter.sources.redis_cluster_server import redis_server_source
from exporter.sources.trust import Trust

if TYPE_CHECKING:
    from exporter.sources.postgres import PostgresSource


class Closable(Protocol):
    """A source that holds something."""

    @property
    def target(self) -> str:
        """Its name."""

    def close(self) -> None:
        """Let go of it; may take a moment."""


class Lasting(Closable, Protocol):
    """A source that does something of its own between two readings."""

    def start(self) -> None:
        """Begin."""


class Health:
    """The sources of one exporter. They can be read at once; what goes on between readings begins with :meth:`start`.

    So whoever reads once (``depthgauge snapshot``) starts no threads and writes nothing.
    """

    def __init__(
        self,
        settings: ExporterSettings,
        *,
        clock: Callable[[], datetime],
        proc: Path,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        timeout = source_timeout(settings.interval)
        on = settings.collectors
        trust = Trust()
        servers = [
            redis_server_source(each, clock=clock, timeout=timeout, monotonic=monotonic)
            for each in settings.redis
            if on.redis
        ]
        databases = _databases(settings, clock, monotonic) if on.postgres else []
        probes = [
            ProbeSource(each, clock=clock, timeout=timeout, trust=trust, monotonic=monotonic)
            for each in settings.probes
            if on.probe
        ]
        machine = (
            MachineSource(
                settings.host,
                clock=clock,
                timeout=timeout,
                proc=proc,
                state_dir=settings.state_dir,
                monotonic=monotonic,
            )
            if on.host
            else None
        )
        self.sources = HealthSources(
            redis_servers=servers,
            databases=databases,
            failed_jobs_in=[each.name for each in settings.databases if on.postgres and each.failed_jobs is not None],
            machine=machine,
            probes=probes,
        )
        self._lasting: list[Lasting] = [*databases, *probes] if machine is None else [machine, *databases, *probes]
        self.closable: list[Closable] = [*servers, *self._lasting]
        """What has to be closed, side by side with what else there is."""

    def start(self) -> None:
        """Begin what goes on between readings."""
        for each in self._lasting:
            each.start()


def _databases(
    settings: ExporterSettings, clock: Callable[[], datetime], monotonic: Callable[[], float]
) -> "list[PostgresSource]":
    if not settings.databases:
        return []
    from exporter.sources.postgres import PostgresSource  # noqa: PLC0415  an exporter without databases needs no driver

    timeout = source_timeout(settings.interval)
    return [
        PostgresSource(each, clock=clock, timeout=timeout, interval=settings.interval, monotonic=monotonic)
        for each in settings.databases
    ]
