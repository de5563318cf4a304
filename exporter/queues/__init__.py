"""Queue systems: one file each, and the explicit list of them.

A new system is one module, one line in ``SYSTEMS``, one folder in ``tests/fixtures/queues`` and one section in
``docs/queues.md``.
"""

from typing import Final

from exporter.queues.laravel import LaravelCommandLine, LaravelReader
from exporter.queues.lists import ListReader, SortedSetReader
from exporter.queues.reader import CommandLine
from exporter.queues.rq import RqCommandLine, RqReader
from exporter.queues.system import QueueSystem
from exporter.settings import LaravelSettings, ListSettings, RqSettings, SortedSetSettings

AUTO: Final = "auto"

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
