"""How much of the last 24 hours the host was up, remembered in a small file: a reboot is told, a restart of the exporter is none.

What is known of a boot is the time from its begin to when the host was last seen up. Times are kept by the wall clock, and
all of them move with it when it is set: what counts is how far they lie apart. Only a clock that is set within ten minutes
of the boot is believed to have been wrong at the boot, as on a machine without a battery for its clock.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct, structs

from exporter import durable

log = logging.getLogger(__name__)

FILE: Final = "uptime.json"
WINDOW: Final = 86_400.0
"""Seconds that the ratio looks back."""
SAVE_EVERY: Final = 30.0
"""Seconds between two writes: what a power cut may add to the time that the host seems to have been down."""
EARLY: Final = 600.0
"""Seconds after boot in which the clock may be set right for the first time."""
MAX_BOOTS: Final = 200
MAX_BYTES: Final = 64 * 1024
"""Of the file; MAX_BOOTS need less than 10 KiB."""
SLACK: Final = 1.0
"""Seconds by which an uptime may seem to fall between two readings."""

_Seconds: TypeAlias = Annotated[float, Meta(ge=-1e12, le=1e12)]


class Boot(Struct, frozen=True, kw_only=True):
    """One boot of this host, as far as it was seen."""

    begin: _Seconds
    """Unix time, by the clock of the newest reading, as all times here."""
    uptime: Annotated[float, Meta(ge=0, le=1e12)]
    """Seconds from there until it was last seen."""
    boot_id: str = ""
    """The kernel's name of it; empty where it tells none."""

    @property
    def end(self) -> float:
        """When it was last seen."""
        return self.begin + self.uptime


class Boots(Struct, frozen=True, kw_only=True):
    """The file's content: the boot that is, and those before it, oldest first."""

    current: Boot
    earlier: Annotated[tuple[Boot, ...], Meta(max_length=MAX_BOOTS)] = ()

    def ratio(self) -> float:
        """Return the part of the last 24 hours, as far as they are known, in which the host was up."""
        now = self.current.end
        seen = [*_apart(self), self.current]
        since = max(now - WINDOW, min(boot.begin for boot in seen))
        if now <= since:
            return 1.0
        up = sum(max(0.0, boot.end - max(boot.begin, since)) for boot in seen)
        return min(1.0, up / (now - since))


def after(known: Boots | None, seen: Boot) -> Boots:
    """Return what is known when the host has been seen up once more."""
    if known is None:
        return Boots(current=seen)
    last = known.current
    if not _is_same(last, seen):
        boots = Boots(current=seen, earlier=(*known.earlier, last)[-MAX_BOOTS:])
    else:
        moved = seen.begin - last.begin if seen.uptime > EARLY else 0.0
        earlier = tuple(structs.replace(boot, begin=boot.begin + moved) for boot in known.earlier)
        boots = Boots(current=seen, earlier=earlier)
    # Before that a wrong clock would have them forgotten for good.
    return structs.replace(boots, earlier=_apart(boots)) if seen.uptime > EARLY else boots


def _is_same(last: Boot, seen: Boot) -> bool:
    if seen.uptime < last.uptime - SLACK:
        return False
    if last.boot_id and seen.boot_id:
        return last.boot_id == seen.boot_id
    return seen.begin < last.end


def _apart(boots: Boots) -> tuple[Boot, ...]:
    """Return the earlier boots of the last 24 hours without what a later one overlaps, which only a wrong clock brings about."""
    since, until = boots.current.end - WINDOW, boots.current.begin
    kept: list[Boot] = []
    for boot in reversed(boots.earlier):
        end = min(boot.end, until)
        if end > since and end > boot.begin:
            kept.append(structs.replace(boot, uptime=end - boot.begin))
            until = boot.begin
    return tuple(reversed(kept))


class UptimeFile:
    """Remembers the boots. Trouble with the file is told once; without it, what the present boot tells is all that is known.

    Safe for several threads. ``path`` is None where nothing is to be remembered.
    """

    def __init__(self, path: Path | None, *, monotonic: Callable[[], float]) -> None:
        self._path = path
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._boots: Boots | None = None
        self._is_read = path is None
        self._saved_at: float | None = None
        self._trouble: str | None = None
        self.failures = 0
        """Readings and writings that failed."""

    def see(self, boot: Boot) -> float:
        """Note that the host is up; return the ratio."""
        with self._lock:
            if not self._is_read and self._path is not None:
                self._is_read = True
                self._boots = self._load(self._path)
            self._boots = after(self._boots, boot)
            return self._boots.ratio()

    def save(self, *, at_once: bool = False) -> None:
        """Write the file if it is time to; raise nothing."""
        # Not under the lock of see(): a disk that hangs must not hold up the reading.
        with self._writing:
            with self._lock:
                boots = self._boots
            now = self._monotonic()
            is_due = at_once or self._saved_at is None or now - self._saved_at >= SAVE_EVERY
            if self._path is None or boots is None or not is_due:
                return
            self._saved_at = now
            try:
                durable.replace(self._path, msgspec.json.encode(boots))
            except OSError as exc:
                self.failed(f"cannot write {self._path}: {exc.strerror}; a reboot will not be told in the uptime")
                return
            if self._trouble is not None:
                self._trouble = None
                log.info("can write %s again", self._path)

    def failed(self, text: str) -> None:
        """Count a failure; tell it unless it is the one that was told last."""
        self.failures += 1
        if self._trouble != text:
            self._trouble = text
            log.warning("%s", text)

    def _load(self, path: Path) -> Boots | None:
        try:
            return load(path)
        except OSError as exc:
            self.failed(f"cannot read {path}: {exc.strerror}; the uptime begins anew with this boot")
        except ValueError as exc:
            self.failed(f"{path} is damaged: {exc}; the uptime begins anew with this boot")
        return None


def load(path: Path) -> Boots | None:
    """Return the file's content, None where there is none; raise OSError, or ValueError if it makes no sense."""
    data = durable.read(path, most=MAX_BYTES)
    return None if data is None else msgspec.json.decode(data, type=Boots)
