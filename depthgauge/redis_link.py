"""Connections to Redis: from a URL, with timeouts, and with errors that say what to do."""

import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import redis
import redis.sentinel

from depthgauge.errors import ErrorKind, SourceError
from depthgauge.redis_tls import unusable
from depthgauge.redis_url import RedisUrl, Topology, parse
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
    "MASTERDOWN": ErrorKind.UNREACHABLE,
    "CLUSTERDOWN": ErrorKind.UNREACHABLE,
}
_OWN: Final = {kind.value: kind for kind in ErrorKind}
"""Codes of our own: Redis's are in capitals."""

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

_BY_FILES: Final = frozenset(
    {ErrorKind.SOCKET_MISSING, ErrorKind.PERMISSION_DENIED, ErrorKind.TLS, ErrorKind.UNREACHABLE}
)
"""Kinds that a certificate or key which cannot be read shows as, too."""

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
    return _BY_CODE.get(code) or _OWN.get(code, ErrorKind.FAULT)


def unanswered(error: SourceError) -> ReplyError:
    """Return what stands in for the reply of a server that could not be asked, when others could."""
    return ReplyError(error.kind.value, str(error))


def is_unanswered(reply: Reply) -> bool:
    """Say whether a reply is what :func:`unanswered` gives."""
    return isinstance(reply, ReplyError) and reply.code in _OWN


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


def explain(url: Secret, exc: BaseException, *, what: str = "Redis") -> SourceError:
    """Return the SourceError that tells what failed on which Redis, and what to do."""
    kind, told = classify(exc), str(exc)
    if kind in _BY_FILES and (problem := unusable(parse(url).tls_options)) is not None:
        kind, told = ErrorKind.TLS, problem
    hint = _HINTS.get(kind)
    message = f"{what} at {masked(url.reveal())}: {told}" + (f" ({hint})" if hint else "")
    return SourceError(kind, message)


def client(url: Secret, *, timeout: float) -> redis.Redis:
    """Return a redis-py client that gives up after ``timeout`` seconds per socket operation and never retries itself.

    Behind Sentinel it is one of the master, found anew with each connection.
    """
    where = parse(url)
    if where.topology is Topology.CLUSTER:
        raise ValueError("a cluster has no one server to be a client of")
    if where.topology is Topology.SENTINEL:
        return _client_of_master(where, timeout)
    connection_class, options = _options(where, timeout)
    return redis.Redis.from_pool(redis.ConnectionPool(connection_class=connection_class, **options))


def _client_of_master(where: RedisUrl, timeout: float) -> redis.Redis:
    shared = _patience(timeout) | ({"ssl": True, **where.tls_arguments()} if where.tls else {})
    # Neither the class nor its method has types.
    make: Any = redis.sentinel.Sentinel
    sentinels = make(
        [(address.host, address.port) for address in where.addresses],
        sentinel_kwargs=shared | {"username": where.sentinel_username, "password": where.sentinel_password},
    )
    login = {"username": where.username, "password": where.password, "db": where.database}
    made: redis.Redis = sentinels.master_for(where.service, **shared, **login)
    return made


def _patience(timeout: float) -> dict[str, Any]:
    return {
        "socket_connect_timeout": timeout,
        "socket_timeout": timeout,
        "retry": None,
        "protocol": 2,
        "client_name": CLIENT_NAME,
    }


def _options(where: RedisUrl, timeout: float) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the connection class of redis-py for one server, and its arguments."""
    options: dict[str, Any] = _patience(timeout) | {"db": where.database}
    options |= {"username": where.username, "password": where.password}
    if where.path is not None:
        return redis.UnixDomainSocketConnection, options | {"path": where.path}
    (address,) = where.addresses
    options |= {"host": address.host, "port": address.port}
    if where.tls:
        return redis.SSLConnection, options | where.tls_arguments()
    return redis.Connection, options


class Link:
    """One connection to one Redis, opened when needed and closed after any failure; not for several threads at once.

    redis-py opens the socket (TCP, TLS or unix); AUTH, SELECT and CLIENT SETNAME go through :func:`exchange`, so that one
    deadline holds from the first byte to the last, and so that a user who may not set names can still read. Where a
    ``role`` is wanted (``master`` or ``slave``, as ROLE says it), a server of another one is refused at each connection.
    """

    skipped: Sequence[str] = ()

    def __init__(
        self,
        url: Secret,
        *,
        connect_timeout: float,
        role: str | None = None,
        what: str = "Redis",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self._connect_timeout = connect_timeout
        self._role = role
        self._what = what
        self._monotonic = monotonic
        where = parse(url)
        self._connection_class, self._options = _options(where, connect_timeout)
        self._username: str | None = self._options.pop("username")
        self._password: str | None = self._options.pop("password")
        self._database = where.database
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
                raise explain(self.url, exc, what=self._what) from exc
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
        if self._role is not None:
            commands.append(("ROLE",))
        commands.append(("CLIENT", "SETNAME", CLIENT_NAME))
        replies = exchange(connection, commands, deadline=deadline, monotonic=self._monotonic)
        # The name is a courtesy to whoever reads CLIENT LIST: a user without the right to set it may go without.
        for command, reply in zip(commands[:-1], replies[:-1], strict=True):
            if isinstance(reply, ReplyError):
                kind = kind_of_code(reply.code)
                if command[0] == "AUTH" and kind is ErrorKind.FAULT:
                    kind = ErrorKind.UNAUTHORIZED  # before Redis 6 a wrong password is a plain ERR
                raise SourceError(kind, f"{command[0]!s} was refused: {reply.message}")
            if command[0] == "ROLE":
                self._check_role(reply)

    def _check_role(self, reply: Reply) -> None:
        role = reply[0] if isinstance(reply, list) and reply else None
        if not isinstance(role, bytes):
            raise SourceError(ErrorKind.GARBAGE, f"it answers ROLE with {str(reply)[:60]}")
        if role.decode("ascii", "replace") != self._role:
            raise SourceError(ErrorKind.NOT_FOUND, f"it is a {str(role, 'ascii', 'replace')[:20]}, no {self._role}")

    def close(self) -> None:
        """Close the connection, if there is one; a call in flight in another thread ends with an error."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()


def _no_handshake(_connection: Any) -> None:
    """Stand in for redis-py's own handshake, which waits for each command under a timeout of its own."""
