"""Asking a daemon of this host whether it is alive."""

import http.client
import sys
from typing import Final

from depthgauge.settings import WebSettings

PATH: Final = "/-/healthy"
TIMEOUT: Final = 3.0
_EVERYWHERE: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  it is asked, not listened on


def target(address: str) -> tuple[str, int]:
    """Return host and port to connect to for an address that is listened on."""
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    return _EVERYWHERE.get(host, host), int(port)


def run(settings: WebSettings, *, timeout: float = TIMEOUT) -> int:
    """Return 0 if the daemon says that it is healthy, else 1 with the reason on standard error."""
    host, port = target(settings.listen[0])
    problem = _ask(host, port, timeout) if port else "it listens on a port that it chose itself; name one in web.listen"
    if problem is None:
        return 0
    print(f"depthgauge healthcheck: {settings.listen[0]}{PATH}: {problem}", file=sys.stderr)
    return 1


def _ask(host: str, port: int, timeout: float) -> str | None:
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", PATH)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as exc:
        return str(exc) or type(exc).__name__
    finally:
        connection.close()
    return None if status == http.HTTPStatus.OK else f"HTTP status {status}"
