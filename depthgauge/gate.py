"""Who may come in: methods, limits, other origins and credentials, before an application is asked at all.

What it goes by can be exchanged while it works (``apply``); what it remembers of clients stays.
"""

import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from depthgauge.credentials import Credentials, Verdict
from depthgauge.http_message import SECURITY_HEADERS, App, Request, Response, is_api, refusal
from depthgauge.limits import Clients, Shared
from depthgauge.listeners import client_of
from depthgauge.passwords import Passwords
from depthgauge.settings import WebSettings
from depthgauge.tls import TlsContexts

log = logging.getLogger(__name__)

RELOAD: Final = "/-/reload"
METHODS: Final = ("GET", "HEAD")
REASONS: Final = ("method", "unauthorized", "credentials", "attempts", "rate", "total_rate", "busy")
"""Why requests are refused, as the counter's label says it."""

ATTEMPT_INTERVAL: Final = 6.0
"""Seconds after which a client that gave wrong credentials may try once more."""
ATTEMPT_BURST: Final = 10
CORS_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class _Rules:
    """What is gone by at the moment."""

    settings: WebSettings
    credentials: Credentials
    total: Shared | None
    tls: TlsContexts | None
    headers: Mapping[str, str]


class Gate:
    """Stands before an application; safe for several threads. ``reload`` answers POST on RELOAD.

    Raise depthgauge.tls.TlsError where a certificate cannot be used.
    """

    def __init__(self, settings: WebSettings, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._clients = Clients(monotonic)
        self._attempts = Clients(monotonic)
        self._certificate_errors = 0
        self.reload: Callable[[], Response] | None = None
        self.refused = dict.fromkeys(REASONS, 0)
        """Requests refused, by reason."""
        # What is served where changes with a restart only.
        self._telemetry_path = settings.telemetry_path
        self._rules = self._make(settings)

    def apply(self, settings: WebSettings) -> None:
        """Go by these settings from the next request on; raise TlsError, and change nothing."""
        rules, before = self._make(settings), self._rules
        if before.tls is not None:
            self._certificate_errors += before.tls.errors
        self._rules = rules

    def _make(self, settings: WebSettings) -> _Rules:
        config = settings.config
        limit = config.rate_limit
        return _Rules(
            settings,
            Credentials(settings.tokens, Passwords(config.users, salt=secrets.token_bytes(32))),
            Shared(limit.interval, limit.burst, self._monotonic) if limit is not None else None,
            TlsContexts(config.tls) if config.tls is not None else None,
            {**SECURITY_HEADERS, **dict(config.headers)},
        )

    @property
    def tls(self) -> TlsContexts | None:
        """How to shake hands with the next client; None speaks plain HTTP."""
        return self._rules.tls

    @property
    def headers(self) -> Mapping[str, str]:
        """What goes on every answer."""
        return self._rules.headers

    @property
    def certificate_errors(self) -> int:
        """Changed certificates that could not be loaded."""
        tls = self._rules.tls
        return self._certificate_errors + (tls.errors if tls is not None else 0)

    def answer(self, request: Request, app: App) -> Response:
        """Return the application's answer, or say why it is not asked."""
        rules = self._rules
        origin = request.headers.get("origin")
        response = self._refusal(rules, request) or self._admitted(request, app)
        if not is_api(request.path) or not rules.settings.cors_origins:
            return response
        return _for_origin(response, origin if origin in rules.settings.cors_origins else None)

    def _admitted(self, request: Request, app: App) -> Response:
        if request.method == "OPTIONS":
            return Response(HTTPStatus.NO_CONTENT, b"", headers={**_PREFLIGHT, "Allow": "GET, HEAD, OPTIONS"})
        if request.path == RELOAD:
            assert self.reload is not None, "the methods of a path that is not there are refused"
            return self.reload()
        return app(request)

    def _refusal(self, rules: _Rules, request: Request) -> Response | None:
        """Return why the request is refused, None where it is not."""
        settings, path = rules.settings, request.path
        if rules.total is not None and (wait := rules.total.take()):
            return self._too_many("total_rate", path, wait, "too many requests to this server")
        client = client_of(request.client)
        # A scraper that is refused looks like a host that is down.
        spared = path == self._telemetry_path or path.startswith("/-/")
        if settings.rate_limit and not spared:
            wait = self._clients.take(client, 1 / settings.rate_limit, settings.rate_burst)
            if wait:
                return self._too_many("rate", path, wait, "too many requests from your address")
        allowed = self._methods(path)
        if request.method not in allowed:
            return self._refuse(
                "method",
                path,
                HTTPStatus.METHOD_NOT_ALLOWED,
                f"only {' and '.join(allowed)} are answered here",
                {"Allow": ", ".join(allowed)},
            )
        if request.method == "OPTIONS":
            return None
        if path == RELOAD or is_api(path) or rules.credentials.has_users:
            return self._check(rules.credentials, request, client)
        return None

    def _methods(self, path: str) -> tuple[str, ...]:
        if path == RELOAD and self.reload is not None:
            return ("POST",)
        return (*METHODS, "OPTIONS") if is_api(path) else METHODS

    def _check(self, credentials: Credentials, request: Request, client: str) -> Response | None:
        path, header = request.path, request.headers.get("authorization")
        if header and (wait := self._attempts.look(client, ATTEMPT_INTERVAL, ATTEMPT_BURST)):
            return self._too_many("attempts", path, wait, "too many wrong tokens or passwords from your address")
        verdict = credentials.judge(header)
        challenge = {"WWW-Authenticate": credentials.challenge}
        if verdict is Verdict.BUSY:
            return self._too_many("busy", path, 1.0, "too many passwords to check at the moment")
        if verdict is Verdict.MISSING:
            told = "a token is needed: Authorization: Bearer …" if path == RELOAD or is_api(path) else "log in first"
            return self._refuse("unauthorized", path, HTTPStatus.UNAUTHORIZED, told, challenge)
        if verdict is Verdict.WRONG:
            self._attempts.take(client, ATTEMPT_INTERVAL, ATTEMPT_BURST)
            log.warning("wrong credentials from %s for %s", request.client, path)
            return self._refuse("credentials", path, HTTPStatus.UNAUTHORIZED, "wrong token or password", challenge)
        if path == RELOAD and verdict is not Verdict.TOKEN:
            # A browser adds a password by itself, also to what another site makes it send.
            return self._refuse("unauthorized", path, HTTPStatus.UNAUTHORIZED, "a token is needed here", challenge)
        return None

    def _too_many(self, reason: str, path: str, wait: float, message: str) -> Response:
        seconds = max(1, math.ceil(wait))
        told = f"{message}; come again in {seconds} s"
        return self._refuse(reason, path, HTTPStatus.TOO_MANY_REQUESTS, told, {"Retry-After": str(seconds)})

    def _refuse(
        self, reason: str, path: str, status: HTTPStatus, message: str, headers: Mapping[str, str] | None = None
    ) -> Response:
        with self._lock:
            self.refused[reason] += 1
        return refusal(path, status, message, headers)


_PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": "Authorization, If-None-Match",
    "Access-Control-Max-Age": str(CORS_SECONDS),
}
_EXPOSED: Final = "ETag, Retry-After"


def _for_origin(response: Response, origin: str | None) -> Response:
    """Return an answer that the pages of this origin may read, if there is one; caches keep origins apart in any case."""
    headers = dict(response.headers)
    headers["Vary"] = ", ".join([*([headers["Vary"]] if "Vary" in headers else []), "Origin"])
    if origin is not None:
        headers |= {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": _EXPOSED}
    else:
        headers = {name: value for name, value in headers.items() if not name.startswith("Access-Control-")}
    return Response(response.status, response.body, response.content_type, headers, response.gzipped)
