"""A small real server of the status page over a scripted API: what is behind the numbers is the test's to say."""

import hashlib
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, quote

import pytest

from depthgauge.httpd import Request, Response, Server, text
from depthgauge.secrets import Secret
from depthgauge.settings import WebSettings
from exporter.web.api import not_found
from exporter.web.historical import NOT_CONFIGURED
from exporter.web.json_reply import error
from exporter.web.static import StatusPage
from tests.plugins import fleet_numbers
from tests.plugins.fleet_numbers import Json, iso, process, queue
from tests.plugins.ports import free_port

INTERVAL = 2.0


class Fleet:
    """The numbers and the server that tells them; every attribute may be changed while it runs."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.age = 1.5
        self._token = "a-token"
        self.history = True
        self.gap = timedelta(minutes=10)
        self.hosts = ["web-1", "web-2"]
        self.missing: list[str] = []
        self.source = "cache"
        self.queues = [
            queue("default", now, waiting=12, active=4, workers=6, oldestJobAgeSeconds=3.2, failed=2),
            queue("mail", now, waiting=3, active=1, oldestJobAgeSeconds=1.1, delayed=24),
            queue("reports", now, waiting=0, active=2, workers=4),
        ]
        self.processes = [
            *(process("default", number, now) for number in range(4)),
            *(process("default", number, now, host="web-2") for number in range(2)),
            *(process("mail", number, now) for number in range(2)),
            *(process("reports", number, now, host="web-2") for number in range(4)),
        ]
        self.health = fleet_numbers.health(now)
        self.performance = fleet_numbers.performance()
        self.sources = fleet_numbers.sources(now)
        self.failing: dict[str, Response] = {}
        """Replies given instead of the true ones, by path."""
        self.asked: list[Request] = []
        self.unchanged = 0
        """How many requests were answered with 304."""
        self._lock = threading.Lock()
        self._port = free_port()
        self._page = StatusPage(interval=INTERVAL, telemetry_path="/metrics")
        self._server: Server | None = None

    @property
    def token(self) -> str:
        """What opens the API, by the real gate; may be changed while the server runs."""
        return self._token

    @token.setter
    def token(self, value: str) -> None:
        self._token = value
        if self._server is not None:
            self._server.gate.apply(self._settings)

    @property
    def _settings(self) -> WebSettings:
        return WebSettings(listen=(f"127.0.0.1:{self._port}",), tokens=(Secret(self._token),))

    @property
    def signed_in(self) -> str:
        """The page's address with the token in its fragment."""
        return f"{self.url}#token={quote(self._token)}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/"

    def start(self) -> "Fleet":
        """Listen, on the same port each time."""
        self._server = Server(self._settings, self._answer)
        self._server.start()
        return self

    def stop(self) -> None:
        """Be gone."""
        if self._server is not None:
            self._server.stop(1.0)
            self._server = None

    def find(self, name: str) -> Json:
        """Return the queue of that name."""
        return next(each for each in self.queues if each["queue"] == name)

    def paths(self) -> list[str]:
        """Return what was asked of the API, with its query."""
        with self._lock:
            return [f"{each.path}?{each.query}" for each in self.asked if each.path.startswith("/api/")]

    def _answer(self, request: Request) -> Response:
        with self._lock:
            self.asked.append(request)
        if (route := self._page.route(request)) is not None:
            return route(request)
        if not request.path.startswith("/api/"):
            return text(404, "not found")
        if request.path in self.failing:
            return self.failing[request.path]
        if request.path == "/api/system/queue/historical":
            return self._historical(request)
        return self._live(request)

    def _live(self, request: Request) -> Response:
        bodies: dict[str, Json] = {
            "/api/system/queue/stats": self._stats(),
            "/api/system/queues": {"data": self.queues},
            "/api/system/workers": {"data": self.processes, "supervisors": []},
            "/api/system/health": {"data": self.health, "sources": self.sources},
            "/api/system/performance": {"data": self.performance},
        }
        if request.path not in bodies:
            return not_found(request)
        # As of the real thing: what passes with time alone is no change.
        etag = f'"{hashlib.sha256(json.dumps([bodies[request.path], self.missing, self.source]).encode()).hexdigest()}"'
        if request.headers.get("if-none-match") == etag:
            self.unchanged += 1
            return Response(304, b"", headers={"ETag": etag})
        envelope: Json = {
            "recordedAt": iso(self.now - timedelta(seconds=self.age)),
            "ageSeconds": self.age,
            "hosts": self.hosts,
            "missingHosts": self.missing,
            "source": self.source,
        }
        return _json(200, {**envelope, **bodies[request.path]}, ETag=etag)

    def _stats(self) -> Json:
        def total(field: str) -> int:
            return sum(each[field] or 0 for each in self.queues)

        return {
            "pending": total("waiting"),
            "processing": total("active"),
            "delayed": total("delayed"),
            "failed": total("failed"),
            "completed": None,
            "workers": total("workers"),
            "workersByQueue": {each["queue"]: each["workers"] for each in self.queues},
            "pendingByQueue": {each["queue"]: each["waiting"] for each in self.queues},
            "failedByQueue": {each["queue"]: each["failed"] for each in self.queues},
        }

    def _historical(self, request: Request) -> Response:
        if not self.history:
            return error(HTTPStatus.SERVICE_UNAVAILABLE, NOT_CONFIGURED)
        query = {name: values[0] for name, values in parse_qs(request.query, strict_parsing=True).items()}
        start, end = (datetime.fromisoformat(query[name]) for name in ("start_date", "end_date"))
        step = int(query["step"])
        data = fleet_numbers.history(start, end, step, gap=self.gap)
        reply: Json = {"data": data, "count": len(data), "step": step, "resolution": "raw", "truncated": False}
        return _json(200, {**reply, "next_cursor": None})


def _json(status: int, body: Json, **headers: Any) -> Response:
    return Response(status, json.dumps(body).encode(), content_type="application/json", headers=headers)


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    """Give a fleet in which all is well, listening."""
    made = Fleet(datetime.now(UTC)).start()
    yield made
    made.stop()
