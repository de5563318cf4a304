"""Calls that have no timeout of their own, such as those to a disk, within one."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Aside(Generic[T]):
    """Makes one kind of call in a thread that may be left behind; never more than one such thread.

    A later call waits for the one that is still under way and gets what it brings.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._under_way: _Call[T] | None = None

    def run(self, do: Callable[[], T], *, timeout: float) -> T:
        """Return what ``do`` returns, or raise what it raises; raise TimeoutError after ``timeout`` seconds."""
        call = self._under_way
        if call is None:
            call = self._under_way = _Call(do, self._name)
        call.thread.join(timeout)
        if call.thread.is_alive():
            raise TimeoutError(f"{self._name} takes longer than {timeout:.1f} s")
        self._under_way = None
        return call.result()


class _Call(Generic[T]):
    def __init__(self, do: Callable[[], T], name: str) -> None:
        self._do = do
        self._found: list[T] = []
        self._error: Exception | None = None
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._found.append(self._do())
        except Exception as exc:  # noqa: BLE001  whoever waits for the call gets it
            self._error = exc

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._found[0]
