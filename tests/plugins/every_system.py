"""Every queue system in one Redis, each with a waiting job: keys as the systems' own sources write them.

The tests beside the real libraries prove the readers; this is for what all of them do together.
"""

import base64
import json
import time
from collections.abc import Mapping
from typing import Any, Final

from exporter.settings import ListSettings, SortedSetSettings

LARAVEL: Final = "laravel_database_queues:"

PLAIN: Final[Mapping[str, Any]] = {
    "lists": (ListSettings(key="jobs", name="jobs", processing="doing", time_field="at"),),
    "sorted_sets": (SortedSetSettings(key="due", name="due"),),
}
"""What has to be configured because nothing could tell it."""

WAITING: Final[Mapping[tuple[str, str], int]] = {
    ("laravel", "emails"): 1,
    ("celery", "celery"): 3,
    ("rq", "high"): 1,
    ("sidekiq", "mailers"): 1,
    ("resque", "images"): 1,
    ("bullmq", "video"): 2,
    ("bull", "audio"): 1,
    ("dramatiq", "default"): 1,
    ("arq", "arq:queue"): 1,
    ("huey", "app"): 1,
    ("taskiq", "taskiq"): 1,
    ("saq", "default"): 1,
    ("stream", "orders/billing"): 1,
    ("list", "jobs"): 1,
    ("zset", "due"): 1,
}
"""Waiting jobs by system and queue."""


def fill_every_system(client: Any) -> None:
    """Put a queue of every system into a Redis."""
    now = time.time()
    pipe = client.pipeline(transaction=False)
    pipe.rpush(f"{LARAVEL}emails", json.dumps({"id": "a", "attempts": 0, "createdAt": int(now) - 30}))
    pipe.zadd(f"{LARAVEL}emails:reserved", {"{}": now + 90})
    _celery(pipe)
    pipe.sadd("rq:queues", "rq:queue:high")
    pipe.rpush("rq:queue:high", "j1")
    pipe.hset("rq:job:j1", mapping={"enqueued_at": "2026-01-15T08:00:00.000000Z", "status": "queued"})
    pipe.sadd("rq:workers", "rq:worker:w")
    pipe.sadd("rq:workers:high", "rq:worker:w")
    pipe.hset("rq:worker:w", mapping={"state": "idle", "birth": "2026-01-15T08:00:00.000000Z", "queues": "high"})
    _sidekiq(pipe, now)
    pipe.sadd("resque:queues", "images")
    pipe.rpush("resque:queue:images", json.dumps({"class": "Resize", "args": []}))
    pipe.sadd("resque:workers", "web:1:images")
    pipe.hset("resque:workers:heartbeat", "web:1:images", "2026-01-15T08:00:00Z")
    pipe.set("resque:stat:processed", 7)
    pipe.set("resque:stat:failed", 1)
    _bulls(pipe, now)
    pipe.rpush("dramatiq:default", "m1")
    pipe.hset(
        "dramatiq:default.msgs",
        mapping={
            "m1": json.dumps({"queue_name": "default", "message_timestamp": int(now * 1000) - 900, "options": {}})
        },
    )
    pipe.zadd("arq:queue", {"j1": int(now * 1000) - 700})
    pipe.set("arq:queue:health-check", "Jan-15 08:00:00 j_complete=0 j_failed=0 j_retried=0 j_ongoing=0 queued=1")
    pipe.lpush("huey.redis.app", b"\x80\x04pickled")
    pipe.zadd("huey.schedule.app", {b"later": now + 600})
    pipe.lpush("taskiq", json.dumps({"task_id": "t1", "task_name": "a:b", "labels": {}, "args": [], "kwargs": {}}))
    pipe.rpush("saq:default:queued", "saq:job:default:k1")
    pipe.zadd("saq:default:incomplete", {"saq:job:default:k1": 0})
    pipe.set("saq:job:default:k1", json.dumps({"key": "k1", "function": "f", "queued": int(now * 1000) - 500}))
    pipe.xgroup_create("orders", "billing", id="0", mkstream=True)
    pipe.xadd("orders", {"order": "1"})
    pipe.xgroup_createconsumer("orders", "billing", "web-1")
    pipe.rpush("jobs", '{"at": 1767225600}')
    pipe.zadd("due", {"a": now - 5, "b": now + 500})
    # What none of them owns.
    pipe.set("session:abc", "x")
    pipe.hset("user:1", "name", "x")
    pipe.sadd("tags", "queue:x")
    pipe.execute()


def _celery(pipe: Any) -> None:
    separator = "\x06\x16"
    pipe.sadd("_kombu.binding.celery", f"celery{separator}{separator}celery")
    pipe.sadd("_kombu.binding.celery.pidbox", f"{separator}{separator}celery@web.celery.pidbox")
    pipe.sadd("_kombu.binding.celeryev", f"worker.#{separator}{separator}celeryev.1234")
    for key, jobs in (("celery", 2), (f"celery{separator}6", 1)):
        for number in range(jobs):
            message = {
                "body": base64.b64encode(b"[[], {}, {}]").decode(),
                "headers": {"id": f"{key}-{number}", "task": "app.add", "eta": None},
                "properties": {"delivery_info": {"exchange": "", "routing_key": "celery"}, "priority": 0},
            }
            pipe.lpush(key, json.dumps(message))


def _sidekiq(pipe: Any, now: float) -> None:
    pipe.sadd("queues", "mailers")
    pipe.lpush(
        "queue:mailers", json.dumps({"class": "Mail", "jid": "j1", "queue": "mailers", "enqueued_at": int(now * 1000)})
    )
    pipe.set("stat:processed", 10)
    pipe.set("stat:failed", 2)
    identity = "web:1:abcdef"
    pipe.sadd("processes", identity)
    info = {"hostname": "web", "pid": 1, "queues": ["mailers"], "concurrency": 5, "identity": identity}
    pipe.hset(
        identity,
        mapping={"info": json.dumps(info), "concurrency": 5, "busy": 0, "beat": now, "quiet": "false", "rss": 1},
    )


def _bulls(pipe: Any, now: float) -> None:
    pipe.hset("bull:video:meta", mapping={"opts.maxLenEvents": 10_000, "version": "bullmq:5.58.0"})
    pipe.set("bull:video:id", 3)
    pipe.lpush("bull:video:wait", "1")
    pipe.zadd("bull:video:prioritized", {"2": 4294967297})
    pipe.xadd("bull:video:events", {"event": "added"})
    pipe.set("bull:audio:id", 1)
    pipe.lpush("bull:audio:wait", "1")
    pipe.zadd("bull:audio:completed", {"0": now * 1000})
    job = {"name": "x", "data": "{}", "opts": "{}", "timestamp": int(now * 1000) - 400, "delay": 0}
    for key in ("bull:video:1", "bull:video:2", "bull:audio:1"):
        pipe.hset(key, mapping=job)
