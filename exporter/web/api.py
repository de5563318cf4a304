"""The live JSON API: what every queue, process, server and host is now."""

import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from depthgauge.history import BadParameter
from depthgauge.httpd import Request, Response
from exporter.live import Live
from exporter.recent import Recent
from exporter.view import View
from exporter.web.bodies import queue_stats, queues, workers
from exporter.web.health_bodies import health, performance
from exporter.web.json_reply import Body, error, parameters
from exporter.web.openapi import document

PREFIX: Final = "/api/"

Route: TypeAlias = Callable[[Request], Response]


class LiveApi:
    """Answers the live endpoints; safe for several threads."""

    def __init__(self, live: Live, recent: Recent) -> None:
        self._live = live
        self._schema = _Once(document)
        self._makers: Mapping[str, Callable[[View], Any]] = {
            "/api/system/queue/stats": queue_stats,
            "/api/system/queues": lambda view: queues(view, recent),
            "/api/system/workers": lambda view: workers(view, recent),
            "/api/system/health": health,
            "/api/system/performance": performance,
        }
        self._kept = {path: _Kept(make) for path, make in self._makers.items()}

    @property
    def routes(self) -> Mapping[str, Route]:
        """The endpoints by their paths."""
        return {
            **{path: self._route(kept) for path, kept in self._kept.items()},
            "/api/openapi.json": _strict(lambda request: self._schema().reply(request)),
        }

    def _route(self, kept: "_Kept") -> Route:
        def answer(request: Request) -> Response:
            view = self._live.view()
            if view is None:
                return error(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    "nothing is known yet: the first collection has not ended; try again in a moment",
                )
            return kept.body(view).reply(request)

        return _strict(answer)


def not_found(request: Request) -> Response:
    """Answer a path below /api/ that is not there."""
    return error(HTTPStatus.NOT_FOUND, f"there is no {request.path[:200]!r}; /api/openapi.json tells what there is")


def _strict(answer: Route) -> Route:
    """Refuse every query parameter."""

    def route(request: Request) -> Response:
        try:
            parameters(request, {})
        except BadParameter as exc:
            return error(HTTPStatus.BAD_REQUEST, exc.message, parameter=exc.parameter)
        return answer(request)

    return route


class _Kept:
    """The body of one endpoint, made once for each view."""

    def __init__(self, make: Callable[[View], Any]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._last: tuple[View, Body] | None = None

    def body(self, view: View) -> Body:
        with self._lock:
            if self._last is None or self._last[0] is not view:
                self._last = (view, Body(self._make(view)))
            return self._last[1]


class _Once:
    """Something that is made when it is first asked for."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: Body | None = None

    def __call__(self) -> Body:
        with self._lock:
            if self._made is None:
                self._made = Body(self._make())
            return self._made
