"""How fast a database answers and how much it does, sampled between snapshots on a connection of its own."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from depthgauge.backoff import Backoff
from depthgauge.errors import SourceError
from depthgauge.secrets import Secret
from exporter.sampling import Rates, ResponseTimes, Sampler
from exporter.sources import postgres_queries as queries
from exporter.sources.postgres_link import PostgresLink

EVERY: Final = 1.0
"""Seconds between two response times."""
RATE_EVERY: Final = 5.0
"""Seconds between two readings of the transactions: PostgreSQL tells them about once a second."""
LIMIT: Final = 5.0
"""Seconds after which there will be no answer."""
LONGEST_DELAY: Final = 15.0
"""Seconds at most between two attempts to connect: each leaves a line in the server's log."""


@dataclass(frozen=True, slots=True)
class _Base:
    """Transactions at a moment: the server's, and ours among them."""

    at: float
    connects: int
    reset: float | None
    transactions: int
    own: int


class PostgresSamples:
    """Samples one database while somebody wants to know; ``idle_after`` seconds after :meth:`want` it rests.

    ``own`` returns the transactions of our other connection: they are no load of the application's, as ours here are none.
    """

    def __init__(
        self,
        name: str,
        dsn: Secret,
        *,
        own: Callable[[], int],
        idle_after: float,
        every: float = EVERY,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.responses = ResponseTimes(monotonic=monotonic)
        self.rates = Rates(monotonic=monotonic)
        self._link = PostgresLink(dsn, explains=False, monotonic=monotonic)
        self._own = own
        self._every = every
        self._idle_after = idle_after
        self._monotonic = monotonic
        self._wanted_at = float("-inf")
        self._base: _Base | None = None
        self._rate_due = float("-inf")
        self._retry_at = float("-inf")
        self._backoff = Backoff(first=EVERY, most=LONGEST_DELAY, random=random.random)
        self._sampler = Sampler(f"database:{name}", self.sample, every=every, monotonic=monotonic)

    def start(self) -> None:
        """Begin; nothing is sampled before :meth:`want`."""
        self._sampler.start()

    def want(self) -> None:
        """Note that somebody wants samples; where another exporter reads this database nobody does."""
        self._wanted_at = self._monotonic()

    def close(self) -> None:
        """End; a statement in flight is cut off."""
        self._sampler.close()
        self._link.end()

    def sample(self) -> None:
        """Take one sample; raise SourceError if there was none to take."""
        now = self._monotonic()
        if now - self._wanted_at > self._idle_after:
            self._link.close()
            self._base = None
            return
        if now < self._retry_at:
            return
        try:
            self._link.open(seconds=LIMIT)
        except SourceError:
            self.responses.fail()
            self._retry_at = self._monotonic() + self._backoff.next_delay()
            raise
        self._backoff.reset()
        try:
            self.responses.add(self._link.ask(queries.ALIVE, seconds=LIMIT, bare=True).seconds)
        except SourceError:
            self.responses.fail()
            raise
        # A sample that comes a moment early must not put the reading off to the next one.
        if now >= self._rate_due - self._every / 2:
            self._rate_due = now + RATE_EVERY
            self._rate()

    def _rate(self) -> None:
        (row,) = self._link.ask(queries.TRANSACTIONS, seconds=LIMIT).rows
        base = self._base
        new = self._base = _Base(
            at=self._monotonic(),
            connects=self._link.connects,
            reset=row[1],
            transactions=row[0],
            own=self._link.transactions + self._own(),
        )
        # After a crash or a reset the counters begin anew, which a busy server's numbers alone would not show.
        if base is None or (base.connects, base.reset) != (new.connects, new.reset):
            return
        done, ours = new.transactions - base.transactions, new.own - base.own
        if done >= 0 and new.at > base.at:
            self.rates.add(max(0, done - ours) / (new.at - base.at))
