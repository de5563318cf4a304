"""The way to the stream and the cache: batches in one pipeline, and what the answers mean."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import redis

from depthgauge import stream
from depthgauge.errors import SourceError
from depthgauge.redis_link import explain
from depthgauge.secrets import Secret
from exporter.outbox import Item


class Sent(NamedTuple):
    """How a batch went."""

    accepted: int
    """Entries that the stream took, from the first on."""
    refused: SourceError | None
    """Why it did not take the next one."""
    cache: SourceError | None
    """Why the cache was not written."""


class Sender:
    """Sends to one bus; redis-py's errors come through. Not for several threads at once."""

    def __init__(self, bus: redis.Redis, url: Secret) -> None:
        self._bus = bus
        self._url = url
        self._cached = 0

    def send(self, batch: Sequence[Mapping[str, bytes]], newest: Item | None) -> Sent:
        """Send entries, oldest first, and write the cache if it has not seen the newest snapshot of this run.

        The cache is about now: what comes out of a backlog, or of an earlier run, never gets there.
        """
        fresh = newest is not None and newest.seq > self._cached
        with self._bus.pipeline(transaction=False) as pipe:
            for fields in batch:
                pipe.xadd(stream.STREAM, dict(fields))  # type: ignore[arg-type]  # redis-py asks for a wider dict
            if newest is not None and fresh:
                pipe.set(stream.LATEST_PREFIX + newest.host, newest.fields["d"], ex=newest.cache_ttl)
                pipe.zadd(stream.HOSTS, {newest.host: newest.slot})
            replies = pipe.execute(raise_on_error=False) if batch or fresh else []
        if newest is not None and fresh:
            self._cached = newest.seq
        accepted = next((at for at, reply in enumerate(replies[: len(batch)]) if _failed(reply)), len(batch))
        return Sent(
            accepted,
            explain(self._url, replies[accepted]) if accepted < len(batch) else None,
            next((explain(self._url, reply) for reply in replies[len(batch) :] if _failed(reply)), None),
        )


def _failed(reply: object) -> bool:
    return isinstance(reply, Exception)
