"""SIGTERM and SIGINT as an event, SIGHUP as a call."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_signals(hang_up: Callable[[], None]) -> Iterator[threading.Event]:
    """Give an event that SIGTERM or SIGINT sets; SIGHUP calls ``hang_up``. Restore the handlers that were there before."""
    stop, hung_up, ended = threading.Event(), threading.Event(), threading.Event()

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  the signature of handlers
        stop.set()

    def note_hang_up(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  the same
        hung_up.set()

    def wait() -> None:
        # In a thread of its own: a handler interrupts whatever holds locks.
        while hung_up.wait() and not ended.is_set():
            hung_up.clear()
            hang_up()

    handlers = {signal.SIGTERM: note, signal.SIGINT: note, signal.SIGHUP: note_hang_up}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    threading.Thread(target=wait, name="hang-up", daemon=True).start()
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        ended.set()
        hung_up.set()
