"""One thread a source: at most one call in flight, and nobody waits longer than the deadline."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from depthgauge.errors import ErrorKind, SourceError
from depthgauge.parts import Part
from depthgauge.snapshot import SourceStatus

log = logging.getLogger(__name__)

P = TypeVar("P", bound=Part)
P_co = TypeVar("P_co", bound=Part, covariant=True)


class Source(Protocol[P_co]):
    """A target that can be read; ``collect`` blocks no longer than its own deadline and raises SourceError."""

    @property
    def kind(self) -> str:
        """The ``kind`` label, such as supervisor or redis."""

    @property
    def target(self) -> str:
        """The ``target`` label: its name in the configuration."""

    def collect(self) -> P_co:
        """Read the target once."""


class Runner(Generic[P]):
    """Runs one source in a thread of its own and remembers how it went."""

    def __init__(
        self, source: Source[P], *, clock: Callable[[], datetime], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.source = source
        self.part: P | None = None
        """The last part that was read."""
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._closed = False
        self._status: SourceStatus | None = None
        self._errors: Counter[str] = Counter()
        self._last_success: datetime | None = None
        self._late = False
        name = f"{source.kind}:{source.target}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def begin(self) -> bool:
        """Start a call unless one is still in flight; say whether it was started."""
        if not self._idle.is_set():
            return False
        self._idle.clear()
        self._late = False
        self._wanted.set()
        return True

    def wait(self, seconds: float, *, judge: bool = True) -> bool:
        """Wait for the call to end; after ``seconds`` count a timeout and go on without it. Say whether it ended.

        Without ``judge`` no timeout is counted: the caller has less patience than the source was promised.
        """
        if self._idle.wait(max(0.0, seconds)):
            return True
        if not judge:
            return False
        self._record(ErrorKind.TIMEOUT, seconds=None, message="it is still in flight after its deadline")
        self._late = True
        return False

    @property
    def status(self) -> SourceStatus | None:
        """How the last call went; None before the first one ended."""
        with self._lock:
            return self._status

    def forget(self) -> None:
        """Drop the part and the status: somebody else reads this target now."""
        with self._lock:
            self._status = None
            self.part = None

    def close(self) -> None:
        """End the thread after the call in flight; does not wait for it."""
        self._closed = True
        self._wanted.set()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            if self._closed:
                return
            try:
                self._call()
            finally:
                self._idle.set()

    def _call(self) -> None:
        started = self._monotonic()
        try:
            part = self.source.collect()
        except SourceError as exc:
            self._record(exc.kind, seconds=self._monotonic() - started, message=str(exc))
        except Exception as exc:
            # The one place where a defect of a source is kept from taking the others down; it is counted and logged.
            log.exception("reading %s %s failed unexpectedly", self.source.kind, self.source.target)
            self._record(ErrorKind.INTERNAL, seconds=self._monotonic() - started, message=repr(exc))
        else:
            self._succeed(part, self._monotonic() - started)

    def _succeed(self, part: P, seconds: float) -> None:
        with self._lock:
            was_down = self._status is not None and not self._status.ok
            self.part = part
            self._last_success = part.observed_at
            self._status = SourceStatus(
                kind=self.source.kind,
                target=self.source.target,
                ok=True,
                seconds=seconds,
                observed_at=part.observed_at,
                last_success_at=self._last_success,
                errors=dict(self._errors),
            )
        if was_down:
            log.info("%s %s answers again", self.source.kind, self.source.target)

    def _record(self, error: ErrorKind, *, seconds: float | None, message: str) -> None:
        with self._lock:
            if self._late and error is ErrorKind.TIMEOUT and seconds is not None:
                return  # this call's overrun was counted when its deadline passed; now it ended at last
            self._errors[error] += 1
            before = self._status
            self._status = SourceStatus(
                kind=self.source.kind,
                target=self.source.target,
                ok=False,
                seconds=seconds,
                error=error,
                observed_at=self._clock(),
                last_success_at=self._last_success,
                errors=dict(self._errors),
            )
        if before is None or before.ok or before.error != error:
            log.warning(
                "cannot read %s %s: %s",
                self.source.kind,
                self.source.target,
                message,
                extra={"reason": error.value},
            )
