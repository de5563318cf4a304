"""Queue systems: one file each, and the explicit list of them.

A new system is one module, one entry in ``SYSTEMS``, one folder in ``tests/fixtures/queues`` and one section in
``docs/queues.md``.
"""

from typing import Final

from exporter.queues import (
    arq,
    bull,
    bullmq,
    celery,
    dramatiq,
    huey,
    laravel,
    lists,
    resque,
    rq,
    saq,
    sidekiq,
    streams,
    taskiq,
)
from exporter.queues.system import QueueSystem
from exporter.settings import CelerySettings, PrefixSettings

AUTO: Final = "auto"

SYSTEMS: Final[tuple[QueueSystem, ...]] = (
    QueueSystem(
        name="laravel",
        reader=lambda settings, names: laravel.LaravelReader(settings.laravel, settings.horizon, names),
        told=lambda settings: PrefixSettings() != settings.laravel or PrefixSettings() != settings.horizon,
        auto=True,
        commands=laravel.COMMANDS,
        optional=laravel.OPTIONAL_COMMANDS,
    ),
    QueueSystem(
        name="celery",
        reader=lambda settings, names: celery.CeleryReader(settings.celery, names),
        told=lambda settings: settings.celery != CelerySettings(),
        auto=True,
        commands=celery.COMMANDS,
    ),
    QueueSystem(
        name="rq",
        reader=lambda settings, names: rq.RqReader(settings.rq, names),
        told=lambda settings: settings.rq != PrefixSettings(),
        auto=True,
        commands=rq.COMMANDS,
    ),
    QueueSystem(
        name="sidekiq",
        reader=lambda settings, names: sidekiq.SidekiqReader(settings.sidekiq, names),
        told=lambda settings: settings.sidekiq != PrefixSettings(),
        auto=True,
        commands=sidekiq.COMMANDS,
    ),
    QueueSystem(
        name="resque",
        reader=lambda settings, names: resque.ResqueReader(settings.resque, names),
        told=lambda settings: settings.resque != PrefixSettings(),
        auto=True,
        commands=resque.COMMANDS,
    ),
    QueueSystem(
        name="bullmq",
        reader=lambda settings, names: bullmq.BullMqReader(settings.bullmq, names),
        told=lambda settings: settings.bullmq != PrefixSettings(),
        auto=True,
        commands=bullmq.COMMANDS,
        optional=bullmq.OPTIONAL_COMMANDS,
    ),
    QueueSystem(
        name="bull",
        reader=lambda settings, names: bull.BullReader(settings.bull, names),
        told=lambda settings: settings.bull != PrefixSettings(),
        auto=True,
        commands=bull.COMMANDS,
        optional=bull.OPTIONAL_COMMANDS,
    ),
    QueueSystem(
        name="dramatiq",
        reader=lambda settings, names: dramatiq.DramatiqReader(settings.dramatiq, names),
        told=lambda settings: settings.dramatiq != PrefixSettings(),
        auto=True,
        commands=dramatiq.COMMANDS,
    ),
    QueueSystem(
        name="arq",
        reader=lambda _, names: arq.ArqReader(names),
        told=lambda _: False,
        auto=True,
        commands=arq.COMMANDS,
    ),
    QueueSystem(
        name="huey",
        reader=lambda _, names: huey.HueyReader(names),
        told=lambda _: False,
        auto=True,
        commands=huey.COMMANDS,
    ),
    QueueSystem(
        name="taskiq",
        reader=lambda settings, names: taskiq.TaskiqReader(names, settings.streams),
        told=lambda _: False,
        auto=True,
        commands=taskiq.COMMANDS,
    ),
    QueueSystem(
        name="saq",
        reader=lambda _, names: saq.SaqReader(names),
        told=lambda _: False,
        auto=True,
        commands=saq.COMMANDS,
    ),
    QueueSystem(
        name="stream",
        reader=lambda settings, names: streams.StreamReader(settings.streams, names),
        told=lambda settings: bool(settings.streams),
        auto=True,
        commands=streams.COMMANDS,
    ),
    QueueSystem(
        name="list",
        reader=lambda settings, names: lists.ListReader((*settings.lists, *lists.named(names, settings.lists))),
        told=lambda settings: bool(settings.lists),
        auto=False,
        commands=lists.LIST_COMMANDS,
    ),
    QueueSystem(
        name="zset",
        reader=lambda settings, names: lists.SortedSetReader(
            (*settings.sorted_sets, *lists.sets_named(names, settings.sorted_sets))
        ),
        told=lambda settings: bool(settings.sorted_sets),
        auto=False,
        commands=lists.ZSET_COMMANDS,
    ),
)

NAMES: Final = frozenset(system.name for system in SYSTEMS)
