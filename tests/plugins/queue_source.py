"""A queue source on a real Redis, closed after the test, and one line to read it."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

import pytest

from depthgauge.redis_link import Link
from depthgauge.resp import Command, Reply
from depthgauge.secrets import Secret
from depthgauge.snapshot import Queue
from exporter.settings import RedisSettings
from exporter.sources.redis_queues import RedisQueuesSource

MakeSource: TypeAlias = Callable[..., RedisQueuesSource]
CountTrips: TypeAlias = Callable[[RedisQueuesSource], list[int]]


@pytest.fixture
def make_source() -> Iterator[MakeSource]:
    """Give a function that makes sources: ``make_source(url, timeout=1, systems=("rq",))``; the rest is RedisSettings."""
    sources: list[RedisQueuesSource] = []

    def make(
        url: str, *, timeout: float = 5.0, discovery_interval: float = 300.0, **settings: Any
    ) -> RedisQueuesSource:
        source = RedisQueuesSource(
            RedisSettings(name="main", url=Secret(url), **settings),
            clock=lambda: datetime.now(UTC),
            timeout=timeout,
            discovery_interval=discovery_interval,
        )
        sources.append(source)
        return source

    yield make
    for source in sources:
        source.close()


def read(source: RedisQueuesSource) -> dict[tuple[str, str], Queue]:
    """Collect once and return the queues by system and name."""
    part = source.collect()
    found = {(queue.system, queue.name): queue for queue in part.queues}
    assert len(found) == len(part.queues), "no queue may come twice"
    return found


@pytest.fixture
def count_trips(monkeypatch: pytest.MonkeyPatch) -> CountTrips:
    """Give a function that gives the list to which each round trip of a source's readings adds its number of commands."""

    def count(source: RedisQueuesSource) -> list[int]:
        trips: list[int] = []
        exchange = Link.exchange

        def counted(link: Link, commands: Sequence[Command], **options: Any) -> list[Reply]:
            if link is source._link:
                trips.append(len(commands))
            return exchange(link, commands, **options)

        monkeypatch.setattr(Link, "exchange", counted)
        return trips

    return count
