"""Writes the keys that Resque 3.0 and resque-scheduler 5.0 write: neither is in Debian, nor can the tests reach rubygems.org.

Each method names the method of the libraries whose commands it sends: resque/data_store.rb and worker.rb unless told.
"""

import json
from datetime import UTC, datetime
from typing import Any

import redis


class ResqueKeys:
    """One application, by its namespace."""

    def __init__(self, client: redis.Redis, namespace: str = "resque") -> None:
        self._client: Any = client
        self._namespace = namespace

    def key(self, rest: str) -> str:
        return f"{self._namespace}:{rest}"

    def push(self, queue: str, *args: object) -> None:
        """push_to_queue"""
        self._client.sadd(self.key("queues"), queue)
        self._client.rpush(self.key(f"queue:{queue}"), json.dumps({"class": "Job", "args": args}))

    def push_later(self, queue: str, at: int, *args: object) -> None:
        """delayed_push (resque/scheduler/delaying_extensions.rb)"""
        item = json.dumps({"class": "Job", "args": args, "queue": queue})
        self._client.rpush(self.key(f"delayed:{at}"), item)
        self._client.sadd(self.key(f"timestamps:{item}"), f"delayed:{at}")
        self._client.zadd(self.key("delayed_queue_schedule"), {str(at): at})

    def register(self, worker: str) -> None:
        """register_worker"""
        self._client.sadd(self.key("workers"), worker)
        self._client.set(self.key(f"worker:{worker}:started"), "2026-11-29 00:30:48 +0000")

    def beat(self, worker: str, at: datetime | None = None) -> None:
        """heartbeat!"""
        self._client.hset(
            self.key("workers:heartbeat"), worker, (at or datetime.now(UTC)).isoformat(timespec="seconds")
        )

    def take(self, worker: str, queue: str) -> None:
        """pop_from_queue, then working_on"""
        job = json.loads(self._client.lpop(self.key(f"queue:{queue}")))
        work = {"queue": queue, "run_at": "2026-11-29T00:30:48Z", "payload": job}
        self._client.set(self.key(f"worker:{worker}"), json.dumps(work, separators=(",", ":")))

    def failed(self, worker: str, queue: str, *, by_queue: bool = False) -> None:
        """report_failed_job: Failure::Redis#save or RedisMultiQueue#save (resque/failure), then failed!"""
        if by_queue:
            self._client.sadd(self.key("failed_queues"), f"{queue}_failed")
        self._client.rpush(self.key(f"{queue}_failed" if by_queue else "failed"), json.dumps({"queue": queue}))
        self._client.incr(self.key("stat:failed"))
        self._client.incr(self.key(f"stat:failed:{worker}"))

    def done(self, worker: str) -> None:
        """done_working"""
        self._client.delete(self.key(f"worker:{worker}"))
        self._client.incr(self.key("stat:processed"))
        self._client.incr(self.key(f"stat:processed:{worker}"))

    def unregister(self, worker: str) -> None:
        """unregister_worker"""
        self._client.srem(self.key("workers"), worker)
        self._client.delete(self.key(f"worker:{worker}"), self.key(f"worker:{worker}:started"))
        self._client.hdel(self.key("workers:heartbeat"), worker)
        self._client.delete(self.key(f"stat:processed:{worker}"), self.key(f"stat:failed:{worker}"))
