"""``GET /api/system/queue/historical``: what was, out of the database; the live pages do without it."""

import gzip
import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from depthgauge.history import BadParameter, History, HistoryQuery, HistoryUnavailable
from depthgauge.history_parameters import NAMES, parse
from depthgauge.httpd import Request, Response, accepts_gzip

PATH: Final = "/api/system/queue/historical"
NOT_CONFIGURED: Final = "history is not configured: set [history] dsn"

_JSON: Final = "application/json"
_GZIP_FROM: Final = 1024
_RETRY_SECONDS: Final = 5

# A spool brings late rows for a day; the newest slots need some moments to be written and rolled up.
_SETTLED: Final = ((timedelta(hours=25), 3600), (timedelta(minutes=5), 60))
_BRIEFLY: Final = 5


class Historical:
    """Answers questions about history; without a ``history`` it says how to have one."""

    def __init__(self, history: History | None, *, clock: Callable[[], datetime]) -> None:
        self._history = history
        self._clock = clock

    def __call__(self, request: Request) -> Response:
        """Return records as JSON, 304 if the client has them, 400 for a bad question, 503 while the database is away."""
        try:
            query = parse(parameters(request.query), self._clock())
        except BadParameter as exc:
            return _error(HTTPStatus.BAD_REQUEST, "bad_request", exc.message, exc.parameter)
        if self._history is None:
            return _error(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", NOT_CONFIGURED)
        try:
            body = msgspec.json.encode(self._history.read(query))
        except HistoryUnavailable as exc:
            retry = {"Retry-After": str(_RETRY_SECONDS)}
            return _error(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", str(exc), headers=retry)
        tag = f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
        headers = {"ETag": tag, "Cache-Control": f"private, max-age={self._max_age(query)}"}
        if _is_known(tag, request.headers.get("if-none-match", "")):
            return Response(
                HTTPStatus.NOT_MODIFIED, b"", content_type=_JSON, headers={**headers, "Vary": "Accept-Encoding"}
            )
        gzipped = None
        if len(body) >= _GZIP_FROM:
            headers["Vary"] = "Accept-Encoding"
            if accepts_gzip(request.headers.get("accept-encoding", "")):
                gzipped = gzip.compress(body, 1, mtime=0)
        return Response(HTTPStatus.OK, body, content_type=_JSON, headers=headers, gzipped=gzipped)

    def _max_age(self, query: HistoryQuery) -> int:
        past = self._clock() - query.end
        return next((seconds for age, seconds in _SETTLED if past >= age), _BRIEFLY)


def parameters(query: str) -> list[tuple[str, str]]:
    """Return the parameters of a request's query in their order; raise BadParameter where it is malformed."""
    try:
        # A request's head was read as Latin-1; what clients mean is UTF-8.
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=2 * len(NAMES), encoding="latin-1")
        return [(name.encode("latin-1").decode(), value.encode("latin-1").decode()) for name, value in pairs]
    except UnicodeError:
        raise BadParameter("query", "it is no UTF-8") from None
    except ValueError:
        raise BadParameter("query", "it has too many parameters") from None


def _is_known(tag: str, header: str) -> bool:
    """Say whether an If-None-Match names the tag; weakly, as RFC 9110 wants it for this header."""
    tags = {each.strip().removeprefix("W/") for each in header.split(",")}
    return "*" in tags or tag.removeprefix("W/") in tags


def _error(
    status: HTTPStatus,
    code: str,
    message: str,
    parameter: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    told = {"code": code, "message": message} | ({"parameter": parameter} if parameter is not None else {})
    body = msgspec.json.encode({"error": told})
    return Response(status, body, content_type=_JSON, headers={"Cache-Control": "no-store", **(headers or {})})
