"""The loop: stream to database to acknowledgement, in this order, so that nothing is ever acknowledged unwritten."""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Final, TypeVar

from depthgauge.backoff import Backoff
from depthgauge.errors import SourceError
from sink.batch import Rejected, Sorted, sort
from sink.deliver import FIRST_DELAY, LONGEST_DELAY, Delivery, Stopped
from sink.inbox import Entry, Inbox
from sink.settings import SinkSettings
from sink.telemetry import Telemetry

log = logging.getLogger(__name__)

T = TypeVar("T")

READ_COUNT: Final = 50
READ_WAIT: Final = 1.0
"""Seconds that one read waits for the first entry: also how long a stop may have to wait for it."""
CLAIM_IDLE: Final = 60.0
"""Seconds after which another sink's pending entry is taken over: longer than a batch may take."""
CLAIM_EVERY: Final = 20.0
STATE_EVERY: Final = 5.0
NEWER_REMEMBERED: Final = 10_000


class Consumer:
    """Reads, writes and acknowledges; ``run`` blocks until told to stop. Not for several threads at once."""

    def __init__(
        self,
        settings: SinkSettings,
        inbox: Inbox,
        delivery: Delivery,
        telemetry: Telemetry,
        stop: threading.Event,
        *,
        oldest: Callable[[datetime], datetime],
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._inbox = inbox
        self._delivery = delivery
        self._telemetry = telemetry
        self._stop = stop
        self._oldest = oldest
        self._clock = clock
        self._monotonic = monotonic
        self._backoff = Backoff(first=FIRST_DELAY, most=LONGEST_DELAY, random=random.random)
        self._told: str | None = None
        self._waiting: deque[Entry] = deque()
        self._newer: dict[bytes, None] = {}
        self._claimed_at = self._state_at = monotonic()

    def run(self) -> None:
        """Consume until stopped; raise SchemaError if the database's schema is not ours at the start."""
        try:
            self._delivery.connect()
            self._take_up_own()
            while not self._stop.is_set():
                self._upkeep()
                self._handle(self._gather())
        except Stopped:
            log.info("stopped; what is not committed stays on the stream")

    def _take_up_own(self) -> None:
        """Finish what an earlier run of this sink had read and not acknowledged."""
        after = b"0-0"
        while True:
            cursor = after
            entries = self._bus(lambda: self._inbox.own(cursor, READ_COUNT))  # noqa: B023  called at once
            if not entries:
                return
            log.info("taking up %d entries of an earlier run", len(entries))
            self._handle(sort(entries, now=self._clock(), oldest=self._oldest(self._clock())))
            after = entries[-1].id

    def _gather(self) -> Sorted:
        """Return a batch: as many entries as make ``batch_rows`` rows, or what comes within ``batch_seconds``."""
        batch = Sorted()
        rows, deadline = 0, None
        while rows < self._settings.batch_rows and not self._stop.is_set():
            if not self._waiting:
                left = READ_WAIT if deadline is None else deadline - self._monotonic()
                if left <= 0:
                    break
                wait = min(READ_WAIT, left)
                self._waiting.extend(self._bus(lambda: self._inbox.read(READ_COUNT, wait=wait)))  # noqa: B023  called at once
                if not self._waiting:
                    break
            if deadline is None:
                deadline = self._monotonic() + self._settings.batch_seconds
            before = len(batch.accepted)
            _append(batch, sort([self._waiting.popleft()], now=self._clock(), oldest=self._oldest(self._clock())))
            rows += sum(accepted.rows.total for accepted in batch.accepted[before:])
        return batch

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

    def _quarantine(self, rejected: Rejected) -> None:
        self._bus(lambda: self._inbox.quarantine(rejected.entry, rejected.error))
        self._telemetry.quarantined.labels(rejected.reason).inc()
        log.error("entry %s went to the quarantine: %s", rejected.entry.id.decode("ascii", "replace"), rejected.error)

    def _leave(self, entry: Entry, message: str) -> None:
        if not self._newer:
            log.error("left pending on the stream: %s", message)
        if len(self._newer) < NEWER_REMEMBERED:
            self._newer[entry.id] = None
        self._telemetry.newer.set(len(self._newer))

    def _upkeep(self) -> None:
        now = self._monotonic()
        if now - self._state_at >= STATE_EVERY:
            self._state_at = now
            state = self._bus(self._inbox.state)
            self._telemetry.bus_state(entries=state.entries, pending=state.pending)
        if now - self._claimed_at >= CLAIM_EVERY:
            self._claimed_at = now
            self._claim()

    def _claim(self) -> None:
        cursor = b"0-0"
        while not self._stop.is_set():
            at = cursor
            cursor, entries = self._bus(lambda: self._inbox.claim(at, READ_COUNT, idle=CLAIM_IDLE))  # noqa: B023  called at once
            others = [entry for entry in entries if entry.id not in self._newer]
            self._telemetry.claimed.inc(len(others))
            self._handle(sort(others, now=self._clock(), oldest=self._oldest(self._clock())))
            if cursor == b"0-0":
                return

    def _bus(self, call: Callable[[], T]) -> T:
        """Do something on the bus; repeat it until it works, or raise Stopped. All of it may be repeated safely."""
        while True:
            try:
                result = call()
            except SourceError as exc:
                self._telemetry.bus_up.set(0)
                self._telemetry.bus_errors.labels(exc.kind.value).inc()
                if self._told != exc.kind:
                    self._told = exc.kind
                    log.error(  # noqa: TRY400  the message says it all
                        "cannot use the bus, will try again: %s", exc, extra={"reason": exc.kind.value}
                    )
                if self._stop.wait(self._backoff.next_delay()):
                    raise Stopped from exc
            else:
                if self._told is not None:
                    log.info("the bus answers again")
                    self._told = None
                self._backoff.reset()
                self._telemetry.bus_up.set(1)
                return result


def _append(batch: Sorted, more: Sorted) -> None:
    batch.accepted += more.accepted
    batch.rejected += more.rejected
    batch.newer += more.newer
    batch.too_late += more.too_late
    batch.vanished += more.vanished


def _chunks(ids: Sequence[bytes], size: int = 500) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
