"""Finding queues in one Redis, in the background, on a connection and in a thread of its own."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from depthgauge.errors import SourceError
from depthgauge.names import clean
from depthgauge.redis_link import kind_of_code
from depthgauge.redis_links import link_for
from depthgauge.resp import Command, Reply, ReplyError
from depthgauge.secrets import Secret, masked
from exporter.queues.payload import gone
from exporter.queues.reader import QueueReader, converse
from exporter.sources.findings import Findings
from exporter.sources.refusals import OF_THE_SERVER, Refusals, out_of_reach

log = logging.getLogger(__name__)

INTERVAL: Final = 300.0
"""Seconds between two walks at the most."""
SOONEST: Final = 15.0
"""Seconds between two walks of a small key space."""
SHARE: Final = 0.01
"""Of the time that may be spent on walking: a key space that takes three seconds is walked every five minutes."""
CALL_TIMEOUT: Final = 5.0
MAX_KEYS: Final = 1_000_000
"""Keys looked at in one walk; the next one goes on where it stopped."""

_PAGE: Final = 1000
_PAUSE: Final = 0.005
"""Seconds between two pages, so that a large key space does not keep Redis busy."""
_DIGITS: Final = 11
"""Of a time in seconds that is one: beyond are years that no calendar has."""
_SOON: Final = 10.0
"""Seconds to the next walk after one that failed, and after the server was away."""


class Discovery:
    """Knows the queues found so far: one that was found once stays, though its keys vanish when it is empty.

    ``admits`` says of a queue's bare name whether it is wanted at all. The thread starts with the first :meth:`use` and walks only while the exporter keeps using what it finds.
    """

    def __init__(
        self,
        target: str,
        url: Secret,
        readers: Sequence[QueueReader],
        *,
        interval: float = INTERVAL,
        max_keys: int = MAX_KEYS,
        admits: Callable[[str], bool] = lambda _: True,
        state_dir: Path | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        systems = [reader.system for reader in readers]
        self.findings = Findings(target, masked(url.reveal()), systems, state_dir=state_dir, clock=clock)
        self.run_id: str | None = None
        """The server's run id when last asked; None while unknown."""
        self.time_offset: float | None = None
        """Redis's unix time minus the monotonic clock, when last asked."""
        self.problem: str | None = None
        """Why the last walk could not see everything; None if it could."""
        self._target = target
        self._readers = tuple(readers)
        self._admits = admits
        self._interval = interval
        self._max_keys = max_keys
        self._monotonic = monotonic
        self._link = link_for(url, connect_timeout=CALL_TIMEOUT, monotonic=monotonic)
        self._refusals = Refusals(target)
        self._cursor = b"0"
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._asked = 0
        self._begun = 0
        self._done = 0
        self._used = False
        self._soon = False
        self._thread: threading.Thread | None = None
        by_system = {reader.system: reader for reader in readers}
        self.findings.load(lambda system, each: by_system[system].keeps(each) and admits(by_system[system].name(each)))

    @property
    def found(self) -> dict[str, tuple[bytes, ...]]:
        """Handles by system; each tuple is replaced, never changed."""
        return self.findings.handles

    def use(self) -> None:
        """Say that the findings are being used; the first time this starts the first walk."""
        self._used = True
        if self._thread is None and not self._stop.is_set():
            self._thread = threading.Thread(target=self._run, name=f"discovery:{self._target}", daemon=True)
            self._thread.start()

    def wait_first(self, seconds: float) -> bool:
        """Wait for the end of the first walk; say whether it came."""
        with self._changed:
            return self._changed.wait_for(lambda: self._done > 0, max(0.0, seconds))

    @property
    def has_walked(self) -> bool:
        """Whether a walk has ended."""
        with self._changed:
            return self._done > 0

    @property
    def has_seen_all(self) -> bool:
        """Whether a walk has ended that saw all it can: it came to the end of the keys, or the server did not let it."""
        return self.has_walked and (self.problem is not None or self._cursor == b"0")

    def now(self, deadline: float) -> bool:
        """Walk at once; wait until that is done or until ``deadline`` (monotonic), say which."""
        self.use()
        with self._changed:
            # A walk under way may have passed the place of a new queue already: only one that starts from now on counts.
            wanted = self._asked = self._begun + 1
            self._wake.set()
            return self._changed.wait_for(lambda: self._done >= wanted, max(0.0, deadline - self._monotonic()))

    def again_soon(self) -> None:
        """Forget who the server was: it was away and may be another one now. Walk again in a moment."""
        self.run_id = None
        self._soon = True
        self._wake.set()

    def close(self) -> None:
        """End the thread; a call in flight is cut off."""
        self._stop.set()
        self._wake.set()
        self._link.close()
        if self._thread is not None:
            self._thread.join(1.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._used = False
            with self._changed:
                self._begun += 1
            began = self._monotonic()
            self._walk()
            took = self._monotonic() - began
            with self._changed:
                self._done += 1
                self._changed.notify_all()
            self._rest(min(self._interval, max(SOONEST, took / SHARE)))

    def _rest(self, seconds: float) -> None:
        """Wait for the next walk: so many seconds, shorter when asked for, longer while nobody uses what is found."""
        due = self._monotonic() + seconds
        earliest = self._monotonic() + min(_SOON, self._interval)
        while not self._stop.is_set() and self._asked <= self._done:
            if self._soon:
                self._soon = False
                due = min(due, earliest)
            left = due - self._monotonic()
            if left <= 0 and self._used:
                return
            self._wake.wait(left if left > 0 else 1.0)
            self._wake.clear()

    def _walk(self) -> None:
        try:
            problems = [*self._ask_server(), *self._ask_systems()]
            known = self._prefixes()
            problems += [*self._scan(), *self._link.skipped]
            if self._prefixes() != known:
                problems += self._ask_systems()
        except SourceError as exc:
            problems = [str(exc)]
            self._soon = True
        except Exception as exc:
            # A defect of one reader must not end the thread that looks for the queues of all.
            log.exception("redis %s: looking for queues failed unexpectedly", self._target)
            problems = [repr(exc)]
        finally:
            # The next walk is minutes away: the server need not keep a connection for it.
            self._link.close()
        if not problems and self._cursor == b"0":
            self.findings.forget()
        self.findings.save()
        problem = problems[0] if problems else None
        if problem is not None and problem != self.problem and not self._stop.is_set():
            log.warning(
                "redis %s: cannot discover all queues, those in the configuration are read: %s", self._target, problem
            )
        self.problem = problem

    def _exchange(self, commands: Sequence[Command]) -> list[Reply]:
        replies = self._link.exchange(commands, deadline=self._monotonic() + CALL_TIMEOUT)
        for reply in replies:
            if isinstance(reply, ReplyError) and (kind := kind_of_code(reply.code)) in OF_THE_SERVER:
                raise SourceError(kind, f"Redis at {masked(self._link.url.reveal())}: {reply.message}")
        self._refusals.watch(commands, replies)
        return replies

    def _ask_server(self) -> list[str]:
        before = self._monotonic()
        info, clock = self._exchange([("INFO", "server"), ("TIME",)])
        if (seconds := unix_time(clock)) is not None:
            self.time_offset = seconds - (before + self._monotonic()) / 2
        if isinstance(info, bytes):
            fields = dict(line.partition(b":")[::2] for line in info.splitlines())
            self.run_id = fields.get(b"run_id", b"").decode("ascii", "replace") or None
        return []

    def _prefixes(self) -> list[int]:
        return [len(reader.prefixes) for reader in self._readers]

    def _ask_systems(self) -> list[str]:
        problems: list[str] = []

        def ask(commands: Sequence[Command]) -> list[Reply]:
            replies = self._exchange(commands)
            problems.extend(reply.message for reply in replies if isinstance(reply, ReplyError) and not gone(reply))
            return replies

        named = converse(ask, [reader.discover() for reader in self._readers])
        for reader, handles in zip(self._readers, named, strict=True):
            self._add(reader, ((handle, _named(reader.told_by(handle))) for handle in handles))
        return problems

    def _scan(self) -> list[str]:
        scanning = [reader for reader in self._readers if reader.needs_scan]
        if not scanning:
            return []
        seen = 0
        while not self._stop.is_set():
            (reply,) = self._exchange([("SCAN", self._cursor, "COUNT", _PAGE)])
            if isinstance(reply, ReplyError):
                return [reply.message]
            if not isinstance(reply, list) or len(reply) != 2:
                return ["SCAN gave no page"]
            cursor, page = reply
            keys = [key for key in page if isinstance(key, bytes)] if isinstance(page, list) else []
            refused = self._match(scanning, keys)
            if refused is not None:
                return [refused]
            self._cursor = cursor if isinstance(cursor, bytes) else b"0"
            seen += len(keys)
            if self._cursor == b"0":
                return []
            if seen >= self._max_keys:
                log.warning(
                    "redis %s: looked for queues in %d keys, the next walk goes on from there; name the queues in"
                    " the configuration to have them at once",
                    self._target,
                    seen,
                )
                return []
            self._stop.wait(_PAUSE)
        return []

    def _match(self, readers: Sequence[QueueReader], keys: Sequence[bytes]) -> str | None:
        """Add the queues these keys belong to; return why their types could not be asked, if so."""
        candidates = [(reader, owned) for reader in readers if (owned := reader.may_own(keys))]
        asked = tuple(dict.fromkeys(key for _, owned in candidates for key in owned))
        if not asked:
            return None
        kinds = dict(zip(asked, self._exchange([("TYPE", key) for key in asked]), strict=True))
        for reader, owned in candidates:
            told: list[tuple[bytes, str]] = []
            for key in owned:
                kind = kinds[key]
                if isinstance(kind, bytes) and (handle := reader.recognise(key, kind)) is not None:
                    told.append((handle, f"{kind.decode('ascii', 'replace')} {clean(key)}"))
            self._add(reader, told)
        refused = (kind for kind in kinds.values() if isinstance(kind, ReplyError) and not out_of_reach(kind))
        return next((kind.message for kind in refused), None)

    def _add(self, reader: QueueReader, handles: Iterable[tuple[bytes, str]]) -> None:
        self.findings.add(reader.system, (each for each in handles if self._admits(reader.name(each[0]))))


def _named(told_by: str) -> str:
    return f"named in {told_by}" if told_by else "its keys"


def unix_time(reply: Reply) -> float | None:
    """Return the seconds of a reply to TIME; None if it is none."""
    if not isinstance(reply, list) or len(reply) != 2:
        return None
    seconds, microseconds = reply
    if not isinstance(seconds, bytes) or not isinstance(microseconds, bytes):
        return None
    if not seconds.isdigit() or not microseconds.isdigit() or max(len(seconds), len(microseconds)) > _DIGITS:
        return None
    return int(seconds) + int(microseconds) / 1e6
