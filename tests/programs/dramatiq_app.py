"""A Dramatiq application: ``dramatiq dramatiq_app`` works, ``python dramatiq_app.py ORDERS`` sends and tells what is queued.

ORDERS is JSON: ``[[actor, delay in ms or null], …]``. ``REDIS_URL``, ``NAMESPACE``, ``COUNTERS_URL`` and ``NO_RETRIES`` are
told by the environment.
"""

# mypy: disable-error-code="untyped-decorator"
# The library is not where mypy runs.

import importlib
import json
import os
import sys
import time
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker

retries = "NO_RETRIES" not in os.environ
# Always maintaining, and half a minute shortened: what a dead worker held is queued again soon after.
broker = RedisBroker(
    url=os.environ["REDIS_URL"],
    namespace=os.environ.get("NAMESPACE", "dramatiq"),
    heartbeat_timeout=1000,
    maintenance_chance=1_000_000,
    middleware=None if retries else [],
)
if "COUNTERS_URL" in os.environ:
    snippet = importlib.import_module("depthgauge_dramatiq")
    broker.add_middleware(snippet.DepthgaugeCounters(os.environ["COUNTERS_URL"]))
dramatiq.set_broker(broker)


def options(**told: Any) -> dict[str, Any]:
    """Return what only the usual middleware understands."""
    return told if retries else {}


@dramatiq.actor(**options(max_retries=0))
def boom() -> None:
    raise RuntimeError("for good")


@dramatiq.actor(**options(max_retries=1, min_backoff=3_600_000, max_backoff=3_600_000))
def again() -> None:
    raise RuntimeError("for an hour or so")


@dramatiq.actor(**options(max_age=1))
def old() -> None:
    """Never run: it is a millisecond old before a worker gets it, which makes it a dead letter."""


@dramatiq.actor
def hold() -> None:
    """Run until the key ``release`` is there."""
    while not broker.client.exists("release"):
        time.sleep(0.02)


@dramatiq.actor(queue_name="mail.eu")
def mail() -> None:
    """Do nothing."""


def main() -> None:
    sent = [
        globals()[actor].send_with_options(delay=delay) if delay else globals()[actor].send()
        for actor, delay in json.loads(sys.argv[1])
    ]
    sys.stdout.write(
        json.dumps(
            {
                "sent": [message.message_timestamp for message in sent],
                "sizes": {name: broker.do_qsize(name) for name in sorted(broker.get_declared_queues())},
            }
        )
    )


if __name__ == "__main__":
    main()
