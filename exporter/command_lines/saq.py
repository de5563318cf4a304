"""SAQ's workers by their command lines (saq/__main__.py)."""

from collections.abc import Sequence
from typing import Final

from exporter.command_lines.reader import Variable, no_variable
from exporter.command_lines.words import commands, options

SYSTEM: Final = "saq"

_NAMES: Final = frozenset(("saq", "saq.__main__"))
_VALUED: Final = frozenset(("--workers", "--extra-web-settings", "-e", "--port"))


class SaqCommandLine:
    """Workers: ``saq module.settings``. The queue stands in those settings, which are not read."""

    system: Final = SYSTEM

    def serves(self, argv: Sequence[str], variable: Variable = no_variable) -> Sequence[str] | None:  # noqa: ARG002
        """Return no queues for a worker; ``saq --check`` is none."""
        return () if any(map(_is_worker, commands(argv, _NAMES))) else None


def _is_worker(words: Sequence[str]) -> bool:
    given = list(options(words, _VALUED))
    return ("--check", "") not in given and any(option == "" and "." in value for option, value in given)
