"""Getting a batch into the database, whatever it takes: again and again, in halves, or as far as it can be written."""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

import psycopg

from depthgauge.backoff import Backoff
from depthgauge.errors import SchemaError
from sink.batch import Accepted, Rejected
from sink.patience import FIRST_DELAY, LONGEST_DELAY, Stopped
from sink.telemetry import Telemetry
from sink.verdict import Verdict, reason, told, verdict
from sink.write import Outcome, Writer

log = logging.getLogger(__name__)

PARTITION_TRIES: Final = 3
"""After so many failures for want of a partition, a human has to look."""

_Failure = (psycopg.Error, SchemaError, TypeError, ValueError, OverflowError)


class Delivery:
    """Commits batches; blocks until they are in, or until ``stop`` is set."""

    def __init__(
        self,
        writer: Writer,
        telemetry: Telemetry,
        stop: threading.Event,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._writer = writer
        self._telemetry = telemetry
        self._stop = stop
        self._monotonic = monotonic
        self._backoff = Backoff(first=FIRST_DELAY, most=LONGEST_DELAY, random=random.random)
        self._told: str | None = None
        self._partition_failures = 0

    def connect(self) -> None:
        """Wait until the database answers; raise SchemaError if its schema is not ours, Stopped."""
        while True:
            try:
                self._writer.open()
            except psycopg.Error as exc:
                self._note(exc)
                self._rest()
            else:
                self._well()
                return

    def commit(self, batch: Sequence[Accepted]) -> list[Rejected]:
        """Commit a batch; return the entries that the database will never take. Raise Stopped."""
        if not batch:
            return []
        started = self._monotonic()
        while True:
            try:
                outcome = self._writer.commit([accepted.rows for accepted in batch])
            except _Failure as exc:
                if verdict(exc) is Verdict.POISON:
                    return self._without_poison(batch, exc)
                self._note(exc)
                self._prepare_retry(exc)
                self._rest()
            else:
                self._well()
                self._count(outcome)
                self._telemetry.batch_seconds.observe(self._monotonic() - started)
                return []

    def _without_poison(self, batch: Sequence[Accepted], error: BaseException) -> list[Rejected]:
        """Find the entries with values that the database refuses by halving; commit the others."""
        if len(batch) == 1:
            return [Rejected(batch[0].entry, "refused", f"the database refuses a value in it: {error}")]
        middle = len(batch) // 2
        return [*self.commit(batch[:middle]), *self.commit(batch[middle:])]

    def _prepare_retry(self, error: BaseException) -> None:
        judged = verdict(error)
        if judged is Verdict.PARTITION:
            self._partition_failures += 1
            self._writer.forget_partitions()
            judged = Verdict.STOP if self._partition_failures >= PARTITION_TRIES else judged
        if judged in {Verdict.RECONNECT, Verdict.STOP} or not self._writer.is_open:
            # A new connection looks at the schema again, so a mended one is noticed.
            self._writer.close()
        self._telemetry.stopped.set(judged is Verdict.STOP)

    def _note(self, error: BaseException) -> None:
        kind = reason(error)
        self._telemetry.retries.labels(kind).inc()
        self._telemetry.database_up.set(0)
        if self._told != kind:
            self._told = kind
            log.error("cannot write to the database, will try again: %s", told(error), extra={"reason": kind})

    def _well(self) -> None:
        if self._told is not None:
            log.info("the database takes snapshots again")
        self._told = None
        self._partition_failures = 0
        self._backoff.reset()
        self._telemetry.database_up.set(1)
        self._telemetry.stopped.set(0)
        installed = self._writer.installation
        if installed is not None:
            info = {"edition": installed.edition.value, "layout": installed.layout.value}
            self._telemetry.database_is(schema_version=installed.schema_version, info=info)

    def _rest(self) -> None:
        if self._stop.wait(self._backoff.next_delay()):
            raise Stopped

    def _count(self, outcome: Outcome) -> None:
        self._telemetry.committed.inc(outcome.committed)
        self._telemetry.duplicate.inc(outcome.duplicate)
        self._telemetry.collided.inc(len(outcome.collided))
        for table, count in outcome.rows.items():
            self._telemetry.rows.labels(table).inc(count)
        if outcome.newest is not None:
            self._telemetry.committed_slot(outcome.newest)
        for ledger in outcome.collided:
            log.error(
                "collision: snapshot %d of %s (run %s) is for %s, which has another snapshot's rows: "
                "do two exporters use this host name?",
                ledger.seq,
                ledger.host,
                ledger.run_id,
                ledger.recorded_at.isoformat(),
            )
