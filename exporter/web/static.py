"""The status page's files: read once at start into a fixed table, so that no path of a request ever reaches the disk.

``/`` is the page itself, always asked for anew (``no-cache``) and cheap by its ETag. Everything else lives under
``/static/<version>/``, where the version is a digest of all files, and may be kept for ever. Facts of caching and
conditional requests are from RFC 9111 and RFC 9110; of the policy, from the W3C's Content Security Policy Level 3.
"""

import gzip
import hashlib
import html
import importlib.resources
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Final

from depthgauge import __version__
from depthgauge.httpd import Request, Response, accepts_gzip, text

PREFIX: Final = "/static/"
INDEX: Final = "index.html"

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing inline and nothing from elsewhere; the page's icon is a ``data:`` image."""

_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Content-Security-Policy": POLICY,
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
)

_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "html": "text/html; charset=utf-8",
        "js": "text/javascript; charset=utf-8",
        "css": "text/css; charset=utf-8",
    }
)
_PLAIN: Final = "text/plain; charset=utf-8"

_VERSION_LENGTH: Final = 16
_DIGEST_LENGTH: Final = 32
_GZIP_LEVEL: Final = 9


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file as it is sent. A strong tag stands for bytes, so the compressed ones have a tag of their own."""

    body: bytes
    gzipped: bytes
    content_type: str
    digest: str
    cache_control: str

    def etag(self, *, compressed: bool) -> str:
        """Return the entity tag of the bytes that are sent."""
        return f'"{self.digest}-gzip"' if compressed else f'"{self.digest}"'


def read_files() -> dict[str, bytes]:
    """Return the page's files as packed with this module, by their name relative to ``static/``."""
    return dict(_walk(importlib.resources.files("exporter.web") / "static", ""))


class StatusPage:
    """Answers for ``/`` and ``/static/…``; nothing in it changes after it was made, so threads may share it."""

    def __init__(self, *, interval: float, telemetry_path: str, files: Mapping[str, bytes] | None = None) -> None:
        """Read the files. ``interval`` is the seconds between snapshots, ``telemetry_path`` where the metrics are."""
        contents = dict(files if files is not None else read_files())
        self.version: Final = _version(contents)
        """A digest of all files: what makes their addresses change with their content."""
        words = {
            "{{version}}": __version__,
            "{{assets}}": f"{PREFIX.strip('/')}/{self.version}",
            "{{interval}}": f"{interval:g}",
            "{{metrics}}": telemetry_path.lstrip("/"),
        }
        page = contents.pop(INDEX).decode()
        for word, value in words.items():
            page = page.replace(word, html.escape(value))
        self._index = _made(INDEX, page.encode(), "no-cache")
        self._files = {
            f"{PREFIX}{self.version}/{name}": _made(name, body, "public, max-age=31536000, immutable")
            for name, body in contents.items()
        }

    @property
    def paths(self) -> frozenset[str]:
        """Every path under ``/static/`` that is answered."""
        return frozenset(self._files)

    def index(self, request: Request) -> Response:
        """Return the page."""
        return _answer(self._index, request)

    def asset(self, request: Request) -> Response:
        """Return a file of the page, or 404 for every path that is not exactly one of the table."""
        found = self._files.get(request.path)
        if found is None:
            return text(404, "no such file of the status page; it may have been upgraded: load the page again")
        return _answer(found, request)

    def route(self, request: Request) -> Callable[[Request], Response] | None:
        """Return what answers this request, None where it is not for the status page."""
        if request.path == "/":
            return self.index
        return self.asset if request.path.startswith(PREFIX) else None


def _known(header: str, file: StaticFile) -> bool:
    """Judge an If-None-Match header by weak comparison; either form of a file is the same file."""
    tags = {each.strip().removeprefix("W/") for each in header.split(",")}
    return not tags.isdisjoint({"*", file.etag(compressed=True), file.etag(compressed=False)})


def _answer(file: StaticFile, request: Request) -> Response:
    compressed = accepts_gzip(request.headers.get("accept-encoding", ""))
    headers = {**_HEADERS, "ETag": file.etag(compressed=compressed), "Cache-Control": file.cache_control}
    if _known(request.headers.get("if-none-match", ""), file):
        return Response(304, b"", content_type=file.content_type, headers={**headers, "Vary": "Accept-Encoding"})
    return Response(200, file.body, content_type=file.content_type, headers=headers, gzipped=file.gzipped)


def _made(name: str, body: bytes, cache_control: str) -> StaticFile:
    return StaticFile(
        body=body,
        gzipped=gzip.compress(body, _GZIP_LEVEL, mtime=0),
        content_type=_TYPES.get(name.rpartition(".")[2], _PLAIN),
        digest=hashlib.sha256(body).hexdigest()[:_DIGEST_LENGTH],
        cache_control=cache_control,
    )


def _version(contents: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, body in sorted(contents.items()):
        digest.update(f"{name}\0{len(body)}\0".encode() + body)
    return digest.hexdigest()[:_VERSION_LENGTH]


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry.read_bytes()
