"""``depthgauge queues``: what is in each Redis, and what told it."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from cli import pin
from depthgauge.errors import SourceError
from depthgauge.names import clean
from depthgauge.secrets import masked
from depthgauge.snapshot import Queue
from exporter.queues.naming import FoundQueue, labels_of
from exporter.queues.streams import SYSTEM as STREAM
from exporter.settings import ExporterSettings, RedisSettings
from exporter.sources.redis_queues import RedisQueuesSource

PATIENCE: Final = 60.0
"""Seconds that looking for queues may take, and so long again the reading of them."""
CONFIGURED: Final = "the configuration"
MOST: Final = 200
"""Queues in the table; it is for people."""

_NUMBERS: Final = ("waiting", "active", "delayed", "retry", "blocked", "failed", "dead")


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """A queue and what told it."""

    queue: Queue
    found_by: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Looked:
    """What one Redis holds."""

    name: str
    url: str
    """Without its password."""
    error: str | None = None
    problem: str | None = None
    """Why there may be more than was found."""
    queues: tuple[Seen, ...] = ()
    config: str = ""
    """TOML that pins what was found."""


def run(settings: ExporterSettings, *, as_json: bool) -> int:
    """Look into every Redis and print what is there; return 1 if one could not be read."""
    looked = [look(each) for each in settings.redis]
    if as_json:
        text = msgspec.json.format(msgspec.json.encode({"redis": [_plain(each) for each in looked]}), indent=2).decode()
    else:
        text = "\n\n".join(as_text(each) for each in looked)
    sys.stdout.write(text + "\n")
    return 1 if any(each.error for each in looked) else 0


def look(settings: RedisSettings) -> Looked:
    """Search one Redis for queues and read them once."""
    url = masked(settings.url.reveal())
    source = RedisQueuesSource(settings, clock=lambda: datetime.now(UTC), timeout=PATIENCE)
    try:
        finished = source.discover_now(time.monotonic() + PATIENCE)
        part = source.collect()
        problem = source.discovery.problem
        if not finished:
            problem = f"the search is not over after {PATIENCE:.0f} seconds"
        found = source.found_by()
    except SourceError as exc:
        return Looked(name=settings.name, url=url, error=str(exc))
    finally:
        source.close()
    told = _Told(settings, found)
    return Looked(
        name=settings.name,
        url=url,
        problem=problem,
        queues=tuple(
            Seen(queue=queue, found_by=told.by(queue))
            for queue in sorted(part.queues, key=lambda queue: (queue.system, queue.name))
        ),
        config=pin.as_toml(settings, found),
    )


class _Told:
    """Knows what has told each queue that was read."""

    def __init__(self, settings: RedisSettings, found: Sequence[FoundQueue]) -> None:
        self._is_configured = bool(settings.queues or settings.streams or settings.lists or settings.sorted_sets)
        self._by: dict[tuple[str, str], str] = {}
        self._applications: set[tuple[str, str]] = set()
        for each in found:
            self._applications |= {(section, clean(prefix)) for section, prefix in each.pins.items()}
            for label in labels_of(each):
                self._by.setdefault((each.system, label), each.by)

    def by(self, queue: Queue) -> str:
        """Return it in words."""
        if (by := self._by.get((queue.system, queue.name))) is not None:
            return by
        if queue.name == "" or (queue.system, queue.name) in self._applications:
            return f"with the queues of {queue.system}"
        key = queue.name
        while queue.system == STREAM and "/" in key:
            key = key.rpartition("/")[0]
            if (by := self._by.get((STREAM, key))) is not None:
                return by
        # A group's label that had to be cleaned begins with no key.
        return CONFIGURED if self._is_configured else f"keys of {queue.system}"


def as_text(looked: Looked) -> str:
    """Return what one Redis holds, for people."""
    head = f"redis {looked.name}  {looked.url}"
    if looked.error is not None:
        return f"{head}\n\n{looked.error}"
    parts = [head]
    if looked.problem is not None:
        parts.append(f"There may be more: {looked.problem}")
    if not looked.queues:
        parts.append(
            "No queue was found. Queues show once they have had a job; is it the right number of the database?"
        )
        return "\n\n".join(parts)
    shown = _shown(looked.queues)
    parts.append(_table(shown))
    if (hidden := len(looked.queues) - len(shown)) > 0:
        parts.append(f"and {hidden} more, in which fewer jobs wait; --json tells them all")
    if looked.config:
        parts.append("To pin this, so that nothing has to be looked for:")
        parts.append(looked.config.rstrip())
    return "\n\n".join(parts)


def _shown(queues: tuple[Seen, ...]) -> tuple[Seen, ...]:
    """Return the queues for a table: of very many those that cannot be read, and those in which most jobs wait."""
    if len(queues) <= MOST:
        return queues
    ranked = sorted(queues, key=lambda each: (each.queue.error is None, -(each.queue.live.waiting or 0)))
    chosen = {(each.queue.system, each.queue.name) for each in ranked[:MOST]}
    return tuple(each for each in queues if (each.queue.system, each.queue.name) in chosen)


def _table(queues: tuple[Seen, ...]) -> str:
    rows = [_numbers(each.queue) for each in queues]
    shown = [column for column in _NUMBERS if column in _NUMBERS[:3] or any(row[column] is not None for row in rows)]
    titles = ("system", "queue", *shown, "found by")
    lines = [
        (
            each.queue.system,
            each.queue.name or "(all queues together)",
            *("-" if row[column] is None else str(row[column]) for column in shown),
            each.found_by + (f"  [{each.queue.error}]" if each.queue.error else ""),
        )
        for each, row in zip(queues, rows, strict=True)
    ]
    widths = [max(len(line[at]) for line in (titles, *lines)) for at in range(len(titles) - 1)]
    return "\n".join(
        "  ".join(
            [
                *(
                    word.rjust(width) if at >= 2 else word.ljust(width)
                    for at, (word, width) in enumerate(zip(line, widths, strict=False))
                ),
                line[-1],
            ]
        )
        for line in (titles, *lines)
    )


def _numbers(queue: Queue) -> dict[str, int | None]:
    return {name: getattr(queue.kept if name in {"failed", "dead"} else queue.live, name) for name in _NUMBERS}


def _plain(looked: Looked) -> dict[str, Any]:
    return {
        "name": looked.name,
        "url": looked.url,
        "error": looked.error,
        "problem": looked.problem,
        "queues": [{**msgspec.to_builtins(each.queue), "found_by": each.found_by} for each in looked.queues],
        "config": looked.config,
    }
