"""Resque's workers: which queues they serve, which of them live, what they do (resque/worker.rb, data_store.rb)."""

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from depthgauge.resp import Reply
from exporter.queues.payload import seconds

PRUNED: Final = 300
"""Whole seconds since its last heartbeat above which other workers take a worker for dead (``Resque.prune_interval``)."""
PEEK: Final = 511
"""Last byte read of what a worker says it does: queue and time stand before the job's payload."""

_ID: Final = re.compile(rb"[^:]+:[0-9][^:]*:.+", re.DOTALL)
_QUEUE: Final = re.compile(rb'"queue"\s*:\s*("(?:[^"\\]|\\.)*")')
_LONGEST: Final = 16_384
_WILD: Final = "*?{}[]"


@dataclass(frozen=True, slots=True)
class Worker:
    """A registered worker: one process, and one job at a time."""

    queues: bytes
    """As its id has them: names and patterns with commas between."""
    alive: bool
    busy: bool
    works_on: bytes | None
    """The queue of its job; None without one, and where it could not be told."""


def is_id(member: bytes) -> bool:
    """Say whether a member of the set ``workers`` looks like Resque's: host, pid, queues."""
    return len(member) <= _LONGEST and _ID.fullmatch(member) is not None


def worker_of(identity: bytes, says: Reply, heartbeat: Reply, now: float) -> Worker:
    """Return a registered worker. One that never sent a heartbeat is of an old Resque or of another library: it lives."""
    at = seconds(heartbeat)
    busy = isinstance(says, bytes) and bool(says)
    return Worker(
        queues=identity.split(b":", 2)[2],
        alive=at is None or int(now - at) <= PRUNED,
        busy=busy,
        works_on=_queue_in(says) if isinstance(says, bytes) else None,
    )


def _queue_in(says: bytes) -> bytes | None:
    """Return the queue in the beginning of ``{"queue":…,"run_at":…,"payload":…}``."""
    found = _QUEUE.search(says.partition(b'"payload"')[0])
    try:
        name = msgspec.json.decode(found[1], type=str) if found else None
    except msgspec.MsgspecError:
        return None
    return None if name is None else name.encode("utf-8", "replace")


class Served:
    """Remembers which queues each list of names and patterns means, as long as the queues stay the same."""

    def __init__(self) -> None:
        self._names: tuple[bytes, ...] = ()
        self._known: dict[bytes, Sequence[bytes]] = {}

    def by(self, workers: Iterable[Worker], names: tuple[bytes, ...]) -> Mapping[bytes, Sequence[bytes]]:
        """Return the queues that are served, by the workers' ``queues``."""
        known = self._known if names == self._names else {}
        self._names = names
        self._known = {
            queues: known[queues] if queues in known else served(queues, names)
            for queues in {worker.queues for worker in workers}
        }
        return self._known


def served(queues: bytes, names: Sequence[bytes]) -> Sequence[bytes]:
    """Return those of the queues that a worker serves: by name, by patterns of Ruby's ``File.fnmatch?``, without ``!`` ones."""
    words = [word.strip() for word in queues.decode("utf-8", "replace").split(",")]
    skipped = [word[1:] for word in words if word.startswith("!")]
    wanted = [word for word in words if not word.startswith("!")]
    if not skipped and not any(sign in word for word in wanted for sign in _WILD):
        plain = {word.encode() for word in wanted}
        return [name for name in names if name in plain]
    some, none = _pattern(wanted), _pattern(skipped)
    texts = ((name, name.decode("utf-8", "replace")) for name in names)
    return [name for name, text in texts if some.match(text) and not none.match(text)]


def _pattern(words: Sequence[str]) -> re.Pattern[str]:
    """Return the regular expression for several of Ruby's patterns; for none one that matches nothing."""
    return re.compile("|".join(_translated(word) for word in words) or r"(?!)")


def _translated(word: str) -> str:
    r"""Return Ruby's pattern as Python's: ``\x`` is an x, ``[^a]`` is ``[!a]``, and a dot in front matches only a dot."""
    plain = re.sub(r"\\(.)", lambda found: f"[{found[1]}]", word, flags=re.DOTALL).replace("[^", "[!")
    first = "" if word.removeprefix("\\").startswith(".") else r"(?!\.)"
    return first + fnmatch.translate(plain)
