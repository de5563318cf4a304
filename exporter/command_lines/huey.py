"""Huey's workers by their command lines (huey/bin/huey_consumer.py; huey/contrib/djhuey/management/commands)."""

from collections.abc import Sequence
from typing import Final

from exporter.command_lines.reader import Variable, no_variable
from exporter.command_lines.words import commands

SYSTEM: Final = "huey"

_NAMES: Final = frozenset(("huey_consumer", "huey_consumer.py", "huey.bin.huey_consumer", "run_huey"))


class HueyCommandLine:
    """Workers: ``huey_consumer module.huey``, ``manage.py run_huey``. The queue is the name of that instance, in the program."""

    system: Final = SYSTEM

    def serves(self, argv: Sequence[str], variable: Variable = no_variable) -> Sequence[str] | None:  # noqa: ARG002
        """Return no queues for a worker."""
        return () if any(True for _ in commands(argv, _NAMES)) else None
