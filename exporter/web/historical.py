"""``GET /api/system/queue/historical``: what was, out of the database; the live pages do without it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

from depthgauge.history import BadParameter, History, HistoryQuery, HistoryUnavailable
from depthgauge.history_parameters import NAMES, parse
from depthgauge.httpd import Request, Response
from exporter.web.json_reply import Body, error

PATH: Final = "/api/system/queue/historical"
NOT_CONFIGURED: Final = "history is not configured: set [history] dsn"

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
            return error(HTTPStatus.BAD_REQUEST, exc.message, parameter=exc.parameter)
        if self._history is None:
            return error(HTTPStatus.SERVICE_UNAVAILABLE, NOT_CONFIGURED)
        try:
            body = Body(self._history.read(query))
        except HistoryUnavailable as exc:
            return error(HTTPStatus.SERVICE_UNAVAILABLE, str(exc), headers={"Retry-After": str(_RETRY_SECONDS)})
        return body.reply(request, cache_control=f"private, max-age={self._max_age(query)}")

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
