"""Queue systems: one file each, and the explicit list of them.

A new system is one module, one line in ``SYSTEMS``, one folder in ``tests/fixtures/queues`` and one section in
``docs/queues.md``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from depthgauge.errors import ConfigError
from exporter.queues.laravel import LaravelCommandLine, LaravelReader
from exporter.queues.lists import ListReader, SortedSetReader
from exporter.queues.reader import CommandLine, QueueReader
from exporter.queues.rq import RqCommandLine, RqReader
from exporter.settings import LaravelSettings, ListSettings, RedisSettings, RqSettings, SortedSetSettings

AUTO: Final = "auto"


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueSystem:
    """One queue system."""

    name: str
    """The ``system`` label."""
    reader: Callable[[RedisSettings, Sequence[str]], QueueReader]
    """Makes the reader for one Redis, given the queue names that are always exported."""
    told: Callable[[RedisSettings], bool]
    """Whether the settings say something about this system, so that it is read although ``systems`` does not name it."""
    auto: bool
    """Whether ``systems = ["auto"]`` tries it, and bare names in ``queues`` go to it."""
    command_line: CommandLine | None = None


SYSTEMS: Final[tuple[QueueSystem, ...]] = (
    QueueSystem(
        name="laravel",
        reader=lambda settings, names: LaravelReader(settings.laravel, names),
        told=lambda settings: settings.laravel != LaravelSettings(),
        auto=True,
        command_line=LaravelCommandLine(),
    ),
    QueueSystem(
        name="rq",
        reader=lambda settings, names: RqReader(settings.rq, names),
        told=lambda settings: settings.rq != RqSettings(),
        auto=True,
        command_line=RqCommandLine(),
    ),
    QueueSystem(
        name="list",
        reader=lambda settings, names: ListReader(
            (*settings.lists, *(ListSettings(key=name, name=name) for name in names))
        ),
        told=lambda settings: bool(settings.lists),
        auto=False,
    ),
    QueueSystem(
        name="zset",
        reader=lambda settings, names: SortedSetReader(
            (*settings.sorted_sets, *(SortedSetSettings(key=name, name=name) for name in names))
        ),
        told=lambda settings: bool(settings.sorted_sets),
        auto=False,
    ),
)

NAMES: Final = frozenset(system.name for system in SYSTEMS)
COMMAND_LINES: Final[tuple[CommandLine, ...]] = tuple(
    system.command_line for system in SYSTEMS if system.command_line is not None
)


@dataclass(frozen=True, slots=True)
class ActiveReader:
    """A reader as one Redis uses it."""

    reader: QueueReader
    always: bool
    """Read also when nothing of this system was found."""


def active_readers(settings: RedisSettings) -> tuple[ActiveReader, ...]:
    """Return the readers that these settings ask for; raise ConfigError for a system that does not exist."""
    if unknown := set(settings.systems) - NAMES - {AUTO}:
        known = ", ".join((AUTO, *(system.name for system in SYSTEMS)))
        raise ConfigError((f"redis {settings.name}: no queue system {', '.join(sorted(unknown))}; known are {known}",))
    active = []
    for system in SYSTEMS:
        pinned, bare = _names(settings, system)
        always = system.name in settings.systems or bool(pinned) or system.told(settings)
        if always or (system.auto and AUTO in settings.systems):
            names = (*pinned, *bare) if system.auto else pinned
            active.append(ActiveReader(system.reader(settings, tuple(dict.fromkeys(names))), always))
    return tuple(active)


def _names(settings: RedisSettings, system: QueueSystem) -> tuple[list[str], list[str]]:
    """Return the names in ``queues`` that are pinned to the system, and those pinned to none."""
    pinned, bare = [], []
    for name in settings.queues:
        head, sign, rest = name.partition(":")
        if sign and head in NAMES:
            if head == system.name and rest:
                pinned.append(rest)
        else:
            bare.append(name)
    return pinned, bare
