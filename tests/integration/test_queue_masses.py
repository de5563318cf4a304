"""Many keys and many queues: what an exporter's cycle, its memory and its series are then."""

import logging
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import psutil
import pytest

from depthgauge.redis_link import Link
from depthgauge.resp import Command, Reply
from depthgauge.secrets import Secret
from depthgauge.snapshot import Cycle, Snapshot
from exporter.render import Renderer
from exporter.settings import RedisSettings
from exporter.sources import discovery
from exporter.sources.findings import MAX_FOUND
from exporter.sources.redis_queues import RedisQueuesSource
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_server import MakeRedis, RedisServer

P = "laravel_database_queues:"

pytestmark = pytest.mark.needs("redis-server")


@pytest.fixture
def crowded(make_redis: MakeRedis) -> RedisServer:
    """Give a Redis of a million keys that are nobody's, and two queues."""
    server = make_redis("--enable-debug-command", "yes")
    client: Any = server.client()
    client.execute_command("DEBUG", "POPULATE", 1_000_000, "cache:entry", 8)
    client.rpush(f"{P}emails", '{"id":"x","attempts":0,"createdAt":1767225600}')
    client.sadd("rq:queues", "rq:queue:high")
    return server


def test_a_million_foreign_keys_are_walked_beside_the_cycles(
    crowded: RedisServer, make_source: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_source(crowded.url, queues=("laravel:emails",))
    trips: list[str] = []
    exchange = Link.exchange

    def counted(link: Link, commands: Sequence[Command], **options: Any) -> list[Reply]:
        if link is source._link:
            trips.append(threading.current_thread().name)
        else:
            assert len(commands) <= 3000, "a page at a time"
        return exchange(link, commands, **options)

    monkeypatch.setattr(Link, "exchange", counted)
    monkeypatch.setattr(discovery, "_PAUSE", 0.001)
    read(source)
    finished = threading.Event()
    walking = threading.Thread(target=lambda: finished.set() if source.discover_now(time.monotonic() + 60) else None)
    walking.start()
    cycles = 0
    # A moment between them: on end, they would take the walk's time away from it.
    while not finished.wait(0.02):
        assert walking.is_alive() or finished.is_set(), "the walk took more than a minute"
        trips.clear()
        queues = read(source)
        assert len(trips) <= 3
        assert queues["laravel", "emails"].live.waiting == 1
        cycles += 1
    walking.join()
    assert cycles > 20, "cycles went on while keys were walked"
    assert set(read(source)) == {("laravel", "emails"), ("rq", "high")}
    assert source.discovery.problem is None


def test_fifty_thousand_random_queues(redis_server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    pipe = redis_server.client().pipeline(transaction=False)
    for number in range(50_000):
        pipe.rpush(f"{P}random-{number}", '{"id":"x","attempts":0,"createdAt":1767225600}')
    pipe.rpush(f"{P}watched", '{"id":"x","attempts":0,"createdAt":1767225600}')
    pipe.execute()
    before = psutil.Process().memory_info().rss
    source = RedisQueuesSource(
        RedisSettings(name="main", url=Secret(redis_server.url), queues=("laravel:watched",)),
        clock=lambda: datetime.now(UTC),
        timeout=30,
    )
    try:
        with caplog.at_level(logging.WARNING):
            assert source.discover_now(time.monotonic() + 60)
        part = source.collect()
        text = Renderer(budget=1000, configured={("main", "watched")}).render(snapshot_of(part), part.observed_at)
        grown = psutil.Process().memory_info().rss - before
    finally:
        source.close()
    # The watched one is on top, unless it was among those that were found.
    named = source.discovery.findings.by("laravel", f"{P}watched".encode()) is None
    shown = MAX_FOUND + named
    assert len(part.queues) == shown
    assert caplog.text.count("further ones are not read") == 1
    jobs = [line for line in text.splitlines() if line.startswith("jobqueue_jobs{")]
    assert len(jobs) <= 1000
    assert any('queue="watched"' in line for line in jobs), "configured ones are admitted first"
    assert f'depthgauge_series_over_budget{{family="jobqueue_jobs"}} {3 * shown - len(jobs)}.0' in text
    assert grown < 200_000_000


def snapshot_of(part: Any) -> Snapshot:
    now = part.observed_at
    return Snapshot(
        host="h", run_id="r", seq=1, slot=now, taken_at=now, interval=15, cycle=Cycle(seconds=0.1), queues=(part,)
    )
