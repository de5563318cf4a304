"""One pipelined exchange with a Redis server: bounded in bytes and in time.

redis-py makes the connection (URL, TLS, AUTH, SELECT); this module sends a batch of commands over it and reads the
replies itself, because redis-py can neither skip a reply that is too large for our memory nor hold a deadline against a
server that sends a byte a second. The protocol is RESP2 (https://redis.io/docs/latest/develop/reference/protocol-spec/).
"""

import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from depthgauge.errors import ErrorKind, SourceError

Command = tuple[str | bytes | int | float, ...]
"""One command, a word an argument: ``("ZCOUNT", key, "-inf", now)``."""

MAX_BULK: Final = 1024 * 1024
"""Bytes of one reply that are kept; a larger one is read past and becomes :class:`TooLarge`."""
MAX_TOTAL: Final = 32 * 1024 * 1024
"""Bytes kept of all replies to one batch together; beyond it every further text becomes :class:`TooLarge`."""
_CHUNK: Final = 64 * 1024
_MAX_LINE: Final = 64 * 1024
_MAX_ITEMS: Final = 1_000_000
"""Items of all arrays of one batch together."""
_MAX_DEPTH: Final = 8


@dataclass(frozen=True, slots=True)
class ReplyError:
    """An error the server gave for one command; ``code`` is its first word (WRONGTYPE, NOPERM …)."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class TooLarge:
    """A reply that was read past instead of kept."""

    size: int


Reply = int | bytes | None | ReplyError | TooLarge | list["Reply"]


class _Reader:
    def __init__(self, sock: socket.socket, deadline: float, monotonic: Callable[[], float], max_bulk: int) -> None:
        self._sock = sock
        self._deadline = deadline
        self._monotonic = monotonic
        self._max_bulk = max_bulk
        self._budget = MAX_TOTAL
        self._items = _MAX_ITEMS
        self._buffer = bytearray()
        self._at = 0

    def _fill(self) -> None:
        left = self._deadline - self._monotonic()
        if left <= 0:
            raise TimeoutError("the deadline passed while reading replies")
        self._sock.settimeout(left)
        chunk = self._sock.recv(_CHUNK)
        if not chunk:
            raise ConnectionResetError("the server closed the connection")
        if self._at:
            del self._buffer[: self._at]
            self._at = 0
        self._buffer += chunk

    def _line(self) -> bytes:
        start = 0
        while (end := self._buffer.find(b"\r\n", self._at + start)) < 0:
            start = max(0, len(self._buffer) - self._at - 1)
            if start > _MAX_LINE:
                raise ValueError("a reply line is longer than any Redis sends")
            self._fill()
        line = bytes(self._buffer[self._at : end])
        self._at = end + 2
        return line

    def _bulk(self, size: int) -> bytes | TooLarge:
        if size < 0:
            raise ValueError(f"a text of {size} bytes")
        if size > self._max_bulk or size > self._budget:
            left = size + 2
            while left > (have := len(self._buffer) - self._at):
                left -= have
                self._at = len(self._buffer)
                self._fill()
            self._at += left
            return TooLarge(size)
        while len(self._buffer) - self._at < size + 2:
            self._fill()
        value = bytes(self._buffer[self._at : self._at + size])
        self._at += size + 2
        self._budget -= size
        return value

    def reply(self, depth: int = 0) -> Reply:
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._bulk(int(rest))
        if kind == b"+":
            return rest
        if kind == b"-":
            text = rest.decode("utf-8", "replace")
            return ReplyError(text.partition(" ")[0], text)
        if kind == b"*":
            count = int(rest)
            self._items -= max(0, count)
            if self._items < 0 or depth > _MAX_DEPTH:
                raise ValueError(f"a reply of {count} items, {depth} levels deep, is larger than we asked for")
            return None if count < 0 else [self.reply(depth + 1) for _ in range(count)]
        raise ValueError(f"{line[:40]!r} is no RESP2 reply")


def pack(commands: Iterable[Command]) -> bytes:
    """Return the commands as RESP arrays of bulk strings, ready to be sent in one piece."""
    parts: list[bytes] = []
    for command in commands:
        parts.append(b"*%d\r\n" % len(command))
        for argument in command:
            text = argument if isinstance(argument, bytes) else str(argument).encode()
            parts.append(b"$%d\r\n%b\r\n" % (len(text), text))
    return b"".join(parts)


def exchange(
    connection: Any,
    commands: Sequence[Command],
    *,
    deadline: float,
    monotonic: Callable[[], float] = time.monotonic,
    max_bulk: int = MAX_BULK,
) -> list[Reply]:
    """Send the commands in one pipeline and return a reply for each, in order.

    ``deadline`` is a value of ``monotonic``. ``connection`` is a connected one of redis-py; after any exception its state is
    undefined and it has to be closed. Raise SourceError for bytes that are no RESP2; OSError and TimeoutError come
    through as they are.
    """
    sock: socket.socket | None = connection._sock  # noqa: SLF001  redis-py has no public door to its socket
    if sock is None:
        raise ConnectionResetError("the connection was closed")
    reader = _Reader(sock, deadline, monotonic, max_bulk)
    sock.settimeout(max(0.001, deadline - monotonic()))
    try:
        sock.sendall(pack(commands))
        return [reader.reply() for _ in commands]
    except ValueError as exc:
        raise SourceError(ErrorKind.GARBAGE, f"Redis sent something that is not its protocol: {exc}") from exc
