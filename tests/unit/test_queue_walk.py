"""What the walk over the keys costs with all systems: most keys of a Redis are nobody's jobs."""

import time
from collections.abc import Callable
from uuid import UUID

from depthgauge.secrets import Secret
from exporter.queues.active import active_readers
from exporter.queues.counters import CounterReader
from exporter.queues.reader import QueueReader, holding
from exporter.settings import RedisSettings

KINDS = (
    "celery-task-meta-{}",
    "laravel_cache:{}",
    "bull:mail:{}",
    "sess:{}",
    "rq:job:{}",
    "saq:job:mail:{}",
    "arq:result:{}",
    "user:{}:profile",
)
PAGE = [KINDS[number % len(KINDS)].format(UUID(int=number << 64 | number)).encode() for number in range(1000)]


def readers() -> list[QueueReader]:
    active = [each.reader for each in active_readers(RedisSettings(name="main", url=Secret("redis://localhost")))]
    return [reader for reader in (*active, CounterReader("main", active)) if reader.needs_scan]


def fastest(work: Callable[[], object]) -> float:
    def once() -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    return min(once() for _ in range(20))


def test_foreign_keys_are_asked_about_by_those_only_who_need_the_type_of_every_key() -> None:
    assert {reader.system for reader in readers() if reader.may_own(PAGE)} == {"taskiq", "stream"}


def test_a_page_passes_all_systems_at_the_price_of_a_few_looks_at_each_key() -> None:
    look = fastest(lambda: [key for key in PAGE if key.endswith((b":queues", b":workers"))])
    assert fastest(lambda: [reader.may_own(PAGE) for reader in readers()]) < 40 * look


def test_a_mark_is_found_in_its_keys_and_nowhere_else() -> None:
    assert holding([b"a:queues:b", b"queues:", b"a:queues", b":b", b"que", b"ues:"], b"queues:") == [
        b"a:queues:b",
        b"queues:",
    ]
    assert holding([], b"queues:") == []
