"""Taskiq's workers by their command lines (taskiq/__main__.py, taskiq/cli/worker)."""

from collections.abc import Sequence
from typing import Final

from exporter.command_lines.reader import Variable, no_variable
from exporter.command_lines.words import commands

SYSTEM: Final = "taskiq"

_NAMES: Final = frozenset(("taskiq", "taskiq.__main__"))


class TaskiqCommandLine:
    """Workers: ``taskiq worker module:broker``. The queue stands in that broker, in the program."""

    system: Final = SYSTEM

    def serves(self, argv: Sequence[str], variable: Variable = no_variable) -> Sequence[str] | None:  # noqa: ARG002
        """Return no queues for a worker; ``taskiq scheduler`` is none."""
        return () if any(words[:1] and words[0] == "worker" for words in commands(argv, _NAMES)) else None
