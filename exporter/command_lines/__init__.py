"""Command lines of workers: which queues a process serves, one queue system a file, and the explicit list of them."""

from typing import Final

from exporter.command_lines.arq import ArqCommandLine
from exporter.command_lines.celery import CeleryCommandLine
from exporter.command_lines.dramatiq import DramatiqCommandLine
from exporter.command_lines.huey import HueyCommandLine
from exporter.command_lines.laravel import LaravelCommandLine
from exporter.command_lines.reader import CommandLine
from exporter.command_lines.resque import ResqueCommandLine
from exporter.command_lines.rq import RqCommandLine
from exporter.command_lines.saq import SaqCommandLine
from exporter.command_lines.sidekiq import SidekiqCommandLine
from exporter.command_lines.taskiq import TaskiqCommandLine

COMMAND_LINES: Final[tuple[CommandLine, ...]] = (
    LaravelCommandLine(),
    CeleryCommandLine(),
    RqCommandLine(),
    SidekiqCommandLine(),
    ResqueCommandLine(),
    DramatiqCommandLine(),
    ArqCommandLine(),
    HueyCommandLine(),
    TaskiqCommandLine(),
    SaqCommandLine(),
)
# BullMQ and Bull have none: their workers are programs of the user's own.
