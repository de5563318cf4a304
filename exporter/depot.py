"""The spool as the publisher sees it: whatever the disk does is counted and told, and never raised.

Without a folder for it, while another exporter holds it, or while the disk refuses, there is no spool, and snapshots
wait in memory as they would anyway; it is tried again.
"""

import contextlib
import errno
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry

from exporter.outbox import Outbox
from exporter.spool import Limits, Record, Spool, SpoolHeld, Stats, Stored
from exporter.spool_metrics import SpoolCollector

log = logging.getLogger(__name__)

REOPEN: Final = 30.0
"""Seconds until a spool that could not be opened is tried again."""
BATCH: Final = 50
BATCH_BYTES: Final = 4 << 20
ERRORS: Final = ("held", "open", "append", "read", "state", "torn", "corrupt")


class Depot:
    """A spool that may be missing. Methods that go to the disk see to it that they run one at a time."""

    def __init__(
        self,
        folder: Path | None,
        limits: Limits,
        *,
        run_id: str,
        registry: CollectorRegistry,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self._limits = limits
        self._run_id = run_id
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.RLock()
        self._spool: Spool | None = None
        self._closed = False
        self._opened_at: float | None = None
        self._told: set[str] = set()
        self._spooled = 0
        self._errors: Counter[str] = Counter(dict.fromkeys(ERRORS, 0))
        self._drops: Mapping[str, int] = {}
        self._earlier: Mapping[str, Mapping[str, int]] = {}
        if folder is not None:
            collector = SpoolCollector(
                max_bytes=limits.max_bytes,
                numbers=self._numbers,
                spooled=lambda: self._spooled,
                earlier_drops=lambda: self._earlier,
                errors=self._errors.copy,
            )
            registry.register(collector)

    @property
    def usable(self) -> bool:
        """Say whether there is a spool at the moment."""
        return self._spool is not None

    @property
    def failing(self) -> bool:
        """Say whether there should be a spool and it does not take anything."""
        return not self._told.isdisjoint({"held", "open", "append"})

    @property
    def busy(self) -> bool:
        """Say whether it holds what the stream has not taken."""
        spool = self._spool
        return spool is not None and spool.busy

    @property
    def drops(self) -> Mapping[str, int]:
        """What of this run was dropped in the spool, by reason; never waits."""
        return self._drops

    @property
    def earlier_drops(self) -> Mapping[str, Mapping[str, int]]:
        """What of earlier runs was dropped, by run, by reason; never waits."""
        return self._earlier

    def open(self) -> None:
        """Open the spool, if there is to be one and it is not open; after a failure only now and then."""
        now = self._monotonic()
        if self.folder is None or self._spool is not None:
            return
        if self._opened_at is not None and now - self._opened_at < REOPEN:
            return
        self._opened_at = now
        with self._at("open"):
            if self._closed:
                return
            try:
                self._spool = Spool(
                    self.folder, run_id=self._run_id, limits=self._limits, clock=self._clock, trouble=self._count
                )
            except SpoolHeld as exc:
                self._failed("held", f"{exc}; until then snapshots wait in memory only")
                return
            self._told.clear()
            log.info("the spool is open, with %d snapshots for the bus in it", self._spool.stats.snapshots)

    def keep(self, outbox: Outbox) -> None:
        """Sync everything that waits to the spool; what it refuses waits on."""
        with self._at("append") as spool:
            while spool is not None and (items := outbox.take(BATCH, BATCH_BYTES)):
                kept = 0
                try:
                    kept = spool.append([Record(item.slot, item.fields) for item in items])
                finally:
                    outbox.settle(items, kept)
                self._spooled += kept
                if "append" in self._told:
                    log.info("the spool takes snapshots again")
                self._told.clear()

    def note(self, drops: Mapping[str, int]) -> None:
        """Write down what was dropped of this run elsewhere, for a later run to tell."""
        with self._at("state") as spool:
            if spool is not None:
                spool.note(drops)

    def peek(self) -> Sequence[Stored]:
        """Return the oldest records, without those that are too old."""
        found: Sequence[Stored] = ()
        with self._at("read") as spool:
            if spool is not None:
                spool.expire()
                found = spool.peek(BATCH, BATCH_BYTES)
        return found

    def expire(self) -> None:
        """Drop what is too old."""
        with self._at("read") as spool:
            if spool is not None:
                spool.expire()

    def advance(self, taken: Sequence[Stored]) -> None:
        """Note that the stream has these."""
        with self._at("state") as spool:
            if spool is not None and taken:
                spool.advance(taken)

    def rescue(self, outbox: Outbox, timeout: float) -> None:
        """Take what waits and what is in flight from a publisher that does not come back from the bus in time, and close.

        What was in flight may have arrived as well: then it is sent twice, and the ledger knows it.
        """
        if not self._lock.acquire(timeout=timeout):
            return
        try:
            outbox.recall()
            self.keep(outbox)
            self.close(outbox.drops)
        finally:
            self._lock.release()

    def close(self, drops: Mapping[str, int]) -> None:
        """Write down what was dropped of this run, and let go of the folder for good."""
        self.note(drops)
        with self._at("state") as spool:
            self._closed = True
            self._spool = None
            if spool is not None:
                spool.close()

    def _numbers(self) -> Stats | None:
        spool = self._spool
        return spool.stats if spool is not None else None

    @contextlib.contextmanager
    def _at(self, what: str) -> Iterator[Spool | None]:
        """Give the spool, for one thread at a time; an error of the disk is counted and told once."""
        with self._lock:
            try:
                yield self._spool
            except OSError as exc:
                self._failed(what, f"{_WHAT[what]} the spool {self.folder}: {_why(exc)}; snapshots wait in memory")
            self._look()

    def _look(self) -> None:
        if self._spool is not None:
            self._drops, self._earlier = self._spool.drops, self._spool.earlier_drops

    def _count(self, trouble: str) -> None:
        self._errors[trouble] += 1
        if trouble not in self._told:
            self._told.add(trouble)
            log.warning("spool %s: %s", self.folder, _TROUBLES[trouble], extra={"reason": trouble})

    def _failed(self, reason: str, message: str) -> None:
        self._errors[reason] += 1
        if reason not in self._told:
            self._told.add(reason)
            log.error(message, extra={"reason": reason})


_WHAT: Final = {
    "open": "cannot open",
    "append": "cannot write to",
    "read": "cannot read",
    "state": "cannot keep the state of",
}
_TROUBLES: Final = {
    "torn": "a snapshot that was being written when the exporter ended is incomplete and left out",
    "corrupt": "snapshots are damaged on disk; they are skipped and counted as dropped (spool_corrupt)",
    "state": "its state could not be kept or read: snapshots may be sent twice, which the sink notices",
}
_HINTS: Final = {
    errno.ENOSPC: "make room on that disk, or set exporter.spool_max_bytes lower",
    errno.EDQUOT: "raise the quota, or set exporter.spool_max_bytes lower",
    errno.EACCES: "give the folder to the exporter's user",
    errno.EPERM: "give the folder to the exporter's user",
    errno.EROFS: "mount it writable, or choose another exporter.state_dir",
}


def _why(exc: OSError) -> str:
    text = exc.strerror or str(exc)
    hint = _HINTS.get(exc.errno) if exc.errno is not None else None
    return f"{text} ({hint})" if hint else text
