"""The loop: batch to database to acknowledgement, in this order, so that nothing is ever acknowledged unwritten.

Another thread reads and decodes (fetch.py); what it has read is pending on the stream until this one has committed it.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Final

from sink.batch import Rejected, Sorted, sort
from sink.deliver import Delivery
from sink.fetch import READ_COUNT, Fetcher
from sink.handover import Handover
from sink.inbox import Entry, Inbox
from sink.patience import Patience, Stopped
from sink.settings import SinkSettings
from sink.telemetry import Telemetry

log = logging.getLogger(__name__)

CLAIMS: Final = 3
"""Tries to claim within the time after which a pending entry is given up by its sink."""
STATE_EVERY: Final = 5.0
FORGET_AFTER: Final = 86_400.0
"""Seconds after which a consumer of the group that has nothing pending and asks for nothing is taken off its list."""
NEWER_REMEMBERED: Final = 10_000


class Consumer:
    """Writes and acknowledges, with the reading in a thread of its own; ``run`` blocks until told to stop."""

    def __init__(
        self,
        settings: SinkSettings,
        *,
        inbox: Inbox,
        fetcher: Fetcher,
        handover: Handover,
        delivery: Delivery,
        telemetry: Telemetry,
        patience: Patience,
        stop: threading.Event,
        clock: Callable[[], datetime],
        oldest: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inbox = inbox
        self._handover = handover
        self._delivery = delivery
        self._telemetry = telemetry
        self._bus = patience
        self._stop = stop
        self._clock = clock
        self._oldest = oldest
        self._monotonic = monotonic
        self._claim_after = settings.claim_after
        self._newer: dict[bytes, None] = {}
        self._claimed_at = self._state_at = monotonic()
        self._reading = threading.Thread(target=fetcher.run, name="fetch", daemon=True)

    def run(self) -> None:
        """Consume until stopped; raise SchemaError if the database's schema is not ours at the start."""
        try:
            self._delivery.connect()
            # Not before: what this sink reads, no other one gets.
            self._reading.start()
            while not self._stop.is_set():
                self._look_after_bus()
                batch = self._handover.take()
                if batch is not None:
                    self._handle(batch)
        except Stopped:
            log.info("stopped; what is not committed stays on the stream")

    def join(self) -> None:
        """Wait for the reading to end, once told to stop."""
        if self._reading.is_alive():
            self._reading.join()

    def _handle(self, batch: Sorted) -> None:
        rejected = [*batch.rejected, *self._delivery.commit(batch.accepted)]
        bad = {each.entry.id for each in rejected}
        done = [each.entry for each in batch.accepted if each.entry.id not in bad]
        self._telemetry.too_late.inc(len(batch.too_late))
        self._telemetry.vanished.inc(len(batch.vanished))
        if batch.too_late:
            log.warning("%d snapshots are older than the retention of raw rows and were dropped", len(batch.too_late))
        for ids in _chunks([entry.id for entry in (*done, *batch.too_late, *batch.vanished)]):
            self._bus(lambda: self._inbox.acknowledge(ids))  # noqa: B023  called at once
        for each in rejected:
            self._quarantine(each)
        for entry, message in batch.newer:
            self._leave(entry, message)
        self._handover.release(batch.entries())

    def _quarantine(self, rejected: Rejected) -> None:
        evicted = self._bus(lambda: self._inbox.quarantine(rejected.entry, rejected.reason, rejected.error))
        self._telemetry.quarantined.labels(rejected.reason).inc()
        self._telemetry.quarantine_evicted.inc(evicted)
        log.error(
            "entry %s went to the quarantine (see depthgauge quarantine list): %s",
            rejected.entry.id.decode("ascii", "replace"),
            rejected.error,
        )

    def _leave(self, entry: Entry, message: str) -> None:
        if not self._newer:
            log.error("left pending on the stream: %s", message)
        if len(self._newer) < NEWER_REMEMBERED:
            self._newer[entry.id] = None
        self._telemetry.newer.set(len(self._newer))

    def _look_after_bus(self) -> None:
        now = self._monotonic()
        if now - self._state_at >= STATE_EVERY:
            self._state_at = now
            state = self._bus(self._inbox.state)
            self._telemetry.bus_state(state)
            if state.pending == 0 and self._newer:
                self._newer.clear()
                self._telemetry.newer.set(0)
        if now - self._claimed_at >= self._claim_after / CLAIMS:
            self._claimed_at = now
            self._claim()
            for name in self._bus(lambda: self._inbox.forget_idle(FORGET_AFTER)):
                log.info("consumer %s was idle for long and has nothing pending: taken off the group's list", name)

    def _claim(self) -> None:
        """Take over what other sinks left pending, and what was read for this one by an exchange that broke off."""
        cursor = b"0-0"
        while not self._stop.is_set():
            at = cursor
            cursor, entries = self._bus(lambda: self._inbox.claim(at, READ_COUNT, idle=self._claim_after))  # noqa: B023  called at once
            others = [entry for entry in self._handover.not_held(entries) if entry.id not in self._newer]
            self._telemetry.claimed.inc(len(others))
            self._handle(sort(others, now=self._clock(), oldest=self._oldest()))
            if cursor == b"0-0":
                return


def _chunks(ids: Sequence[bytes], size: int = 500) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
