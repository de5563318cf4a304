"""Asking a daemon of this host whether it is alive."""

import http.client
import ssl
import sys
from dataclasses import replace
from http import HTTPStatus
from typing import Final

from cli import build_web
from cli.inputs import Configuration
from cli.reading import Problems
from cli.schema import Role
from depthgauge.credentials import REALM
from depthgauge.settings import WebSettings

PATH: Final = "/-/healthy"
TIMEOUT: Final = 3.0
_EVERYWHERE: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  it is asked, not listened on


def target(address: str) -> tuple[str, int]:
    """Return host and port to connect to for an address that is listened on."""
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    return _EVERYWHERE.get(host, host), int(port)


def web_of(configuration: Configuration, role: Role) -> WebSettings:
    """Return what a daemon serves, for somebody who may not read its secrets and keys: the configuration has none."""
    settings, nodes = configuration.web[role], configuration.tables.get("web", ())
    path = build_web.path_of(nodes[0], configuration.file) if nodes else None
    if path is None:
        return settings
    # The daemon has its say about mistakes in the file; it may go on with what it read before.
    config = build_web.read(path, nodes[0].where("config_file"), Problems(), keys=False)
    return replace(settings, config=config)


def run(settings: WebSettings, *, timeout: float = TIMEOUT) -> int:
    """Return 0 if the daemon says that it is healthy, else 1 with the reason on standard error."""
    host, port = target(settings.listen[0])
    problem = (
        ask(settings, host, port, timeout)
        if port
        else "it listens on a port that it chose itself; name one in web.listen"
    )
    if problem is None:
        return 0
    print(f"depthgauge healthcheck: {settings.listen[0]}{PATH}: {problem}", file=sys.stderr)
    return 1


def ask(settings: WebSettings, host: str, port: int, timeout: float) -> str | None:
    """Ask whether it is healthy; return what speaks against it, None if nothing does.

    No secret is sent: a daemon that wants one, or a certificate of ours, is alive.
    """
    tls = settings.config.tls
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    if tls is not None:
        connection = http.client.HTTPSConnection(host, port, timeout=timeout, context=_context())
    shaken = False
    try:
        connection.connect()
        shaken = tls is not None
        connection.request("GET", PATH)
        answer = connection.getresponse()
    except (ConnectionError, http.client.RemoteDisconnected, ssl.SSLEOFError) as exc:
        # With TLS 1.3 the want of a certificate comes after the handshake, and a reset may overtake it.
        return None if shaken and tls is not None and tls.client_required else str(exc) or type(exc).__name__
    except ssl.SSLError as exc:
        refused = "CERTIFICATE_REQUIRED" in (exc.reason or "") or "HANDSHAKE_FAILURE" in (exc.reason or "")
        return None if tls is not None and tls.client_required and refused else str(exc)
    except (OSError, http.client.HTTPException) as exc:
        return str(exc) or type(exc).__name__
    finally:
        connection.close()
    locked = answer.status == HTTPStatus.UNAUTHORIZED and f'realm="{REALM}"' in answer.headers.get(
        "WWW-Authenticate", ""
    )
    if answer.status in {HTTPStatus.OK, HTTPStatus.TOO_MANY_REQUESTS} or locked:
        return None
    return f"HTTP status {answer.status}"


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Its certificate is made out to another name than the address it is asked at, and it is told nothing.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
