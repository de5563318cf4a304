"""The readers that the settings of one Redis ask for."""

from dataclasses import dataclass

from depthgauge.errors import ConfigError
from exporter.queues import AUTO, NAMES, SYSTEMS
from exporter.queues.reader import QueueReader
from exporter.queues.system import QueueSystem
from exporter.settings import RedisSettings


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


def read_systems(settings: RedisSettings) -> tuple[QueueSystem, ...]:
    """Return the systems that these settings ask for."""
    asked = {active.reader.system for active in active_readers(settings)}
    return tuple(system for system in SYSTEMS if system.name in asked)


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
