"""Finding Sidekiq's queues. Its keys have general names (``queues``, ``processes``), so that more than one has to fit."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from depthgauge.resp import Reply
from exporter.queues.namespaces import Namespaces, holds_job, key_of
from exporter.queues.naming import handle_of
from exporter.queues.payload import fields
from exporter.queues.reader import Conversation
from exporter.queues.sets import names_in, plausible, scan_set, whole
from exporter.queues.sidekiq_processes import MAX_PROCESSES, is_identity, queues_of

_KEYS: Final = (b"queues", b"processes", b"stat:processed", b"schedule", b"retry", b"dead")


class _Job(msgspec.Struct):
    jid: Any = None
    args: Any = None


def is_job(body: Reply) -> bool:
    """Say whether this is a job of Sidekiq; a job of Resque has no ``jid``."""
    job = fields(body, _Job) if isinstance(body, bytes) else None
    return job is not None and isinstance(job.jid, str) and isinstance(job.args, list)


def discover(namespaces: Namespaces) -> Conversation[Sequence[bytes]]:
    """Return the handles of the queues of each namespace that is Sidekiq's.

    It is, if its set ``processes`` has a process of Sidekiq's, or it has ``queues`` beside ``stat:processed`` and a sorted set
    of jobs (without a namespace, the latter two are enough: Resque always has one), or the head of a queue is a job of
    Sidekiq's. Types are asked first, so that keys of others give no errors.
    """
    known = namespaces.known
    replies: list[Reply] = yield [("TYPE", key_of(each, rest)) for each in known for rest in _KEYS]
    kinds = {each: replies[len(_KEYS) * at :][: len(_KEYS)] for at, each in enumerate(known)}
    named = [each for each in known if kinds[each][0] == b"set"]
    names = yield from names_in([key_of(each, b"queues") for each in named])
    alive = [each for each in known if kinds[each][1] == b"set"]
    pages: list[Reply] = (
        (yield [scan_set(key_of(each, b"processes"), MAX_PROCESSES) for each in alive]) if alive else []
    )
    processes = {
        each: [member for member in plausible(whole(page) or ()) if is_identity(member)]
        for each, page in zip(alive, pages, strict=True)
    }
    infos = yield from _infos(processes)
    found: list[bytes] = []
    for each in known:
        queues = dict.fromkeys((*names.get(key_of(each, b"queues"), ()), *infos.get(each, ())))
        owned = namespaces.configured or bool(processes.get(each)) or (each in named and _stored(each, kinds[each]))
        if owned or (yield from holds_job(each, tuple(queues), end=-1, is_job=is_job)):
            found += (handle_of(each, name) for name in queues)
    return found


def _stored(namespace: bytes, kinds: Sequence[Reply]) -> bool:
    return kinds[2] == b"string" and (not namespace or b"zset" in kinds[3:])


def _infos(processes: dict[bytes, list[bytes]]) -> Conversation[dict[bytes, list[bytes]]]:
    """Return the queues that the processes of each namespace serve: a queue that is only pushed to raw is in no set."""
    asked = [(each, identity) for each, identities in processes.items() for identity in identities]
    replies: list[Reply] = (
        (yield [("HMGET", key_of(each, identity), "info") for each, identity in asked]) if asked else []
    )
    queues: dict[bytes, list[bytes]] = {}
    for (each, _), reply in zip(asked, replies, strict=True):
        queues.setdefault(each, []).extend(queues_of(reply[0]) if isinstance(reply, list) and reply else ())
    return queues
