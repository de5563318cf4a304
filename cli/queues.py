"""``depthgauge queues``: what was found in each Redis, and by what."""

import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from cli import pin
from depthgauge.errors import SourceError
from depthgauge.secrets import masked
from depthgauge.snapshot import Queue
from exporter.queues.naming import label_in
from exporter.settings import ExporterSettings, RedisSettings
from exporter.sources.redis_queues import RedisQueuesSource

PATIENCE: Final = 60.0
"""Seconds that looking for queues may take, and so long again the reading of them."""
CONFIGURED: Final = "the configuration"

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
    return Looked(
        name=settings.name,
        url=url,
        problem=problem,
        queues=tuple(
            Seen(
                queue=queue,
                found_by=next(
                    (each.by for each in found if each.system == queue.system and label_in(queue.name, each)),
                    CONFIGURED,
                ),
            )
            for queue in sorted(part.queues, key=lambda queue: (queue.system, queue.name))
        ),
        config=pin.as_toml(settings, found),
    )


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
    parts.append(_table(looked.queues))
    if looked.config:
        parts.append("To pin this, so that nothing has to be looked for:")
        parts.append(looked.config.rstrip())
    return "\n\n".join(parts)


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
