"""The bytes of an HTTP reply within deadlines and a size: a socket as ``http.client.HTTPResponse`` wants one."""

import io
import socket
from collections.abc import Callable
from typing import Any, Final

from depthgauge.errors import ErrorKind, SourceError

CHUNK: Final = 256 * 1024


class BoundedReply(io.RawIOBase):
    """What a socket still gives before the deadline, no silence longer than ``silence`` seconds, ``limit`` bytes at most.

    ``deadline`` is by ``monotonic``. Reading raises TimeoutError, or SourceError for a reply that is too large.
    """

    def __init__(
        self, sock: socket.socket, *, silence: float, deadline: float, limit: int, monotonic: Callable[[], float]
    ) -> None:
        self._sock = sock
        self._silence = silence
        self._deadline = deadline
        self._limit = self._left = limit
        self._monotonic = monotonic

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read once."""
        self._sock.settimeout(remaining(self._deadline, self._silence, self._monotonic))
        count = self._sock.recv_into(buffer)
        self._left -= count
        if self._left < 0:
            raise SourceError(ErrorKind.TOO_LARGE, f"the reply has more than {self._limit} bytes")
        return count

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return the reader that HTTPResponse asks a socket for."""
        return io.BufferedReader(self, CHUNK)


def remaining(deadline: float, limit: float, monotonic: Callable[[], float]) -> float:
    """Return the seconds until the deadline, at most ``limit``; raise TimeoutError when it has passed."""
    left = min(limit, deadline - monotonic())
    if left <= 0:
        raise TimeoutError("the total deadline of the call has passed")
    return left
