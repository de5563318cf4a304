"""From the stream to rows, in a thread of its own: the next batch is read and decoded while the database takes this one."""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Final

from sink.batch import Sorted, sort
from sink.handover import Handover
from sink.inbox import Entry, Inbox
from sink.patience import Patience, Stopped
from sink.settings import SinkSettings

log = logging.getLogger(__name__)

READ_COUNT: Final = 100
READ_WAIT: Final = 0.5
"""Seconds that one read waits for the first entry: also how long a stop may have to wait for it."""


class Fetcher:
    """Reads and decodes; ``run`` blocks until told to stop. Its connection to the bus is its own."""

    def __init__(
        self,
        settings: SinkSettings,
        inbox: Inbox,
        handover: Handover,
        patience: Patience,
        stop: threading.Event,
        *,
        clock: Callable[[], datetime],
        oldest: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._inbox = inbox
        self._handover = handover
        self._bus = patience
        self._stop = stop
        self._clock = clock
        self._oldest = oldest
        self._monotonic = monotonic
        self._waiting: deque[Entry] = deque()
        self._connects = 0

    def run(self) -> None:
        """Hand batches over until stopped; whatever ends this ends the one who takes them, too."""
        try:
            self._take_up_own()
            while not self._stop.is_set():
                batch = self._gather()
                if not batch.is_empty:
                    self._handover.put(batch)
        except Stopped:
            log.debug("reading stopped")
        except BaseException as exc:  # noqa: BLE001  it is raised in the other thread, which ends the sink
            self._handover.fail(exc)
        finally:
            self._inbox.close()

    def _take_up_own(self) -> None:
        """Finish what an earlier run of this sink had read and not acknowledged."""
        for entries in self._own():
            log.info("taking up %d entries of an earlier run", len(entries))
            self._handover.hold(entries)
            self._handover.put(sort(entries, now=self._clock(), oldest=self._oldest()))
        self._connects = self._inbox.connects

    def _own(self) -> Iterator[Sequence[Entry]]:
        """Give all that Redis has noted as read by this sink and not acknowledged."""
        after = b"0-0"
        while True:
            cursor = after
            entries = self._bus(lambda: self._inbox.own(cursor, READ_COUNT))  # noqa: B023  called at once
            if not entries:
                return
            yield entries
            after = entries[-1].id

    def _gather(self) -> Sorted:
        """Return a batch: as many entries as make ``batch_rows`` rows, or what comes within ``batch_seconds``."""
        batch = Sorted()
        rows, deadline = 0, math.inf
        now, oldest = self._clock(), self._oldest()
        while rows < self._settings.batch_rows and not self._stop.is_set():
            if not self._waiting:
                left = deadline - self._monotonic()
                if left <= 0:
                    break
                self._read(min(READ_WAIT, left))
                now, oldest = self._clock(), self._oldest()
                if not self._waiting and batch.is_empty:
                    break
                continue
            if batch.is_empty:
                deadline = self._monotonic() + self._settings.batch_seconds
            before = len(batch.accepted)
            batch.add(self._waiting.popleft(), now=now, oldest=oldest)
            rows += sum(accepted.rows.total for accepted in batch.accepted[before:])
        return batch

    def _read(self, wait: float) -> None:
        entries = self._bus(lambda: self._inbox.read(READ_COUNT, wait=wait))
        self._handover.hold(entries)
        self._waiting.extend((*self._lost_on_the_way(), *entries))

    def _lost_on_the_way(self) -> Sequence[Entry]:
        """Return what Redis has noted as read by this sink and this sink never got: a connection broke off in between."""
        if self._inbox.connects == self._connects:
            return ()
        # Before anything is asked: what breaks off meanwhile is looked for next time.
        self._connects = self._inbox.connects
        held = self._handover.held
        lost = [entry for entries in self._own() for entry in entries if entry.id not in held]
        if lost:
            log.info("taking up %d entries whose answer broke off", len(lost))
            self._handover.hold(lost)
        return lost
