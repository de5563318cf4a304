"""SAQ's workers by their command lines (saq/__main__.py)."""

from collections.abc import Sequence
from typing import Final

from exporter.command_lines.reader import Variable, no_variable
from exporter.command_lines.words import commands, runs_settings

SYSTEM: Final = "saq"

_NAMES: Final = frozenset(("saq", "saq.__main__"))
_VALUED: Final = frozenset(("--workers", "--extra-web-settings", "-e", "--port"))


class SaqCommandLine:
    """Workers: ``saq module.settings``. The queue stands in those settings, which are not read."""

    system: Final = SYSTEM

    def serves(self, argv: Sequence[str], variable: Variable = no_variable) -> Sequence[str] | None:  # noqa: ARG002
        """Return no queues for a worker; ``saq --check`` is none."""
        return () if any(runs_settings(words, _VALUED) for words in commands(argv, _NAMES)) else None
