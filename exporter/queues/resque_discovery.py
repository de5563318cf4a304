"""Finding Resque's queues. Its keys have general names in a namespace (``queues``, ``workers``), so that more than one has to fit."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from depthgauge.resp import Reply
from exporter.queues.namespaces import Namespaces, holds_job, key_of
from exporter.queues.naming import handle_of
from exporter.queues.payload import fields
from exporter.queues.reader import Conversation
from exporter.queues.sets import names_in

_KEYS: Final = (
    (b"queues", b"set"),
    (b"processes", b"set"),
    (b"workers:heartbeat", b"hash"),
    (b"stat:processed", b"string"),
    (b"workers", b"set"),
    (b"failed", b"list"),
    (b"failed_queues", b"set"),
    (b"delayed_queue_schedule", b"zset"),
)


class _Job(msgspec.Struct):
    args: Any = None
    jid: Any = None
    class_: Any = msgspec.field(name="class", default=None)


def is_job(body: Reply) -> bool:
    """Say whether this is a job of Resque; one of Sidekiq has a ``jid`` too."""
    job = fields(body, _Job) if isinstance(body, bytes) else None
    return job is not None and isinstance(job.class_, str) and isinstance(job.args, list) and job.jid is None


def discover(namespaces: Namespaces, default: bytes) -> Conversation[Sequence[bytes]]:
    """Return the handles of the queues in ``queues`` of each namespace that is Resque's.

    It is, if it has no ``processes`` (those are Sidekiq's) and has ``workers:heartbeat``, or two of: Resque's default name,
    ``stat:processed``, another key of Resque's; or a job of Resque's at the head of a queue. Types are asked first, so that
    keys of others give no errors.
    """
    known = namespaces.known
    replies: list[Reply] = yield [("TYPE", key_of(each, rest)) for each in known for rest, _ in _KEYS]
    here = {
        each: [kind == reply for (_, kind), reply in zip(_KEYS, replies[len(_KEYS) * at :], strict=False)]
        for at, each in enumerate(known)
    }
    named = [each for each in known if here[each][0] and (namespaces.configured or not here[each][1])]
    names = yield from names_in([key_of(each, b"queues") for each in named])
    found: list[bytes] = []
    for each in named:
        queues = names[key_of(each, b"queues")]
        _, _, beats, counted, *others = here[each]
        owned = namespaces.configured or beats or sum((counted, each == default, any(others))) >= 2
        if owned or (yield from holds_job(each, queues, end=0, is_job=is_job)):
            found += (handle_of(each, name) for name in queues)
    return found
