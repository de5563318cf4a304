"""Host names to addresses, within a deadline."""

import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

Address = tuple[int, Any]
"""A socket family and what ``connect`` wants for it."""

_LITERAL: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class Resolver:
    """Asks the system's resolver, which has no timeout of its own, in a thread that may be left behind.

    Never more than one such thread: a later call waits for the lookup that is still under way.
    """

    def __init__(self, lookup: Callable[..., Sequence[Any]] = socket.getaddrinfo) -> None:
        self._lookup = lookup
        self._under_way: _Lookup | None = None

    def resolve(self, host: str, port: int, *, timeout: float) -> Sequence[Address]:
        """Return at least one address; raise socket.gaierror, or TimeoutError after ``timeout`` seconds."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=_LITERAL)
        except (socket.gaierror, UnicodeError):
            found = self._ask(host, port, timeout)
        return [(family, where) for family, _type, _proto, _name, where in found]

    def _ask(self, host: str, port: int, timeout: float) -> Any:
        lookup = self._under_way
        if lookup is None:
            lookup = self._under_way = _Lookup(self._lookup, host, port)
        lookup.thread.join(timeout)
        if lookup.thread.is_alive():
            raise TimeoutError(f"looking up {host!r} takes longer than {timeout:.1f} s")
        self._under_way = None
        if lookup.error is not None:
            raise lookup.error
        return lookup.found


class _Lookup:
    def __init__(self, lookup: Callable[..., Sequence[Any]], host: str, port: int) -> None:
        self.found: Sequence[Any] = ()
        self.error: OSError | None = None
        self._lookup = lookup
        self.thread = threading.Thread(target=self._run, args=(host, port), name=f"resolve {host}", daemon=True)
        self.thread.start()

    def _run(self, host: str, port: int) -> None:
        try:
            self.found = self._lookup(host, port, type=socket.SOCK_STREAM)
        except OSError as exc:
            self.error = exc
        except UnicodeError as exc:
            self.error = socket.gaierror(socket.EAI_NONAME, f"{host!r} is no host name: {exc}")
