"""The queues that were found in one Redis: by what, when last, and on disk over restarts where there is a state folder.

A queue whose keys vanish because it is empty is still a queue. It is forgotten when nothing has told it for 30 days.
"""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from exporter import durable

log = logging.getLogger(__name__)

MAX_FOUND: Final = 20_000
"""Queues remembered for each system."""
FORGET_AFTER: Final = 30 * 86_400.0
"""Seconds after which a queue that nothing tells any more is forgotten."""
SAVE_EVERY: Final = 3600.0
"""Seconds between two writings that change nothing but when queues were seen."""
MAX_BYTES: Final = 32 << 20
"""Of the file: 14 systems of 20,000 queues with names of 80 bytes."""
FOLDER: Final = "discovered"


class Found(msgspec.Struct):
    """One queue that was found."""

    by: str
    """The key and its type, or the set of names that tells it: for people."""
    at: float
    """When it was told last, unix seconds of this host."""


class _File(msgspec.Struct):
    """What the file holds. Another server under the same name makes it worthless: ``server`` is the URL without secrets."""

    server: str
    systems: dict[str, dict[str, Found]]
    """By system and handle; handles are bytes, one character each."""


class Findings:
    """What was found, by system and handle. Changed by the discovery's thread only; ``handles`` may be read by any."""

    def __init__(
        self,
        target: str,
        server: str,
        systems: Iterable[str],
        *,
        state_dir: Path | None,
        clock: Callable[[], float],
    ) -> None:
        self.handles: dict[str, tuple[bytes, ...]] = dict.fromkeys(systems, ())
        """Handles by system; each tuple is replaced, never changed."""
        self.keeps = False
        """Whether they are written down; who only looks once leaves the file as it is."""
        self._found: dict[str, dict[bytes, Found]] = {system: {} for system in self.handles}
        self._target = target
        self._server = server
        self._path = None if state_dir is None else state_dir / FOLDER / f"{quote(target, safe='')}.json"
        self._clock = clock
        self._full: set[str] = set()
        self._is_new = False
        self._saved_at = float("-inf")
        self._trouble: str | None = None

    def load(self, keep: Callable[[str, bytes], bool]) -> None:
        """Take up what an earlier run has found, as far as it is to be kept."""
        if self._path is None:
            return
        try:
            file = _read(self._path)
        except (OSError, ValueError) as exc:
            self._failed(f"cannot read {self._path}: {_reason(exc)}; queues are looked for anew")
            return
        if file is None or file.server != self._server:
            return
        for system in self.handles.keys() & file.systems.keys():
            for text, found in file.systems[system].items():
                handle = text.encode("latin-1", "replace")
                if keep(system, handle):
                    self._found[system][handle] = found
            self.handles[system] = tuple(self._found[system])
        self.forget()
        self._saved_at = self._clock()
        self._is_new = False

    def add(self, system: str, handles: Iterable[tuple[bytes, str]]) -> None:
        """Note that these were told just now, and by what."""
        known = self._found[system]
        before = len(known)
        now = self._clock()
        for handle, by in handles:
            found = known.get(handle)
            if found is not None:
                found.at = now
            elif len(known) < MAX_FOUND:
                known[handle] = Found(by, now)
            elif system not in self._full:
                self._full.add(system)
                log.warning(
                    "redis %s: more than %d %s queues; further ones are not read unless they are configured",
                    self._target,
                    MAX_FOUND,
                    system,
                )
        if len(known) > before:
            self._is_new = True
            self.handles[system] = tuple(known)

    def by(self, system: str, handle: bytes) -> str | None:
        """Return what has told a queue; None for one that was not found."""
        found = self._found[system].get(handle)
        return None if found is None else found.by

    def forget(self) -> None:
        """Drop what nothing has told for long; call it after a walk that has seen everything."""
        oldest = self._clock() - FORGET_AFTER
        for system, known in self._found.items():
            stale = [handle for handle, found in known.items() if found.at < oldest]
            for handle in stale:
                del known[handle]
            if stale:
                self._is_new = True
                self.handles[system] = tuple(known)

    def save(self) -> None:
        """Write the file if there is something new to write; raise nothing."""
        now = self._clock()
        if self._path is None or not self.keeps or not (self._is_new or now - self._saved_at >= SAVE_EVERY):
            return
        systems = {
            system: {handle.decode("latin-1"): each for handle, each in known.items()}
            for system, known in self._found.items()
            if known
        }
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            durable.replace(self._path, msgspec.json.encode(_File(self._server, systems)))
        except OSError as exc:
            self._failed(f"cannot write {self._path}: {_reason(exc)}; after a restart queues are looked for anew")
            return
        self._is_new, self._saved_at, self._trouble = False, now, None

    def _failed(self, text: str) -> None:
        if text != self._trouble:
            self._trouble = text
            log.warning("redis %s: %s", self._target, text)


def _reason(exc: OSError | ValueError) -> str:
    return (isinstance(exc, OSError) and exc.strerror) or str(exc)


def _read(path: Path) -> _File | None:
    """Return the file's content, None where there is none; raise OSError, or ValueError if it makes no sense."""
    data = durable.read(path, most=MAX_BYTES)
    return None if data is None else msgspec.json.decode(data, type=_File)
