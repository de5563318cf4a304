"""arq's workers by their command lines (arq/cli.py)."""

from collections.abc import Sequence
from typing import Final

from exporter.command_lines.reader import Variable, no_variable
from exporter.command_lines.words import commands, runs_settings

SYSTEM: Final = "arq"

_NAMES: Final = frozenset(("arq", "arq.__main__", "arq.cli"))
_VALUED: Final = frozenset(("--watch", "--custom-log-dict"))


class ArqCommandLine:
    """Workers: ``arq module.WorkerSettings``. The queue stands in that class, which is not read."""

    system: Final = SYSTEM

    def serves(self, argv: Sequence[str], variable: Variable = no_variable) -> Sequence[str] | None:  # noqa: ARG002
        """Return no queues for a worker; ``arq --check`` is none."""
        return () if any(runs_settings(words, _VALUED) for words in commands(argv, _NAMES)) else None
