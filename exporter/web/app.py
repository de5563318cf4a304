"""What the exporter serves: metrics, health and a landing page; every other path is 404."""

import html
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from prometheus_client import CollectorRegistry

from depthgauge import __version__
from depthgauge.history import History
from depthgauge.httpd import App, Request, Response, text
from depthgauge.snapshot import EXPIRY_INTERVALS, Snapshot
from exporter.render import Renderer
from exporter.settings import ExporterSettings
from exporter.store import SnapshotStore
from exporter.web.historical import PATH as HISTORICAL
from exporter.web.historical import Historical
from exporter.web.page import MetricsPage

_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_LANDING: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Depthgauge exporter</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem }}
dt {{ font-weight: 600 }}
</style>
</head>
<body>
<main>
<h1>Depthgauge exporter</h1>
<p>Watches job queues and the workers that drain them.</p>
<dl>
<dt>Version</dt><dd>{version}</dd>
<dt>Host</dt><dd>{host}</dd>
<dt>Interval</dt><dd>{interval:g} seconds</dd>
<dt>Last snapshot</dt><dd>{taken}</dd>
</dl>
<ul>
<li><a href="{metrics}">Metrics</a></li>
<li><a href="/-/healthy">Healthy</a></li>
<li><a href="/-/ready">Ready</a></li>
</ul>
</main>
</body>
</html>
"""


def make_app(
    settings: ExporterSettings,
    store: SnapshotStore,
    *,
    registry: CollectorRegistry,
    clock: Callable[[], datetime],
    visible: Callable[[Snapshot], Snapshot],
    history: History | None = None,
) -> App:
    """Return the application. ``visible`` takes away what this exporter may not show any more; it is asked at each scrape.

    ``history`` answers questions about what was, where there is a database to ask.
    """
    configured = [(each.name, queue) for each in settings.redis for queue in configured_names(each.queues)]
    metrics = MetricsPage(
        _Visible(store, visible),
        Renderer(budget=settings.series_budget, configured=configured),
        registry=registry,
        clock=clock,
    )

    def landing(_: Request) -> Response:
        taken = store.latest.taken_at.isoformat(timespec="seconds") if store.latest is not None else "none yet"
        page = _LANDING.format(
            version=html.escape(__version__),
            host=html.escape(settings.host),
            interval=settings.interval,
            taken=html.escape(taken),
            metrics=html.escape(settings.web.telemetry_path),
        )
        return Response(
            200, page.encode(), content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": _POLICY}
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

    routes: dict[str, Callable[[Request], Response]] = {
        "/": landing,
        "/-/healthy": healthy,
        "/-/ready": ready,
        settings.web.telemetry_path: lambda _: metrics.response(),
        HISTORICAL: Historical(history, clock=clock),
    }

    def app(request: Request) -> Response:
        route = routes.get(request.path)
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
