"""The text of /metrics, rendered once for each snapshot and again only when a part of it has grown too old."""

import gzip
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest

from depthgauge.exposition import CONTENT_TYPE
from depthgauge.httpd import Response
from depthgauge.snapshot import EXPIRY_INTERVALS, Snapshot
from exporter.render import Renderer

GZIP_LEVEL: Final = 1
GZIP_FROM: Final = 1024
"""Bytes below which compressing is not worth it."""


@dataclass(frozen=True, slots=True)
class _Page:
    snapshot: Snapshot | None
    until: datetime | None
    """When the next part of it expires; None if nothing does."""
    text: bytes
    gzipped: bytes | None


def next_expiry(snapshot: Snapshot, now: datetime) -> datetime | None:
    """Return the first moment after ``now`` at which a part of the snapshot, or all of it, becomes too old to be shown."""
    span = timedelta(seconds=EXPIRY_INTERVALS * snapshot.interval)
    ages = [snapshot.taken_at, *(part.observed_at for part in snapshot.parts)]
    return min((observed + span for observed in ages if observed + span >= now), default=None)


class MetricsPage:
    """Makes the answer to a scrape; safe for several threads."""

    def __init__(
        self,
        latest: Callable[[], Snapshot | None],
        renderer: Renderer,
        *,
        registry: CollectorRegistry,
        clock: Callable[[], datetime],
    ) -> None:
        self._latest = latest
        self._renderer = renderer
        self._registry = registry
        self._clock = clock
        self._lock = threading.Lock()
        self._page: _Page | None = None

    def response(self) -> Response:
        """Return the page, with the exporter's own process metrics as they are now at its end."""
        page = self._current()
        own = generate_latest(self._registry)
        # Gzip allows members one after the other (RFC 1952), so the large part is compressed once for all scrapes.
        gzipped = page.gzipped + gzip.compress(own, GZIP_LEVEL) if page.gzipped is not None else None
        return Response(200, page.text + own, content_type=CONTENT_TYPE, gzipped=gzipped)

    def _current(self) -> _Page:
        snapshot, now = self._latest(), self._clock()
        with self._lock:
            page = self._page
            if page is None or page.snapshot is not snapshot or (page.until is not None and now > page.until):
                page = self._page = self._render(snapshot, now)
            return page

    def _render(self, snapshot: Snapshot | None, now: datetime) -> _Page:
        text = self._renderer.render(snapshot, now).encode()
        return _Page(
            snapshot,
            next_expiry(snapshot, now) if snapshot is not None else None,
            text,
            gzip.compress(text, GZIP_LEVEL) if len(text) >= GZIP_FROM else None,
        )
