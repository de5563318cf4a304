"""What an exporter reads beside supervisord and queues, as its settings say."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from exporter.collect import HealthSources, source_timeout
from exporter.settings import ExporterSettings

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
    """The sources of one exporter. They can be read at once; what goes on between readings begins with :meth:`start`."""

    def __init__(
        self,
        settings: ExporterSettings,
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        databases = _databases(settings, clock, monotonic) if settings.collectors.postgres else []
        self.sources = HealthSources(databases=databases)
        self._lasting: list[Lasting] = [*databases]
        self.closable: list[Closable] = [*self._lasting]
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
