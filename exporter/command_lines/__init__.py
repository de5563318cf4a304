"""Command lines of workers: which queues a process serves, one queue system a file, and the explicit list of them."""

from typing import Final

from exporter.command_lines.laravel import LaravelCommandLine
from exporter.command_lines.reader import CommandLine
from exporter.command_lines.rq import RqCommandLine

COMMAND_LINES: Final[tuple[CommandLine, ...]] = (
    LaravelCommandLine(),
    RqCommandLine(),
)
