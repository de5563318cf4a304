"""JSON over HTTP: bodies with a validator, and errors that say what was wrong."""

import gzip
import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from depthgauge.history import BadParameter
from depthgauge.httpd import Request, Response, accepts_gzip
from exporter.web.replies import ErrorDetail, ErrorReply

CONTENT_TYPE: Final = "application/json"
CACHE_CONTROL: Final = "no-cache, private"
"""Keep it, but ask whether it still holds: what is told needs a token."""
GZIP_LEVEL: Final = 1
GZIP_FROM: Final = 1024
MAX_PARAMETERS: Final = 50
_SHOWN: Final = 100
"""Characters of what a client sent that are repeated to it."""


class Body:
    """A JSON body with its entity tag, compressed at most once. Equal bytes have equal tags."""

    def __init__(self, value: Any) -> None:
        self._plain = msgspec.json.encode(value)
        self._digest = hashlib.sha256(self._plain).hexdigest()[:32]
        self._gzipped: bytes | None = None

    def reply(self, request: Request, *, cache_control: str = CACHE_CONTROL) -> Response:
        """Return the body, or 304 to a client that has it already."""
        small = len(self._plain) < GZIP_FROM
        compressed = not small and accepts_gzip(request.headers.get("accept-encoding", ""))
        # A strong tag stands for bytes, so the compressed body has one of its own.
        tag = f'"{self._digest}-gzip"' if compressed else f'"{self._digest}"'
        headers = {"ETag": tag, "Cache-Control": cache_control, "Vary": "Authorization"}
        if _is_known(request.headers.get("if-none-match", ""), self._digest):
            return Response(HTTPStatus.NOT_MODIFIED, b"", content_type=CONTENT_TYPE, headers=headers)
        if compressed and self._gzipped is None:
            self._gzipped = gzip.compress(self._plain, GZIP_LEVEL, mtime=0)
        return Response(
            HTTPStatus.OK,
            self._plain,
            content_type=CONTENT_TYPE,
            headers=headers if compressed or small else {**headers, "Vary": "Authorization, Accept-Encoding"},
            gzipped=self._gzipped if compressed else None,
        )


def _is_known(header: str, digest: str) -> bool:
    if header.strip() == "*":
        return True
    tags = (tag.strip().removeprefix("W/") for tag in header.split(","))
    return any(tag in (f'"{digest}"', f'"{digest}-gzip"') for tag in tags)


def error(
    status: HTTPStatus, message: str, *, parameter: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a JSON error; its code is the status in words: ``bad_request``, ``not_found`` and so on."""
    shown = parameter[:_SHOWN] if parameter is not None else None
    detail = ErrorDetail(code=status.name.lower(), message=message, parameter=shown)
    return Response(
        status,
        msgspec.json.encode(ErrorReply(error=detail)),
        content_type=CONTENT_TYPE,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def parameters(request: Request, known: Mapping[str, str]) -> Mapping[str, str]:
    """Return the query's parameters; raise BadParameter for one that is unknown or there twice. ``known`` says what each is."""
    try:
        pairs = parse_qsl(request.query, keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError as exc:
        raise BadParameter("", f"the query has more than {MAX_PARAMETERS} parameters") from exc
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            these = f"there are {', '.join(known)}" if known else "this address takes none"
            raise BadParameter(name[:_SHOWN], f"unknown parameter {name[:_SHOWN]!r}: {these}")
        if name in found:
            raise BadParameter(name, f"parameter {name!r} is there twice")
        found[name] = value
    return found
