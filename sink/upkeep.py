"""Upkeep on a schedule: calls ``depthgauge.maintain()`` and looks at what the database says of itself.

In a thread and on a connection of its own, made for each round: whatever happens to it, snapshots go on being written.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, LiteralString

import psycopg

from depthgauge.errors import SchemaError
from depthgauge.lifeline import Lifeline
from sink import queries
from sink.connect import connect
from sink.retention import Horizon, kept
from sink.schema import Connection, Layout, check_schema
from sink.settings import SinkSettings
from sink.upkeep_telemetry import UpkeepTelemetry
from sink.verdict import reason, told

log = logging.getLogger(__name__)

BUDGET: Final = 20.0
"""Seconds after which one call leaves the rest to the next."""
DEADLINE: Final = 120.0
"""Seconds after which a database that does not answer is cut off."""
GAPS_EVERY: Final = 300.0
GAPS_BACK: Final = timedelta(days=2)
"""How far back gaps are looked for, beyond the age up to which they are open."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of ``maintain()`` as it last ended."""

    finished_at: float
    """Unix time."""
    seconds: float
    ago: float
    """Seconds, by the database's clock."""


class Upkeep:
    """Rounds of upkeep; ``start`` and ``stop`` its thread. ``round`` is one of them."""

    def __init__(
        self,
        settings: SinkSettings,
        telemetry: UpkeepTelemetry,
        horizon: Horizon,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        deadline: float = DEADLINE,
    ) -> None:
        self._settings = settings
        self._telemetry = telemetry
        self._horizon = horizon
        self._monotonic = monotonic
        self._deadline = deadline
        self._gaps_at: float | None = None
        self._told: str | None = None
        self._told_retention = False
        self._lifeline: Lifeline | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        """Start the thread, unless upkeep is left to somebody else."""
        if self._settings.maintain_every:
            self._thread.start()

    def stop(self, timeout: float) -> None:
        """End the thread; a call in flight is cut off, and what it had not committed is done again next time."""
        self._stop.set()
        lifeline = self._lifeline
        if lifeline is not None:
            lifeline.cut()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        every = self._settings.maintain_every.total_seconds()
        while not self._stop.is_set():
            self.round()
            self._stop.wait(every)

    def round(self) -> None:
        """Do what is to be done, unless another sink has just done it; count what goes wrong."""
        try:
            with connect(self._settings.dsn, application="depthgauge-upkeep") as connection:
                self._lifeline = lifeline = Lifeline(connection)
                try:
                    with lifeline.deadline(self._deadline):
                        self._work(connection)
                finally:
                    self._lifeline = None
                    lifeline.close()
        except (psycopg.Error, SchemaError) as exc:
            self._failed(reason(exc), exc)
        else:
            if self._told is not None:
                log.info("upkeep of the database works again")
                self._told = None

    def _work(self, connection: Connection) -> None:
        installation = check_schema(connection)
        self._compare_retention(connection)
        steps = _steps(connection)
        last = steps.get("all")
        if last is None or last.ago >= self._settings.maintain_every.total_seconds() / 2:
            connection.execute(queries.MAINTAIN, (BUDGET,))
            steps = _steps(connection)
        self._horizon.ask(connection)
        self._look(connection, steps, installation.layout)

    def _look(self, connection: Connection, steps: Mapping[str, Step], layout: Layout) -> None:
        told = self._telemetry
        told.saw_steps({name: (step.finished_at, step.seconds) for name, step in steps.items()})
        told.saw_dirty(int(_one(connection, queries.DIRTY)[0]))
        due, lag = _one(connection, queries.COLUMNSTORE_DUE)
        told.saw_columnstore(due=int(due), lag=max(0.0, lag))
        query = queries.CHUNKS_OF_HYPERTABLES if layout is Layout.HYPERTABLES else queries.CHUNKS_OF_PARTITIONS
        chunks = connection.execute(query).fetchall()
        told.saw_chunks({table: (every - compressed, compressed) for table, every, compressed in chunks})
        now = self._monotonic()
        if self._gaps_at is None or now - self._gaps_at >= GAPS_EVERY:
            self._gaps_at = now
            open_for = self._settings.gaps_open
            found = connection.execute(queries.GAPS, (open_for + GAPS_BACK, open_for)).fetchall()
            told.saw_gaps(dict(found))

    def _compare_retention(self, connection: Connection) -> None:
        wanted = self._settings.retention.by_class
        differs = [name for name, keep in kept(connection).items() if wanted.get(name) != keep]
        if differs and not self._told_retention:
            log.warning(
                "the database keeps %s for another time than this sink's [sink.retention] says: run `depthgauge migrate`",
                ", ".join(sorted(differs)),
            )
        self._told_retention = bool(differs)

    def _failed(self, kind: str, error: BaseException) -> None:
        if self._stop.is_set():
            return
        self._telemetry.failed(kind)
        if self._told != kind:
            self._told = kind
            log.error("upkeep of the database failed, will try again: %s", told(error), extra={"reason": kind})


def _steps(connection: Connection) -> Mapping[str, Step]:
    rows = connection.execute(queries.MAINTAINED).fetchall()
    return {name: Step(finished_at, seconds, ago) for name, finished_at, seconds, ago in rows}


def _one(connection: Connection, query: LiteralString) -> tuple[float, ...]:
    row = connection.execute(query).fetchone()
    assert row is not None, "an aggregate gives a row"
    return row
