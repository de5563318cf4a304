"""One XML-RPC call to supervisord: bounded in time, in bytes, and with errors that say what to do.

``supervisor.xmlrpc.SupervisorTransport`` has no timeout and keeps its connection; ``xmlrpc.client`` follows neither a
total deadline nor a size limit. So the exchange is made here, out of ``http.client.HTTPResponse``: one connection a call, closed at its end, no proxy variables, no redirects.
"""

import base64
import http.client
import socket
import struct
import xmlrpc.client
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import urlsplit

from depthgauge.errors import ConfigError, ErrorKind, SourceError
from depthgauge.secrets import Secret, masked
from exporter.sources.bounded import CHUNK, BoundedReply, remaining
from exporter.sources.resolver import Address, Resolver
from exporter.sources.rpc_reply import fault_kind, loads

MAX_REPLY: Final = 64 * 1024 * 1024
"""Bytes a reply may have; supervisord needs about 1.3 KiB a process."""
NOT_HERE: Final = 0
"""The peer pid of a server that is not a process of this host: what the kernel says of one outside our pid namespace."""

_ADD_RPC2: Final = "add /RPC2 to the URL"


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeouts:
    """Seconds one call may take."""

    connect: float = 2.0
    read: float = 5.0
    """The longest silence while waiting for bytes."""
    total: float = 10.0
    """Everything together, name resolution included."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """Where supervisord listens."""

    url: str
    path: str
    """Request path of the XML-RPC interface."""
    socket_path: str | None = None
    host: str = "localhost"
    port: int = 80

    @classmethod
    def parse(cls, url: str) -> "Endpoint":
        """Return the endpoint of ``unix:///path`` or ``http://host:port/RPC2``; raise ConfigError for anything else."""
        shown = masked(url)
        if url.startswith("unix://"):
            socket_path = url.removeprefix("unix://")
            if not socket_path.startswith("/"):
                raise ConfigError((f"supervisor url {shown!r}: write the socket's absolute path, unix:///path",))
            return cls(url=shown, path="/RPC2", socket_path=socket_path)
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as exc:
            raise ConfigError((f"supervisor url {shown!r}: {exc}",)) from exc
        if parts.scheme != "http" or not parts.hostname:
            raise ConfigError((f"supervisor url {shown!r}: write unix:///path or http://host:port/RPC2",))
        if parts.username is not None or parts.password is not None:
            raise ConfigError((f"supervisor url {shown!r}: put user name and password into their own settings",))
        return cls(url=shown, path=parts.path or "/", host=parts.hostname, port=80 if port is None else port)


class RpcClient:
    """Calls one supervisord. Not for several threads at once: one call in flight is the rule anyway."""

    def __init__(
        self,
        url: str,
        *,
        username: str | None = None,
        password: Secret | None = None,
        timeouts: Timeouts,
        monotonic: Callable[[], float],
        resolver: Resolver | None = None,
    ) -> None:
        self.endpoint = Endpoint.parse(url)
        self.peer_pid: int | None = None
        """Of the latest connection: the server's pid (unix socket), None if it can be any of this host, else NOT_HERE."""
        self._timeouts = timeouts
        self._monotonic = monotonic
        self._resolver = resolver or Resolver()
        self._has_login = username is not None
        self._authorization = ""
        if username is not None:
            login = f"{username}:{password.reveal() if password else ''}"
            self._authorization = f"Authorization: Basic {base64.b64encode(login.encode()).decode()}\r\n"

    def call(self, method: str, *params: object, within: float | None = None) -> Any:
        """Return the value of an XML-RPC call, ``within`` so many seconds if that is less than the usual; raise SourceError."""
        body = xmlrpc.client.dumps(cast("tuple[Any, ...]", params), method).encode()
        total = self._timeouts.total
        deadline = self._monotonic() + (total if within is None else min(total, within))
        try:
            return loads(self._post(body, deadline))
        except SourceError as exc:
            raise SourceError(exc.kind, f"supervisord at {self.endpoint.url}: {exc}") from exc
        except xmlrpc.client.Fault as exc:
            message = f"supervisord at {self.endpoint.url}: {method} failed: {exc.faultString} (fault {exc.faultCode})"
            raise SourceError(fault_kind(exc.faultCode), message) from exc
        except (OSError, http.client.HTTPException) as exc:
            kind, hint = self._judge(exc)
            raise SourceError(
                kind, f"supervisord at {self.endpoint.url}: {str(exc) or type(exc).__name__} ({hint})"
            ) from exc

    def _post(self, body: bytes, deadline: float) -> bytes:
        with self._connect(deadline) as sock:
            self.peer_pid = _peer_pid(sock)
            host = "localhost" if self.endpoint.socket_path else self.endpoint.host
            head = (
                f"POST {self.endpoint.path} HTTP/1.1\r\n"
                f"Host: {f'[{host}]' if ':' in host else host}\r\n"
                "Connection: close\r\nAccept: text/xml\r\nContent-Type: text/xml\r\nUser-Agent: depthgauge\r\n"
                f"{self._authorization}Content-Length: {len(body)}\r\n\r\n"
            )
            sock.settimeout(remaining(deadline, self._timeouts.read, self._monotonic))
            sock.sendall(head.encode("latin-1", "replace") + body)
            source = BoundedReply(
                sock,
                silence=self._timeouts.read,
                deadline=deadline,
                limit=MAX_REPLY + CHUNK,
                monotonic=self._monotonic,
            )
            with http.client.HTTPResponse(cast("socket.socket", source), method="POST") as response:
                response.begin()
                self._check_status(response)
                if response.length is not None and response.length > MAX_REPLY:
                    raise SourceError(
                        ErrorKind.TOO_LARGE, f"a reply of {response.length} bytes, {MAX_REPLY} are allowed"
                    )
                content = response.read(MAX_REPLY + 1)
                if response.length:
                    raise ConnectionResetError("the connection was closed in the middle of the reply")
                is_html = "html" in response.headers.get_content_type() or content.lstrip()[:5].lower() == b"<html"
        if len(content) > MAX_REPLY:
            raise SourceError(ErrorKind.TOO_LARGE, f"the reply has more than {MAX_REPLY} bytes")
        if is_html:
            raise SourceError(ErrorKind.NOT_RPC, f"{self.endpoint.path} is a web page, not XML-RPC: {_ADD_RPC2}")
        return content

    def _connect(self, deadline: float) -> socket.socket:
        path = self.endpoint.socket_path
        if path is not None:
            return self._open((socket.AF_UNIX, path), deadline)
        limit = remaining(deadline, self._timeouts.connect, self._monotonic)
        addresses = self._resolver.resolve(self.endpoint.host, self.endpoint.port, timeout=limit)
        for address in addresses[:-1]:
            try:
                return self._open(address, deadline)
            except OSError:
                continue
        return self._open(addresses[-1], deadline)

    def _open(self, address: Address, deadline: float) -> socket.socket:
        family, where = address
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(remaining(deadline, self._timeouts.connect, self._monotonic))
            sock.connect(where)
        except BaseException:
            sock.close()
            raise
        return sock

    def _check_status(self, response: http.client.HTTPResponse) -> None:
        status, reason = response.status, response.reason
        if status == http.HTTPStatus.OK:
            return
        if status in {http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN}:
            hint = "wrong user name or password" if self._has_login else "it wants a user name and a password"
            raise SourceError(ErrorKind.UNAUTHORIZED, f"HTTP {status} {reason}: {hint}")
        # supervisord answers 400 to a POST for a path that none of its handlers knows.
        wrong_path = status == http.HTTPStatus.BAD_REQUEST and not self.endpoint.path.startswith("/RPC2")
        if wrong_path or status in {http.HTTPStatus.NOT_FOUND, http.HTTPStatus.METHOD_NOT_ALLOWED}:
            raise SourceError(ErrorKind.NOT_RPC, f"HTTP {status} {reason} for {self.endpoint.path}: {_ADD_RPC2}")
        if 300 <= status < 400:
            where = masked(response.headers.get("Location", "elsewhere"))
            raise SourceError(ErrorKind.NOT_RPC, f"HTTP {status} to {where}: redirects are not followed, {_ADD_RPC2}")
        raise SourceError(ErrorKind.FAULT, f"HTTP {status} {reason}: see supervisord's log")

    def _judge(self, exc: Exception) -> tuple[ErrorKind, str]:
        for types, kind, hint in _BY_TYPE:
            if isinstance(exc, types):
                return kind, hint
        return ErrorKind.UNREACHABLE, "check the URL and the network"


_BY_TYPE: Final[tuple[tuple[type[Exception] | tuple[type[Exception], ...], ErrorKind, str], ...]] = (
    (socket.gaierror, ErrorKind.DNS, "the host name does not resolve"),
    (FileNotFoundError, ErrorKind.SOCKET_MISSING, "is supervisord running, and is this its [unix_http_server] file?"),
    (
        PermissionError,
        ErrorKind.PERMISSION_DENIED,
        "let this user into the socket's group: chown and chmod in [unix_http_server]",
    ),
    (ConnectionRefusedError, ErrorKind.REFUSED, "nothing listens there: is supervisord running?"),
    (TimeoutError, ErrorKind.TIMEOUT, "no answer in time: supervisord hangs or is overloaded"),
    # Linux answers EAGAIN when the backlog of a unix socket is full: its owner has not accepted for a while.
    (BlockingIOError, ErrorKind.TIMEOUT, "it accepts no more connections: supervisord hangs or is overloaded"),
    (
        (ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected, http.client.IncompleteRead),
        ErrorKind.CLOSED,
        "the server closed the connection before its reply was complete: is it supervisord's port?",
    ),
    (http.client.HTTPException, ErrorKind.NOT_RPC, "what listens there does not speak HTTP: is the port right?"),
)


def _peer_pid(sock: socket.socket) -> int | None:
    if sock.family == socket.AF_UNIX:
        if not hasattr(socket, "SO_PEERCRED"):
            return None
        pid, _uid, _gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return int(pid)
    # A connection to one of this host's own addresses comes from that same address.
    here, there = sock.getsockname()[0], sock.getpeername()[0]
    return None if here == there or there.startswith("127.") else NOT_HERE
