"""Addresses to listen on, and the sockets that do."""

import ipaddress
import logging
import socket
from typing import Final

log = logging.getLogger(__name__)

BACKLOG: Final = 512
_CLIENT_BITS: Final = 64
"""Of an IPv6 address: what one customer usually gets, so it is one client."""


def parse_address(address: str) -> tuple[str | None, int]:
    """Return host (None for all) and port of ``host:port``, ``:port`` or ``[v6]:port``; raise ValueError."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{address!r} is no address to listen on: write host:port, :port or [v6]:port")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError(f"{address!r}: write an IPv6 address in brackets")
    return host.strip("[]") or None, int(port)


def listen(address: str) -> list[socket.socket]:
    """Return listening sockets for an address; raise OSError that names it."""
    host, port = parse_address(address)
    try:
        if host is None and socket.has_dualstack_ipv6():
            try:
                return [
                    socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)
                ]
            except OSError as exc:
                log.debug("no IPv6 here (%s), listening on IPv4 only", exc)
        family = socket.AF_INET6 if host is not None and ":" in host else socket.AF_INET
        return [socket.create_server((host or "", port), family=family, backlog=BACKLOG)]
    except OSError as exc:
        raise OSError(exc.errno, f"cannot listen on {address}: {exc.strerror or exc}") from exc


def url_of(listener: socket.socket, scheme: str) -> str:
    """Return the URL under which a listening socket is reached from this host."""
    host, port = listener.getsockname()[:2]
    if host in ("::", "0.0.0.0"):  # noqa: S104  it is compared with, not bound
        host = "localhost"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def client_of(address: str) -> str:
    """Return who is counted as one client: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, _CLIENT_BITS), strict=False))
