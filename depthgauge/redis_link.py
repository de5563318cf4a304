"""Connections to Redis: from a URL, with timeouts, and with errors that say what to do."""

import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import redis

from depthgauge.errors import ErrorKind, SourceError
from depthgauge.resp import MAX_BULK, Command, Reply, ReplyError, exchange
from depthgauge.secrets import Secret, masked

CLIENT_NAME: Final = "depthgauge"

_BY_CODE: Final = {
    "NOAUTH": ErrorKind.UNAUTHORIZED,
    "WRONGPASS": ErrorKind.UNAUTHORIZED,
    "NOPERM": ErrorKind.ACL_DENIED,
    "WRONGTYPE": ErrorKind.WRONG_TYPE,
    "LOADING": ErrorKind.LOADING,
    "BUSY": ErrorKind.BUSY,
    "READONLY": ErrorKind.READ_ONLY,
    "OOM": ErrorKind.OUT_OF_MEMORY,
    "MISCONF": ErrorKind.READ_ONLY,
}

_BY_TYPE: Final[tuple[tuple[tuple[type[BaseException], ...], ErrorKind], ...]] = (
    (
        (redis.exceptions.AuthenticationError, redis.exceptions.AuthenticationWrongNumberOfArgsError),
        ErrorKind.UNAUTHORIZED,
    ),
    ((redis.exceptions.NoPermissionError,), ErrorKind.ACL_DENIED),
    ((redis.exceptions.ReadOnlyError,), ErrorKind.READ_ONLY),
    ((redis.exceptions.OutOfMemoryError,), ErrorKind.OUT_OF_MEMORY),
    ((redis.exceptions.BusyLoadingError,), ErrorKind.LOADING),
    ((ssl.SSLError,), ErrorKind.TLS),
    ((socket.gaierror,), ErrorKind.DNS),
    ((FileNotFoundError,), ErrorKind.SOCKET_MISSING),
    ((PermissionError,), ErrorKind.PERMISSION_DENIED),
    ((ConnectionRefusedError,), ErrorKind.REFUSED),
    ((TimeoutError, redis.exceptions.TimeoutError), ErrorKind.TIMEOUT),
    ((ConnectionResetError, BrokenPipeError), ErrorKind.CLOSED),
    ((redis.exceptions.InvalidResponse,), ErrorKind.GARBAGE),
)

_HINTS: Final = {
    ErrorKind.SOCKET_MISSING: "is Redis running, and is the path right?",
    ErrorKind.PERMISSION_DENIED: "give this user access to the socket",
    ErrorKind.REFUSED: "is Redis running and listening there?",
    ErrorKind.DNS: "the host name does not resolve",
    ErrorKind.TIMEOUT: "it accepts connections but does not answer in time",
    ErrorKind.UNAUTHORIZED: "check user name and password",
    ErrorKind.ACL_DENIED: "grant the command to this user, see docs/redis.md",
    ErrorKind.LOADING: "Redis is loading its data set, wait",
    ErrorKind.READ_ONLY: "Redis refuses writes: a replica, or its disk is full",
    ErrorKind.OUT_OF_MEMORY: "Redis is at maxmemory",
    ErrorKind.TLS: "check certificate, CA and rediss:// against redis://",
}


def kind_of_code(code: str) -> ErrorKind:
    """Return the error kind of a Redis error's first word; FAULT for one that has no kind of its own."""
    return _BY_CODE.get(code, ErrorKind.FAULT)


def classify(exc: BaseException) -> ErrorKind:
    """Return the error kind of anything that redis-py or a socket raises, judged by the innermost cause that has one."""
    seen: BaseException | None = exc
    while seen is not None:
        if isinstance(seen, SourceError):
            return seen.kind
        for types, kind in _BY_TYPE:
            if isinstance(seen, types):
                return kind
        if isinstance(seen, redis.exceptions.ResponseError):
            return kind_of_code(str(seen).partition(" ")[0])
        seen = seen.__cause__ or seen.__context__
    if isinstance(exc, redis.exceptions.ConnectionError):
        return ErrorKind.CLOSED if "closed" in str(exc).lower() else ErrorKind.UNREACHABLE
    return ErrorKind.UNREACHABLE if isinstance(exc, OSError) else ErrorKind.INTERNAL


def explain(url: Secret, exc: BaseException) -> SourceError:
    """Return the SourceError that tells what failed on which Redis, and what to do."""
    kind = classify(exc)
    hint = _HINTS.get(kind)
    message = f"Redis at {masked(url.reveal())}: {exc}" + (f" ({hint})" if hint else "")
    return SourceError(kind, message)


def client(url: Secret, *, timeout: float) -> redis.Redis:
    """Return a redis-py client that gives up after ``timeout`` seconds per socket operation and never retries itself."""
    return redis.Redis.from_url(
        url.reveal(),
        socket_connect_timeout=timeout,
        socket_timeout=timeout,
        retry=None,
        protocol=2,
        client_name=CLIENT_NAME,
    )


class Link:
    """One connection to one Redis, opened when needed and closed after any failure; not for several threads at once.

    redis-py opens the socket (TCP, TLS or unix); AUTH, SELECT and CLIENT SETNAME go through :func:`exchange`, so that one
    deadline holds from the first byte to the last, and so that a user who may not set names can still read.
    """

    def __init__(self, url: Secret, *, connect_timeout: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.url = url
        self._connect_timeout = connect_timeout
        self._monotonic = monotonic
        pool = client(url, timeout=connect_timeout).connection_pool
        self._connection_class: Callable[..., Any] = pool.connection_class
        self._options: dict[str, Any] = dict(pool.connection_kwargs)
        self._username: str | None = self._options.pop("username", None) or None
        self._password: str | None = self._options.pop("password", None) or None
        self._database = int(self._options.get("db") or 0)
        self._connection: Any = None
        self.connects = 0
        """Connections made so far: a change means that it may be another server now."""

    def exchange(self, commands: Sequence[Command], *, deadline: float, max_bulk: int = MAX_BULK) -> list[Reply]:
        """Send one pipeline, return its replies; raise SourceError. ``deadline`` is by the link's monotonic clock.

        A connection that was left open and turns out to be closed (the server's ``timeout``, a restart) is opened anew
        once: send only commands that may be sent twice.
        """
        if not commands:
            return []
        try:
            if self._connection is not None:
                try:
                    return self._exchange(self._connection, commands, deadline, max_bulk)
                except (ConnectionResetError, BrokenPipeError):
                    self.close()
            return self._exchange(self._connect(deadline), commands, deadline, max_bulk)
        except BaseException as exc:
            self.close()
            if isinstance(exc, SourceError | OSError | redis.exceptions.RedisError):
                raise explain(self.url, exc) from exc
            raise

    def _exchange(self, connection: Any, commands: Sequence[Command], deadline: float, max_bulk: int) -> list[Reply]:
        return exchange(connection, commands, deadline=deadline, monotonic=self._monotonic, max_bulk=max_bulk)

    def _connect(self, deadline: float) -> Any:
        left = deadline - self._monotonic()
        if left <= 0:
            raise TimeoutError("the deadline passed before connecting")
        patience = min(left, self._connect_timeout)
        connection = self._connection_class(
            **self._options
            | {
                "socket_timeout": patience,
                "socket_connect_timeout": patience,
                "redis_connect_func": _no_handshake,
            }
        )
        self._connection = connection
        connection.connect()
        self._handshake(connection, deadline)
        self.connects += 1
        return connection

    def _handshake(self, connection: Any, deadline: float) -> None:
        commands: list[tuple[str | int, ...]] = []
        if self._password is not None:
            words = (self._username, self._password) if self._username else (self._password,)
            commands.append(("AUTH", *words))
        if self._database:
            commands.append(("SELECT", self._database))
        commands.append(("CLIENT", "SETNAME", CLIENT_NAME))
        replies = exchange(connection, commands, deadline=deadline, monotonic=self._monotonic)
        # The name is a courtesy to whoever reads CLIENT LIST: a user without the right to set it may go without.
        for command, reply in zip(commands[:-1], replies[:-1], strict=True):
            if isinstance(reply, ReplyError):
                kind = kind_of_code(reply.code)
                if command[0] == "AUTH" and kind is ErrorKind.FAULT:
                    kind = ErrorKind.UNAUTHORIZED  # before Redis 6 a wrong password is a plain ERR
                raise SourceError(kind, f"{command[0]!s} was refused: {reply.message}")

    def close(self) -> None:
        """Close the connection, if there is one; a call in flight in another thread ends with an error."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()


def _no_handshake(_connection: Any) -> None:
    """Stand in for redis-py's own handshake, which waits for each command under a timeout of its own."""
