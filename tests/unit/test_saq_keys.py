"""SAQ's keys, and counters that outlive workers."""

import json
from collections.abc import Sequence

import pytest

from depthgauge.resp import Command, Reply
from exporter.queues.reader import converse
from exporter.queues.saq import SaqReader


@pytest.mark.parametrize(
    ("key", "kind", "name"),
    [
        (b"saq:mail:queued", b"list", b"mail"),
        (b"saq:mail:active", b"list", b"mail"),
        (b"saq:mail:eu:incomplete", b"zset", b"mail:eu"),
        (b"saq:mail:stats", b"zset", b"mail"),
        (b"saq:job:mail:queued", b"string", None),
        (b"saq:mail:queued", b"zset", None),
        (b"saq:mail:stats", b"string", None),
        (b"saq::queued", b"list", None),
        (b"saq:queued", b"list", None),
    ],
)
def test_keys_of_queues(key: bytes, kind: bytes, name: bytes | None) -> None:
    reader = SaqReader(())
    assert reader.may_own([key])
    assert reader.recognise(key, kind) == name


@pytest.mark.parametrize(
    "key", [b"saq:mail:schedule", b"saq:mail:worker_info:1", b"saq:job:mail:1", b"arq:queue:active", b"xsaq:a:queued"]
)
def test_other_keys_cost_no_question(key: bytes) -> None:
    assert not SaqReader(()).may_own([key])


def test_totals_outlive_workers_and_go_on_after_a_rebase() -> None:
    reader = SaqReader(("mail",))
    workers: dict[str, tuple[int, int]] = {}

    def exchange(commands: Sequence[Command]) -> list[Reply]:
        return [answer(command) for command in commands]

    def answer(command: Command) -> Reply:
        key = command[1].decode() if isinstance(command[1], bytes) else ""
        if command[0] == "ZRANGE":
            return [f"saq:mail:worker_info:{each}".encode() for each in workers]
        if command[0] == "GET":
            complete, failed = workers[key.rpartition(":")[2]]
            return json.dumps({"stats": {"complete": complete, "failed": failed}}).encode()
        return None if command[0] == "LINDEX" else len(workers) if key.endswith("stats") else 0

    def totals() -> tuple[int | None, int | None, int | None]:
        ((queue,),) = converse(exchange, [reader.read((), 1.8e9)])
        return queue.completed_total, queue.failed_total, queue.registry_workers

    workers = {"a": (100, 5)}
    assert totals() == (0, 0, 1), "what was done before we looked is not ours to count"
    workers = {"a": (103, 5), "b": (2, 1)}
    assert totals() == (5, 1, 2)
    workers = {}
    assert totals() == (5, 1, 0)
    workers = {"c": (1, 0)}
    assert totals() == (6, 1, 1)
    reader.rebase()
    workers = {"c": (50, 0)}
    assert totals() == (6, 1, 1)
    workers = {"c": (51, 1)}
    assert totals() == (7, 2, 1)


def test_a_worker_that_was_silent_at_the_first_reading_does_not_bring_all_it_ever_did() -> None:
    reader = SaqReader(("mail",))
    info: bytes | None = None

    def exchange(commands: Sequence[Command]) -> list[Reply]:
        return [answer(command) for command in commands]

    def answer(command: Command) -> Reply:
        if command[0] == "GET":
            return info
        if command[0] == "ZRANGE":
            return [b"saq:mail:worker_info:a"]
        return None if command[0] == "LINDEX" else 0

    def total(now: float, complete: int | None, uptime: float = 3600) -> int | None:
        nonlocal info
        stats = {"complete": complete, "failed": 0, "uptime": int(uptime * 1000)}
        info = None if complete is None else json.dumps({"stats": stats}).encode()
        ((queue,),) = converse(exchange, [reader.read((), now)])
        return queue.completed_total

    assert total(1.8e9, None) == 0, "its key has expired: a job blocks the worker's event loop"
    assert total(1.8e9 + 15, 5000) == 0
    assert total(1.8e9 + 30, 5003) == 3
    reader.rebase()
    assert total(1.8e9 + 45, None) == 3
    assert total(1.8e9 + 60, 7000) == 3
    assert total(1.8e9 + 75, 7001) == 4
