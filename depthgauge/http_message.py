"""Requests and responses of HTTP/1.1 as values, and their way from and to bytes. Facts are from RFC 9110 and RFC 9112."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote, urlsplit

SECURITY_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "deny",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
)
"""On every answer, unless somebody says otherwise."""

_BODILESS: Final = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
_ONCE: Final = frozenset({"authorization", "content-length", "host", "origin"})
"""Headers that two parties could understand differently if they came twice."""
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked; header names are lower-case, ``client`` is the address that asks, without its port."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    client: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """What to answer; ``gzipped`` is the same body compressed, sent to those who accept it."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    gzipped: bytes | None = None


App = Callable[[Request], Response]


class BadRequest(Exception):  # noqa: N818  it is named after its status
    """The client sent something that is no request we answer."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        self.status = status
        super().__init__(reason)


def text(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a plain text response."""
    return Response(status, f"{message}\n".encode(), headers=headers or {})


def is_api(path: str) -> bool:
    """Say whether a path belongs to the JSON API."""
    return path == "/api" or path.startswith("/api/")


def refusal(path: str, status: HTTPStatus, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer that says no: JSON on the API's paths, text elsewhere."""
    if not is_api(path):
        return text(status, message, headers)
    body = json.dumps({"error": {"code": status.name.lower(), "message": message}}).encode()
    return Response(status, body, content_type="application/json", headers=headers or {})


def parse_head(head: bytes, client: str = "") -> tuple[Request, bool]:
    """Return the request of a head (without the empty line) and whether the connection may be kept.

    Raise BadRequest. The target is taken as a path with a query; a request with a body is refused, as we read none.
    """
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise BadRequest(HTTPStatus.BAD_REQUEST, "this is no HTTP/1 request")
    headers = _headers(lines[1:])
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        raise BadRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "requests with a body are not answered here")
    connection = headers.get("connection", "").lower()
    keep = connection != "close" if parts[2] == "HTTP/1.1" else connection == "keep-alive"
    try:
        target = urlsplit(parts[1])
    except ValueError as exc:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "malformed request target") from exc
    return Request(parts[0], unquote(target.path) or "/", target.query, headers, client), keep


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        lower = name.lower()
        if not colon or not name or name != name.strip() or _CONTROL.search(line):
            raise BadRequest(HTTPStatus.BAD_REQUEST, "malformed header")
        if lower in _ONCE and lower in headers:
            raise BadRequest(HTTPStatus.BAD_REQUEST, f"the header {lower} came twice")
        headers[lower] = value.strip()
    return headers


def render(
    response: Response,
    request: Request | None,
    *,
    keep: bool,
    now: float,
    headers: Mapping[str, str] = SECURITY_HEADERS,
) -> bytes:
    """Return the bytes of a response; ``headers`` go on every answer and win over the answer's own."""
    body, extra = response.body, dict(response.headers)
    if response.gzipped is not None:
        extra["Vary"] = ", ".join([*([extra["Vary"]] if "Vary" in extra else []), "Accept-Encoding"])
        if request is not None and accepts_gzip(request.headers.get("accept-encoding", "")):
            body = response.gzipped
            extra["Content-Encoding"] = "gzip"
    told = {name.lower() for name in headers}
    extra = {name: value for name, value in extra.items() if name.lower() not in told} | dict(headers)
    framing = [f"Content-Type: {response.content_type}", f"Content-Length: {len(body)}"]
    head = [
        f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}",
        f"Date: {formatdate(now, usegmt=True)}",
        *(framing if response.status not in _BODILESS else ()),
        f"Connection: {'keep-alive' if keep else 'close'}",
        *(f"{name}: {value}" for name, value in extra.items()),
        "\r\n",
    ]
    silent = response.status in _BODILESS or (request is not None and request.method == "HEAD")
    return "\r\n".join(head).encode("latin-1") + (b"" if silent else body)


def accepts_gzip(header: str) -> bool:
    """Judge an Accept-Encoding header: gzip or * without q=0."""
    taken: dict[str, bool] = {}
    for item in header.lower().split(","):
        coding, _, parameters = item.partition(";")
        weight = parameters.replace(" ", "").removeprefix("q=")
        taken[coding.strip()] = weight.strip("0.") != "" or not parameters
    return taken.get("gzip", taken.get("*", False))
