"""The API's contract as an OpenAPI 3.1 document; what replies look like is made from the types that the replies are made of."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from depthgauge import __version__
from depthgauge.history import HistoryPage
from depthgauge.history_parameters import LONGEST_NAME
from exporter.web.health_replies import Health, Performance
from exporter.web.replies import ErrorReply, Queues, QueueStats, Workers

_LIVE: Final = (
    ("/api/system/queue/stats", "queueStats", QueueStats, "Totals over all queues and hosts, as they are now."),
    ("/api/system/queues", "queues", Queues, "Every queue: jobs by state, oldest job, workers, trend."),
    ("/api/system/workers", "workers", Workers, "Every process and every supervisord."),
    ("/api/system/health", "health", Health, "Servers, disks, hosts, probed URLs, and how reading each source went."),
    ("/api/system/performance", "performance", Performance, "How fast databases and URLs answer, how busy hosts are."),
)
_ERRORS: Final[Mapping[str, str]] = {
    "400": "A parameter is unknown or cannot be used, the error names it; or this is no request, then as text.",
    "401": "A token or a password is wanted.",
    "405": "Neither GET, HEAD nor OPTIONS.",
    "413": "The request has a body.",
    "429": "Too many requests; Retry-After says when to come again.",
    "431": "The head of the request is too large.",
    "500": "A defect in the exporter; its log says more.",
    "503": "There is nothing to answer with yet; the error says why.",
}
_TEXT: Final = ("413", "431")
"""Told before the address is read, so that nobody knows yet that JSON is wanted."""
_UNCHANGED: Final = "The client has this answer already (If-None-Match)."
_REF: Final = "#/components/schemas/{name}"


def document() -> dict[str, Any]:
    """Return the document."""
    references, schemas = msgspec.json.schema_components(
        [*(reply for _, _, reply, _ in _LIVE), HistoryPage, ErrorReply], ref_template=_REF
    )
    responses = {f"Error{status}": _error(status, text, references[-1]) for status, text in _ERRORS.items()}
    paths = {path: {"get": _operation(name, text, references[at])} for at, (path, name, _, text) in enumerate(_LIVE)}
    paths["/api/system/queue/historical"] = {
        "get": _operation("queueHistory", _HISTORY_TEXT, references[-2], _HISTORY_PARAMETERS)
    }
    paths["/api/openapi.json"] = {"get": _operation("openapi", "This document.", {"type": "object"})}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Depthgauge",
            "version": __version__,
            "description": "Job queues and the workers that drain them: what they are now, and what they were.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": responses,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
        "security": [{"bearer": []}, {"basic": []}],
    }


def _operation(
    name: str, text: str, schema: Mapping[str, Any], parameters: tuple[Mapping[str, Any], ...] = ()
) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": text,
        **({"parameters": list(parameters)} if parameters else {}),
        "responses": {
            "200": _response("The answer.", schema),
            "304": {"description": _UNCHANGED},
            **{status: {"$ref": f"#/components/responses/Error{status}"} for status in _ERRORS},
        },
    }


def _response(text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _error(status: str, text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    plain = {"text/plain": {"schema": {"type": "string"}}}
    if status in _TEXT:
        return {"description": text, "content": plain}
    found = _response(text, schema)
    return {**found, "content": {**found["content"], **(plain if status == "400" else {})}}


_HISTORY_TEXT: Final = (
    "What the queues were, from the database: one record a step, of the whole fleet. "
    "The range is half-open: [start_date, end_date)."
)


def _parameter(name: str, text: str, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": text, "schema": schema}


_WHEN: Final = {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}]}
_HISTORY_PARAMETERS: Final = (
    _parameter(
        "start_date", "Begin of the range: ISO 8601, UTC without a zone; 24 hours before its end if left out.", _WHEN
    ),
    _parameter("end_date", "End of the range, not part of it; now if left out.", _WHEN),
    _parameter(
        "step",
        "Between records: seconds, or a number with a unit.",
        {"type": "string", "pattern": "^[0-9]{1,7}[smhd]?$"},
    ),
    _parameter("queue", "Only queues of this name.", {"type": "string", "maxLength": LONGEST_NAME}),
    _parameter("host", "Only what this host saw.", {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME}),
    _parameter("limit", "Records in a reply at most.", {"type": "integer", "minimum": 1, "maximum": 10_000}),
    _parameter(
        "cursor",
        "The next_cursor of the reply before, with its other parameters.",
        {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"},
    ),
)
