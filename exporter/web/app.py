"""What the exporter serves: metrics, health and the status page; every other path is 404."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry

from depthgauge.httpd import App, Request, Response, text
from depthgauge.snapshot import EXPIRY_INTERVALS, Snapshot
from exporter.render import Renderer
from exporter.settings import ExporterSettings
from exporter.store import SnapshotStore
from exporter.web.api import PREFIX, not_found
from exporter.web.page import MetricsPage
from exporter.web.static import StatusPage


def make_app(
    settings: ExporterSettings,
    store: SnapshotStore,
    *,
    registry: CollectorRegistry,
    clock: Callable[[], datetime],
    visible: Callable[[Snapshot], Snapshot],
    api: Mapping[str, Callable[[Request], Response]],
) -> App:
    """Return the application.

    ``visible`` takes away what this exporter may not show any more; it is asked at each scrape. ``api`` are the routes of
    the JSON API by their paths.
    """
    configured = [(each.name, queue) for each in settings.redis for queue in configured_names(each.queues)]
    metrics = MetricsPage(
        _Visible(store, visible),
        Renderer(budget=settings.series_budget, configured=configured),
        registry=registry,
        clock=clock,
    )

    def healthy(_: Request) -> Response:
        return text(200, "healthy")

    def ready(_: Request) -> Response:
        if store.latest is None:
            return text(503, "not ready: the first collection has not ended yet")
        age = clock() - store.latest.taken_at
        if age > timedelta(seconds=EXPIRY_INTERVALS * settings.interval):
            return text(503, f"not ready: the last collection ended {age.total_seconds():.0f} s ago")
        return text(200, "ready")

    page = StatusPage(interval=settings.interval, telemetry_path=settings.web.telemetry_path)
    routes: dict[str, Callable[[Request], Response]] = {
        "/-/healthy": healthy,
        "/-/ready": ready,
        settings.web.telemetry_path: lambda _: metrics.response(),
        **api,
    }

    def app(request: Request) -> Response:
        route = routes.get(request.path) or page.route(request)
        if route is None and request.path.startswith(PREFIX):
            return not_found(request)
        if route is None:
            return text(404, f"not found; metrics are at {settings.web.telemetry_path}")
        return route(request)

    return app


def configured_names(queues: tuple[str, ...]) -> list[str]:
    """Return the bare names of configured queues, which may be pinned to a system (``rq:high``)."""
    return [name for queue in queues for name in {queue, queue.partition(":")[2] or queue}]


class _Visible:
    """The latest snapshot as it may be shown now; the same object as long as nothing about that changes."""

    def __init__(self, store: SnapshotStore, visible: Callable[[Snapshot], Snapshot]) -> None:
        self._store = store
        self._visible = visible
        self._last: tuple[Snapshot, Snapshot] | None = None

    def __call__(self) -> Snapshot | None:
        latest = self._store.latest
        if latest is None:
            return None
        shown = self._visible(latest)
        last = self._last
        if last is not None and last[0] is latest and (last[1] is shown or last[1] == shown):
            return last[1]
        self._last = (latest, shown)
        return shown
